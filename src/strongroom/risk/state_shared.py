"""What is remembered of claimed device ids, of builds of the app, and of everything together."""

from dataclasses import dataclass, field
from typing import ClassVar, Final

from strongroom.risk.bearer import KEPT_HOURS, OLD_HOURS, State
from strongroom.risk.packing import Reader, Writer

TWINS, BEARERS = 6, 4  # keys and users of one id, at most
BASELINES: Final = 6  # rules of one build, at most


@dataclass(slots=True)
class IdState(State):
    """A claimed device id: which keys bear it, for which users.

    Attributes:
        users: tags of the users it was seen under, at most 4.
        keys: key tag -> [user tag, first hours, last minutes, network tag].
        installs: hours of the last installs.
    """

    letter: ClassVar[int] = 3
    base: int
    users: list[int] = field(default_factory=list)
    keys: dict[int, list[int]] = field(default_factory=dict)
    installs: list[int] = field(default_factory=list)

    def pack(self) -> bytes:
        write = Writer(self.letter, self.base)
        write.u8(len(self.users) << 4 | len(self.keys))
        write.u8(len(self.installs))
        for user in self.users:
            write.u32(user)
        for key, (user, first, last, net) in self.keys.items():
            write.u32(key)
            write.u32(user)
            write.hours(first)
            write.minutes(last)
            write.u16(net)
        for at in self.installs:
            write.hours(at)
        return write.done()

    @staticmethod
    def read(read: Reader) -> "IdState":
        """Read the packed fields."""
        state = IdState(read.base)
        counts, installs = read.u8(), read.u8()
        state.users = [read.u32() for _ in range(counts >> 4)]
        state.keys = {read.u32(): [read.u32(), read.hours(), read.minutes(), read.u16()] for _ in range(counts & 15)}
        state.installs = [read.hours() for _ in range(installs)]
        return state

    def aged(self, hours: int) -> None:
        """Move the base when it is years old."""
        if hours - self.base // 60 <= OLD_HOURS:
            return
        self.base = (hours - KEPT_HOURS) * 60
        old = self.base // 60
        self.keys = {key: entry for key, entry in self.keys.items() if entry[2] >= self.base}
        for entry in self.keys.values():
            entry[1] = max(entry[1], old)
        self.installs = [at for at in self.installs if at >= old]


@dataclass(slots=True)
class BuildState(State):
    """A build of the app, or a version of a model: how many of its users each rule hits.

    Attributes:
        at: minutes of the last count.
        active: users a day, of a model sessions that fetched it, decayed by half in 12 hours.
        usual: the same, decayed by half in 14 days.
        hits: rule tag -> [users hit, as active; users hit, as usual; 1 while muted].
    """

    letter: ClassVar[int] = 4
    at: int
    active: float = 0.0
    usual: float = 0.0
    hits: dict[int, list[float]] = field(default_factory=dict)

    def pack(self) -> bytes:
        write = Writer(self.letter, self.at)
        write.f64(self.active)
        write.f64(self.usual)
        write.u8(len(self.hits))
        for rule, (now, usual, mute) in self.hits.items():
            write.u16(rule)
            write.f64(now)
            write.f64(usual)
            write.u8(int(mute))
        return write.done()

    @staticmethod
    def read(read: Reader) -> "BuildState":
        """Read the packed fields."""
        state = BuildState(read.base, read.f64(), read.f64())
        state.hits = {read.u16(): [read.f64(), read.f64(), float(read.u8())] for _ in range(read.u8())}
        return state


@dataclass(slots=True)
class AllState(State):
    """Everything together: verdicts on attestations, and how many users moved to high.

    Attributes:
        tens: the current ten minutes; verdicts and fails are counted in it and in the ten before.
        window: the current window of the breaker; users moved to high are counted in it and in the one before.
        at: minutes of the last count of active users.
        active: users a day, decayed by half in 12 hours.
    """

    letter: ClassVar[int] = 5
    tens: int = 0
    verdicts: tuple[int, int] = (0, 0)
    fails: tuple[int, int] = (0, 0)
    window: int = 0
    moved: tuple[int, int] = (0, 0)
    at: int = 0
    active: float = 0.0

    def pack(self) -> bytes:
        write = Writer(self.letter, self.at)
        for number in (self.tens, *self.verdicts, *self.fails, self.window, *self.moved):
            write.u32(number)
        write.f64(self.active)
        return write.done()

    @staticmethod
    def read(read: Reader) -> "AllState":
        """Read the packed fields."""
        numbers = [read.u32() for _ in range(8)]
        tens, now, before, fails, fails_before, window, moved, moved_before = numbers
        return AllState(
            tens, (now, before), (fails, fails_before), window, (moved, moved_before), read.base, read.f64()
        )
