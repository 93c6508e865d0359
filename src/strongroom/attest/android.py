"""Android Key Attestation: a key of the device's keystore, and what its secure hardware says of key and device.

Evidence is the key's certificate chain, DER or PEM, leaf first, as `KeyStore.getCertificateChain` returns it. What is
bound is `setAttestationChallenge`. Rules: Android's "Verify hardware-backed key pairs with key attestation".

A key made with purpose AGREE_KEY can itself be the HPKE key of the request, so that the answer opens nowhere but in
that hardware. Its challenge is `Expected.keyless`, since it must be chosen before the key exists.
"""

import hashlib
import hmac

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from strongroom.attest import android_chain, android_description, cert, claims, revocation
from strongroom.attest.android_chain import Chain
from strongroom.attest.android_description import AGREE_KEY, ATTEST_KEY, GENERATED, SIGN, KeyDescription
from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import HASHED, IN_HARDWARE, Claims, Expected, Kind, Known, Level
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail, malformed
from strongroom.wire import hpke

_LEVELS = {
    android_description.SOFTWARE: Level.SOFTWARE,
    android_description.TRUSTED_ENVIRONMENT: Level.HARDWARE,
    android_description.STRONGBOX: Level.STRONGBOX,
}
_BOOT_TRUST = {
    "verified": claims.AFFIRMING,
    "self-signed": claims.WARNING,
    "unverified": claims.CONTRAINDICATED,
    "failed": claims.CONTRAINDICATED,
    "": claims.NO_CLAIM,
}
_LOCK_TRUST = {True: claims.AFFIRMING, False: claims.CONTRAINDICATED, None: claims.NO_CLAIM}
MOST_SIGNAL = 64  # characters


def verify(
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,  # noqa: ARG001 - every verifier has this signature; each request attests a new key
    policy: Policy,  # noqa: ARG001 - the same; nothing of it is needed to read a chain
    authorities: Authorities,
    trail: Trail,
) -> Claims:
    """Verify that genuine hardware attested a key for this request; whether that is enough is for the policy.

    Args:
        evidence: the certificate chain.
        expected: what it must have been made for.
        at: Unix seconds of judging.
        known: not used.
        policy: not used.
        authorities: Google's roots and its revocation list.
        trail: takes the steps.

    Raises:
        RefusedEvidence: MALFORMED, CHAIN, EXPIRED, STALE_REVOCATION_LIST, REVOKED, KEY or BINDING.
    """
    trail.step("certificates")
    certificates = android_chain.load(evidence)
    trail.step("key description")
    said = _description(certificates[0])
    chain = android_chain.verify(certificates, authorities.android, at, trail)
    revocation.check(chain.serials, authorities.revoked, at, trail)
    level = _level(said, chain, trail)
    key_binding = _binding(said, chain, level, expected, trail)
    return _claims(said, chain, level, key_binding, evidence, at)


def _description(leaf: x509.Certificate) -> KeyDescription:
    value = cert.extension(leaf, android_chain.KEY_DESCRIPTION)
    if value is None:
        raise RefusedEvidence(Refusal.CHAIN, "the first certificate has no key description")
    return android_description.read(value)


def _level(said: KeyDescription, chain: Chain, trail: Trail) -> Level:
    trail.step("key origin and level")
    trail.must(
        said.level == said.keymint_level,
        Refusal.KEY,
        f"attested at security level {said.level}, kept at level {said.keymint_level}",
    )
    level = _LEVELS[said.level]
    keeper = said.software if level == Level.SOFTWARE else said.hardware
    trail.must(keeper.origin == GENERATED, Refusal.KEY, f"the key was not made in the keystore: origin {keeper.origin}")
    everybody = said.software.everybody or said.hardware.everybody
    trail.must(not everybody, Refusal.KEY, "every application of the device may use the key")
    if level == Level.STRONGBOX and not _says_strongbox(chain.attestation.subject):
        return Level.HARDWARE  # the description says more than Google certified: a TEE's key can write anything there
    return level


def _says_strongbox(subject: x509.Name) -> bool:
    names = (NameOID.TITLE, NameOID.ORGANIZATION_NAME)  # factory, remote
    return any(one.value == "StrongBox" for name in names for one in subject.get_attributes_for_oid(name))


def _binding(said: KeyDescription, chain: Chain, level: Level, expected: Expected, trail: Trail) -> str:
    """Return how the request's key is bound; the attested key being that key is seen, not asked for."""
    key = chain.leaf.public_key()
    itself = (
        expected.keyless
        and expected.kem == hpke.P256
        and isinstance(key, ec.EllipticCurvePublicKey)
        and isinstance(key.curve, ec.SECP256R1)
        and key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) == expected.public_key
    )
    trail.step("challenge")
    wanted = expected.keyless if itself else expected.binding
    made_for_this = wanted and hmac.compare_digest(said.challenge, wanted)
    trail.must(made_for_this, Refusal.BINDING, "the attestation challenge is another")
    if not itself:
        return HASHED
    trail.step("purposes of the attested key")
    purposes = said.hardware.purposes
    trail.must(level.rank >= Level.HARDWARE.rank, Refusal.KEY, "the attested key is kept in software")
    trail.must(AGREE_KEY in purposes, Refusal.KEY, f"the attested key has purposes {sorted(purposes)}, not AGREE_KEY")
    trail.must(not purposes & {SIGN, ATTEST_KEY}, Refusal.KEY, f"a key that agrees also signs: {sorted(purposes)}")
    return IN_HARDWARE


def _claims(said: KeyDescription, chain: Chain, level: Level, key_binding: str, evidence: bytes, at: int) -> Claims:
    hardware, root = said.hardware, said.hardware.root_of_trust
    if said.software.application is not None and said.hardware.application is not None:
        raise malformed("two applications asked for one key")
    application = said.software.application or said.hardware.application
    packages = application.packages if application else ()
    boot_state, locked = (root.state, root.locked) if root else ("", None)
    names = tuple(name for name, _ in packages)
    return Claims(
        kind=Kind.ANDROID_KEY,
        device_id=hashlib.sha256(cert.spki(chain.leaf)).digest(),
        level=level,
        key_binding=key_binding,
        evidence=hashlib.sha256(evidence).digest(),
        verified_at=at,
        known=Known(Kind.ANDROID_KEY, b"", level=level, app_ids=names, stand_in=chain.stand_in),
        app_ids=names,
        app_version=str(packages[0][1]) if len(packages) == 1 else "",
        signers=application.signers if application else (),
        boot_state=boot_state,
        locked=locked,
        os_version=hardware.os_version,
        os_patch=hardware.os_patch,
        vendor_patch=hardware.vendor_patch,
        boot_patch=hardware.boot_patch,
        factory=chain.factory,
        signals=_signals(said),
        trust={
            "instance-identity": claims.WARNING if chain.stand_in else claims.AFFIRMING,
            "configuration": _LOCK_TRUST[locked],
            "executables": _BOOT_TRUST[boot_state],
            "hardware": claims.WARNING if level == Level.SOFTWARE else claims.AFFIRMING,
            "storage-opaque": claims.WARNING if level == Level.SOFTWARE else claims.AFFIRMING,
        },
        stand_in=chain.stand_in,
    )


def _signals(said: KeyDescription) -> dict[str, str | int]:
    signals: dict[str, str | int] = {"attestation_version": said.version, "keymint_version": said.keymint_version}
    root = said.hardware.root_of_trust
    if root is not None:
        signals |= {"boot_key": root.key.hex()[:MOST_SIGNAL], "boot_hash": root.boot_hash.hex()[:MOST_SIGNAL]}
    return signals | {name: value[:MOST_SIGNAL] for name, value in said.hardware.device.items()}
