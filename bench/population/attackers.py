"""Attackers: who buys an account, what they do with it, and how they try not to be seen."""

from collections.abc import Callable

from population.hands import attacker
from population.strangers import bait, puppets, scanner, takeover, tampered
from population.world import DAY, HOUR, MINUTE, MODELS, Device, World


def attack(world: World, each: int) -> None:
    """Let every kind of attacker attack so many times."""
    for kind, act in KINDS.items():
        for _ in range(each):
            act(world, kind)


def _scraper(world: World, kind: str) -> None:
    """Several models a day, day after day, each in a session of its own; some of them from another network each."""
    hand = attacker(world, kind)
    for _ in range(hand.times(3, 8)):
        for model in world.random.sample(MODELS, hand.times(4, 10)):
            hand.use([model], ip=world.ip() if kind == "hopping_scraper" else None)
            hand.wait(2, 30, MINUTE)
        hand.wait(4, 24, HOUR)


def _mass(world: World, kind: str) -> None:
    """Everything there is in one session; with a claim that the downloads only go on, if that could help."""
    hand = attacker(world, kind)
    for _ in range(2):
        models = world.random.sample(MODELS, hand.times(14, 34))
        hand.use(models, resumed=1.0 if kind == "mass_resumed" else 0.0, gap=world.random.choice((2, 20, 90)))
        hand.wait(10, 30, HOUR)


def _mirror(world: World, kind: str) -> None:
    """The same two models again and again, for buyers who wait."""
    hand = attacker(world, kind)
    for _ in range(hand.times(4, 10)):
        hand.use(hand.person.models, again=hand.times(6, 20), resumed=0.0)
        hand.wait(1, 12, HOUR)


def _switcher(world: World, kind: str) -> None:
    """Another device each time; hastily, or one or two a day."""
    hand = attacker(world, kind)
    slow = kind == "patient_switcher"
    for _ in range(hand.times(10, 24)):
        hand.take(world.device(), home=world.random.random() < 0.5)
        hand.use(hand.person.models)
        hand.wait(10 if slow else 0.5, 36 if slow else 12, HOUR)


def _keyless(world: World, kind: str) -> None:
    """No enrolled key at all: a claimed id, another each time."""
    hand = attacker(world, kind)
    for _ in range(hand.times(10, 24)):
        hand.take(Device(world.name("d"), None, world.name("i"), attestation="unavailable"))
        hand.use(world.random.sample(MODELS, 2))
        hand.wait(1, 15, HOUR)


def _spoofer(world: World, kind: str) -> None:
    """One key that says it is another machine each time."""
    hand = attacker(world, kind)
    for _ in range(hand.times(8, 22)):
        hand.device.id = world.name("d")
        hand.use(hand.person.models)
        hand.wait(0.5, 18, HOUR)


def _clones(world: World, kind: str) -> None:
    """One device id under several keys, at once, each on a network of its own; or all behind one."""
    hand = attacker(world, kind)
    one = world.net()
    copies = [Device(hand.device.id, world.name("k"), world.name("i")) for _ in range(hand.times(2, 5))]
    places = [world.ip(one if kind == "clones_behind_one" else None) for _ in copies]
    for number in range(hand.times(10, 26)):
        for copy, place in zip([hand.device, *copies], [hand.person.home, *places], strict=True):
            fetch = hand.person.models if number == 0 else ()
            hand.use(fetch, device=copy, ip=place, at=hand.at + world.random.uniform(0, 10) * MINUTE)
        hand.wait(2, 14, HOUR)


def _sold(world: World, kind: str) -> None:
    """An account that many strangers bought, each at home with their own device."""
    hand = attacker(world, kind, due="medium")
    buyers = [(world.device(), world.ip()) for _ in range(hand.times(8, 18))]
    met: set[int] = set()
    for _ in range(hand.times(36, 70)):
        number = world.random.randrange(len(buyers))
        fetch = () if number in met else hand.person.models
        met.add(number)
        hand.use(fetch, device=buyers[number][0], ip=buyers[number][1], minutes=60)
        hand.wait(0.5, 7, HOUR)


def _farm(world: World, kind: str) -> None:
    """A room full of devices on one account, all running at once."""
    hand = attacker(world, kind)
    devices = [world.device() for _ in range(hand.times(6, 12))]
    places = [hand.person.home if kind == "farm_behind_one" else world.ip() for _ in devices]
    for number in range(8):
        for device, place in zip(devices, places, strict=True):
            at = hand.at + world.random.uniform(0, 5) * MINUTE
            hand.use(hand.person.models if number == 0 else (), device=device, ip=place, ends=False, at=at)
        hand.wait(3, 12, HOUR)


def _reinstalls(world: World, kind: str) -> None:
    """Away with the application, and here again, whenever a trial is over."""
    hand = attacker(world, kind)
    for _ in range(hand.times(10, 22)):
        world.install(hand.at - 60, hand.person, hand.device, hand.person.home)
        hand.use(hand.person.models)
        hand.wait(1, 12, HOUR)


def _fleet(world: World, kind: str) -> None:
    """A fleet's account whose robots fetch what robots have no use for."""
    hand = attacker(world, kind, word="fleet")
    robots = [world.device() for _ in range(20)]
    for _ in range(hand.times(4, 8)):
        for model in world.random.sample(MODELS, hand.times(5, 9)):
            hand.use([model], device=world.random.choice(robots))
            hand.wait(5, 40, MINUTE)
        hand.wait(3, 15, HOUR)


def _slow(world: World, kind: str) -> None:
    """Model after model, one every day or two."""
    hand = attacker(world, kind, hard=True)
    for model in world.random.sample(MODELS, len(MODELS)):
        hand.wait(0.7, 2.2, DAY)
        if hand.at > world.end:
            break
        hand.use([model])


def _insider(world: World, kind: str) -> None:
    """A member of staff who takes it all along on the last day."""
    hand = attacker(world, kind, word="staff", hard=True)
    hand.use(world.random.sample(MODELS, hand.times(14, 34)))


KINDS: dict[str, Callable[[World, str], None]] = {
    "scraper": _scraper, "hopping_scraper": _scraper, "mass_download": _mass, "mass_resumed": _mass, "mirror": _mirror,
    "switcher": _switcher, "patient_switcher": _switcher, "keyless": _keyless, "id_spoofer": _spoofer,
    "clones": _clones, "clones_behind_one": _clones, "sold_account": _sold, "farm": _farm, "farm_behind_one": _farm,
    "reinstaller": _reinstalls, "puppets": puppets, "takeover": takeover, "stuffing": takeover, "bait": bait,
    "rooted_hook": tampered("fail", "root", "hook"), "emulator": tampered("fail", "emulator"),
    "debugger": tampered("basic", "debugger"), "repackaged": tampered("fail", sig="bad"),
    "bad_verdict": tampered("fail"), "flapping": tampered("fail"),
    "hook_that_passes": tampered("pass", "hook", due="medium"),
    "emulator_that_passes": tampered("pass", "emulator", due="medium"),
    "fleet_abuse": _fleet, "slow_and_low": _slow, "insider": _insider, "scanner": scanner,
}  # fmt: skip
