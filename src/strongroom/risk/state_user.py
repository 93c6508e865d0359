"""What is remembered of a user."""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from strongroom.risk.bearer import Bearer, read_bearer
from strongroom.risk.packing import Reader

KEYS, NETS, MODELS = 8, 8, 10  # at most
OPEN, FAR = 1, 2  # flags of a key: a session is open; new to the user and from a strange network
RAN: Final = 0x8000  # flag of a model's tag: never seen to be asked for, but run
OWN: Final = 0x80  # flag in a network's count of days: seen with a device that was not far


@dataclass(slots=True)
class UserState(Bearer):
    """A user: their devices, networks and models.

    Attributes:
        day: the last day (since the epoch) an event was judged on.
        fails: failed logins, the last at `fail` minutes.
        stopped: own devices of the user that were stopped, at most 15.
        build: tag of the build the user was last counted on, 7 bits.
        keys: key tag -> [first hours, last minutes, network tag, flags].
        nets: network tag -> [last hours, days seen and OWN].
        wide: whether the user ever asked for more models within some days than `models` can hold.
        models: model tag, 15 bits of it and RAN -> first hours.
    """

    letter: ClassVar[int] = 1
    day: int = 0
    fails: int = 0
    fail: int = 0
    stopped: int = 0
    build: int = 0
    wide: bool = False
    keys: dict[int, list[int]] = field(default_factory=dict)
    nets: dict[int, list[int]] = field(default_factory=dict)
    models: dict[int, int] = field(default_factory=dict)

    def pack(self) -> bytes:
        write = self._written()
        write.u16(self.day)
        write.u8(self.fails)
        write.minutes(self.fail)
        write.u8(self.wide << 7 | self.build)
        write.u8(self.stopped << 4 | len(self.keys))
        write.u8(len(self.nets) << 4 | len(self.models))
        for key, (first, last, net, flags) in self.keys.items():
            write.u32(key)
            write.hours(first)
            write.minutes(last)
            write.u16(net)
            write.u8(flags)
        for net, (seen, days) in self.nets.items():
            write.u16(net)
            write.hours(seen)
            write.u8(days)
        for model, first in self.models.items():
            write.u16(model)
            write.hours(first)
        return write.done()

    @staticmethod
    def read(read: Reader) -> "UserState":
        """Read the packed fields."""
        state = UserState(*read_bearer(read), read.u16(), read.u8(), read.minutes())
        build = read.u8()
        state.build, state.wide = build & 0x7F, build > 0x7F
        counts = read.u16()
        state.stopped = counts >> 4 & 15
        state.keys = {read.u32(): [read.hours(), read.minutes(), read.u16(), read.u8()] for _ in range(counts & 15)}
        state.nets = {read.u16(): [read.hours(), read.u8()] for _ in range(counts >> 12)}
        state.models = {read.u16(): read.hours() for _ in range(counts >> 8 & 15)}
        return state

    def aged(self, hours: int) -> None:
        """As for any bearer; what a user had years ago is new to them again."""
        before = self.base
        Bearer.aged(self, hours)
        if self.base == before:
            return
        old = self.base // 60
        self.fail = self.fail if self.fail >= self.base else 0
        self.keys = {key: entry for key, entry in self.keys.items() if entry[1] >= self.base}
        for entry in self.keys.values():
            entry[0] = max(entry[0], old)
        self.nets = {net: entry for net, entry in self.nets.items() if entry[0] >= old}
        self.models = {model: max(first, old) for model, first in self.models.items()}
