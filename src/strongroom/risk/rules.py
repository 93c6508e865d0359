"""The rules as the engine uses them: data without behaviour, read from TOML by `rules_file`."""

from collections.abc import Mapping
from dataclasses import dataclass

from strongroom.risk.expression import Expression
from strongroom.risk.reaction import Reaction

WHO = ("user", "key", "responsible")  # whom a rule charges; responsible: the key while it is far, else the user
CLASSES = ("user", "fleet", "staff")
MODES = ("off", "shadow", "enforce", "percent")
STOPS = ("tamper", "rooted", "signature", "attestation", "decoy")
STOP_WORDS = ("stop", "medium", "off")
REACTIONS = ("none", "medium", "high", "stop")


@dataclass(frozen=True, slots=True)
class Mode:
    """Whether a rule's hits count: for nobody, nobody but noted, everybody, or a fixed share of the users."""

    word: str = "enforce"  # one of MODES
    percent: int = 100  # of users, 1 to 99 when the word is percent


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when it holds, the entity it names is charged `weight` points that halve every `half_life`."""

    id: str
    title: str  # shown in every explanation
    who: str  # one of WHO
    on: frozenset[str]  # event types; empty: any
    when: Expression
    times: Expression | None  # multiplies the weight
    weight: float  # points, 0.01 to 500
    half_life: int  # seconds, at least 1
    cap: float  # points one entity can hold for this rule, at most 500
    quiet: int = 0  # seconds after a hit in which the same entity is not hit again
    mode: Mode = Mode()
    baseline: bool = False  # muted for a build while far more of its users hit it than usual


@dataclass(frozen=True, slots=True)
class Bands:
    """Where the bands begin, in points, and how they are left again."""

    medium: float = 30.0
    high: float = 70.0
    down: float = 10.0  # points below a threshold before the band is left
    hold: int = 86_400  # seconds a band lasts at least


@dataclass(frozen=True, slots=True)
class Breaker:
    """Too many users moved to high at once: the rules are wrong, not the users."""

    share: float = 0.005  # of the active users
    window: int = 3600  # seconds
    least: int = 20  # users moved to high within the window before the share is looked at


@dataclass(frozen=True, slots=True)
class Snooze:
    """One rule does not count for one entity until an end; always with a name and a reason."""

    rule: str
    entity: str  # "user:NAME" or "key:NAME"
    until: int  # epoch seconds
    by: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """All of one rules file; compared by identity, so that what is made ready of it is kept beside it."""

    version: str  # hex SHA-256 of the text
    rules: tuple[Rule, ...]
    allow: Mapping[str, Mapping[str, float]]  # class -> name of facts.ALLOWANCES -> number
    reactions: Mapping[str, Reaction]  # band -> what is done
    bands: Bands = Bands()
    trust_days: int = 14  # how long a passed step-up makes (user, device key) trusted
    step_up_factor: float = 0.25  # what a passed step-up leaves of the evidence
    stops: Mapping[str, str] | None = None  # word of STOPS -> one of STOP_WORDS; missing: stop
    breaker: Breaker = Breaker()
    snoozes: tuple[Snooze, ...] = ()
    classes: Mapping[str, frozenset[str]] | None = None  # class -> users that belong to it whatever an event says
