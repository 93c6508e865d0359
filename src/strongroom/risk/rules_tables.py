"""The tables of a file of rules that are no rules: bands, stops, reactions, what is usual, who is what."""

from collections.abc import Collection
from typing import Any

from strongroom.risk import facts
from strongroom.risk.expression import nearest
from strongroom.risk.reaction import STEP_UPS, Reaction
from strongroom.risk.rules import CLASSES, REACTIONS, STOP_WORDS, STOPS, Bands, Breaker
from strongroom.toml import fields
from strongroom.toml.fields import Document, Field
from strongroom.toml.lines import Path


def bands(document: Document, path: Path, value: object) -> Bands:
    """Read [bands]. Raises SetupError(CONFIG)."""
    points = fields.number(0, 1000, above=True)
    spec: dict[str, Field] = {
        "medium": points,
        "high": points,
        "down": fields.number(0, 1000),
        "hold": fields.seconds,
    }
    found = Bands(**fields.table(document, path, value, spec))
    if found.medium >= found.high:
        what = f"high ({found.high:g}) is not above medium ({found.medium:g})"
        raise document.wrong((*path, "high"), "set bands.high above bands.medium", what=what)
    if found.down >= found.medium:
        what = f"down ({found.down:g}) is not below medium ({found.medium:g}), so a band would never be left"
        raise document.wrong((*path, "down"), "set bands.down below bands.medium", what=what)
    return found


def trust(document: Document, path: Path, value: object) -> dict[str, Any]:
    """Read [trust]. Raises SetupError(CONFIG)."""
    spec: dict[str, Field] = {"days": fields.whole(0, 366), "step_up_factor": fields.number(0, 1)}
    found = fields.table(document, path, value, spec)
    return {"trust_days" if name == "days" else name: one for name, one in found.items()}


def stops(document: Document, path: Path, value: object) -> dict[str, str]:
    """Read [stops]; what is not named stops. Raises SetupError(CONFIG)."""
    word = one_of(STOP_WORDS)
    return dict.fromkeys(STOPS, "stop") | fields.table(document, path, value, dict.fromkeys(STOPS, word))


def breaker(document: Document, path: Path, value: object) -> Breaker:
    """Read [breaker]. Raises SetupError(CONFIG)."""
    spec: dict[str, Field] = {
        "share": fields.number(0, 1, above=True),
        "window": fields.seconds,
        "least": fields.whole(1, 1_000_000),
    }
    return Breaker(**fields.table(document, path, value, spec))


def reactions(document: Document, path: Path, value: object) -> dict[str, Reaction]:
    """Read [reactions.BAND]; all bands must be there. Raises SetupError(CONFIG)."""
    named = REACTIONS[1:]  # nothing is done to those in no band
    return {"none": Reaction()} | fields.table(document, path, value, dict.fromkeys(named, _reaction), named)


def _reaction(document: Document, path: Path, value: object) -> Reaction:
    spec: dict[str, Field] = {
        **dict.fromkeys(("refuse", "wipe", "restrict", "deceive"), fields.flag),
        "step_up": one_of(STEP_UPS),
        "lease": fields.seconds,
        "rate": fields.number(0, 1, above=True),
        "delay": _delay,
    }
    return Reaction(**fields.table(document, path, value, spec))


def _delay(document: Document, path: Path, value: object) -> tuple[float, float]:
    wanted = 'two lengths of time, least and most, of at most a minute, such as ["2s", "10s"]'
    if not isinstance(value, list) or len(value) != 2:
        raise document.wrong(path, wanted)
    least, most = (0.0 if one == "0s" else float(fields.seconds(document, path, one)) for one in value)
    if not least <= most <= 60:  # a client waits no longer
        raise document.wrong(path, wanted)
    return least, most


def allow(document: Document, path: Path, value: object) -> dict[str, dict[str, float]]:
    """Read [allow.CLASS]; other classes are as `user` in what they do not name. Raises SetupError(CONFIG)."""
    spec: dict[str, Field] = dict.fromkeys(facts.ALLOWANCES, fields.number(0, 1_000_000))

    def usual(document: Document, path: Path, value: object) -> dict[str, float]:
        return fields.table(document, path, value, spec, tuple(spec))

    def other(document: Document, path: Path, value: object) -> dict[str, float]:
        return fields.table(document, path, value, spec)

    several: dict[str, Field] = {name: usual if name == CLASSES[0] else other for name in CLASSES}
    found = fields.table(document, path, value, several, CLASSES[:1])
    return {name: found[CLASSES[0]] | found.get(name, {}) for name in CLASSES}


def classes(document: Document, path: Path, value: object) -> dict[str, frozenset[str]]:
    """Read [classes]. Raises SetupError(CONFIG)."""
    users = fields.several(fields.text(r"[!-~]{1,128}", "a user's name"), most=2000)
    found = fields.table(document, path, value, dict.fromkeys(CLASSES, users))
    read: dict[str, frozenset[str]] = {}
    for name, several in found.items():
        both = next((user for user in several if any(user in others for others in read.values())), None)
        if both is not None:
            step = "keep the user in one class"
            raise document.wrong((*path, name), step, what=f"{fields.shown(both)} stands in two classes")
        read[name] = frozenset(several)
    return read


def one_of(words: Collection[str]) -> Field:
    """Return a field that takes one of these words, and names the nearest to another."""

    def read(document: Document, path: Path, value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        known = {word: word for word in words if word}
        step = nearest(value, known) if isinstance(value, str) else f"write one of {', '.join(sorted(known))}"
        raise document.wrong(path, step, what=f"{'.'.join(path)} cannot be {fields.shown(value)}")

    return read
