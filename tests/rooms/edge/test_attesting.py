"""What an app's own attestor does wrong is told on the device, in its name, before anything is sent."""

import pytest

from rooms.edge.memory_office import SERVER, USER_TOKEN, Device, MemoryOffice, weights
from strongroom.edge import attesting, client
from strongroom.edge.evidence import Requested
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, InputError, IntegrityError, SetupError
from strongroom.wire.messages import Evidence

GOOD = (Evidence("app-attest", b"x"),)


class Apps:
    """An attestor as an app may write it."""

    kind = "app-attest"

    def __init__(self, found=GOOD, trouble=None):
        self.found, self.trouble = found, trouble

    def enrol(self, binding, activate):
        return self.request(None)

    def request(self, expected):
        if self.trouble is not None:
            raise self.trouble
        return self.found

    def open_credential(self, credential):
        return self.request(None)


@pytest.fixture
def connect(tmp_path):
    """Return what opens the room of a new device."""
    office = MemoryOffice()
    office.publish("digits", "1.0", {"weights.bin": weights(1, 1000)}, counter=1)
    home = tmp_path / "device"
    home.mkdir(mode=0o700)
    (home / "trust.json").write_bytes(office.trust_documents[0])
    clocks = Device(home, office).clocks

    def opened(attestor, token=USER_TOKEN):
        keystore = FileKeystore(home / "keystore")
        return client.open_room(
            home, keystore, url=SERVER, token=token, trust=None,
            connector=lambda _: office, clocks=clocks, attestor=attestor,
        )  # fmt: skip

    return opened


WRONG = [
    None,
    GOOD[0],
    [("app-attest", b"x")],
    (Evidence("app-attest", "text"),),
    (Evidence("AppAttest", b"x"),),
    (Evidence("app-attest", bytes(70_000)),),
    (Evidence(None, b"x"),),
    GOOD * 2,
    tuple(Evidence(f"kind-{one}", b"") for one in range(9)),
]


@pytest.mark.parametrize("found", WRONG)
def test_what_is_no_evidence_is_not_sent(connect, found):
    with pytest.raises(InputError) as caught:
        connect(Apps(found))
    assert (caught.value.code, caught.value.where) == (Code.ARGUMENT, "Apps")
    assert "enrol" in caught.value.what
    connect(Apps())  # and nothing of it is left
    with pytest.raises(InputError) as caught:
        connect(Apps(found), None).pull("digits")
    assert (caught.value.code, caught.value.where) == (Code.ARGUMENT, "Apps")
    assert "request" in caught.value.what


def test_a_list_is_as_good_as_a_tuple(connect):
    assert connect(Apps([*GOOD])).pull("digits")


@pytest.mark.parametrize("trouble", [OSError("no service at /private"), ValueError("secret"), KeyError()])
def test_what_it_raises_becomes_ours(connect, trouble):
    with pytest.raises(SetupError) as caught:
        connect(Apps(trouble=trouble))
    assert (caught.value.code, caught.value.where) == (Code.CONFIG, "Apps")
    assert type(trouble).__name__ in caught.value.what
    assert "unavailable" in caught.value.next_step
    assert not trouble.args or trouble.args[0] not in str(caught.value)
    assert caught.value.__cause__ is trouble
    connect(Apps())
    with pytest.raises(SetupError):
        connect(Apps(trouble=trouble), None).pull("digits")


def test_what_it_raises_of_ours_stays(connect):
    ours = IntegrityError(Code.SEALED_KEY, "not this device's")
    with pytest.raises(IntegrityError) as caught:
        connect(Apps(trouble=ours))
    assert caught.value is ours


def test_what_it_opens_is_32_bytes_that_can_be_wiped(tmp_path):
    keystore = FileKeystore(tmp_path)
    for good in (bytes(32), bytearray(32)):
        found = attesting.to_ask(keystore, Apps(good)).open_credential(b"")
        assert (type(found), found) == (bytearray, bytes(32))
    for wrong in (None, "x" * 32, b"", bytes(31), memoryview(bytes(32))):
        with pytest.raises(InputError) as caught:
            attesting.to_ask(keystore, Apps(wrong)).open_credential(b"")
        assert (caught.value.code, caught.value.where) == (Code.ARGUMENT, "Apps")
    with pytest.raises(SetupError):
        attesting.to_ask(keystore, Apps(trouble=OSError())).open_credential(b"")


def test_it_is_asked_as_it_is(tmp_path):
    attestor = attesting.to_enrol(FileKeystore(tmp_path), Apps())
    assert attestor.kind == "app-attest"
    assert attestor.enrol(bytes(32), None) == attestor.request(Requested(bytes(32))) == GOOD
    assert attesting.to_ask(FileKeystore(tmp_path), attestor) is attestor
