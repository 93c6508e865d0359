"""Attackers who are somebody else, or whose device is: strangers on accounts, changed devices, hands on bait."""

from collections.abc import Callable

from population.hands import attacker
from population.world import HOUR, MODELS, Device, World


def puppets(world: World, kind: str) -> None:
    """One device key, one made-up account after another."""
    ring = attacker(world, kind, cover=False, by_key=True)
    for _ in range(ring.times(8, 20)):
        ring.person = world.person(kind, models=2, born=ring.at)
        world.install(ring.at - 60, ring.person, ring.device, ring.person.home)
        ring.use(ring.person.models)
        ring.wait(0.5, 9, HOUR)


def takeover(world: World, kind: str) -> None:
    """A stranger's device on somebody's account, who goes on living; stuffing: one stranger, many accounts."""
    thief = attacker(world, kind, cover=False, by_key=True)
    away = world.ip()
    for _ in range(thief.times(3, 6) if kind == "stuffing" else 1):
        thief.person = thief.victim()
        for number in range(thief.times(0, 14)):
            world.emit(thief.at - 400 + number * 9, "login_fail", thief.person, thief.device, away)
        world.install(thief.at - 60, thief.person, thief.device, away)
        for _ in range(thief.times(2, 5)):
            new = [model for model in world.random.sample(MODELS, thief.times(4, 10)) if model]
            thief.use(new, ip=away, logs_in=True)
            thief.wait(0.5, 16, HOUR)


def tampered(attestation: str, *tamper: str, sig: str = "ok", due: str = "high") -> Callable[[World, str], None]:
    """Return an attack with a device that is not what it should be."""

    def act(world: World, kind: str) -> None:
        hand = attacker(world, kind, due=due, cover=False)
        hand.take(world.device(tamper=tamper, attestation=attestation, sig=sig), home=True)
        for _ in range(hand.times(4, 10)):
            if kind == "flapping":  # a negative verdict now and then, and a story in between
                hand.device.attestation = world.random.choice(("fail", "fail", "unavailable"))
            hand.use(hand.person.models)
            hand.wait(0.05, 10, HOUR)

    return act


def bait(world: World, kind: str) -> None:
    """Looks around in the API, and takes what only bait shows."""
    hand = attacker(world, kind)
    hand.use(hand.person.models)
    decoy = world.random.choice(("endpoint", "token", "model", "key"))
    world.emit(hand.at + 40, "honeypot", hand.person, hand.device, hand.person.home, decoy=decoy)
    for _ in range(hand.times(4, 8)):
        hand.wait(0.1, 5, HOUR)
        hand.use(world.random.sample(MODELS, 3))


def scanner(world: World, _: str) -> None:
    """Noise without an account: nobody's fault, and nothing to be caught."""
    device, ip = Device(world.name("d"), None, world.name("i"), attestation="unavailable"), world.ip()
    for _ in range(10):
        world.emit(world.moment(0, 1), "honeypot", None, device, ip, decoy="endpoint")
