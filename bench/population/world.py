"""What everybody lives in: a clock, networks, devices, and the events that a session leaves behind."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - not for secrets: the same seed must give the same people

DAY, HOUR, MINUTE = 86_400.0, 3600.0, 60.0
START = 1_793_491_200.0  # a midnight
MODELS = tuple(f"model-{number:02d}" for number in range(48))
BROKEN = "7.7.7"  # a build that fetches its models again and again

Json = dict[str, object]


@dataclass(slots=True)
class Device:
    """What claims to be a device."""

    id: str
    key: str | None
    install: str
    attestation: str = "pass"
    sig: str = "ok"
    tamper: tuple[str, ...] = ()
    build: str = ""  # instead of the one that is current


@dataclass(slots=True)
class Visit:
    """One use of the application."""

    at: float
    device: Device
    ip: str
    models: Sequence[str]
    fetch: Sequence[str] = ()
    runs: int = 3
    minutes: float = 20
    ends: bool = True
    logs_in: bool = True
    again: int = 1  # how often each model is fetched
    resumed: float = 0.1  # share of the fetches that go on where another stopped
    gap: float = 20  # seconds between two fetches


@dataclass(frozen=True, slots=True)
class Truth:
    """Who somebody really is."""

    side: str  # honest, attack, victim
    kind: str
    due: str = "high"  # the band an attacker is due
    since: float = 0.0  # when the attack began
    hard: bool = False  # slow and low, or an insider: less is asked


@dataclass(slots=True)
class Person:
    """A user of the office and how they live."""

    user: str
    kind: str
    home: str
    devices: list[Device]
    models: list[str]
    word: str = "user"  # the class
    nets: list[str] = field(default_factory=list)
    born: float = START


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, days: int) -> None:
        self.random = Random(f"life {seed}")  # noqa: S311 - the same
        drift = Random(f"drift {seed}")  # noqa: S311 - the same
        self.days, self.end = days, START + days * DAY
        self.pace = drift.uniform(0.6, 1.7)  # how slowly attackers go about it
        self.size = drift.uniform(0.7, 1.4)  # how much they want
        self.cover = drift.uniform(1, 9)  # days they live like others before
        self.outage = self.moment(0.3, 0.8)
        self.verdicts_broken = self.moment(0.3, 0.8)
        self.broken_days = (int(days * drift.uniform(0.4, 0.7)), drift.choice((1, 2, 3)))
        self.events: list[Json] = []
        self.truth: dict[str, Truth] = {}  # "user:..." or "key:..."
        self.own: dict[str, set[str | None]] = {}  # a victim's device keys
        self.carriers = [self.net() for _ in range(5)]
        self.late: list[Json] = []
        self.broken: set[str] = set()  # users whose build fetched again and again
        self._count = 0

    def moment(self, low: float, high: float) -> float:
        """Return some moment between two shares of the whole time."""
        return START + self.random.uniform(low, high) * self.days * DAY

    def name(self, letter: str) -> str:
        """Return a name nobody has."""
        self._count += 1
        return f"{letter}{self._count:05d}{self.random.getrandbits(24):06x}"

    def net(self) -> str:
        """Return the first three numbers of a network."""
        return ".".join(str(self.random.randrange(*bounds)) for bounds in ((11, 223), (256,), (256,)))

    def ip(self, net: str | None = None) -> str:
        """Return an address, on a network or anywhere."""
        return f"{net or self.net()}.{self.random.randrange(1, 255)}"

    def device(self, **its: object) -> Device:
        """Return a new device."""
        return Device(self.name("d"), self.name("k"), self.name("i"), **its)  # type: ignore[arg-type] # fields of Device, by name

    def person(self, kind: str, *, devices: int = 1, models: int = 0, born: float | None = None) -> Person:
        """Return somebody new."""
        r = self.random
        chosen = r.sample(MODELS, models or r.choice((1, 1, 1, 2, 2, 3, 4)))
        born = self.moment(0, 0.5) if born is None else born
        nets = [self.net(), r.choice(self.carriers)]
        person = Person(self.name("u"), kind, self.ip(), [self.device() for _ in range(devices)], chosen, nets=nets)
        person.born = born
        return person

    def emit(self, at: float, what: str, person: Person | None, device: Device, ip: str, **more: object) -> Json:
        """Write an event down."""
        attestation = device.attestation
        if attestation == "pass" and what in ("attest", "key_request"):
            if self.outage <= at < self.outage + 3 * HOUR:
                attestation = "unavailable"
            elif self.verdicts_broken <= at < self.verdicts_broken + HOUR / 2 and self.random.random() < 0.6:
                attestation = "fail"
        event: Json = {
            "event_id": "",
            "ts": int(at),
            "type": what,
            "user_id": person.user if person else None,
            "user_class": person.word if person else "user",
            "device_id": device.id,
            "device_key": device.key,
            "session_id": None,
            "app_install_id": device.install,
            "ip": ip,
            "model": None,
            "ver": device.build or f"1.{int((at - START) // (14 * DAY))}.0",
            "attestation": attestation,
            "app_sig": device.sig,
            "tamper": list(device.tamper),
            "decoy": None,
            "resumed": False,
        }
        event.update(more)
        self.events.append(event)
        return event

    def install(self, at: float, person: Person, device: Device, ip: str) -> None:
        """Install the application, anew."""
        device.install = self.name("i")
        self.emit(at, "app_install", person, device, ip)

    def session(self, person: Person, visit: Visit) -> None:
        """Live through one use of the application."""
        r, device, at, session = self.random, visit.device, visit.at, self.name("s")
        ip = visit.ip

        def say(what: str, when: float, **more: object) -> None:
            self.emit(when, what, person, device, ip, session_id=session, **more)

        if visit.logs_in:
            say("login", at)
        say("session_start", at + 4)
        say("attest", at + 6)
        at += 8
        for model in visit.fetch:
            for _ in range(visit.again):
                say("key_request", at, model=model)
                say("model_download", at + 2, model=model, resumed=r.random() < visit.resumed)
                at += 2 + r.uniform(0.2, 1.8) * visit.gap
        last = at + visit.minutes * MINUTE
        if visit.models:
            for _ in range(visit.runs):
                say("model_run", r.uniform(at, last), model=r.choice(visit.models))
        if r.random() < 0.3 and visit.models:
            say("lease_renew", last - 5, model=r.choice(visit.models))
        if visit.ends:
            say("session_end", last)

    def lines(self) -> Iterator[bytes]:
        """Yield the events in time order, each named, one JSON object a line; some come late, and some twice."""
        self.events.sort(key=lambda event: int(str(event["ts"])))
        late = {id(event): number for number, event in enumerate(self.late)}
        held: list[tuple[int, bytes]] = []
        for number, event in enumerate(self.events):
            event["event_id"] = f"e{number:08d}"
            line = json.dumps(event).encode()
            if id(event) in late:
                held.append((number + 300, line))
            if late.get(id(event), 1) % 2:  # every other one of them in time, too: then it is a second one that is late
                yield line
            while held and held[0][0] <= number:
                yield held.pop(0)[1]
