"""Whom a policy file names, made from its files' bytes: whole, or stopped with file and line."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stand_ins import AT, PACKAGE, kits
from strongroom.attest import authorities_file
from strongroom.attest.policy_file import PlayFiles, Sources
from strongroom.attest.roots import production
from strongroom.errors import Code, InputError, SetupError, StoreError

DAY = 86_400
EMPTY = json.dumps({"entries": {}}).encode()


@pytest.fixture(scope="module")
def kit():
    return kits()


def load(files, at=AT, changed=AT, **named):
    def read(name):
        if name not in files:
            raise InputError(Code.ARGUMENT, "there is no such file", where=name, next_step="check the path")
        return files[name]

    places = dict.fromkeys((*named, PACKAGE), "attestation.toml line 3")
    return authorities_file.load(read, lambda _: changed, Sources(**named, places=places), at)


def pem(kit):
    return b"".join(one.public_bytes(Encoding.PEM) for one in kit.tpm.roots.stand_ins)


def test_without_names_there_are_the_pinned_roots_and_nothing_else():
    assert load({}) == production()


def test_roots_of_makers_are_genuine_and_stand_ins_are_not(kit):
    found = load({"maker.pem": pem(kit), "test.pem": pem(kit)}, tpm_roots=("maker.pem",), stand_ins=("test.pem",))
    assert (found.tpm.genuine, found.tpm.stand_ins) == (kit.tpm.roots.stand_ins, kit.tpm.roots.stand_ins)
    for some in (found.apple, found.apple_receipts, found.android):
        assert some.stand_ins == kit.tpm.roots.stand_ins
        assert not set(some.genuine) & set(some.stand_ins)


@pytest.mark.parametrize("age", [0, 7 * DAY, 7 * DAY + 1])
@pytest.mark.parametrize("inside", [True, False], ids=["fetched", "written"])
def test_the_age_of_the_list(age, inside):
    """What the file says of itself counts, else when it was written."""
    document = {"entries": {"c0ffee": {"status": "REVOKED"}}} | ({"fetched": AT - age} if inside else {})
    files = {"status.json": json.dumps(document).encode()}
    changed = 1 if inside else AT - age
    if age > 7 * DAY:
        with pytest.raises(SetupError) as error:
            load(files, changed=changed, revocation_list="status.json")
        assert error.value.where == "status.json, named in attestation.toml line 3"
    else:
        found = load(files, changed=changed, revocation_list="status.json").revoked
        assert (dict(found.serials), found.fetched, found.max_age) == ({"c0ffee": "REVOKED"}, AT - age, 7 * DAY)


@pytest.mark.parametrize(
    ("age", "most", "said"),
    [
        (7 * DAY + 1, 7 * DAY, "8 days old, and 7 are"),
        (13 * 3600, 12 * 3600, "13 hours old, and 12 are"),
        (DAY + 1, DAY, "25 hours old, and 24 are"),
        (4000, 3600, "67 minutes old, and 60 are"),
        (9, 1, "9 seconds old, and 1 are"),
    ],
)
def test_an_old_list_is_told_in_a_unit_that_shows_it(age, most, said):
    files = {"status.json": json.dumps({"entries": {}, "fetched": AT - age}).encode()}
    with pytest.raises(SetupError) as error:
        load(files, revocation_list="status.json", revocation_max_age=most)
    assert said in error.value.what


@pytest.mark.parametrize("early", [DAY, DAY + 1, 10**9])
@pytest.mark.parametrize("inside", [True, False], ids=["fetched", "written"])
def test_a_list_of_the_future_would_never_grow_old(early, inside):
    """A day is a clock that goes wrong; more is a date that somebody made up."""
    document = {"entries": {}} | ({"fetched": AT + early} if inside else {})
    files, changed = {"status.json": json.dumps(document).encode()}, 1 if inside else AT + early
    if early == DAY:
        assert load(files, changed=changed, revocation_list="status.json").revoked.fetched == AT + DAY
        return
    with pytest.raises(SetupError) as error:
        load(files, changed=changed, revocation_list="status.json")
    assert (error.value.code, error.value.where) == (Code.CONFIG, "status.json, named in attestation.toml line 3")
    assert "future" in error.value.what


def keys(kit):
    spki = kit.play.keys.verification.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = kit.play.keys.verification.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = kit.play.keys.decryption
    return {
        "as the Play Console shows them": (base64.b64encode(secret), base64.b64encode(spki) + b"\n"),
        "base64url": (base64.urlsafe_b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(spki)),
        "bytes": (secret, spki),
        "PEM": (secret, public),
    }


def test_keys_of_an_app_in_every_spelling(kit):
    for name, (secret, public) in keys(kit).items():
        play = {PACKAGE: PlayFiles("a", "b", stand_in=name == "PEM")}
        found = load({"a": secret, "b": public}, play=play)
        assert found.play[PACKAGE].decryption == kit.play.keys.decryption, name
        assert found.play[PACKAGE].verification.public_numbers() == kit.play.keys.verification.public_numbers()
        assert found.play_stand_ins == ({PACKAGE} if name == "PEM" else frozenset())


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, {"tpm_roots": ("a.pem",)}),
        ({"a.pem": b"nothing"}, {"tpm_roots": ("a.pem",)}),
        ({"a.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, {"stand_ins": ("a.pem",)}),
        ({}, {"revocation_list": "a.pem"}),
        ({"a.pem": b"{}"}, {"revocation_list": "a.pem"}),
        ({"a.pem": b"secret" * 5}, {"play": {PACKAGE: PlayFiles("a.pem", "a.pem")}}),
        ({"a.pem": bytes(32)}, {"play": {PACKAGE: PlayFiles("a.pem", "a.pem")}}),
        ({}, {"play_service_account": "a.pem"}),
    ],
)
def test_what_is_missing_or_wrong_stops_it_with_the_line(files, named):
    with pytest.raises(SetupError) as error:
        load(files, **named)
    assert error.value.code == Code.CONFIG
    assert error.value.where.endswith("named in attestation.toml line 3")
    assert "secret" not in str(error.value)


def test_a_failing_disk_is_not_the_policys_fault():
    def read(name):
        raise StoreError(Code.STORE_IO, "the disk fails", where=name)

    with pytest.raises(StoreError) as error:
        authorities_file.load(read, lambda _: AT, Sources(tpm_roots=("a",), places={"tpm_roots": "p line 1"}), AT)
    assert error.value.where == "a, named in p line 1"


def test_a_list_alone_can_be_read_anew():
    sources = Sources(revocation_list="status.json")
    assert authorities_file.revoked(lambda _: EMPTY, lambda _: AT, sources, AT).fetched == AT
    assert authorities_file.revoked(lambda _: EMPTY, lambda _: AT, Sources(), AT) is None
