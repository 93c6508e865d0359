"""What happens to honest people now and then: each habit bends a visit, or adds what else happened that day."""

from collections.abc import Callable

from population.world import DAY, HOUR, MINUTE, START, Device, Person, Visit, World

Habit = Callable[[World, Person, Visit], None]


def nothing(world: World, person: Person, visit: Visit) -> None:
    """Nothing is odd."""


def _cgnat(world: World, _: Person, visit: Visit) -> None:
    visit.ip = world.ip(world.random.choice(world.carriers))


def _commuter(world: World, person: Person, visit: Visit) -> None:
    """Home, train, office, telephone: two networks within minutes."""
    r = world.random
    visit.ip = r.choice((person.home, world.ip(person.nets[0]), world.ip(r.choice(world.carriers)), world.ip()))
    if r.random() < 0.3:
        before = Visit(visit.at - 12 * MINUTE, visit.device, person.home, person.models, minutes=5, ends=False)
        world.session(person, before)


def _anywhere(world: World, person: Person, visit: Visit) -> None:
    if person.kind == "vpn" or world.random.random() < 0.4:
        visit.ip = world.ip()


def _evening(world: World, person: Person, visit: Visit) -> None:
    """Several of the family at once."""
    r = world.random
    if r.random() < 0.25:
        for device in r.sample(person.devices, min(len(person.devices), r.choice((2, 3)))):
            if device is not visit.device:
                start = visit.at + r.uniform(0, 10) * MINUTE
                world.session(person, Visit(start, device, person.home, person.models, minutes=30))


def _restore(world: World, person: Person, visit: Visit) -> None:
    """A phone is restored: the same id, another key; the old one may go on for a day or two."""
    r = world.random
    if r.random() > 0.04:
        return
    for _ in range(r.choice((1, 1, 1, 2))):  # at times the first try is given up
        old = person.devices[0]
        new = Device(old.id, world.name("k"), world.name("i"))
        person.devices[0] = new
        start = visit.at + r.uniform(1, 3) * HOUR
        world.install(start, person, new, person.home)
        world.session(person, Visit(start + MINUTE, new, person.home, person.models, person.models))
        if r.random() < 0.5:
            world.session(person, Visit(start + 5 * MINUTE, old, person.home, person.models))
            world.session(person, Visit(start + r.uniform(5, 40) * HOUR, old, person.home, person.models))
    visit.device = person.devices[0]
    visit.at += 5 * HOUR


def _new_phone(world: World, person: Person, visit: Visit) -> None:
    """A new phone, set up on the network of the shop, with everything that was on the old one."""
    if world.random.random() < (0.03 if person.kind == "new_phone" else 0.01):
        new, shop = world.device(), world.ip()
        person.devices[0] = new
        world.install(visit.at + HOUR, person, new, shop)
        world.session(person, Visit(visit.at + HOUR + MINUTE, new, shop, person.models, person.models))


def _loaner(world: World, person: Person, visit: Visit) -> None:
    """The phone is being mended: a borrowed one for a week, then the old one again."""
    if world.random.random() < 0.03:
        lent, start = world.device(), visit.at + 2 * HOUR
        world.install(start, person, lent, person.home)
        for day in range(world.random.randrange(3, 9)):
            fetch = person.models if day == 0 else ()
            world.session(person, Visit(start + MINUTE + day * DAY, lent, person.home, person.models, fetch))
        visit.at += 9 * DAY


def _flaky(world: World, person: Person, visit: Visit) -> None:
    """Downloads break off; a few begin again at nothing, since a proxy knows no ranges."""
    if visit.fetch or world.random.random() < 0.05:
        visit.fetch = visit.fetch or [world.random.choice(person.models)]
        visit.again, visit.resumed = world.random.randrange(2, 7), 0.75


def _evicted(world: World, person: Person, visit: Visit) -> None:
    """A full phone: the system throws models away, and they are fetched again, day after day."""
    if world.random.random() < 0.5:
        visit.fetch = [world.random.choice(person.models)]


def _crashing(world: World, person: Person, visit: Visit) -> None:
    """An hour of crashes: a session that never ends, and another, and another."""
    r = world.random
    if r.random() < 0.08:
        for number in range(r.randrange(5, 20)):
            start = visit.at - HOUR + number * 2 * MINUTE
            world.session(person, Visit(start, visit.device, visit.ip, person.models, runs=1, minutes=1, ends=False))


def _never_ends(_: World, __: Person, visit: Visit) -> None:
    visit.ends = False


def _forgetful(world: World, person: Person, visit: Visit) -> None:
    r = world.random
    if r.random() < 0.12:
        for number in range(r.randrange(2, 9)):
            world.emit(visit.at - 100 + number * 9, "login_fail", person, visit.device, visit.ip)
        visit.logs_in = True


def _reinstalls(world: World, person: Person, visit: Visit) -> None:
    """An update that installs itself anew, at times twice; or somebody who mends everything that way."""
    r = world.random
    often = 0.07 if person.kind == "reinstaller" else 0.0
    updated = person.kind == "update_reinstalls" and (visit.at - START) % (14 * DAY) < DAY
    if updated or r.random() < often:
        for number in range(r.choice((1, 1, 2))):
            start = visit.at - HOUR + number * 9 * MINUTE
            world.install(start, person, visit.device, visit.ip)
            world.session(person, Visit(start + 20, visit.device, visit.ip, person.models, person.models, minutes=4))


def _tests(world: World, person: Person, visit: Visit) -> None:
    """Reinstalls, emulators, debuggers: a day's work."""
    r = world.random
    for number in range(r.randrange(0, 6)):
        emulated = r.random() < 0.3
        device = world.device(tamper=("emulator", "debugger"), attestation="basic") if emulated else person.devices[0]
        start = visit.at - 2 * HOUR + number * 15 * MINUTE
        world.install(start, person, device, visit.ip)
        world.session(person, Visit(start + 30, device, visit.ip, person.models, person.models, minutes=5))


def _fleet(world: World, person: Person, visit: Visit) -> None:
    """One night all of them fetch the new version, through one address."""
    if world.random.random() < 0.05:
        model = person.models[0]
        for device in person.devices:
            start = visit.at + world.random.uniform(0, 40) * MINUTE
            world.session(person, Visit(start, device, person.home, person.models, [model], logs_in=False))


def _clock(world: World, person: Person, visit: Visit) -> None:
    """A gateway that sends some events late, and some twice."""
    world.late.append(world.emit(visit.at - 3, "model_run", person, visit.device, visit.ip, model=person.models[0]))


HABITS: dict[str, Habit] = {
    "family": _evening, "commuter": _commuter, "cgnat": _cgnat, "vpn": _anywhere, "traveller": _anywhere,
    "restored": _restore, "new_phone": _new_phone, "flaky": _flaky, "evicted": _evicted, "crashing": _crashing,
    "tester": _tests, "fleet": _fleet, "forgetful": _forgetful, "update_reinstalls": _reinstalls,
    "reinstaller": _reinstalls, "clock": _clock, "power": _evening, "never_ends": _never_ends, "loaner": _loaner,
    "vendor_id": _new_phone,
}  # fmt: skip
