"""An old copy of a device directory, put back on its own machine beside the very TPM that holds its keys."""

import multiprocessing
import os
from dataclasses import dataclass, replace

import pytest

from rooms.edge.memory_office import DAY, SERVER, USER_TOKEN, weights
from rooms.edge.ordering_office import OrderingOffice
from rooms.edge.ratcheted import RatchetDevice, Stopped, no_answer
from strongroom import canonical
from strongroom.edge import client
from strongroom.edge.keystore import Ratchet
from strongroom.edge.keystore import tpm as keystore
from strongroom.edge.keystore.marker import Marker
from strongroom.edge.keystore.opening import open_keystore
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.edge.store import Store
from strongroom.edge.tpm import codes, nv
from strongroom.edge.tpm.chip import Tpm
from strongroom.edge.tpm.commands import Channel, Named
from strongroom.edge.tpm.objects import EMPTY
from strongroom.errors import Code, RefusedError, StoreError, StrongroomError
from strongroom.wire.tpm.constants import Alg, Command, Handle, NvAttribute
from strongroom.wire.tpm.structs import Writer

ONE, TWO = weights(1, 50_000), weights(2, 50_000)


class Silent:
    """Vouches for nothing: this office asks for no evidence."""

    kind = "tpm"

    def enrol(self, binding, activate):
        return ()

    def request(self, expected):
        return ()

    def open_credential(self, credential):
        raise AssertionError


class Dying(TpmKeystore):
    """Stops before the ratchet is turned, or right after."""

    when = "before"

    def turn_ratchet(self, data):
        if self.when == "after":
            super().turn_ratchet(data)
        raise Stopped


@dataclass
class TpmDevice(RatchetDevice):
    """A device whose keys and ratchet are kept by a TPM."""

    address: str = ""
    kind: type = TpmKeystore

    def keystore(self):
        return self.kind(self.home / "keystore", self.address)

    def room(self, *, token=USER_TOKEN, url=SERVER):
        self.home.mkdir(mode=0o700, exist_ok=True)
        if not (self.home / "state.json").exists():
            (self.home / "trust.json").write_bytes(self.office.trust_documents[0])
        return client.open_room(
            self.home,
            self.keystore(),
            url=url,
            token=token,
            trust=None,
            connector=lambda _: self.office,
            clocks=self.clocks,
            attestor=Silent(),
        )

    def marker(self):
        with self.keystore()._folder() as folder:
            return Marker.read(folder)


@pytest.fixture
def device(tmp_path, chip):
    office = OrderingOffice()
    office.publish("digits", "1.0", {"weights.bin": ONE}, counter=1)
    device = TpmDevice(tmp_path / "device", office, address=chip.address)
    device.room().pull("digits")
    yield device
    with Tpm.open(chip.address) as tpm:
        for place in [device.home, *tmp_path.glob("*")]:
            note = place / "keystore" / "tpm.json"
            index = canonical.decode(note.read_bytes(), limit=4096).get("ratchet") if note.exists() else None
            if index is not None and tpm.read_ratchet(index) is not None:
                tpm.remove_ratchet(index)


def refused(device, words="older copy"):
    with pytest.raises(StoreError) as caught:
        device.runs()
    assert caught.value.code == Code.STORE_DAMAGED
    assert words in caught.value.what
    assert "enrol again" in caught.value.next_step


def renew(device):
    device.later(DAY)
    device.room().renew("digits")


def wipe(device):
    device.office.order("digits", "1.0")
    with pytest.raises(StrongroomError):
        device.room().renew("digits")
    assert device.office.receipts


def test_only_the_tpm_has_one(device):
    assert isinstance(device.keystore(), Ratchet)
    assert nv.RATCHETS <= device.marker().ratchet < nv.RATCHETS + 0x10000


@pytest.mark.parametrize("change", [renew, wipe])
def test_a_copy_from_before_is_refused_without_the_office(device, chip, change):
    """C07, B17: a week-old image of the disk, and the machine's own TPM."""
    old = device.copy("old")
    change(device)
    new = device.copy("new")
    device.office.down = True
    device.put_back(old)
    refused(device)
    chip.reboot()
    device.reboot()
    device.later(600)
    refused(device)
    device.put_back(new)
    if change is wipe:
        with pytest.raises(RefusedError) as caught:
            device.runs()
        assert caught.value.code == Code.WIPED
    else:
        assert device.runs() == ONE


def test_a_reboot_is_fine_and_makes_every_copy_old(device, chip):
    """C07: the lease's clock too."""
    old = device.copy("old")
    chip.reboot()
    device.reboot()
    device.later(600)
    assert device.runs() == ONE
    device.put_back(old)
    refused(device)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_between_memory_and_tpm_heals(device, chip, when):
    old = device.copy("old")
    device.kind = type("Now", (Dying,), {"when": when})
    device.later(DAY)
    with pytest.raises(Stopped):
        device.room().renew("digits")
    device.kind = TpmKeystore
    chip.reboot()
    assert device.runs() == ONE
    renew(device)
    device.put_back(old)
    refused(device)


def test_of_two_memories_that_follow_the_same_one_only_one_is_ever_in_force(device):
    """C07: killed between the two writes, put back, done again in another way, and put forward again."""
    base = device.copy("base")
    device.kind = Dying
    device.later(3600)
    with pytest.raises(Stopped):
        device.runs()
    device.kind = TpmKeystore
    fork = device.copy("fork")
    device.put_back(base)
    wipe(device)
    device.office.down = True
    for copy in (fork, base):
        device.put_back(copy)
        refused(device)


def test_a_note_that_names_another_index_helps_nobody(device):
    """C07: the old copy, with a note of an index that its maker moves as he likes."""
    old = device.copy("old")
    renew(device)
    device.put_back(old)
    marker = device.marker()
    index = marker.ratchet ^ 1
    with Tpm.open(device.address) as tpm:
        tpm.begin_ratchet(index, bytes(32))
    try:
        with device.keystore()._folder() as folder:
            replace(marker, ratchet=index).write(folder)
        refused(device)
        with device.keystore()._folder() as folder:
            replace(marker, ratchet=None).write(folder)
        refused(device, "is gone")
    finally:
        with Tpm.open(device.address) as tpm:
            tpm.remove_ratchet(index)
            tpm.remove_ratchet(marker.ratchet)


def test_an_index_that_is_removed_and_made_anew_brings_nothing_back(device):
    """C07: its user may remove it, and add again whatever he saw in the copies he kept."""
    seen = [device.room(token=None).store.need().turn]
    old = device.copy("old")
    renew(device)
    device.put_back(old)
    index = device.marker().ratchet
    with Tpm.open(device.address) as tpm:
        tpm.remove_ratchet(index)
        assert tpm.read_ratchet(index) is None
    refused(device, "is gone")
    with Tpm.open(device.address) as tpm:
        tpm.begin_ratchet(index, seen[0].before)
        tpm.turn_ratchet(index, seen[0].nonce)
    refused(device)


def test_two_directories_have_an_index_each(device, tmp_path):
    other = TpmDevice(tmp_path / "other", device.office, address=device.address)
    other.room().pull("digits")
    assert other.marker().ratchet != device.marker().ratchet
    for one in (device, other, device, other):
        renew(one)
    assert device.runs() == other.runs() == ONE


class Drawn:
    """Draws places of the TPM's memory as a test says, and everything else as the system does."""

    def __init__(self, *places):
        self.places = [place.to_bytes(2, "big") for place in places]

    def urandom(self, size):
        return self.places.pop(0) if size == 2 and self.places else os.urandom(size)


def test_a_place_of_another_directory_is_drawn_again(device, tmp_path, monkeypatch):
    """Two directories that extended the same index would end each other's memory."""
    taken = device.marker().ratchet - nv.RATCHETS
    drawn = Drawn(taken, taken)
    monkeypatch.setattr(keystore, "os", drawn)
    other = TpmDevice(tmp_path / "other", device.office, address=device.address)
    other.room().pull("digits")
    assert drawn.places == []
    assert other.marker().ratchet != device.marker().ratchet
    assert device.runs() == other.runs() == ONE


def test_a_place_of_another_program_is_left_alone(device, tmp_path, monkeypatch):
    """A wrong authorisation at it would count towards the lockout of the whole TPM, each time anew."""
    place, seen, exchange = 0x2222, [], Channel._exchange
    foreign = NvAttribute.AUTH_WRITE | NvAttribute.AUTH_READ  # dictionary attack protection holds for it
    with Tpm.open(device.address) as tpm:
        define(tpm, nv.RATCHETS + place, foreign, 8, auth=b"secret")
        monkeypatch.setattr(keystore, "os", Drawn(place))
        monkeypatch.setattr(Channel, "_exchange", lambda *args, **named: told(seen, exchange, *args, **named))
    try:
        other = TpmDevice(tmp_path / "other", device.office, address=device.address)
        other.room().pull("digits")
        assert other.marker().ratchet != nv.RATCHETS + place
        assert other.runs() == ONE
        with other.keystore()._folder() as folder:  # what an older strongroom may have noted
            replace(other.marker(), ratchet=nv.RATCHETS + place).write(folder)
        refused(other, "is gone")
        other.keystore().begin_ratchet()
        assert other.marker().ratchet != nv.RATCHETS + place
        assert seen == []
    finally:
        with Tpm.open(device.address) as tpm:
            tpm.remove_ratchet(nv.RATCHETS + place)


def test_a_tpm_that_refuses_to_read_is_not_one_whose_memory_is_gone(device, monkeypatch):
    def refusing(self, command, body, *, sessions):
        if command == Command.NV_READ:
            raise codes.TpmError(0x98E, "nv_read", "")
        return exchange(self, command, body, sessions=sessions)

    exchange = Channel._exchange
    monkeypatch.setattr(Channel, "_exchange", refusing)
    with pytest.raises(codes.TpmError):
        device.runs()
    monkeypatch.undo()
    assert device.runs() == ONE


def test_a_note_that_cannot_be_written_leaves_no_index(device, tmp_path, monkeypatch):
    other = TpmDevice(tmp_path / "other", device.office, address=device.address)
    other.home.mkdir(mode=0o700)
    other.keystore().make_device_key()
    with Tpm.open(device.address) as tpm:
        before = tpm._channel.handles(nv.FIRST)
    with monkeypatch.context() as patch:
        patch.setattr(Marker, "write", lambda *_: (_ for _ in ()).throw(no_answer()))
        with pytest.raises(StoreError):
            other.keystore().begin_ratchet()
    with Tpm.open(device.address) as tpm:
        assert tpm._channel.handles(nv.FIRST) == before
    assert other.marker().ratchet is None


def define(tpm, index, attributes, size, auth=b""):
    """Make an index of another program."""
    public = Writer().u32(index).u16(Alg.SHA256).u32(attributes).sized(b"").u16(size).bytes()
    parameters = Writer().sized(auth).sized(public).bytes()
    tpm._channel.call(Command.NV_DEFINE_SPACE, [Named.plain(Handle.OWNER)], parameters, [EMPTY])


def told(seen, exchange, *args, **named):
    """Run a command, and note it if the TPM says that its authorisation is wrong."""
    try:
        return exchange(*args, **named)
    except codes.TpmError as error:
        if error.bare in {codes.AUTH_FAIL, codes.BAD_AUTH}:
            seen.append(error.what)
        raise


def _busy(home, address):
    store = Store(home, TpmKeystore(home / "keystore", address))
    for _ in range(4):
        store.update(lambda state: replace(state, partials=(), marks=(*state.marks, *state.marks[:1])))
        store.need()


def test_two_processes_at_once(device):
    """Each change of either is in the memory, and readers in between see no damage."""
    before = len(device.room(token=None).store.need().marks)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_busy, args=(device.home, device.address)) for _ in range(2)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(60)
    assert [one.exitcode for one in workers] == [0, 0]
    assert len(device.room(token=None).store.need().marks) == before + 8


def test_a_directory_finds_its_index_by_itself(device):
    assert isinstance(open_keystore(device.home / "keystore"), Ratchet)
    index = device.marker().ratchet
    device.keystore().begin_ratchet()
    assert device.marker().ratchet == index  # there is one, whatever happens
    with Tpm.open(device.address) as tpm, pytest.raises(StoreError):
        tpm.turn_ratchet(index ^ 2, bytes(32))
