"""What the engine decided about one event, and why: the points add up exactly to the score."""

from dataclasses import dataclass
from typing import Any

from strongroom.risk.reaction import Reaction


@dataclass(frozen=True, slots=True)
class Points:
    """What one rule adds to the score for one of its bearers."""

    rule: str
    kind: str  # user or key
    name: str
    points: int  # hundredths
    text: str  # the rule's title

    def to_value(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "rule": self.rule, "entity": f"{self.kind}:{self.name}", "points": self.points / 100, "text": self.text,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop factor in force."""

    word: str
    entity: str  # "user:NAME" or "key:NAME"
    action: str  # stop, or medium: it holds the band at medium
    why: str
    new: bool = False  # this event brought it

    def to_value(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"word": self.word, "entity": self.entity, "action": self.action, "why": self.why, "new": self.new}


@dataclass(frozen=True, slots=True)
class Moved:
    """An entity that this event moved to another band."""

    entity: str
    before: str
    after: str

    def to_value(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"entity": self.entity, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Decision:
    """The reaction in force when an event is answered, and everything it rests on.

    Attributes:
        event_id: the event, or "" for a mere look.
        band: none, medium, high or stop.
        score: hundredths; exactly the sum of `points`.
        points: of every rule that counts.
        stops: in force for the user or the device key.
        reaction: what the band does.
        policy: the version of the rules.
        user_band: the band of the user alone: only that restricts the user on other devices.
        key_band: the band of the device key alone.
        moved: who changed band.
        hits: rules this event hit.
        shadow: what rules in shadow would have added.
        muted: rules that hit, and were not counted since the app's build, or the model's version, is to blame.
        notes: what else the operator should know: "breaker" while moves to high are frozen.
        set_aside: why the event was not judged, or "".
    """

    event_id: str
    band: str
    score: int
    points: tuple[Points, ...]
    stops: tuple[Stop, ...]
    reaction: Reaction
    policy: str
    user_band: str = "none"
    key_band: str = "none"
    moved: tuple[Moved, ...] = ()
    hits: tuple[str, ...] = ()
    shadow: tuple[Points, ...] = ()
    muted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: str = ""

    def to_value(self) -> dict[str, Any]:
        """Return the JSON form."""
        value: dict[str, Any] = {
            "event_id": self.event_id,
            "band": self.band,
            "score": self.score / 100,
            "rules": [points.to_value() for points in self.points],
            "stops": [stop.to_value() for stop in self.stops],
            "reaction": self.reaction.to_value(),
            "policy": self.policy,
            "user_band": self.user_band,
            "key_band": self.key_band,
        }
        for name, many in (("moved", self.moved), ("shadow", self.shadow)):
            if many:
                value[name] = [one.to_value() for one in many]
        for name, words in (("hits", self.hits), ("muted", self.muted), ("notes", self.notes)):
            if words:
                value[name] = list(words)
        if self.set_aside:
            value["set_aside"] = self.set_aside
        return value

    def text(self) -> str:
        """Explain the decision to a person, one line a reason."""
        lines = [f"{self.band}: {self.score / 100:.2f} points (rules {self.policy[:12]})"]
        lines += [f"  {one.points / 100:8.2f}  {one.rule:<18} {one.kind} {one.name}: {one.text}" for one in self.points]
        lines += [f"  {stop.action:>8}  {stop.word:<18} {stop.entity}: {stop.why}" for stop in self.stops]
        lines += [f"  {'shadow':>8}  {one.rule:<18} would add {one.points / 100:.2f}" for one in self.shadow]
        lines += [f"  {'muted':>8}  {rule:<18} the app's build, or the model's, is to blame" for rule in self.muted]
        lines += [f"  note      {note}" for note in self.notes]
        if self.set_aside:
            lines.append(f"  not judged: {self.set_aside}")
        return "\n".join(lines)
