"""The TPM keystore: what a copied, changed or misplaced directory is worth, and how a directory says what it is."""

import json
import shutil

import pytest

from rooms.edge.tpm.bus import Bus
from rooms.edge.tpm.needs import extend, held
from strongroom import canonical
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.keystore.opening import open_keystore
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.edge.tpm.chip import Tpm
from strongroom.errors import Code, SetupError, StoreError

SECRET = bytes(range(1, 33))


@pytest.fixture
def place(tmp_path, chip):
    """A directory that was used with its TPM."""
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    keystore.make_device_key()
    keystore.make_attestation_key()
    keystore.put("state", SECRET)
    return tmp_path / "keystore"


def test_no_key_lies_on_the_disk(place):
    """D02: what a thief of the disk finds is nothing without the chip."""
    found = b"".join(path.read_bytes() for path in place.iterdir())
    assert len(found) > 500
    assert SECRET not in found
    assert not any(SECRET[at : at + 6] in found for at in range(27))


def test_a_copied_directory_opens_nothing_on_another_machine(place, tmp_path, other_chip):
    """The whole directory is cloned to a machine with a TPM of its own."""
    clone = tmp_path / "clone"
    shutil.copytree(place, clone)
    keystore = open_keystore(clone, tpm=other_chip.address)
    signer = keystore.device_key()
    for use in (
        lambda: keystore.get("state"),
        lambda: signer.sign(b"data"),
        lambda: keystore.put("fresh", SECRET),
        keystore.make_device_key,
    ):
        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.code == Code.STORE_DAMAGED
        assert "another TPM" in caught.value.what
        assert "enrol" in caught.value.next_step
    with Tpm.open(other_chip.address) as tpm:
        assert held(tpm) == []


def test_a_forged_note_of_the_tpm_helps_nobody(place, other_chip):
    """The thief also writes down that his TPM is the right one: its storage key opens nothing."""
    with Tpm.open(other_chip.address) as tpm:
        root = tpm.root_name()
    note = json.loads((place / "tpm.json").read_bytes())
    note |= {"address": other_chip.address, "root": canonical.to_base64url(root)}
    (place / "tpm.json").write_bytes(canonical.encode(note))
    keystore = open_keystore(place)
    for use in (lambda: keystore.get("state"), lambda: keystore.device_key().sign(b"data")):
        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.code == Code.STORE_DAMAGED


def test_it_works_after_a_reboot(place, chip):
    keystore = open_keystore(place)
    public = keystore.device_key().public
    chip.reboot()
    assert keystore.get("state") == SECRET
    assert public.verify(open_keystore(place).device_key().sign(b"data"), b"data")


def test_a_renamed_secret_is_refused(place):
    """Whoever can write to the disk cannot make one model's key pass as another's."""
    keystore = open_keystore(place)
    keystore.put("other", bytes(32))
    (place / "state.sealed").replace(place / "kept")
    (place / "other.sealed").replace(place / "state.sealed")
    with pytest.raises(StoreError) as caught:
        keystore.get("state")
    assert caught.value.code == Code.STORE_DAMAGED
    (place / "kept").replace(place / "state.sealed")
    assert keystore.get("state") == SECRET


def test_secrets_may_be_sealed_to_the_machines_state(tmp_path, chip):
    path = tmp_path / "keystore"
    keystore = TpmKeystore(path, chip.address, registers=(16, 0))
    keystore.make_device_key()
    keystore.put("state", SECRET)
    assert open_keystore(path).get("state") == SECRET  # the directory remembers which registers
    with Tpm.open(chip.address) as tpm:
        extend(tpm, 16, b"another kernel")
    with pytest.raises(StoreError) as caught:
        open_keystore(path).get("state")
    assert caught.value.code == Code.STORE_IO
    assert "booted other software" in caught.value.what


def test_no_secret_passes_the_bus(tmp_path, chip):
    """With the line recorded from the first command on."""
    lines = []

    def recorded(address):
        lines.append(Bus(address))
        return lines[-1]

    keystore = TpmKeystore(tmp_path / "keystore", chip.address, connector=recorded)
    keystore.make_device_key()
    keystore.put("state", SECRET)
    assert keystore.get("state") == SECRET
    heard = b"|".join(line.heard for line in lines)
    assert len(lines) == 3
    assert len(heard) > 2000
    assert not any(SECRET[at : at + 6] in heard for at in range(27))


def test_a_tpm_that_is_gone_is_the_operators_matter(place, chip, tmp_path):
    keystore = open_keystore(place, tpm=str(tmp_path / "nowhere"))
    with pytest.raises(SetupError) as caught:
        keystore.get("state")
    assert caught.value.code == Code.CONFIG
    assert "--tpm" in caught.value.next_step
    assert open_keystore(place).get("state") == SECRET


def test_the_same_tpm_may_be_found_elsewhere(place, chip, tmp_path):
    (tmp_path / "link").symlink_to(chip.address)
    moved = open_keystore(place, tpm=str(tmp_path / "link"))
    assert moved.get("state") == SECRET
    assert json.loads((place / "tpm.json").read_bytes())["address"] == chip.address
    moved.make_device_key()  # enrolling again notes it
    assert json.loads((place / "tpm.json").read_bytes())["address"] == str(tmp_path / "link")


def test_opening_asks_no_tpm_and_makes_nothing(tmp_path):
    path = tmp_path / "keystore"
    assert type(open_keystore(path)) is FileKeystore
    assert type(open_keystore(path, tpm="/dev/none")) is TpmKeystore
    assert open_keystore(path, tpm="/dev/none").names() == []
    assert [one.name for one in path.iterdir()] == []


def test_keys_in_files_do_not_become_keys_of_a_tpm(tmp_path):
    """Or a device that was stolen last year would look as good as one with a TPM."""
    path = tmp_path / "keystore"
    FileKeystore(path).make_device_key()
    with pytest.raises(SetupError) as caught:
        open_keystore(path, tpm="/dev/tpmrm0")
    assert caught.value.code == Code.ALREADY_THERE


def test_without_its_note_a_tpm_keystore_is_no_file_keystore(place):
    """Removing the note must not have the device make keys in files without a word."""
    (place / "tpm.json").unlink()
    for tpm in (None, "/dev/tpmrm0"):
        with pytest.raises(StoreError) as caught:
            open_keystore(place, tpm=tpm)
        assert caught.value.code == Code.STORE_DAMAGED


@pytest.mark.parametrize("bent", [b"", b"{}", b"x", b'{"format":2}', b"x" * 5000])
def test_a_damaged_note_is_said_to_be_damaged(place, bent):
    (place / "tpm.json").write_bytes(bent)
    with pytest.raises(StoreError) as caught:
        open_keystore(place)
    assert caught.value.code == Code.STORE_DAMAGED
