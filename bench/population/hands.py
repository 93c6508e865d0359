"""The hand of an attacker: an account, a device, and a clock of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from population.world import DAY, MINUTE, Device, Person, Truth, Visit, World


@dataclass(slots=True)
class Hand:
    """Somebody at work: `at` moves on as they do."""

    world: World
    person: Person
    device: Device
    at: float

    def times(self, low: int, high: int) -> int:
        """Return how often, or how many: drawn, and scaled as this seed's attackers are."""
        return round(self.world.random.randint(low, high) * (self.world.size if low else 1.0))

    def wait(self, low: float, high: float, unit: float) -> None:
        """Let time go by, at the pace of this seed."""
        self.at += self.world.random.uniform(low, high) * unit * self.world.pace

    def take(self, device: Device, *, home: bool = False) -> None:
        """Go on with another device."""
        self.device = device
        if home:
            self.world.install(self.at - MINUTE, self.person, device, self.person.home)

    def use(
        self,
        fetch: Sequence[str],
        *,
        device: Device | None = None,
        ip: str | None = None,
        at: float | None = None,
        again: int = 1,
        resumed: float = 0.05,
        gap: float = 20,
        minutes: float = 8,
        ends: bool = True,
        logs_in: bool = True,
    ) -> None:
        """Open the application, and fetch this."""
        visit = Visit(
            self.at if at is None else at, device or self.device, ip or self.person.home, self.person.models, fetch,
            runs=1, minutes=minutes, ends=ends, logs_in=logs_in, again=again, resumed=resumed, gap=gap,
        )  # fmt: skip
        self.world.session(self.person, visit)

    def victim(self) -> Person:
        """Return somebody who has lived here for a while, and goes on while this happens."""
        world = self.world
        person = world.person(self.person.kind, models=2, born=world.moment(0, 0.1))
        world.truth[f"user:{person.user}"] = Truth("victim", self.person.kind)
        world.own[person.user] = {person.devices[0].key}
        _ordinary(world, person, world.end)
        return person


def attacker(
    world: World,
    kind: str,
    *,
    due: str = "high",
    word: str = "user",
    cover: bool = True,
    by_key: bool = False,
    hard: bool = False,
) -> Hand:
    """Return a new attacker at the moment the attack begins.

    Args:
        world: where.
        kind: what they will do.
        due: the band that they must reach.
        word: the class of their account.
        cover: whether they live like others for some days before.
        by_key: whether the device key is what must be caught, for the account is another's.
        hard: whether less is asked of whoever is to catch them.
    """
    person = world.person(kind, models=2, born=world.moment(0.02, 0.12))
    person.word = word
    at = max(world.moment(0.2, 0.75), person.born + DAY)
    if hard:
        at = person.born + 2 * DAY if kind == "slow_and_low" else world.moment(0.6, 0.95)
    if cover:
        lived = at if hard else person.born + world.cover * DAY
        _ordinary(world, person, min(at, lived))
    name = f"key:{person.devices[0].key}" if by_key else f"user:{person.user}"
    world.truth[name] = Truth("attack", kind, due, at, hard)
    return Hand(world, person, person.devices[0], at)


def _ordinary(world: World, person: Person, until: float) -> None:
    device, at = person.devices[0], person.born
    world.install(at, person, device, person.home)
    world.session(person, Visit(at + MINUTE, device, person.home, person.models, person.models))
    while (at := at + world.random.uniform(0.4, 1.6) * DAY) < until:
        world.session(person, Visit(at, device, person.home, person.models, runs=2))
