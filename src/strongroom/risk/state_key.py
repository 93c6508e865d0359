"""What is remembered of a device key."""

from dataclasses import dataclass, field
from typing import ClassVar

from strongroom.risk.bearer import Bearer, read_bearer
from strongroom.risk.packing import Reader

USERS, IDS, INSTALLS, FOREIGN, DOWNLOADS = 6, 8, 8, 8, 4  # at most
PAIR_FAR, PAIR_BORN = 1, 2  # flags of a user: the key is far; the user was never seen before this key
PASSED, POOR = 1, 2  # flags of verdicts: pass or basic, once; the last one was basic or a fail


@dataclass(slots=True)
class KeyState(Bearer):
    """A device key: whom it serves and what it did.

    Attributes:
        verdicts: PASSED and POOR.
        fails: failed attestations since the last good one, retries aside; the last at `fail` minutes.
        tries: failed attestations since the last good one, retries and all.
        verdict: minutes of the last verdict that was counted for all devices.
        install: tags of the last two installs.
        build: tag of the build that was installed last.
        session: tag of the session it is in.
        here: (network tag, minutes) of its last event.
        beside: (session tag, network tag, minutes) of the session before.
        turns: how often it went back to a session on another network, without a long pause.
        fresh: models asked for in it that the user had not asked for.
        downloads: model tag -> whole fetches in the session.
        users: user tag -> [first hours, flags, hours until which a step-up is trusted].
        ids: id tag -> first hours.
        installs: hours of the last installs.
        foreign: model tag -> first hours; of a far key.
    """

    letter: ClassVar[int] = 2
    verdicts: int = 0
    fails: int = 0
    fail: int = 0
    tries: int = 0
    verdict: int = 0
    install: tuple[int, int] = (0, 0)
    build: int = 0
    session: int = 0
    here: tuple[int, int] = (0, 0)
    beside: tuple[int, int, int] = (0, 0, 0)
    turns: int = 0
    fresh: int = 0
    downloads: dict[int, int] = field(default_factory=dict)
    users: dict[int, list[int]] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)
    installs: list[int] = field(default_factory=list)
    foreign: dict[int, int] = field(default_factory=dict)

    def pack(self) -> bytes:
        write = self._written()
        write.u8(self.verdicts)
        write.u8(min(self.fails, 15) << 4 | min(self.tries, 15))
        write.minutes(self.fail)
        write.minutes(self.verdict)
        write.u16(self.install[0])
        write.u16(self.install[1])
        write.u16(self.build)
        write.u16(self.session)
        write.u16(self.here[0])
        write.minutes(self.here[1])
        write.u16(self.beside[0])
        write.u16(self.beside[1])
        write.minutes(self.beside[2])
        write.u8(self.turns)
        write.u8(self.fresh)
        write.u8(len(self.downloads) << 4 | len(self.users))
        write.u8(len(self.ids) << 4 | len(self.installs))
        write.u8(len(self.foreign))
        for model, full in self.downloads.items():
            write.u16(model)
            write.u8(full)
        for user, (first, flags, until) in self.users.items():
            write.u32(user)
            write.hours(first)
            write.u8(flags)
            write.hours(until)
        for known, first in self.ids.items():
            write.u16(known)
            write.hours(first)
        for at in self.installs:
            write.hours(at)
        for model, first in self.foreign.items():
            write.u16(model)
            write.hours(first)
        return write.done()

    @staticmethod
    def read(read: Reader) -> "KeyState":
        """Read the packed fields."""
        state = KeyState(*read_bearer(read), read.u8())
        fails = read.u8()
        state.fails, state.tries = fails >> 4, fails & 15
        state.fail, state.verdict = read.minutes(), read.minutes()
        state.install = (read.u16(), read.u16())
        state.build, state.session = read.u16(), read.u16()
        state.here = (read.u16(), read.minutes())
        state.beside = (read.u16(), read.u16(), read.minutes())
        state.turns, state.fresh = read.u8(), read.u8()
        counts, foreign = read.u16(), read.u8()
        state.downloads = {read.u16(): read.u8() for _ in range(counts >> 4 & 15)}
        state.users = {read.u32(): [read.hours(), read.u8(), read.hours()] for _ in range(counts & 15)}
        state.ids = {read.u16(): read.hours() for _ in range(counts >> 12)}
        state.installs = [read.hours() for _ in range(counts >> 8 & 15)]
        state.foreign = {read.u16(): read.hours() for _ in range(foreign)}
        return state

    def aged(self, hours: int) -> None:
        """As for any bearer."""
        before = self.base
        Bearer.aged(self, hours)
        if self.base == before:
            return
        old = self.base // 60
        self.fail = self.fail if self.fail >= self.base else 0
        self.verdict = self.verdict if self.verdict >= self.base else 0
        self.here = self.here if self.here[1] >= self.base else (0, 0)
        self.beside = self.beside if self.beside[2] >= self.base else (0, 0, 0)
        for pair in self.users.values():
            pair[0] = max(pair[0], old)
            pair[2] = pair[2] if pair[2] >= old else 0
        self.ids = {known: max(first, old) for known, first in self.ids.items()}
        self.installs = [at for at in self.installs if at >= old]
        self.foreign = {model: first for model, first in self.foreign.items() if first >= old}
