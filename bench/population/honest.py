"""Honest people, and why each of them looks odd at times."""

from collections.abc import Callable

from population.habits import HABITS, nothing
from population.world import BROKEN, DAY, HOUR, MINUTE, START, Person, Truth, Visit, World

VENDOR_IDS = ("02:00:00:00:00:00", "9774d56d682e549c", "unknown")  # what whole series of phones call themselves


def populate(world: World, users: int) -> None:
    """Let so many honest people live until the end, each kind by its share and at least once."""
    names = list(SHARES)
    weights = [SHARES[name] for name in names]
    kinds = [*names, *world.random.choices(names, weights, k=max(0, users - len(names)))]
    for kind in kinds:
        _BORN.get(kind, _one)(world, kind)


def _one(world: World, kind: str) -> None:
    r = world.random
    devices = {"two": 2, "power": r.choice((3, 4)), "family": r.choice((3, 4, 4, 5)), "fleet": r.randrange(15, 80)}
    person = world.person(kind, devices=devices.get(kind, 1), models=r.choice((4, 5, 6)) if kind == "researcher" else 0)
    person.word = {"tester": "staff", "fleet": "fleet"}.get(kind, "user")
    main = person.devices[0]
    if kind == "rooted":
        main.tamper = ("root",)
    elif kind == "unavailable":
        main.attestation = "unavailable"
    elif kind == "vendor_id":
        if r.random() < 0.3:
            person.devices.append(world.device())
        for device in person.devices:
            device.id = VENDOR_IDS[r.randrange(len(VENDOR_IDS))]
    _live(world, person)


def _dormitory(world: World, kind: str) -> None:
    """A dozen new users on one address, all on the first evening of term."""
    net, term = world.net(), world.moment(0, 0.4)
    address = world.ip(net)
    for _ in range(12):
        person = world.person(kind, born=term + world.random.uniform(0, 4) * HOUR)
        person.home, person.nets = address, [net, world.random.choice(world.carriers)]
        _live(world, person)


def _shift(world: World, kind: str) -> None:
    """Three or four people who share one tablet, a shift each."""
    tablet, address, born = world.device(), world.ip(), world.moment(0, 0.4)
    for number in range(world.random.choice((3, 4))):
        person = world.person(kind, models=2, born=born + number * 8 * HOUR)
        person.devices, person.home, person.nets = [tablet], address, [address.rpartition(".")[0]]
        _live(world, person, installs=number == 0)


def _live(world: World, person: Person, *, installs: bool = True) -> None:
    r = world.random
    world.truth[f"user:{person.user}"] = Truth("honest", person.kind)
    at = person.born
    for device in list(person.devices):
        if installs:
            world.install(at, person, device, person.home)
        world.session(person, Visit(at + MINUTE, device, person.home, person.models, person.models))
        at += r.uniform(0.01, 0.2 if person.kind == "fleet" else 30) * HOUR
    rate = r.choice((0.2, 0.5, 1, 1, 2, 3)) * (0.5 if person.kind == "fleet" else 1)
    habit = HABITS.get(person.kind, nothing)
    away = world.moment(0.4, 0.6) if person.kind == "holiday" else 0.0
    while (at := at + r.uniform(0.3, 1.7) * DAY / rate) < world.end:
        if away and at > away:
            at, away = at + r.uniform(18, 32) * DAY, 0.0
            if at >= world.end:
                break
            person.nets[0], person.devices[0].build = world.net(), ""
            world.install(at - 2 * MINUTE, person, person.devices[0], world.ip(person.nets[0]))
        visit = _visit(world, person, at)
        habit(world, person, visit)
        world.session(person, visit)
        if r.random() < 0.001:  # a verdict that failed once
            world.emit(at + 30, "attest", person, visit.device, visit.ip, attestation="fail")


def _visit(world: World, person: Person, at: float) -> Visit:
    r = world.random
    where = r.random()
    ip = person.home if where < 0.6 else world.ip(r.choice(person.nets))
    visit = Visit(at, r.choice(person.devices), ip, person.models, runs=r.randrange(1, 7))
    visit.minutes, visit.ends = r.choice((3, 10, 20, 60)), r.random() > 0.1
    visit.logs_in = r.random() < 0.5
    if r.random() < 0.02 and len(person.models) < 5:
        new = f"model-{r.randrange(48):02d}"
        visit.fetch = [] if new in person.models else [new]
        person.models = [*person.models, *visit.fetch]
    elif r.random() < 0.05:
        visit.fetch = [r.choice(person.models)]  # a new version
    first, days = world.broken_days
    if first <= (at - START) // DAY < first + days and person.word == "user" and r.random() < 0.4:
        visit.device.build, visit.again, visit.resumed = BROKEN, r.randrange(4, 25), 0.0
        visit.fetch = [r.choice(person.models)]
        world.broken.add(f"user:{person.user}")
    elif visit.device.build == BROKEN:
        visit.device.build = ""
    return visit


SHARES = {
    "plain": 400, "two": 90, "family": 40, "commuter": 45, "cgnat": 45, "vpn": 25, "restored": 25, "new_phone": 35,
    "flaky": 25, "evicted": 15, "crashing": 15, "tester": 8, "fleet": 6, "rooted": 8, "vendor_id": 20, "shift": 5,
    "unavailable": 20, "forgetful": 25, "traveller": 20, "holiday": 20, "update_reinstalls": 20, "reinstaller": 12,
    "dormitory": 3, "clock": 8, "power": 20, "never_ends": 20, "loaner": 12, "researcher": 13,
}  # fmt: skip
_BORN: dict[str, Callable[[World, str], None]] = {"dormitory": _dormitory, "shift": _shift}
