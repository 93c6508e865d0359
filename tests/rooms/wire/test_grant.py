"""Grants: honest ones open; every single thing that is not as it should be is refused (B02 to B07, B17 to B25, G06)."""

import dataclasses

import pytest

from strongroom import canonical
from strongroom.errors import Code, InputError, IntegrityError, InternalError, RefusedError, StrongroomError
from strongroom.sealed.keys import ModelKey
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import grant as grants
from strongroom.wire import hpke, jws, lease
from strongroom.wire.messages import Grant, Have, Latest, ReleaseAnswer

NOW = 1_800_000_000
RELEASE = SigningKey(ED25519, b"r" * 32)
STRANGER = SigningKey(ED25519, b"x" * 32)


def refusal(exchange, answer, **changes) -> Code:
    with pytest.raises(StrongroomError) as caught:
        exchange.read(answer, **changes)
    return caught.value.code


def reissued(grant: Grant) -> ReleaseAnswer:
    return grants.issue(grant, (RELEASE,))


@pytest.mark.parametrize("kem", hpke.KEMS, ids=hpke.KEMS.values())
@pytest.mark.parametrize("count", [1, 2])
def test_an_honest_grant_opens(exchange, kem, count):
    """R41 to R45: signed, read, opened, and the key pair is gone."""
    whole = type(exchange)(kem=kem, keys=exchange.keys[:count])
    answer = ReleaseAnswer.from_bytes(whole.answer().to_bytes())
    assert whole.open(answer) == whole.keys
    assert whole.ephemeral.used
    with pytest.raises(InputError):
        whole.open(answer)


def test_the_mek_is_not_in_the_answer(exchange):
    """R43."""
    answer = exchange.answer().to_bytes()
    for key in exchange.keys:
        secret = bytes(key.reveal())
        assert secret not in answer
        assert canonical.to_base64url(secret)[:-1].encode("ascii") not in answer


def test_every_field_changed_after_signing_is_refused(exchange):
    """G06: one field of the payload at a time, the signature as it was."""
    (good,) = exchange.answer().grant
    head, payload, signature = good.split(".")
    value = canonical.decode(canonical.from_base64url(payload), limit=1_000_000)
    for name, old in value.items():
        if isinstance(old, dict):
            new: object = old | {"counter": 8}
        elif isinstance(old, int):
            new = old + 1
        else:
            new = old[:-1] or ["x"]
        bent = canonical.to_base64url(canonical.encode(value | {name: new}))
        assert refusal(exchange, ReleaseAnswer((f"{head}.{bent}.{signature}",))) == Code.SIGNATURE, name


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"request": b"x" * 32}, Code.GRANT_MISMATCH, id="another request"),
        pytest.param({"challenge": b"x" * 32}, Code.GRANT_MISMATCH, id="another challenge"),
        pytest.param({"account": "acc_" + "b" * 22}, Code.GRANT_MISMATCH, id="another account"),
        pytest.param({"device": "dev_" + "e" * 22}, Code.GRANT_MISMATCH, id="another device"),
        pytest.param({"model": "letters"}, Code.GRANT_MISMATCH, id="another model"),
        pytest.param({"counter": 5}, Code.GRANT_ROLLBACK, id="an older counter"),
        pytest.param({"epoch": 2}, Code.GRANT_MISMATCH, id="an epoch nobody set"),
        pytest.param({"latest": Latest("1.2", 7, NOW)}, Code.GRANT_FROZEN, id="latest expired"),
        pytest.param({"latest": Latest("1.3", 8, NOW + 100)}, Code.GRANT_ROLLBACK, id="not the newest version"),
        pytest.param({"latest": Latest("1.2", 8, NOW + 100)}, Code.GRANT_ROLLBACK, id="not the newest counter"),
        pytest.param(
            {"version": "1.1", "latest": Latest("1.1", 7, NOW + 100)}, Code.LEASE_MISMATCH, id="lease of another"
        ),
        pytest.param({"lease": ("a.b.c",)}, Code.SIGNATURE, id="no lease"),
    ],
)
def test_a_signed_grant_for_something_else_is_refused(exchange, change, code):
    """B02, B10, B17, B18, B20: what a server with the release key could try, and what a replay looks like."""
    assert refusal(exchange, exchange.answer(**change)) == code


def test_a_replay_of_an_old_answer_is_refused(exchange):
    """B02: genuine, signed, and the answer to yesterday's request."""
    old = exchange.answer()
    assert refusal(exchange, old, expected_request=b"n" * 32) == Code.GRANT_MISMATCH
    assert refusal(exchange, old, expected_challenge=b"n" * 32) == Code.GRANT_MISMATCH


def test_another_devices_answer_is_refused(exchange):
    """B09, R42: what was granted to one device neither reads nor opens on another."""
    answer = exchange.answer()
    assert refusal(exchange, answer, device="dev_" + "e" * 22) == Code.GRANT_MISMATCH
    assert refusal(exchange, answer, account="acc_" + "b" * 22) == Code.GRANT_MISMATCH
    grant = exchange.read(answer)
    with pytest.raises(IntegrityError) as caught:
        grants.open_grant(grant, hpke.EphemeralKey.generate(exchange.kem), exchange.binding)
    assert caught.value.code == Code.SEALED_KEY


def test_a_version_asked_for_is_the_version_granted(exchange):
    assert exchange.read(exchange.answer(), selector="1.2").version == "1.2"
    assert refusal(exchange, exchange.answer(), selector="1.1") == Code.GRANT_MISMATCH
    newer = Latest("1.3", 8, NOW + 100)
    assert exchange.read(exchange.answer(latest=newer), selector="1.2").latest == newer


@pytest.mark.parametrize(
    ("high_water", "fits"), [(None, True), ((1, 6), True), ((1, 7), True), ((1, 8), False), ((2, 1), False)]
)
def test_nothing_below_the_high_water_mark_is_taken(exchange, high_water, fits):
    """B17."""
    if fits:
        assert exchange.read(exchange.answer(), high_water=high_water).counter == 7
    else:
        assert refusal(exchange, exchange.answer(), high_water=high_water) == Code.GRANT_ROLLBACK


def test_a_higher_epoch_recovers_from_a_fast_forward(exchange):
    """B19: a stolen online key drove the counter up; the owners set a new epoch and the device goes on."""
    stuck = (1, 2**53 - 1)
    assert refusal(exchange, exchange.answer(), high_water=stuck) == Code.GRANT_ROLLBACK
    raised = dataclasses.replace(exchange.trust, epochs=(("digits", 2),))
    assert refusal(exchange, exchange.answer(), trust=raised) == Code.GRANT_ROLLBACK
    assert exchange.read(exchange.answer(epoch=2), trust=raised, high_water=stuck).epoch == 2


def test_what_is_too_old_is_told_apart(exchange):
    """B17, B18: ended by the owners, older than what was here, or not the newest: each says what to do next."""
    raised, newer = dataclasses.replace(exchange.trust, epochs=(("digits", 2),)), Latest("1.3", 8, NOW + 100)
    cases = {
        "epoch, 1; theirs is 2": (exchange.answer(), {"trust": raised, "high_water": (2, 9)}, "publish it anew"),
        "it is 1.7, older than the 1.8": (exchange.answer(), {"high_water": (1, 8)}, "ask for the newest"),
        "not for the newest version": (exchange.answer(latest=newer), {"selector": "@stable"}, "ask again"),
        "has expired": (exchange.answer(latest=Latest("1.2", 7, NOW)), {"selector": "@stable"}, "clocks"),
        "have not set": (exchange.answer(epoch=3), {}, "tell the model's operator"),
    }
    for words, (answer, changes, step) in cases.items():
        with pytest.raises(StrongroomError) as caught:
            exchange.read(answer, **changes)
        assert words in caught.value.what
        assert step in caught.value.next_step


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda file: dataclasses.replace(file, kind="local"), id="local"),
        pytest.param(lambda file: dataclasses.replace(file, suite=2), id="suite"),
        pytest.param(lambda file: dataclasses.replace(file, file_id=b"\1" * 32), id="a file twice"),
    ],
)
def test_files_that_are_not_allowed_are_refused(exchange, change):
    files = (change(exchange.files[0]), exchange.files[1])
    assert refusal(exchange, exchange.answer(files=files)) == Code.GRANT_MISMATCH


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"account": "acc_" + "b" * 22}, Code.LEASE_MISMATCH),
        ({"model": "letters"}, Code.LEASE_MISMATCH),
        ({"version": "1.1"}, Code.LEASE_MISMATCH),
        ({"files": (b"x" * 64,)}, Code.LEASE_MISMATCH),
        ({"request": b"x" * 32}, Code.LEASE_MISMATCH),
        ({"challenge": b"x" * 32}, Code.LEASE_MISMATCH),
        ({"issued": NOW + 601}, Code.LEASE_MISMATCH),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_grant_with_a_lease_for_something_else_is_refused(exchange, change, code):
    """B25."""
    signed = lease.issue(exchange.lease(**change), (RELEASE,))
    assert refusal(exchange, exchange.answer(lease=signed)) == code


def test_a_grant_whose_lease_somebody_else_signed_is_refused(exchange):
    assert refusal(exchange, exchange.answer(lease=lease.issue(exchange.lease(), (STRANGER,)))) == Code.SIGNATURE


def test_whoever_is_not_the_release_role_grants_nothing(exchange):
    """B06, B27: sealing to the device's key is easy, signing as the release role is not; nor may the owner do it."""
    owner = SigningKey(ED25519, b"\1" * 32)
    assert owner.public in exchange.trust.owner.principals[0].keys
    for signer in (STRANGER, owner):
        assert refusal(exchange, grants.issue(exchange.grant(), (signer,))) == Code.SIGNATURE


def test_a_signed_value_of_another_type_is_no_grant(exchange):
    signed = jws.sign("sr-lease", exchange.grant().to_bytes(), (RELEASE,))
    assert refusal(exchange, ReleaseAnswer(signed)) == Code.SIGNATURE


def test_a_hybrid_release_role_needs_both_signatures(exchange):
    lattice = SigningKey(ML_DSA_65, b"p" * 32)
    role = Role(1, (Principal((RELEASE.public, lattice.public)),))
    exchange.trust = dataclasses.replace(exchange.trust, release=role)
    signed = lease.issue(exchange.lease(), (RELEASE, lattice))
    grant = exchange.grant(lease=signed)
    assert exchange.read(grants.issue(grant, (RELEASE, lattice))) == grant
    assert refusal(exchange, grants.issue(grant, (RELEASE,))) == Code.SIGNATURE
    assert refusal(exchange, grants.issue(grant, (lattice,))) == Code.SIGNATURE
    half = exchange.grant(lease=signed[:1])
    assert refusal(exchange, grants.issue(half, (RELEASE, lattice))) == Code.SIGNATURE


def test_trust_that_has_expired_takes_no_new_grants(exchange):
    assert refusal(exchange, exchange.answer(), at=exchange.trust.expires) == Code.TRUST_EXPIRED


def test_a_payload_that_is_not_canonical_is_refused(exchange):
    payload = exchange.grant().to_bytes().replace(b'"counter":7', b'"counter": 7')
    assert refusal(exchange, ReleaseAnswer(jws.sign("sr-grant", payload, (RELEASE,)))) == Code.JSON_NOT_CANONICAL


def test_sealed_keys_of_another_grant_do_not_open(exchange):
    """B20: keys for one version beside the names of another, properly signed."""
    other = exchange.grant(counter=8, latest=Latest("1.2", 8, NOW + 100))
    with pytest.raises(IntegrityError) as caught:
        exchange.open(reissued(dataclasses.replace(exchange.grant(), sealed=other.sealed)))
    assert caught.value.code == Code.SEALED_KEY
    assert exchange.ephemeral.used


@pytest.mark.parametrize("name", ["urls_expire", "server_time", "reactions", "release_id", "files"])
def test_all_of_the_grant_is_bound_to_the_keys(exchange, name):
    """A field that no check of the device compares is still covered by the HPKE info."""
    grant = exchange.grant()
    old = getattr(grant, name)
    new = {"reactions": ("slow",), "release_id": "rel_" + "x" * 22}.get(name)
    if name == "files":
        new = (dataclasses.replace(old[0], url="https://evil.example/o/1"), *old[1:])
    changed = dataclasses.replace(grant, **{name: old + 1 if new is None else new})
    with pytest.raises(IntegrityError) as caught:
        exchange.open(reissued(changed))
    assert caught.value.code == Code.SEALED_KEY


@pytest.mark.parametrize(
    "name", ["purpose", "challenge", "kem", "account", "device", "device_key", "platform", "model", "version"]
)
def test_keys_open_only_under_the_binding_they_were_sealed_under(exchange, name):
    """R42: swap any of them and nothing opens."""
    old = getattr(exchange.binding, name)
    new = old ^ 1 if isinstance(old, int) else b"x" * 32 if isinstance(old, bytes) else old + "x"
    other = dataclasses.replace(exchange.binding, **{name: new})
    with pytest.raises(IntegrityError) as caught:
        grants.open_grant(exchange.read(exchange.answer()), exchange.ephemeral, other)
    assert caught.value.code == Code.SEALED_KEY
    assert exchange.ephemeral.used


def test_sealed_keys_of_another_size_are_refused(exchange):
    """One key for two files, and files that nobody sealed keys for."""
    grant = exchange.unsealed()
    for count in (1, 3):
        info = hpke.release_info(exchange.binding.digest(), grant)
        sealed = hpke.seal(exchange.kem, exchange.ephemeral.public, info, b"k" * 32 * count)
        with pytest.raises(IntegrityError) as caught:
            grants.open_grant(dataclasses.replace(grant, sealed=sealed), exchange.ephemeral, exchange.binding)
        assert caught.value.code == Code.SEALED_KEY
    assert exchange.ephemeral.used


def test_you_have_the_newest_only_if_you_said_so(exchange):
    file = exchange.files[0]
    answer = reissued(exchange.unsealed())
    assert refusal(exchange, answer) == Code.GRANT_MISMATCH
    assert refusal(exchange, answer, have=Have("1.1", file.file_id)) == Code.GRANT_MISMATCH
    assert refusal(exchange, answer, have=Have("1.2", b"x" * 32)) == Code.GRANT_MISMATCH
    grant = exchange.read(answer, have=Have("1.2", file.file_id))
    assert grants.open_grant(grant, exchange.ephemeral, exchange.binding) == ()
    assert exchange.ephemeral.used


def test_a_grant_that_could_not_be_read_is_not_signed(exchange):
    with pytest.raises(InternalError):
        reissued(exchange.unsealed(counter=0))
    with pytest.raises(InternalError):
        grants.seal_keys(exchange.unsealed(), exchange.binding, exchange.keys[:1])


def test_an_ephemeral_key_that_is_no_key_gets_nothing(exchange):
    """B05."""
    bad = dataclasses.replace(exchange.binding, public_key=bytes(32))
    with pytest.raises(InputError) as caught:
        grants.seal_keys(exchange.unsealed(), bad, exchange.keys)
    assert caught.value.code == Code.PUBLIC_KEY


def test_the_keys_given_to_seal_stay_as_they_are(exchange):
    before = [bytes(key.reveal()) for key in exchange.keys]
    exchange.grant()
    assert [bytes(key.reveal()) for key in exchange.keys] == before
    assert exchange.open(exchange.answer()) == tuple(map(ModelKey, before))


def test_the_errors_belong_to_whoever_must_act(exchange):
    with pytest.raises(RefusedError):
        exchange.read(exchange.answer(), high_water=(1, 8))
    with pytest.raises(IntegrityError):
        exchange.read(exchange.answer(request=b"x" * 32))
