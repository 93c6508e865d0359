"""What code that uses a decoy would do: constants, and one request that nobody ever sends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from strongroom.errors import Code, InputError


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a text in the code: a literal, or the name of a constant."""

    text: str
    constant: bool = False


@dataclass(frozen=True, slots=True)
class Bait:
    """One function and what it needs.

    Attributes:
        function: its name, in snake case.
        doc: one sentence.
        constants: name → value.
        method: of the request.
        target: path or URL, in pieces.
        headers: name → value, in pieces.
        body: JSON text, or "".
    """

    function: str
    doc: str
    constants: Mapping[str, str]
    method: str
    target: tuple[Word, ...]
    headers: Mapping[str, tuple[Word, ...]]
    body: str


def bait(kind: str, name: str, shows: Mapping[str, str]) -> Bait:
    """Return what is planted for a decoy.

    Args:
        kind: of the decoy.
        name: of its row.
        shows: what the office says that it shows.

    Raises:
        InputError: ARGUMENT, a kind that no code is written for.
    """
    writer = _WRITERS.get(kind)
    if writer is None:
        raise InputError(Code.ARGUMENT, "no code is written for this kind of decoy", where="kind")
    return writer(name, shows)


def _endpoint(_name: str, shows: Mapping[str, str]) -> Bait:
    path = shows["path"]
    words = [part for part in path.split("/") if part and not part.startswith("{")]
    whole = path.replace("{release_id}", "rel_" + "0" * 22).replace("{lease_id}", "lse_" + "0" * 22)
    whole = "/".join("default" if part.startswith("{") else part for part in whole.split("/"))
    function = "_".join(["support", *words[-2:]]).replace("-", "_").replace(".", "_")
    return Bait(
        function,
        "Reach the support interface of the model office.",
        {"SUPPORT_PATH": whole},
        shows["method"],
        (Word("SUPPORT_PATH", constant=True),),
        {},
        "{}" if shows["method"] == "POST" else "",
    )


def _token(name: str, shows: Mapping[str, str]) -> Bait:
    operator = name.startswith("operator ")
    scheme = "DPoP " if name.startswith("device ") else "Bearer "
    return Bait(
        "support_session",
        "Open a session with the service account of the support desk.",
        {"SUPPORT_TOKEN": shows["token"]},
        "GET" if operator else "POST",
        (Word("/v1/whoami" if operator else "/v1/challenges"),),
        {"Authorization": (Word(scheme), Word("SUPPORT_TOKEN", constant=True))},
        "" if operator else '{"purpose":"urls"}',
    )


def _key(_name: str, shows: Mapping[str, str]) -> Bait:
    return Bait(
        "recover_lease",
        "Bring back the model of the last release, if the store was lost.",
        {
            "RECOVERY_LEASE": shows["lease_id"],
            "RECOVERY_RELEASE": shows["release_id"],
            "RECOVERY_KEY": shows["key"],
        },
        "POST",
        (Word("/v1/releases/"), Word("RECOVERY_RELEASE", constant=True), Word("/urls")),
        {},
        "{}",
    )


def _model(name: str, _shows: Mapping[str, str]) -> Bait:
    return Bait(
        "load_reference_model",
        "Load the reference model that results are compared with.",
        {"REFERENCE_MODEL": name},
        "POST",
        (Word("/v1/releases"),),
        {},
        json.dumps({"model": name, "version": "@stable"}, separators=(",", ":")),
    )


def _canary(_name: str, shows: Mapping[str, str]) -> Bait:
    return Bait(
        "fetch_metadata",
        "Fetch the full metadata of the model, with its training data sheet.",
        {"METADATA_URL": shows["url"]},
        "GET",
        (Word("METADATA_URL", constant=True),),
        {},
        "",
    )


def _field(name: str, _shows: Mapping[str, str]) -> Bait:
    return Bait(
        "staff_signals",
        "Ask as a member of staff.",
        {"STAFF_FIELD": name},
        "POST",
        (Word("/v1/releases"),),
        {},
        json.dumps({"signals": {name: 0}}, separators=(",", ":")),
    )


_WRITERS = {
    "endpoint": _endpoint,
    "token": _token,
    "key": _key,
    "model": _model,
    "canary": _canary,
    "field": _field,
}
