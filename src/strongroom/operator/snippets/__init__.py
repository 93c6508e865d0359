"""Source code to plant beside a decoy: it looks as if it did something, and nothing calls it (R96).

The code of a decoy in the language of an app; the app's own build compiles it, and a person reviews it like any other.
Whoever plants it must not call it, nor let a test call it: a hit stops the device.
"""

from collections.abc import Mapping
from importlib.resources import files
from string import Template

from strongroom.errors import Code, InputError
from strongroom.operator.snippets.bait import Bait, Word, bait

LANGUAGES = ("python", "javascript", "kotlin", "java", "swift")
ENDINGS = {"python": ".py", "javascript": ".mjs", "kotlin": ".kt", "java": ".java", "swift": ".swift"}

_CONSTANTS = {
    "python": "{name} = {value}",
    "javascript": "const {name} = {value};",
    "kotlin": "    private const val {name} = {value}",
    "java": "    private static final String {name} = {value};",
    "swift": "    private static let {name} = {value}",
}
_MAPS = {  # empty, beginning, pair, end
    "python": ("{}", "{", "{name}: {value}", "}"),
    "javascript": ("{}", "{ ", "{name}: {value}", " }"),
    "kotlin": ("emptyMap()", "mapOf(", "{name} to {value}", ")"),
    "java": ("Map.of()", "Map.of(", "{name}, {value}", ")"),
    "swift": ("[:]", "[", "{name}: {value}", "]"),
}
_ESCAPED = frozenset('"\\')


def snippet(language: str, kind: str, name: str, shows: Mapping[str, str]) -> str:
    """Write the source code to plant for a decoy.

    Args:
        language: one of LANGUAGES.
        kind: of the decoy.
        name: of the decoy.
        shows: what the office says that it shows.

    Raises:
        InputError: ARGUMENT, a language or kind that no code is written for, or a text that code cannot hold.
    """
    if language not in LANGUAGES:
        step = f"use one of {', '.join(LANGUAGES)}"
        raise InputError(Code.ARGUMENT, "no code is written in this language", where=ascii(language), next_step=step)
    template = files("strongroom.operator.snippets").joinpath(f"{language}.txt").read_text("utf-8")
    return Template(template).substitute(_words(language, bait(kind, name, shows)))


def _words(language: str, one: Bait) -> dict[str, str]:
    camel = one.function.title().replace("_", "")
    function = one.function if language == "python" else camel[0].lower() + camel[1:]
    line = _CONSTANTS[language]
    return {
        "doc": one.doc,
        "function": function,
        "Class": f"{camel}Access",
        "constants": "\n".join(
            line.format(name=name, value=_literal(language, value)) for name, value in one.constants.items()
        ),
        "method": _literal(language, one.method),
        "target": _text(language, one.target),
        "headers": _map(language, one.headers),
        "body": _literal(language, one.body),
    }


def _map(language: str, pairs: Mapping[str, tuple[Word, ...]]) -> str:
    empty, begin, pair, end = _MAPS[language]
    if not pairs:
        return empty
    written = (pair.format(name=_literal(language, name), value=_text(language, text)) for name, text in pairs.items())
    return begin + ", ".join(written) + end


def _text(language: str, words: tuple[Word, ...]) -> str:
    return " + ".join(one.text if one.constant else _literal(language, one.text) for one in words)


def _literal(language: str, text: str) -> str:
    """Write a text literal: of printable ASCII, in double quotes, which all five languages read alike."""
    if not text.isascii() or not (text.isprintable() or not text):
        raise InputError(Code.ARGUMENT, "only printable ASCII can stand in planted code", where=ascii(text[:40]))
    quoted = "".join(f"\\{sign}" if sign in _ESCAPED else sign for sign in text)
    return '"' + (quoted.replace("$", "\\$") if language == "kotlin" else quoted) + '"'
