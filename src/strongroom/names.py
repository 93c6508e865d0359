"""Names people give to things, and how a model is referred to.

One spelling for each thing: ASCII only, so that no two names look alike, and never a path (no file name is ever
built from a name). A version has a digit first (after an optional "v"), a channel has none: `model@word` is
one or the other.
"""

import re
from dataclasses import dataclass

from strongroom.errors import Code, InputError

MODEL = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
VERSION = r"v?[0-9][A-Za-z0-9._+-]{0,62}"
CHANNEL = r"[a-z][a-z-]{0,30}"
PERSON = r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?"  # account, user, operator
DEFAULT_CHANNEL = "stable"

_WORDS = {"model": MODEL, "version": VERSION, "channel": CHANNEL, "account": PERSON, "user": PERSON, "operator": PERSON}
_RULES = {
    "model": "1 to 64 of a-z 0-9 . _ -, starting and ending with a letter or digit",
    "version": 'a digit first (an optional "v" before it), then A-Z a-z 0-9 . _ + -, at most 64',
    "channel": "1 to 31 of a-z and -, starting with a letter; no digit",
    "account": "1 to 64 of a-z 0-9 . _ @ -, starting and ending with a letter or digit",
}


def check(kind: str, name: str) -> str:
    """Return the name if it is a legal `kind` (model, version, channel, account, user, operator).

    Raises:
        InputError: NAME, with the rule for this kind.
    """
    if not re.fullmatch(_WORDS[kind], name):
        rule = _RULES.get(kind, _RULES["account"])
        raise InputError(Code.NAME, f"not a {kind} name: {name[:80]!a}", next_step=f"use {rule}")
    return name


@dataclass(frozen=True, slots=True)
class Reference:
    """A model and which of its versions: exactly one of `version` and `channel` is set."""

    model: str
    version: str | None
    channel: str | None

    @property
    def selector(self) -> str:
        """What travels: the version, or "@channel"."""
        return self.version if self.version is not None else f"@{self.channel}"

    def __str__(self) -> str:
        return f"{self.model}@{self.version or self.channel}"


def parse_reference(text: str) -> Reference:
    """Read `model`, `model@channel` or `model@version`; without "@" the channel is `stable`.

    Raises:
        InputError: NAME.
    """
    model, at, word = text.partition("@")
    check("model", model)
    if not at:
        return Reference(model, None, DEFAULT_CHANNEL)
    if re.fullmatch(VERSION, word):
        return Reference(model, word, None)
    return Reference(model, None, check("channel", word))
