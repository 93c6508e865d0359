"""A whole device whose keys are kept by a real TPM: pull, load, reboot; and its directory on another machine."""

import shutil

import pytest

from rooms.edge.memory_office import SERVER, USER_TOKEN, Device, MemoryOffice, weights
from strongroom.edge import client
from strongroom.edge.keystore.opening import open_keystore
from strongroom.errors import Code, StoreError

WEIGHTS = weights(1, 100_000)


class TpmDevice(Device):
    """A device that finds its keystore as `connect` does."""

    def open(self, home=None, tpm=None, token=None):
        home = home or self.home
        home.mkdir(mode=0o700, exist_ok=True)
        if not (home / "state.json").exists():
            (home / "trust.json").write_bytes(self.office.trust_documents[0])
        return client.open_room(
            home,
            open_keystore(home / "keystore", tpm),
            url=SERVER,
            token=token,
            trust=None,
            connector=lambda _: self.office,
            clocks=self.clocks,
            attestor=Silent(),
        )


class Silent:
    """Vouches for nothing: this office asks for no evidence."""

    kind = "tpm"

    def enrol(self, binding, activate):
        return ()

    def request(self, expected):
        return ()

    def open_credential(self, credential):
        raise AssertionError


@pytest.fixture
def device(tmp_path, chip):
    office = MemoryOffice()
    office.publish("digits", "1.0", {"weights.bin": WEIGHTS}, counter=1)
    device = TpmDevice(tmp_path / "device", office)
    device.open(tpm=chip.address, token=USER_TOKEN).pull("digits")
    return device


def plaintext(room):
    with room.load("digits", offline="only") as model:
        return bytes(model.file("weights.bin"))


def test_a_device_lives_with_its_tpm(device, chip):
    room = device.open()
    assert room.store.keystore.strength == "tpm"
    assert plaintext(room) == WEIGHTS
    chip.reboot()
    device.boot_id, device.boot = "boot-2", 10
    device.later(1000)
    assert plaintext(device.open()) == WEIGHTS
    assert not [*device.home.glob("keystore/*.key")]
    device.office.publish("digits", "1.1", {"weights.bin": WEIGHTS[::-1]}, counter=2)
    device.open().pull("digits")
    assert plaintext(device.open()) == WEIGHTS[::-1]


def test_a_cloned_device_opens_nothing(device, tmp_path, other_chip):
    """The disk of one machine, copied to another, with everything on it but the chip."""
    clone = tmp_path / "clone"
    shutil.copytree(device.home, clone)
    for use in (
        lambda: device.open(clone, tpm=other_chip.address),
        lambda: device.open(clone, tpm=other_chip.address, token=USER_TOKEN),
    ):
        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.code == Code.STORE_DAMAGED
        assert "another TPM" in caught.value.what
        assert "enrol this machine anew" in caught.value.next_step
    assert plaintext(device.open()) == WEIGHTS
