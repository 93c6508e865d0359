"""A few words to write a life in events with."""

from collections.abc import Iterator
from random import Random
from typing import Any

from strongroom.risk.decision import Decision
from strongroom.risk.defaults import default_rules
from strongroom.risk.engine import judge
from strongroom.risk.entities import Entity
from strongroom.risk.events import TYPES, Event
from strongroom.risk.rules import Rules
from strongroom.risk.state import State

MINUTE, HOUR, DAY = 60, 3600, 86_400
START = 1_800_000_000 - 1_800_000_000 % DAY


class Life:
    """Events one after the other, judged as they come."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or default_rules()
        self.states: dict[Entity, State] = {}
        self.now = START
        self.count = 0
        self.bands: list[str] = []

    def say(self, kind: str, user: str | None = "ann", key: str | None = "k1", **more: Any) -> Decision:
        """Judge one event, two seconds after the one before."""
        self.now += 2
        self.count += 1
        told = {
            "device_id": f"id-{key}", "ip": "192.0.2.7", "session_id": f"s-{key}-{self.now // HOUR}", "ver": "1.0",
            "app_install_id": f"i-{key}", "attestation": "pass", "app_sig": "ok",
        } | more  # fmt: skip
        decision = judge(self.rules, Event(f"e{self.count}", self.now, kind, user, device_key=key, **told), self.states)
        assert sum(points.points for points in decision.points) == decision.score
        self.bands.append(decision.band)
        return decision

    def session(self, user: str = "ann", key: str = "k1", models: tuple[str, ...] = (), **more: Any) -> Decision:
        """Use the application once and fetch models; the decision on the last event."""
        more = {"session_id": f"s-{self.count}"} | more
        for kind in ("session_start", "attest"):
            self.say(kind, user, key, **more)
        for model in models:
            self.say("key_request", user, key, model=model, **more)
            self.say("model_download", user, key, model=model, **more)
        return self.say("model_run", user, key, **more)

    def wait(self, seconds: int) -> None:
        """Let time go by."""
        self.now += seconds

    def settle(self, user: str = "ann", key: str = "k1", days: int = 4) -> None:
        """Live like anybody for some days."""
        self.say("app_install", user, key)
        for day in range(days):
            self.session(user, key, ("m1", "m2") if not day else ())
            self.wait(DAY)
        assert set(self.bands) == {"none"}


def crowded(seed: int, count: int) -> Iterator[Event]:
    """Few names and many events, so that every list overflows and every rule is hit."""
    r = Random(seed)  # noqa: S311 - the same
    now = START
    for number in range(count):
        now += r.choice((0, 1, 30, 600, 7200, 90_000))
        user = r.choice(("ann", "bob", "eve", None))
        yield Event(
            f"e{number}",
            now - r.choice((0, 0, 0, 599)),
            r.choice(sorted(TYPES - {"honeypot"})),
            user,
            r.choice(("user", "user", "fleet", "staff")),
            r.choice((None, "d1", "d2", f"d{r.randrange(30)}")),
            r.choice((None, "k1", "k2", f"k{r.randrange(30)}")),
            r.choice((None, f"s{number // 9}")),
            r.choice((None, f"i{r.randrange(40)}")),
            r.choice((None, f"192.0.{r.randrange(30)}.1")),
            r.choice((None, f"m{r.randrange(40)}")),
            r.choice((None, "1.0", "1.1")),
            r.choice(("pass", "pass", "basic", "unavailable", "fail")),
            "ok",
            r.choice(((), (), (), ("hook",), ("root",))),
            resumed=r.random() < 0.2,
            honey=r.random() < 0.02,
            activity=r.choice((None, 4)),
        )
