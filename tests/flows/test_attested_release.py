"""The third story, in memory: devices show what they are, each time they ask.

Read test_protect_to_run.py first (R74, R94; docs/spec/protocol.md sections 16 and 17). The phones and chips are made up
(`strongroom.testing`); a real TPM is in tests/e2e/test_tpm.py.
"""

import os
from dataclasses import dataclass

import pytest

import strongroom
from attesting_devices import KITS, office, rules
from stand_ins import APP_ID
from strongroom.edge.evidence import Activate, Requested, TwoKeys, unavailable
from strongroom.errors import Code, IntegrityError, RefusedError
from strongroom.testing import TestChip, TestPhone
from strongroom.wire.messages import Evidence
from strongroom_in_memory import DEVICES, Street, Wire
from watched_offices import bent, watching

WEIGHTS = os.urandom(300_000)


class PhoneApp:
    """What an app on a phone hands to the room: its wrapper of App Attest."""

    kind = "app-attest"

    def __init__(self, phone: TestPhone, clock) -> None:
        self.phone, self.clock = phone, clock
        self.quota = True  # whether the service answers

    def enrol(self, binding: bytes, activate: Activate) -> tuple[Evidence, ...]:
        if not self.quota:
            return unavailable("the service is down")
        return (Evidence(self.kind, self.phone.attest(binding, self.clock())),)

    def request(self, expected: Requested) -> tuple[Evidence, ...]:
        if not self.quota:
            return unavailable("the service is down")
        return (Evidence(self.kind, self.phone.sign(expected.binding)),)

    def open_credential(self, credential: bytes) -> bytearray:
        raise IntegrityError(Code.SEALED_KEY, "no TPM")


@dataclass
class Machine:
    """What a machine with a chip does."""

    chip: TestChip
    kind = "tpm"

    def enrol(self, binding: bytes, activate: Activate) -> tuple[Evidence, ...]:
        credential = activate(TwoKeys(self.chip.ek_certificates, self.chip.ek.raw, self.chip.ak.raw))
        return (Evidence(self.kind, self.chip.enrol(binding, activation=self.chip.activate(credential))),)

    def request(self, expected: Requested) -> tuple[Evidence, ...]:
        return (Evidence(self.kind, self.chip.quote(expected.binding)),)

    def open_credential(self, credential: bytes) -> bytearray:
        return bytearray(self.chip.activate(credential))


@pytest.fixture
def street(tmp_path):
    models = {"secret": rules("tpm", name="secret", attest_again=600), "open": rules(name="open", unattested=True)}
    watch = watching(bent(('signature = "stop"', 'signature = "off"')))  # what a stop does is told elsewhere
    with Street(tmp_path, attestation=office("app-attest", models=models), watch=watch) as street:
        for name in ("digits", "secret", "open"):
            with strongroom.protect(
                WEIGHTS, name=name, version="1.0", out=tmp_path / f"{name}.srm", sign_with=street.owners,
                office=street.admin,
            ) as protected:  # fmt: skip
                protected.publish(channel="stable")
        yield street


def phone(street: Street) -> PhoneApp:
    return PhoneApp(KITS.apple.phone(APP_ID, bundle_version="1.2.3", category=4), street.clock)


def device(street: Street, name: str, attestor, **options):
    return street.device(name, street.customer(name, "digits", "secret", "open"), attestor=attestor, **options)


def test_a_phone_pulls_renews_and_opens(street):
    app = phone(street)
    room = device(street, "phone", app)
    assert room.pull("digits").fetched
    assert app.phone.counter == 1
    room.renew("digits")
    assert app.phone.counter == 2
    with room.load("digits") as model:
        assert model.bytes() == WEIGHTS
    assert app.phone.counter == 2  # within its lease nobody is asked


def test_who_cannot_attest_is_told_what_to_do_and_not_called_bad(street):
    app = phone(street)
    app.quota = False
    room = device(street, "phone", app)
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert (caught.value.code, "enrol" in caught.value.next_step) == (Code.ATTESTATION_NEEDED, True)
    app.quota = True
    room.pull("digits")  # it was given a token: the room enrols anew and asks again


def test_bad_evidence_is_told_with_its_reference_and_nothing_else(street):
    app = phone(street)
    room = device(street, "phone", app)
    app.phone.app_id = "TEAM123456.com.example.other"
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.EVIDENCE
    assert caught.value.what.startswith("attestation refused; its reference is ref_")
    assert "reference" in caught.value.next_step


def test_a_device_without_anything_that_vouches_for_it(street):
    room = device(street, "laptop", None)
    assert room.pull("open").fetched
    for name in ("digits", "secret"):
        with pytest.raises(RefusedError) as caught:
            room.pull(name)
        assert caught.value.code == Code.ATTESTATION_NEEDED


def test_keys_are_wrapped_for_the_chip_that_asked(street):
    machine = Machine(KITS.tpm.chip())
    room = device(street, "box", machine)
    assert room.pull("secret").fetched
    assert room.pull("open").fetched  # a model that asks for nothing does not mind
    with room.load("secret") as model:
        assert model.bytes() == WEIGHTS


def test_another_chip_opens_nothing(street):
    """I04: everything that was copied from the machine is there, but for its chip."""

    class Thief(Machine):
        def open_credential(self, credential: bytes) -> bytearray:
            return bytearray(KITS.tpm.chip().activate(credential))

    with pytest.raises(IntegrityError) as caught:
        device(street, "box", Thief(KITS.tpm.chip())).pull("secret")
    assert caught.value.code == Code.SEALED_KEY


def test_a_grant_for_a_chip_is_told_plainly_to_who_has_none(street):
    class Forgetful(Machine):
        @property
        def open_credential(self):
            return None

    with pytest.raises(IntegrityError) as caught:
        device(street, "box", Forgetful(KITS.tpm.chip())).pull("secret")
    assert "TPM" in caught.value.what
    assert "enrol" in caught.value.next_step


def test_a_key_that_is_to_be_attested_anew_is_if_a_token_is_at_hand(street):
    with_token = device(street, "box", Machine(KITS.tpm.chip()))
    without = street.device("box", attestor=with_token._attestor)
    with_token.pull("secret")
    street.clock.advance(600)
    for ask in (without.pull, without.renew):
        with pytest.raises(RefusedError) as caught:
            ask("secret")
        assert (caught.value.code, bool(caught.value.next_step)) == (Code.ATTESTATION_NEEDED, True)
    with_token.renew("secret")
    without.pull("secret", fresh=True)  # the same device: its key was just attested
    street.clock.advance(600)
    assert with_token.pull("secret", fresh=True).fetched


def test_it_enrols_anew_once_and_does_not_go_on_for_ever(street):
    line = Wire(street, DEVICES)
    app = phone(street)
    room = device(street, "phone", app, wire=line)
    app.quota = False
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.ATTESTATION_NEEDED
    assert sum(url.endswith("/v1/devices") for _, url, _, _ in line.sent) == 2
    assert sum(url.endswith("/v1/releases") for _, url, _, _ in line.sent) == 2


def test_the_token_that_a_room_holds_shows_nowhere(street):
    room = device(street, "phone", phone(street))
    token = room._user_token
    assert token
    assert token not in repr(room)
    assert not any(token.encode() in path.read_bytes() for path in room.store.home.rglob("*") if path.is_file())
