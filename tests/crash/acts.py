"""The acts that change a device directory, and how the directory is judged after one that was cut short."""

import contextlib
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rooms.edge.memory_office import DAY, SERVER, USER_TOKEN, Device, MemoryOffice
from rooms.edge.ordering_office import OrderingOffice
from strongroom.edge import arriving, client, wiping
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.state import State
from strongroom.edge.store import OURS
from strongroom.errors import Code, RefusedError, SetupError, UnreachableError
from strongroom.names import parse_reference

OLD, NEW, OTHER = b"old" * 100, b"new" * 100, b"other" * 50
LONG = bytes(range(256)) * 4100  # two segments, beside that of the table of contents
BEFORE, AFTER = "before", "after"  # the two things a directory may be when an act was cut short


class Kept(Device):
    """A device whose directory only strongroom writes to: trust.json is there before."""

    def room(self, *, token: str | None = USER_TOKEN, url: str | None = SERVER) -> client.Room:
        keystore = FileKeystore(self.home / "keystore")
        return client.open_room(
            self.home, keystore, url=url, token=token, trust=None, connector=lambda _: self.office, clocks=self.clocks
        )


@dataclass
class Scene:
    """An office, a device directory as it is before an act, and what must not be found after it."""

    act: "Act"
    office: OrderingOffice
    home: Path
    keys: list[bytes] = field(default_factory=list)  # of versions that the act destroys

    def device(self, home: Path | None = None, office: MemoryOffice | None = None) -> Device:
        return Kept(home or self.home, office or self.office, boot=1000 + self.office.now)


@dataclass(frozen=True)
class Act:
    """One thing that a device does, from a directory prepared for it.

    Attributes:
        name: what it is called.
        prepare: makes the directory what it is before.
        do: does it; where it returns, it is acknowledged.
        look: says whether the directory is as before or as after, and fails if it is neither.
    """

    name: str
    prepare: Callable[[Device], None]
    do: Callable[[Device], None]
    look: Callable[[Device], str]


def scene(act: Act, home: Path) -> Scene:
    """Make an office and the directory that an act begins from."""
    office = OrderingOffice(lease_seconds=4 * DAY, max_offline=4 * DAY)
    office.publish("other", "1.0", {"w": OTHER}, counter=1)
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    made = Scene(act, office, home)
    act.prepare(made.device())
    if home.joinpath("state.json").exists() and act.name in {"update", "wipe", "remove"}:
        installs = made.device().room(token=None).store.need().installs
        keystore = FileKeystore(home / "keystore")
        made.keys = [bytes(keystore.get(file.key)) for one in installs if one.model == "digits" for file in one.files]
    return made


def judge(made: Scene, device: Device, *, acknowledged: bool) -> str:
    """Judge a directory in which an act was cut short, and that the act then comes to its end. Returns what it was."""
    with device.room(token=None).store.pulling(patience=0):  # no lock is held; what is left over goes now
        pass
    check_nothing_else(device)
    found = made.act.look(device)
    assert found == AFTER or not acknowledged, "what was acknowledged is lost"
    if made.act is not ENROL:
        with device.room(token=None).load("other", offline="only") as model:
            assert model.bytes() == OTHER
    if found == AFTER:
        check_no_key(made, device)
    with contextlib.suppress(RefusedError, SetupError):  # it is wiped or removed already
        made.act.do(device)
    assert made.act.look(device) == AFTER
    state = check_nothing_else(device)
    assert state is not None
    assert not state.partials
    check_no_key(made, device)
    return found


def check_nothing_else(device: Device) -> State | None:
    """Everything in the directory is ours, private and named by the state; return that."""
    state, home = device.room(token=None).store.read(), device.home
    assert {one.name for one in home.iterdir()} <= OURS
    for one in home.rglob("*"):
        assert one.name == "trust.json" or not stat.S_IMODE(one.lstat().st_mode) & 0o077
    installs, partials = (state.installs, state.partials) if state else ((), ())
    assert {one.name for one in home.glob("models/*")} == {one.id for one in installs}
    assert {one.name for one in home.glob("incoming/*")} <= {one.id for one in partials}
    for one in installs:
        assert {path.name for path in (home / "models" / one.id).iterdir()} == {
            f"{index}.srm" for index in range(len(one.files))
        }
    if state is not None:
        keys = {file.key for one in (*installs, *partials) for file in one.files} | {"state", "device"}
        assert {path.name for path in home.glob("keystore/*")} == {f"{name}.key" for name in keys}
    return state


def check_no_key(made: Scene, device: Device) -> None:
    for path in device.home.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(key in content for key in made.keys), f"a destroyed key is in {path.name}"


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """Have segments fetched in the calling thread, so that a call of the system is the n-th each time."""
    real, arriving.ThreadPoolExecutor = arriving.ThreadPoolExecutor, _InOrder
    try:
        yield
    finally:
        arriving.ThreadPoolExecutor = real


class _InOrder:
    def __init__(self, workers: int, **_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, call: Callable[..., object], *arguments: object) -> "_Done":
        try:
            return _Done(call(*arguments), None)
        except Exception as error:  # noqa: BLE001 - as a Future, which gives it to whoever asks
            return _Done(None, error)

    def shutdown(self, **_: object) -> None:
        pass


@dataclass
class _Done:
    value: object
    error: Exception | None

    def result(self) -> object:
        if self.error is not None:
            raise self.error
        return self.value


# what is prepared


def _nothing(device: Device) -> None:
    device.home.mkdir(mode=0o700)
    (device.home / "trust.json").write_bytes(device.office.trust_documents[0])


def _enrolled(device: Device) -> None:
    _nothing(device)
    device.room().pull("other")


def _installed(device: Device) -> None:
    _enrolled(device)
    device.room().pull("digits")


def _outdated(device: Device) -> None:
    _installed(device)
    device.office.publish("digits", "1.1", {"w": NEW}, counter=2)


def _a_day_old(device: Device) -> None:
    _installed(device)
    device.office.now += DAY


def _ordered(device: Device) -> None:
    _installed(device)
    device.office.order("digits", "1.0")


def _begun(device: Device) -> None:
    """A download that broke off in its last segment."""
    _enrolled(device)
    office = device.office
    office.publish("digits", "2.0", {"w": LONG}, counter=3)
    room, real = device.room(), office.read_range

    def breaking(url: str, offset: int, length: int) -> bytes:
        if offset > 2**20:
            raise UnreachableError(Code.PIN_MISMATCH, "the line broke, for good")
        return real(url, offset, length)

    office.read_range = breaking
    with contextlib.suppress(UnreachableError):
        room.pull("digits")
    del office.read_range
    assert room.store.need().partials


# what is done


def _pull(device: Device) -> None:
    device.room().pull("digits")


def _renew(device: Device) -> None:
    device.room().renew("digits")


def _obey(device: Device) -> None:
    try:
        device.room().renew("digits")
    except RefusedError as error:
        if error.code != Code.WIPED or "cannot be written down" in error.what:
            raise


def _remove(device: Device) -> None:
    wiping.remove(device.room().store, [parse_reference("digits")])


# what is there


def _identity(device: Device) -> str:
    state = device.room(token=None).store.read()
    return BEFORE if state is None or state.identity is None else AFTER


def _version(*contents: tuple[str, bytes, str]) -> Callable[[Device], str]:
    def look(device: Device) -> str:
        try:
            with device.room(token=None).load("digits", offline="only") as model:
                here = model.version, bytes(model.bytes())
        except SetupError as error:
            assert error.code == Code.NOT_INSTALLED  # noqa: PT017 - one of three outcomes, told apart here
            here = str(error.code), b""
        except RefusedError as error:
            assert error.code == Code.WIPED  # noqa: PT017 - as above
            (stone,) = device.room(token=None).store.need().tombstones
            assert stone.receipt is not None
            here = str(error.code), b""
        (found,) = [what for version, content, what in contents if (version, content) == here]
        return found

    return look


def _lease(device: Device) -> str:
    with device.room(token=None).load("digits", offline="only") as model:
        assert model.bytes() == OLD
        ends = {device.office.now + 3 * DAY: BEFORE, device.office.now + 4 * DAY: AFTER}
        return ends[model.lease_expires]


NOT_HERE, GONE = (str(Code.NOT_INSTALLED), b""), (str(Code.WIPED), b"")
ENROL = Act("enrol", _nothing, lambda device: device.room() and None, _identity)
ACTS = (
    ENROL,
    Act("install", _enrolled, _pull, _version((*NOT_HERE, BEFORE), ("1.0", OLD, AFTER))),
    Act("update", _outdated, _pull, _version(("1.0", OLD, BEFORE), ("1.1", NEW, AFTER))),
    Act("resume", _begun, _pull, _version((*NOT_HERE, BEFORE), ("2.0", LONG, AFTER))),
    Act("renew", _a_day_old, _renew, _lease),
    Act("wipe", _ordered, _obey, _version(("1.0", OLD, BEFORE), (*GONE, AFTER))),
    Act("remove", _installed, _remove, _version(("1.0", OLD, BEFORE), (*NOT_HERE, AFTER))),
)


def copy(made: Scene, home: Path) -> None:
    """Lay the directory of a scene out again; modes as they are."""
    shutil.copytree(made.home, home)
