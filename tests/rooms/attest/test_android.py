"""Android Key Attestation: what a chain proves, and each rule of it broken alone."""

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from android_minting import (
    AT,
    BINDING,
    LEAF,
    LEAF_LIFE,
    PACKAGE,
    PROVISIONED,
    SAID,
    SIGNER,
    Google,
    der,
    described,
    factory_name,
    remote_name,
)
from strongroom.attest import android, revocation
from strongroom.attest import der as reader
from strongroom.attest.authorities import Authorities, RevocationList, Roots
from strongroom.attest.claims import AFFIRMING, HASHED, IN_HARDWARE, VECTOR, WARNING, Claims, Expected, Kind, Level
from strongroom.attest.policy import Policy
from strongroom.attest.roots import production
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.testing import KeyDescription
from strongroom.testing import android_description as kinds
from strongroom.testing import der as writer
from strongroom.testing.authority import DAY, YEAR, Issuer, authority_extensions, fresh_key, named, usage
from strongroom.wire import hpke

GOOGLE = Google()
TRUSTED = GOOGLE.trusted()
KEYLESS = bytes([9]) * 32
EXPECTED = Expected(BINDING)
POLICY = Policy("digits", 1, b"")
ITSELF = Expected(BINDING, KEYLESS, hpke.P256, GOOGLE.point)
AGREES = replace(SAID, challenge=KEYLESS, purposes=(kinds.AGREE_KEY,))


def judge(evidence: bytes, expected: Expected = EXPECTED, at: int = AT, authorities: Authorities = TRUSTED) -> Claims:
    return android.verify(evidence, expected, at, None, POLICY, authorities, Trail())


def refusal(
    evidence: bytes | tuple[x509.Certificate, ...],
    expected: Expected = EXPECTED,
    at: int = AT,
    authorities: Authorities = TRUSTED,
) -> Refusal | None:
    try:
        judge(evidence if isinstance(evidence, bytes) else der(evidence), expected, at, authorities)
    except RefusedEvidence as refused:
        return refused.code
    return None


def test_a_provisioned_chain_proves_key_device_and_application():
    evidence = der(GOOGLE.attest())
    claims = judge(evidence)
    spki = GOOGLE.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (claims.kind, claims.level, claims.key_binding) == (Kind.ANDROID_KEY, Level.HARDWARE, HASHED)
    assert claims.device_id == hashlib.sha256(spki).digest()
    assert claims.evidence == hashlib.sha256(evidence).digest()
    assert (claims.app_ids, claims.app_version, claims.signers) == ((PACKAGE,), "7", (SIGNER,))
    assert (claims.boot_state, claims.locked) == ("verified", True)
    assert (claims.os_version, claims.os_patch) == (160000, 202610)
    assert (claims.vendor_patch, claims.boot_patch) == (20261005, 20261005)
    assert (claims.factory, claims.stand_in, claims.fresh, claims.verified_at) == (False, False, True, AT)
    assert claims.known is not None
    assert (claims.known.key, claims.known.level, claims.known.app_ids) == (b"", Level.HARDWARE, (PACKAGE,))
    assert set(claims.trust) <= set(VECTOR)
    assert set(claims.trust.values()) == {AFFIRMING}


def test_the_steps_are_told_in_order():
    trail = Trail()
    android.verify(der(GOOGLE.attest()), Expected(BINDING), AT, None, POLICY, TRUSTED, trail)
    assert trail.steps == [
        "certificates", "key description", "trust anchor", "order of the chain", "certificate signatures",
        "certificate authorities", "certificate dates", "revocation list", "key origin and level", "challenge",
    ]  # fmt: skip


def test_der_and_pem_are_the_same_evidence():
    chain = GOOGLE.attest()
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    assert judge(pem).device_id == judge(der(chain)).device_id
    assert judge(pem.replace(b"\n", b"\r\n")).device_id == judge(der(chain)).device_id
    padded = next(one for one in pem.split(b"\n") if one.endswith(b"="))
    sloppy = padded.rstrip(b"=")[:-1] + bytes([padded.rstrip(b"=")[-1] + 1]) + b"=" * padded.count(b"=")
    assert base64.b64decode(sloppy) == base64.b64decode(padded)
    for bent in (
        pem.replace(padded, sloppy),
        pem.replace(b"\n", b" \n", 1),
        pem + b"x",
        b"\n" + pem,
        pem.replace(b"=", b""),
        pem[:-30],
    ):
        assert refusal(bent) == Refusal.MALFORMED


def test_a_factory_chain_outlives_its_certificates():
    chain = GOOGLE.attest(above=GOOGLE.factory(life=(AT - 2 * YEAR, AT - YEAR)))
    claims = judge(der(chain))
    assert claims.factory
    assert refusal(der(chain), at=AT - 3 * YEAR) == Refusal.EXPIRED  # but nothing is valid before its time


@pytest.mark.parametrize("batch", [(AT - 20 * DAY, AT - 1), (AT + 1, AT + 20 * DAY)])
def test_a_provisioned_chain_ends_with_its_certificates(batch):
    assert refusal(GOOGLE.attest(above=GOOGLE.remote(batch=batch))) == Refusal.EXPIRED


def test_strongbox_is_believed_where_google_certified_it():
    said = replace(SAID, attestation_level=kinds.STRONGBOX, key_level=kinds.STRONGBOX)
    for above in (GOOGLE.remote(place="StrongBox"), GOOGLE.factory(place="StrongBox")):
        assert judge(der(GOOGLE.attest(said, above))).level == Level.STRONGBOX
    assert judge(der(GOOGLE.attest(said))).level == Level.HARDWARE


def retold(said: KeyDescription, *, level: int, swapped: bool) -> bytes:
    """Return what is said of a key in hardware with other levels, and perhaps all of it said by software."""
    fields = reader.split(reader.read(said.encode(), "test").content, 8, "test")
    levels = writer.integer(level, writer.ENUMERATED)
    lists = (fields[7], writer.sequence()) if swapped else fields[6:]
    return writer.sequence(fields[0], levels, fields[2], levels, *fields[4:6], *lists)


def test_software_is_called_software():
    claims = judge(der(GOOGLE.attest(retold(SAID, level=kinds.SOFTWARE, swapped=True))))
    assert (claims.level, claims.locked, claims.boot_state) == (Level.SOFTWARE, None, "")
    assert claims.trust["hardware"] == WARNING


@pytest.mark.parametrize(("level", "swapped"), [(kinds.SOFTWARE, False), (kinds.TRUSTED_ENVIRONMENT, True)])
def test_the_origin_is_the_word_of_who_keeps_the_key(level, swapped):
    assert refusal(GOOGLE.attest(retold(SAID, level=level, swapped=swapped))) == Refusal.KEY


def test_two_applications_for_one_key_are_refused():
    fields = reader.split(reader.read(SAID.encode(), "test").content, 8, "test")
    hardware = reader.split(reader.read(fields[7], "test").content, 60, "test")
    (asked,) = (one for one in reader.split(reader.read(fields[6], "test").content, 60, "test") if b"example" in one)
    place = next(n for n, one in enumerate(hardware) if reader.read(one, "test").number > 709)
    both = writer.sequence(*hardware[:place], asked, *hardware[place:])
    assert refusal(GOOGLE.attest(writer.sequence(*fields[:7], both))) == Refusal.MALFORMED


@pytest.mark.parametrize("enforced_by", [6, 7])
def test_a_key_of_every_application_is_nobodys(enforced_by):
    """B09: allApplications: what the application's name stands beside is then not bound to that application."""
    fields = list(reader.split(reader.read(SAID.encode(), "test").content, 8, "test"))
    said = [*reader.split(reader.read(fields[enforced_by], "test").content, 60, "test")]
    said.append(writer.explicit(600, writer.tlv(writer.NULL, b"")))
    fields[enforced_by] = writer.sequence(*sorted(said, key=lambda one: reader.read(one, "test").number))
    assert refusal(GOOGLE.attest(writer.sequence(*fields))) == Refusal.KEY


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"challenge": b"x" * 32}, Refusal.BINDING),
        ({"challenge": b""}, Refusal.BINDING),
        ({"challenge": BINDING + b"\0"}, Refusal.BINDING),
        ({"key_level": kinds.SOFTWARE}, Refusal.KEY),
        ({"attestation_level": kinds.SOFTWARE}, Refusal.KEY),
        ({"attestation_level": kinds.STRONGBOX}, Refusal.KEY),
        ({"key_level": kinds.STRONGBOX}, Refusal.KEY),
        ({"attestation_level": 3, "key_level": 3}, Refusal.MALFORMED),
        ({"origin": kinds.IMPORTED}, Refusal.KEY),
        ({"origin": kinds.DERIVED}, Refusal.KEY),
        ({"boot_state": 4}, Refusal.MALFORMED),
    ],
)
def test_what_is_said_of_the_key_must_convince(changes, code):
    assert refusal(GOOGLE.attest(replace(SAID, **changes))) == code


def test_nothing_is_bound_to_an_empty_challenge():
    assert refusal(GOOGLE.attest(replace(SAID, challenge=b"")), Expected(b"")) == Refusal.BINDING


@pytest.mark.parametrize(
    ("changes", "boot_state", "locked"),
    [
        ({"boot_state": kinds.SELF_SIGNED}, "self-signed", True),
        ({"boot_state": kinds.UNVERIFIED, "locked": False}, "unverified", False),
        ({"boot_state": kinds.FAILED}, "failed", True),
        ({"root_of_trust": False}, "", None),
    ],
)
def test_how_it_booted_is_reported_for_the_policy_to_judge(changes, boot_state, locked):
    claims = judge(der(GOOGLE.attest(replace(SAID, **changes))))
    assert (claims.boot_state, claims.locked) == (boot_state, locked)


def test_applications_that_share_a_user_id_are_all_named():
    claims = judge(der(GOOGLE.attest(replace(SAID, packages=(("a.b", 1), ("c.d", 2))))))
    assert (claims.app_ids, claims.app_version) == (("a.b", "c.d"), "")


def test_a_key_that_agrees_is_itself_the_key_of_the_answer():
    """B09: the answer is sealed to the attested key, so that relaying the evidence gives nobody the answer."""
    claims = judge(der(GOOGLE.attest(AGREES)), ITSELF)
    assert claims.key_binding == IN_HARDWARE


@pytest.mark.parametrize(
    ("said", "expected", "code"),
    [
        (replace(AGREES, purposes=(kinds.SIGN,)), ITSELF, Refusal.KEY),
        (replace(AGREES, purposes=(kinds.AGREE_KEY, kinds.SIGN)), ITSELF, Refusal.KEY),
        (replace(AGREES, purposes=(kinds.AGREE_KEY, kinds.ATTEST_KEY)), ITSELF, Refusal.KEY),
        (replace(AGREES, purposes=()), ITSELF, Refusal.KEY),
        (replace(AGREES, challenge=BINDING), ITSELF, Refusal.BINDING),
        (AGREES, replace(ITSELF, keyless=b""), Refusal.BINDING),
        (AGREES, replace(ITSELF, kem=hpke.X25519), Refusal.BINDING),
        (AGREES, replace(ITSELF, public_key=GOOGLE.point[:-1] + b"\0"), Refusal.BINDING),
    ],
)
def test_a_key_that_may_do_more_or_was_made_for_less_is_refused(said, expected, code):
    """B09: the keyless challenge serves the attested key alone, and only if all it can do is agree."""
    assert refusal(GOOGLE.attest(said), expected) == code


def test_another_key_of_the_request_is_bound_by_its_digest():
    """B03: with another HPKE key in the request the challenge must be its own digest."""
    expected = replace(ITSELF, public_key=Google(seed=2).point)
    assert judge(der(GOOGLE.attest()), expected).key_binding == HASHED
    assert refusal(GOOGLE.attest(AGREES), expected) == Refusal.BINDING


def test_a_software_key_that_agrees_is_not_in_hardware():
    for swapped in (True, False):
        assert refusal(GOOGLE.attest(retold(AGREES, level=kinds.SOFTWARE, swapped=swapped)), ITSELF) == Refusal.KEY
    fields = reader.split(reader.read(retold(AGREES, level=0, swapped=False), "test").content, 8, "test")
    assert refusal(GOOGLE.attest(writer.sequence(*fields[:6], fields[7], fields[7])), ITSELF) == Refusal.KEY


def test_where_no_key_may_be_the_answers_own_it_is_bound_like_any_other():
    assert judge(der(GOOGLE.attest()), replace(ITSELF, keyless=b"")).key_binding == HASHED


def test_keys_of_every_kind_are_read():
    keys = (
        mldsa.MLDSA65PrivateKey.generate().public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
    )
    for key in keys:
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert judge(der(GOOGLE.attest(key=key))).device_id == hashlib.sha256(spki).digest()


def test_a_root_is_known_by_its_key_in_whatever_certificate():
    """Google's RSA root has four certificates: another with the same key and name is the same anchor."""
    root = GOOGLE.root.certificate
    life = (AT - 3 * YEAR, AT - 2 * YEAR)
    again = GOOGLE.root.issue(root.subject, GOOGLE.root.key.public_key(), life, authority_extensions())
    chain = GOOGLE.attest()
    assert judge(der((*chain[:-1], again))).level == Level.HARDWARE
    renamed = GOOGLE.root.issue(named("Another"), GOOGLE.root.key.public_key(), life, authority_extensions())
    assert refusal((*chain[:-1], renamed)) == Refusal.CHAIN


def test_another_root_is_refused_and_a_stand_in_is_called_one():
    chain = GOOGLE.attest()
    revoked = TRUSTED.revoked
    assert refusal(chain, authorities=production(revoked=revoked)) == Refusal.CHAIN
    assert refusal(Google(seed=2).attest()) == Refusal.CHAIN
    claims = judge(der(chain), authorities=Authorities(android=Roots((), TRUSTED.android.genuine), revoked=revoked))
    assert claims.stand_in
    assert claims.known is not None
    assert claims.known.stand_in
    assert claims.trust["instance-identity"] == WARNING


def test_a_root_of_the_same_name_and_another_key_signs_nothing():
    """B09: a forger gives his root the name of Google's, and puts Google's certificate at the end."""
    forger = Google(seed=3)
    chain = forger.attest()
    assert chain[-1].subject == GOOGLE.root.certificate.subject
    assert refusal((*chain[:-1], GOOGLE.root.certificate)) == Refusal.CHAIN


def test_swapped_missing_and_doubled_certificates_are_refused():
    chain, other = GOOGLE.attest(), GOOGLE.attest(above=GOOGLE.remote())
    for place in range(1, 4):
        assert refusal((*chain[:place], other[place], *chain[place + 1 :])) == Refusal.CHAIN
        assert refusal((*chain[:place], *chain[place + 1 :])) == Refusal.CHAIN
        assert refusal((*chain[: place + 1], *chain[place:])) == Refusal.CHAIN
    assert refusal(chain[:-1]) == Refusal.CHAIN
    assert refusal(chain[:1]) == Refusal.CHAIN
    assert refusal(tuple(reversed(chain))) == Refusal.CHAIN
    assert refusal(b"") == Refusal.MALFORMED
    assert refusal(der(chain) + b"\0") == Refusal.MALFORMED
    assert refusal(der(chain) * 3) == Refusal.MALFORMED


@pytest.mark.parametrize("factory", [False, True])
@pytest.mark.parametrize("again", [SAID.encode(), None])
def test_an_attested_key_cannot_attest_further(factory, again):
    """B09: the owner of a rooted phone signs a leaf of his own with a key that the hardware attested."""
    chain = GOOGLE.attest(above=GOOGLE.factory() if factory else GOOGLE.remote())
    mine = Issuer(chain[0], GOOGLE.key, GOOGLE.random)
    extensions = (usage("digital_signature"), *([described(again)] if again else []))
    forged = mine.issue(LEAF, fresh_key(ec.SECP256R1(), GOOGLE.random).public_key(), LEAF_LIFE, extensions)
    assert refusal((forged, *chain)) == Refusal.CHAIN
    assert refusal((forged, chain[0], *chain[2:])) == Refusal.CHAIN


def test_a_stolen_factory_key_cannot_pass_for_a_provisioned_one():
    """B09: a key read out of an old phone makes an attestation key below itself that looks provisioned."""
    stolen, *above = GOOGLE.factory(extensions=authority_extensions())
    life = (AT - DAY, AT + DAY)
    lower = stolen.below(remote_name("44c157655f18c3e4", "TEE"), life, (*authority_extensions(), PROVISIONED))
    assert refusal(GOOGLE.attest(above=[lower, stolen, *above])) == Refusal.CHAIN
    lower = stolen.below(factory_name(), life, authority_extensions())
    assert refusal(GOOGLE.attest(above=[lower, stolen, *above])) == Refusal.CHAIN


def test_each_place_of_a_chain_has_its_rule():
    no_ca = ((x509.BasicConstraints(ca=False, path_length=None), True), PROVISIONED)
    no_signer = ((x509.BasicConstraints(ca=True, path_length=None), True), usage("digital_signature"), PROVISIONED)
    life = (AT - DAY, AT + DAY)
    google = GOOGLE.root.below(remote_name("Droid CA2"), life)
    server = google.below(remote_name("Droid CA3"), life)
    lower = server.below(remote_name("Droid CA4"), life)
    name, key_of_a_device = remote_name("44c157655f18c3e4", "TEE"), (*authority_extensions(), PROVISIONED)
    assert (
        refusal(GOOGLE.attest(above=[server.below(name, life, key_of_a_device), server, google, GOOGLE.root])) is None
    )
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    attacks = (
        GOOGLE.remote(extensions=authority_extensions()),  # provisioning is not described
        GOOGLE.remote(extensions=(PROVISIONED,)),
        GOOGLE.remote(extensions=no_ca),
        GOOGLE.remote(extensions=no_signer),
        GOOGLE.remote(extensions=(*authority_extensions(), PROVISIONED, unknown)),
        GOOGLE.remote(extensions=(*authority_extensions(), PROVISIONED, described(SAID.encode()))),
        GOOGLE.remote(path_length=1),
        GOOGLE.remote(intermediate=remote_name("Droid CA2", "Another LLC")),
        GOOGLE.remote(intermediate=factory_name()),
        GOOGLE.factory(extensions=(PROVISIONED,)),
        [google.below(name, life, key_of_a_device), google, GOOGLE.root],  # one too few
        [lower.below(name, life, key_of_a_device), lower, server, google, GOOGLE.root],  # and one too many
    )
    for above in attacks:
        assert refusal(GOOGLE.attest(above=above)) == Refusal.CHAIN
    assert refusal(GOOGLE.attest(above=GOOGLE.remote(path_length=None))) is None
    assert refusal(GOOGLE.attest(above=GOOGLE.factory(extensions=()))) is None


def test_a_revoked_serial_number_anywhere_in_the_chain_is_refused():
    chain = GOOGLE.attest()
    for one in chain[1:]:
        for status in ("REVOKED", "SUSPENDED"):
            listed = revocation.read(
                b'{"entries": {"%x": {"status": "%s"}}}' % (one.serial_number, status.encode()),
                fetched=AT,
                max_age=DAY,
            )
            assert refusal(chain, authorities=GOOGLE.trusted(revoked=listed)) == Refusal.REVOKED


def test_without_a_young_revocation_list_every_chain_is_refused():
    chain = GOOGLE.attest()
    for revoked in (None, RevocationList({}, AT - DAY - 1, DAY)):
        assert refusal(chain, authorities=GOOGLE.trusted(revoked=revoked)) == Refusal.STALE_REVOCATION_LIST
    assert refusal(chain, authorities=GOOGLE.trusted(revoked=RevocationList({}, AT - DAY, DAY))) is None


def test_evidence_of_another_request_is_refused():
    """B08: evidence of yesterday was made for another challenge."""
    assert refusal(GOOGLE.attest(), Expected(hashlib.sha256(b"today").digest())) == Refusal.BINDING


def test_no_altered_bit_of_a_chain_is_accepted():
    """I04: every single bit, of the factory chain, which has the fewest dates to hide behind."""
    evidence = der(GOOGLE.attest(above=GOOGLE.factory()))
    for bit in range(0, len(evidence) * 8, 5):  # odd against 8: each bit of a byte has its turn
        bent = bytearray(evidence)
        bent[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(bent)) is not None, bit


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_description_is_judged_or_refused(data):
    """I04: a device signs whatever it likes into the extension; only claims or a refusal come out."""
    value = bytearray(SAID.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(value) - 1))
        if data.draw(st.booleans()):
            value[place] = data.draw(st.integers(0, 255))
        else:
            del value[place]
    refusal(GOOGLE.attest(bytes(value)))


@given(st.binary(max_size=300))
def test_anything_is_refused(data):
    """I04: garbage is malformed."""
    assert refusal(data) == Refusal.MALFORMED
    assert refusal(b"-----BEGIN CERTIFICATE-----\n" + data) == Refusal.MALFORMED


def test_the_description_of_the_kit_is_the_one_that_is_read():
    assert isinstance(SAID, KeyDescription)
    assert judge(der(GOOGLE.attest())).signals["attestation_version"] == SAID.version
