"""What the demo prints, and the same as one JSON document."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import click

from strongroom.canonical import JsonValue
from strongroom.cli.demo.measure import Score
from strongroom.cli.demo.needles import Search
from strongroom.cli.printing import printable, size, styled

VERB, WHAT = 13, 78  # columns


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, and how long it took."""

    verb: str
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Place:
    """What lies somewhere, and in which form."""

    where: str
    what: str
    form: str
    size: int | None  # bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """An attack that was really made, and what answered it."""

    attack: str
    expected: tuple[str, ...]  # error codes, any of which is right
    code: str  # what came; "" if nothing refused it
    answer: str  # what the attacker was told
    logged: str = ""  # what the office wrote into its own log, and told nobody

    @property
    def held(self) -> bool:
        return self.code in self.expected


@dataclass(slots=True)
class Report:
    """The whole story; printed as it grows unless it is wanted as JSON."""

    quiet: bool
    steps: list[Step] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    scores: dict[str, Score] = field(default_factory=dict)
    searched: Search | None = None
    differences: list[str] = field(default_factory=list)  # what is not as it must be

    def say(self, text: str = "") -> None:
        """Print a line."""
        if not self.quiet:
            click.echo(printable(text))

    def head(self, title: str) -> None:
        """Print a heading."""
        if not self.quiet:
            click.echo(f"\n{styled(title, 'cyan')}")

    def step(self, verb: str, what: str, seconds: float) -> None:
        """Add and print a step."""
        self.steps.append(Step(verb, what, seconds))
        self.say(f"  {verb:<{VERB}}{what:<{WHAT}}{seconds:>7.2f} s")

    def lies(self, places: Sequence[Place]) -> None:
        """Add and print what lies where."""
        self.places.extend(places)
        where, what = (max(len(getattr(place, name)) for place in places) for name in ("where", "what"))
        for place in places:
            amount = "" if place.size is None else size(place.size)
            self.say(f"  {place.where:<{where}}  {place.what:<{what}}  {amount:>9}  {place.form}")

    def refused(self, refusal: Refusal) -> None:
        """Add and print an attack and its answer."""
        self.refusals.append(refusal)
        if not refusal.held:
            self.differences.append(f"{refusal.attack}: {refusal.code or 'nothing refused it'}")
        mark = styled("refused", "green") if refusal.held else styled("NOT AS IT MUST BE", "red")
        if not self.quiet:
            click.echo(f"  {refusal.attack:<60}{mark}  {printable(refusal.code)}")
            click.echo(f"      told     {printable(refusal.answer)}")
            if refusal.logged:
                click.echo(f"      logged   {printable(refusal.logged)}")

    def measured(self, name: str, score: Score) -> None:
        """Add and print a score."""
        self.scores[name] = score
        self.say(f"  {name:<22}{score.right} of n = {score.total} right   {score.share}")

    def check(self, *, holds: bool, otherwise: str) -> None:
        """Note a difference unless it holds."""
        if not holds:
            self.differences.append(otherwise)

    def to_value(self) -> dict[str, JsonValue]:
        """Return the document for `--json`; times in milliseconds."""
        search = self.searched
        return {
            "ok": not self.differences,
            "differences": list(self.differences),
            "steps": [{"verb": s.verb, "what": s.what, "ms": round(s.seconds * 1000)} for s in self.steps],
            "places": [asdict(place) for place in self.places],
            "scores": {name: score.to_value() for name, score in self.scores.items()},
            "refusals": [
                {**asdict(refusal), "expected": list(refusal.expected), "held": refusal.held}
                for refusal in self.refusals
            ],
            "search": None
            if search is None
            else {"files": search.files, "bytes": search.size, "hits": list(search.hits)},
        }
