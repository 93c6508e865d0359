"""What the testing kit mints is accepted where stand-ins are, and nowhere else."""

from dataclasses import replace

import pytest

from stand_ins import (
    APP_ID,
    AT,
    BINDING,
    KEYLESS,
    OLD,
    PACKAGE,
    POLICY,
    description,
    judged,
    kits,
    only_genuine,
    stream,
)
from strongroom.attest import tpm
from strongroom.attest.claims import HASHED, IN_HARDWARE, Claims, Expected, Level
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import Refusal, Rejection
from strongroom.errors import Code, IntegrityError, UnreachableError
from strongroom.testing import StandInWarning, TestAndroid, TestApple, TestPlay, TestTpm
from strongroom.testing.android_description import AGREE_KEY, STRONGBOX
from strongroom.wire import hpke

UNDER = replace(POLICY, apple=replace(POLICY.apple, min_bundle_version="", categories=()))
KITS = kits()
TRUSTED = KITS.authorities


def apple_phones():
    old = KITS.apple.phone(APP_ID)
    new = KITS.apple.phone(APP_ID, bundle_version="1.2.3", category=4)
    return old, new


def enrolments():
    """Yield everything that stands by itself: a name, its kind, the evidence."""
    old, new = apple_phones()
    yield "an iPhone before iOS 27", "app-attest", old.attest(BINDING, AT)
    yield "an iPhone with iOS 27", "app-attest", new.attest(BINDING, AT)
    strongbox = description(attestation_level=STRONGBOX, key_level=STRONGBOX)
    for said, name in ((description(), "TEE"), (strongbox, "StrongBox")):
        yield f"{name}, provisioned", "android-key", KITS.android.attest(said, AT).evidence
        yield f"{name}, from the factory", "android-key", KITS.android.attest(said, AT, factory=True).evidence
    yield "a classic token", "play", KITS.play.token(KITS.play.verdict(BINDING, AT, classic=True))
    yield "a TPM with ECC keys", "tpm", KITS.tpm.chip().enrol(BINDING)
    yield (
        "a TPM with an RSA key and two banks",
        "tpm",
        KITS.tpm.chip(use_rsa=True, banks=("sha256", "sha384")).enrol(BINDING),
    )


MINTED = list(enrolments())
EACH = pytest.mark.parametrize(("kind", "evidence"), [one[1:] for one in MINTED], ids=[one[0] for one in MINTED])


@EACH
def test_it_is_accepted_among_stand_ins(kind, evidence):
    claims = judged(kind, evidence, TRUSTED, UNDER)
    assert isinstance(claims, Claims), claims
    assert claims.stand_in
    assert claims.known is None or claims.known.stand_in
    assert claims.level in {Level.HARDWARE, Level.STRONGBOX}


@EACH
def test_a_server_in_production_refuses_it(kind, evidence):
    """An attacker mints evidence with the public kit; its roots are not believed, whatever the policy says."""
    found = judged(kind, evidence, only_genuine(KITS.android.revocation_list()), UNDER)
    assert isinstance(found, Rejection)
    assert found.code == Refusal.CHAIN


@EACH
def test_a_policy_that_does_not_name_stand_ins_refuses_it(kind, evidence):
    """The roots of a test were left in a server's settings; a policy must still ask for stand-ins by name."""
    found = judged(kind, evidence, TRUSTED, replace(UNDER, stand_ins=False))
    assert isinstance(found, Rejection)
    assert found.code == Refusal.POLICY


@EACH
def test_the_policy_of_nobody_accepts_nothing(kind, evidence):
    found = judged(kind, evidence, TRUSTED, Policy("default", 1, bytes(32)))
    assert isinstance(found, Rejection)
    assert found.code == Refusal.POLICY


@EACH
def test_another_kit_refuses_it(kind, evidence):
    """Each kit has authorities of its own: two tests cannot vouch for one another."""
    found = judged(kind, evidence, kits(seed=2).authorities, UNDER)
    assert isinstance(found, Rejection)
    assert found.code == Refusal.CHAIN


@EACH
def test_it_is_good_for_one_request(kind, evidence):
    """B08: evidence for another challenge is refused as that."""
    found = judged(kind, evidence, TRUSTED, UNDER, expected=Expected(bytes(32), bytes(32)))
    assert isinstance(found, Rejection)
    assert found.code == Refusal.BINDING


def later_evidence():
    """Yield a kind, enrolment, and two pieces of evidence that refer to it, the older one first."""
    for phone in apple_phones():
        yield "app-attest", phone.attest(BINDING, AT), phone.sign(BINDING), phone.sign(BINDING)
    chip = KITS.tpm.chip()
    yield "tpm", chip.enrol(BINDING), chip.quote(BINDING), chip.quote(BINDING)


LATER = pytest.mark.parametrize(
    ("kind", "enrolment", "first", "second"), list(later_evidence()), ids=["iOS 26", "iOS 27", "TPM"]
)


@LATER
def test_what_refers_to_an_enrolment_is_a_stand_in_too(kind, enrolment, first, second):
    """An assertion carries no certificate: that a test authority vouched for its key is remembered."""
    known = judged(kind, enrolment, TRUSTED, UNDER).known
    after = judged(kind, first, TRUSTED, UNDER, known)
    assert isinstance(after, Claims), after
    assert after.stand_in
    assert not after.fresh
    assert isinstance(judged(kind, second, TRUSTED, UNDER, after.known), Claims)
    refused = judged(kind, first, only_genuine(None), replace(UNDER, stand_ins=False), known)
    assert isinstance(refused, Rejection)
    assert refused.code == Refusal.POLICY


@LATER
def test_it_counts(kind, enrolment, first, second):
    """B08: evidence that was sent once is sent again."""
    known = judged(kind, enrolment, TRUSTED, UNDER).known
    last = judged(kind, second, TRUSTED, UNDER, known).known
    replayed = judged(kind, first, TRUSTED, UNDER, last)
    assert isinstance(replayed, Rejection)
    assert replayed.code == Refusal.REPLAY


def test_what_the_map_of_ios_27_says_is_claimed():
    old, new = apple_phones()
    said = judged("app-attest", new.attest(BINDING, AT), TRUSTED, POLICY)
    assert (said.app_version, said.category, said.environment) == ("1.2.3", 4, "production")
    said = judged("app-attest", old.attest(BINDING, AT), TRUSTED, OLD)
    assert (said.app_version, said.category) == ("", None)


def test_receipts_are_of_the_kit_too():
    evidence = KITS.apple.phone(APP_ID).attest(BINDING, AT)
    assert judged("app-attest", evidence, TRUSTED, OLD).signals["receipt"] == "genuine"
    without = replace(TRUSTED, apple_receipts=only_genuine(None).apple_receipts)
    assert judged("app-attest", evidence, without, OLD).signals["receipt"] != "genuine"


def test_an_attested_key_that_agrees_opens_what_is_sealed_for_it():
    """The key of the answer is the attested one: `key_binding` is hardware, and HPKE opens with it."""
    key = KITS.android.attest(description(challenge=KEYLESS, purposes=(AGREE_KEY,)), AT)
    bound = Expected(BINDING, KEYLESS, hpke.P256, key.public_key)
    said = judged("android-key", key.evidence, TRUSTED, replace(UNDER, key_binding=IN_HARDWARE), expected=bound)
    assert isinstance(said, Claims), said
    assert said.key_binding == IN_HARDWARE
    sealed = hpke.seal(hpke.P256, key.public_key, b"info", b"a key")
    assert hpke._open(hpke.P256, key.private_key, sealed, b"info") == b"a key"


def test_a_key_that_is_only_named_is_hashed():
    evidence = KITS.android.attest(description(), AT).evidence
    assert judged("android-key", evidence, TRUSTED).key_binding == HASHED
    refused = judged("android-key", evidence, TRUSTED, replace(UNDER, key_binding=IN_HARDWARE))
    assert isinstance(refused, Rejection)
    assert refused.code == Refusal.KEY


def test_a_standard_token_is_decoded_by_the_kit_alone():
    play = KITS.play
    token = play.standard(play.verdict(BINDING, AT))
    said = judged("play", token, TRUSTED, decoded=play.decoded(token))
    assert isinstance(said, Claims), said
    assert said.stand_in
    refused = judged("play", token, only_genuine(None), replace(POLICY, stand_ins=False), decoded=play.decoded(token))
    assert refused.code == Refusal.POLICY  # Google says of testers' verdicts that they are: no key is looked at
    assert judged("play", token, TRUSTED).code == Refusal.CHAIN
    with pytest.raises(UnreachableError) as caught:
        play.decoded(play.token(play.verdict(BINDING, AT)))
    assert caught.value.code == Code.EVIDENCE


@pytest.mark.parametrize("use_rsa", [False, True])
def test_a_credential_opens_in_its_chip_and_nowhere_else(use_rsa):
    chip, other = KITS.tpm.chip(use_rsa=use_rsa), KITS.tpm.chip(use_rsa=use_rsa)
    secret = bytes(range(32))
    credential = tpm.make_credential(chip.ek.raw, chip.ak.name(), secret, stream(9))
    assert chip.activate(credential) == secret
    assert tpm.activated(tpm.read(chip.enrol(BINDING, activation=secret)), secret)
    for wrong in (credential[:40] + b"\xff" + credential[41:], credential[:-1], b"", credential + b"\0"):
        with pytest.raises(IntegrityError):
            chip.activate(wrong)
    with pytest.raises(IntegrityError):
        other.activate(credential)
    named_other = tpm.make_credential(chip.ek.raw, other.ak.name(), secret, stream(9))
    with pytest.raises(IntegrityError) as caught:
        chip.activate(named_other)
    assert caught.value.code == Code.SEALED_KEY


def test_a_chip_measures_and_forgets_as_a_tpm_does():
    chip = KITS.tpm.chip()
    zero = chip.pcrs["sha256"][7]
    chip.extend(7, b"a certificate")
    measured = chip.pcrs["sha256"][7]
    assert judged("tpm", chip.enrol(BINDING), TRUSTED).code == Refusal.PCR
    chip.extend(7, b"another")
    assert len({zero, measured, chip.pcrs["sha256"][7]}) == 3
    before = judged("tpm", chip.enrol(BINDING), TRUSTED, replace(POLICY, tpm=replace(POLICY.tpm, pcrs={}))).known
    chip.reset()
    assert chip.pcrs["sha256"][7] == zero
    after = judged("tpm", chip.quote(BINDING), TRUSTED, known=before)
    assert after.known.clock.reset_count == before.clock.reset_count + 1


@pytest.mark.parametrize(
    "make", [TestApple, TestAndroid, lambda at: TestPlay(PACKAGE), TestTpm], ids=["apple", "android", "play", "tpm"]
)
def test_it_says_loudly_what_it_is(make):
    with pytest.warns(StandInWarning, match="vouches for devices that do not exist") as caught:
        make(AT)
    assert caught[0].filename == __file__  # the line that made it, and none of ours


def minted(seed: int) -> list[bytes]:
    one = kits(seed)
    chip = one.tpm.chip()
    return [
        one.apple.phone(APP_ID).attest(BINDING, AT),
        one.apple.phone(APP_ID).sign(BINDING),
        one.android.attest(description(), AT).evidence,
        one.play.token(one.play.verdict(BINDING, AT, classic=True)),
        chip.enrol(BINDING),
        chip.quote(BINDING),
    ]


def test_the_same_randomness_mints_the_same_and_other_mints_other():
    assert minted(5) == minted(5)
    assert all(one != other for one, other in zip(minted(5), minted(6), strict=True))


def test_without_randomness_no_two_kits_are_alike():
    with pytest.warns(StandInWarning):
        roots = [TestApple(AT).roots.stand_ins[0] for _ in range(2)]
    assert roots[0] != roots[1]


def test_nothing_prints_a_private_key():
    key = KITS.android.attest(description(), AT)
    shown = f"{key!r} {KITS.tpm.chip()!r} {KITS.apple.phone(APP_ID)!r} {KITS.play.keys!r}"
    assert "PrivateKey" not in shown
    assert repr(KITS.play.keys.decryption) not in shown
