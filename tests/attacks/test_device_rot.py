"""Bits that turn over in what the device keeps: refused, and one pull away from whole again."""

import hashlib
import json
from pathlib import Path

import pytest

from crash import acts
from rooms.edge.memory_office import Device
from strongroom import canonical
from strongroom.edge import state as states
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, IntegrityError, StoreError, StrongroomError

ACTS = {act.name: act for act in acts.ACTS}


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return acts.scene(ACTS["renew"], tmp_path / "device").device()


def flip(path: Path, at: int, bit: int) -> bytes:
    """Turn one bit over in place, as a disk does; return what was there before."""
    before = path.read_bytes()
    data = bytearray(before)
    data[at] ^= 1 << bit
    with path.open("r+b") as file:
        file.write(data)
    return before


def put_back(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


def contents(home: Path, *, but: Path | None = None) -> dict[Path, str]:
    found = sorted(path for path in home.rglob("*") if path.is_file() and path != but)
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def install_of(device: Device, model: str) -> states.Install:
    (found,) = [one for one in device.room(token=None).store.need().installs if one.model == model]
    return found


def opens(device: Device, model: str) -> bytes:
    with device.room(token=None).load(model, offline="only") as one:
        return bytes(one.bytes())


@pytest.mark.slow
def test_the_memory_with_a_bit_turned_over_at_any_byte(device):
    """C06: refused at every byte, with the way out; nothing is deleted, and the right bytes back, all opens."""
    store = device.room(token=None).store
    path = device.home / "state.json"
    size = path.stat().st_size
    before = contents(device.home, but=path)
    for at in range(size):
        kept = flip(path, at, at % 8)
        with pytest.raises(StoreError) as caught:
            store.read()
        assert caught.value.code == Code.STORE_DAMAGED
        assert "enrol again" in caught.value.next_step
        put_back(path, kept)
    assert contents(device.home, but=path) == before
    assert opens(device, "digits") == acts.OLD


@pytest.mark.slow
def test_a_model_with_a_bit_turned_over(device):
    """C06: at any byte, sampled: refused, the re-download named, and it heals; the other model is as it was."""
    other = install_of(device, "other")
    beside = contents(device.home / "models" / other.id)
    size = next((device.home / "models" / install_of(device, "digits").id).glob("*.srm")).stat().st_size
    points = sorted({*range(0, size, 137), 0, 1, size - 1, size - 16, size - 17})
    for at in points:
        path = device.home / "models" / install_of(device, "digits").id / "0.srm"
        flip(path, at, at % 8)
        room = device.room(token=None)
        with pytest.raises((IntegrityError, StoreError)) as caught, room.load("digits", offline="only"):
            pass
        assert "strongroom pull digits" in caught.value.next_step
        assert install_of(device, "digits").damaged
        assert opens(device, "other") == acts.OTHER
        if at % 2:
            device.room().pull("digits")
        else:
            with device.room().load("digits"):
                pass
        assert opens(device, "digits") == acts.OLD
        assert not install_of(device, "digits").damaged
        acts.check_nothing_else(device)
    assert install_of(device, "other").files == other.files
    assert contents(device.home / "models" / other.id) == beside
    assert len(points) > 20


@pytest.mark.slow
def test_a_local_key_with_a_bit_turned_over(device):
    """C06: at every byte: the model does not open, the other one does, and a pull brings it under a new key."""
    for at in range(32):
        key = install_of(device, "digits").files[0].key
        flip(device.home / "keystore" / f"{key}.key", at, at % 8)
        with pytest.raises(IntegrityError) as caught, device.room(token=None).load("digits", offline="only"):
            pass
        assert caught.value.code == Code.FILE_WRONG_KEY
        assert "strongroom pull digits" in caught.value.next_step
        assert opens(device, "other") == acts.OTHER
        device.room().pull("digits")
        assert opens(device, "digits") == acts.OLD
        assert install_of(device, "digits").files[0].key != key
        acts.check_nothing_else(device)


@pytest.mark.parametrize("name", ["state", "device"])
def test_a_key_of_the_device_with_a_bit_turned_over(device, name):
    """C06: at every byte: typed, nothing is deleted for it, and with the right key back all opens."""
    path = device.home / "keystore" / f"{name}.key"
    before = contents(device.home, but=path)
    for at in range(32):
        kept = flip(path, at, at % 8)
        with pytest.raises(StrongroomError) as caught, device.room(token=None).load("digits", offline="only"):
            pass
        assert caught.value.code in ({Code.STORE_DAMAGED} if name == "state" else {Code.LEASE_MISMATCH})
        assert caught.value.next_step
        put_back(path, kept)
    now = contents(device.home, but=path)
    assert {one for one in now if one.name != "state.json"} == {one for one in before if one.name != "state.json"}
    assert opens(device, "digits") == acts.OLD


def test_a_part_of_a_download_with_a_bit_turned_over(tmp_path):
    """C06, C18: what waits of a download that broke off is believed by nobody: it comes anew where it is not right."""
    made = acts.scene(ACTS["resume"], tmp_path / "first")
    (partial,) = made.device().room(token=None).store.need().partials
    for name in sorted(path.name for path in (made.home / "incoming" / partial.id).iterdir()):
        size = (made.home / "incoming" / partial.id / name).stat().st_size
        for at in sorted({0, 40, size // 2, size - 1} & {*range(size)}):
            acts.copy(made, tmp_path / "device")
            device = made.device(tmp_path / "device")
            flip(device.home / "incoming" / partial.id / name, at, at % 8)
            device.room().pull("digits")
            assert opens(device, "digits") == acts.LONG
            acts.check_nothing_else(device)
            acts.shutil.rmtree(device.home)


def rewritten(device: Device, change: dict[str, object], *, without: tuple[str, ...] = ()) -> None:
    """Write the memory anew with some fields changed, under its right key: as another strongroom would."""
    key = FileKeystore(device.home / "keystore").get("state")
    value = json.loads((device.home / "state.json").read_bytes())["state"] | change
    for name in without:
        del value[name]
    mac = states._mac(canonical.encode(value), key)
    put_back_whole = canonical.encode({"mac": canonical.to_base64url(mac), "state": value})
    (device.home / "state.json").write_bytes(put_back_whole)


@pytest.mark.parametrize("change", [{"format": states.FORMAT + 1}, {"format": 99, "later": [1]}, {"later": {"x": 1}}])
def test_a_memory_of_a_later_strongroom(device, change):
    """C21: refused by what it is, with nothing changed and nothing deleted; the later one goes on with it."""
    before = contents(device.home, but=device.home / "state.json")
    kept = (device.home / "state.json").read_bytes()
    rewritten(device, change)
    later = (device.home / "state.json").read_bytes()
    for call in (
        lambda: device.room(token=None),
        device.room,
        lambda: device.room().pull("digits"),
        lambda: acts.wiping.remove(device.room(token=None).store, []),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert caught.value.code == Code.STORE_DAMAGED
        assert "update strongroom" in caught.value.next_step
    assert (device.home / "state.json").read_bytes() == later
    (device.home / "state.json").write_bytes(kept)
    assert contents(device.home, but=device.home / "state.json") == before
    assert opens(device, "digits") == acts.OLD


def test_a_memory_of_an_earlier_strongroom(device):
    """C21: one of 0.1.0, without tombstones and partials, is read, and everything goes on from it."""
    rewritten(device, {}, without=("tombstones", "partials"))
    assert opens(device, "digits") == acts.OLD
    rewritten(device, {}, without=("tombstones", "partials"))
    device.office.publish("digits", "1.1", {"w": acts.NEW}, counter=2)
    device.room().pull("digits")
    assert opens(device, "digits") == acts.NEW
    assert opens(device, "other") == acts.OTHER
    acts.check_nothing_else(device)
