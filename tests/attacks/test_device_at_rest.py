"""What a thief or the owner of the machine can do to the device directory."""

import base64
import json
import shutil
from pathlib import Path

import pytest

from rooms.edge.memory_office import DAY, Device, MemoryOffice, weights
from strongroom import canonical
from strongroom.edge import state as states
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, IntegrityError, RefusedError, StoreError, StrongroomError

WEIGHTS = weights(1, 2**20 + 99)


@pytest.fixture
def office() -> MemoryOffice:
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": WEIGHTS, "secret-name.txt": b"a name nobody may see"}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: MemoryOffice) -> Device:
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    return device


def contents(home: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_no_plaintext_and_no_model_key_on_the_disk(device, office):
    """D01, D02, R27, R47: searched by needles, raw and encoded; the model key is nowhere, the names are nowhere."""
    with device.room().load("digits"):
        during = contents(device.home)
    for found in (during, contents(device.home)):
        for start in range(0, len(WEIGHTS) - 16, 4096):
            assert WEIGHTS[start : start + 16] not in found
        assert b"secret-name" not in found
        secret = bytes(office.models["digits"]["1.0"].keys[0].reveal())
        needles = (secret, secret.hex().encode(), base64.b64encode(secret), base64.urlsafe_b64encode(secret)[:42])
        assert not any(needle in found for needle in needles)


def test_a_lease_cannot_be_edited(device):
    """B25, C08: neither in the memory, nor with the MAC key at hand, for the office signed it."""
    room = device.room()
    key = FileKeystore(device.home / "keystore").get("state")
    state = room.store.need()
    payload = state.installs[0].lease[0].split(".")
    fields = json.loads(base64.urlsafe_b64decode(payload[1] + "=="))
    fields["expires"] += 365 * DAY
    forged = f"{payload[0]}.{canonical.to_base64url(canonical.encode(fields))}.{payload[2]}"
    text = (device.home / "state.json").read_text().replace(state.installs[0].lease[0], forged)
    (device.home / "state.json").write_text(text)
    with pytest.raises(StoreError) as caught:
        device.room()
    assert caught.value.code == Code.STORE_DAMAGED
    value = json.loads(text)["state"]
    edited = states.State.from_value(value)
    (device.home / "state.json").write_bytes(states.encode(edited, key))
    with pytest.raises(IntegrityError) as refused, device.room().load("digits", offline="only"):
        pass
    assert refused.value.code == Code.SIGNATURE


@pytest.mark.parametrize("back", [3600, DAY, 3650 * DAY], ids=["an hour", "a day", "ten years"])
def test_turning_the_clock_back_does_not_lengthen_a_lease(device, office, back):
    """C09, A11, R25: within one boot the machine's uptime counts, whatever the wall clock says."""
    office.down = True
    device.wall_ahead = -back
    device.boot += 3 * DAY - 1
    with device.room().load("digits"):
        pass
    device.boot += 1
    with pytest.raises(RefusedError) as caught, device.room().load("digits"):
        pass
    assert caught.value.code == Code.LEASE_EXPIRED


def test_restarting_with_the_clock_back_ends(device, office):
    """C09: a few starts in the past are forgiven at an hour each; then the server must be asked, which heals it."""
    device.later(60)
    with device.room().load("digits"):
        pass
    office.down = True
    device.wall_ahead = -10 * DAY
    for number in range(3):
        device.boot, device.boot_id = 1, f"again-{number}"
        with device.room().load("digits"):
            pass
    device.boot, device.boot_id = 1, "again-4"
    with pytest.raises(RefusedError) as caught, device.room().load("digits"):
        pass
    assert caught.value.code == Code.CLOCK
    office.down = False
    device.wall_ahead = 0
    with device.room().load("digits"):
        pass
    assert device.room().store.need().clock.slips == 0


def test_a_jump_forward_ends_the_lease_and_the_server_heals_it(device, office):
    """C09: forward ten years and back; coming back online sets the time down again."""
    device.wall_ahead = 3650 * DAY
    with pytest.raises(RefusedError), device.room().load("digits", offline="only"):
        pass
    device.wall_ahead = 0
    with pytest.raises(RefusedError), device.room().load("digits", offline="only"):
        pass
    with device.room().load("digits") as model:
        assert model.file("w") == WEIGHTS
    with device.room().load("digits", offline="only"):
        pass


def test_only_the_memory_rolled_back(device, office):
    """C08: an old state.json names what is no longer here; the high-water mark is in the same MAC as the rest."""
    old = (device.home / "state.json").read_bytes()
    office.publish("digits", "1.1", {"w": b"new"}, counter=2)
    device.room().pull("digits")
    (device.home / "state.json").write_bytes(old)
    office.down = True
    with pytest.raises(StrongroomError) as caught, device.room().load("digits"):
        pass
    assert caught.value.code == Code.UNREACHABLE
    office.down = False
    with device.room().load("digits") as model:
        assert model.version == "1.1"


def test_a_copy_without_its_keys_opens_nothing(device, tmp_path):
    """C11: everything but the keystore, on another machine."""
    shutil.copytree(device.home, tmp_path / "copy", ignore=shutil.ignore_patterns("keystore"))
    with pytest.raises(StrongroomError) as caught:
        Device(tmp_path / "copy", device.office).room().pull("digits")
    assert caught.value.code == Code.STORE_DAMAGED


def test_files_of_two_models_exchanged(device, office):
    """A08, B20: a local file under another model's name does not open, even with its own key."""
    office.publish("letters", "1.0", {"w": b"letters"}, counter=1)
    room = device.room()
    room.pull("letters")
    key = FileKeystore(device.home / "keystore").get("state")
    state = room.store.need()
    first, second = state.installs
    swapped = states.replace(
        state, installs=(states.replace(first, files=second.files, id=second.id), states.replace(second, id=first.id))
    )
    (device.home / "state.json").write_bytes(states.encode(swapped, key))
    with pytest.raises(StrongroomError) as caught, room.load("digits", offline="only"):
        pass
    assert caught.value.code == Code.LEASE_MISMATCH


def test_an_exchanged_local_file_is_refused(device, office):
    """C06, A08: the file of another version in the place of this one's."""
    room = device.room()
    path = next(device.home.glob("models/*/0.srm"))
    kept = path.read_bytes()
    room.pull("digits", fresh=True)
    path = next(device.home.glob("models/*/0.srm"))
    path.write_bytes(kept)
    with pytest.raises(IntegrityError) as caught, room.load("digits", offline="only"):
        pass
    assert caught.value.code == Code.FILE_WRONG_KEY


def test_uninstalled_keys_open_no_kept_copy(device, office):
    """C16: what an update replaced is gone for ever, copies included: its key was destroyed."""
    kept = next(device.home.glob("models/*/0.srm")).read_bytes()
    keys = {path.name: path.read_bytes() for path in (device.home / "keystore").iterdir()}
    office.publish("digits", "1.1", {"w": b"new"}, counter=2)
    device.room().pull("digits")
    left = {path.read_bytes() for path in (device.home / "keystore").iterdir()}
    gone = [data for name, data in keys.items() if name not in {"device.key", "state.key"}]
    assert kept
    assert not left & set(gone)
