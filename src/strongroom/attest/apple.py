"""Apple App Attest: a key in the Secure Enclave, attested once and asserting from then on.

The steps are those of Apple's "Validating apps that connect to your server", with what it leaves open closed: both keys
of an attestation are the same, nothing trails, and the key identifier is computed, never taken from the device. The
"client data hash" is the binding, whatever its length.
"""

from dataclasses import replace
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from strongroom.attest import apple_data, apple_leaf, apple_receipt, cborx, cert
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import AFFIRMING, HASHED, NO_CLAIM, VECTOR, WARNING, Claims, Expected, Kind, Known, Level
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail, malformed

ENVIRONMENTS: Final = {b"appattest" + bytes(7): "production", b"appattestdevelop": "development"}  # by aaguid


def verify(
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,
    policy: Policy,
    authorities: Authorities,
    trail: Trail,
) -> Claims:
    """Judge an attestation, or an assertion by a key that is known.

    Args:
        evidence: the CBOR object of attestKey or generateAssertion.
        expected: its binding is what the app gave as clientDataHash.
        at: Unix seconds.
        known: the attested key of an assertion; an attestation stands for itself.
        policy: its app ids give names to hashes; nothing else of it is compared here.
        authorities: of App Attest, and of receipts.
        trail: of the steps.

    Raises:
        RefusedEvidence: malformed, chain, expired, binding, key, device, app, environment or replay.
    """
    trail.step("app attest object")
    form = cborx.item(evidence)
    if not isinstance(form, dict):
        raise malformed("evidence that is no map")
    if "fmt" in form:
        return _attestation(form, evidence, expected, at, policy, authorities, trail)
    return _assertion(form, evidence, expected, at, known, policy, trail)


def _attestation(
    form: dict[int | str, cborx.Value],
    evidence: bytes,
    expected: Expected,
    at: int,
    policy: Policy,
    authorities: Authorities,
    trail: Trail,
) -> Claims:
    data, certs, receipt = _attestation_parts(form)
    signed, credential = apple_data.of_attestation(data)
    leaf = certs[0]
    trail.step("certificate chain")
    anchor = cert.chain(certs, authorities.apple, at)
    trail.step("binding")
    fits = compare_digest(apple_leaf.nonce(leaf), sha256(data + expected.binding).digest())
    trail.must(fits, Refusal.BINDING, "the attestation was made for another request")
    trail.step("attested key")
    identity = sha256(credential.point).digest()
    trail.must(_point(leaf) == credential.point, Refusal.KEY, "the certificate is of another key than the credential")
    trail.must(credential.identity == identity, Refusal.KEY, "the credential is named after another key")
    if apple_leaf.is_mac(leaf):
        trail.step("security of the Mac")
        secure = apple_leaf.key_policy(leaf) == apple_leaf.MAC_POLICY
        trail.must(secure, Refusal.DEVICE, "a Mac's key that signs without Full Security or integrity protection")
    trail.step("application")
    app_ids = _application(signed.app_hash, apple_leaf.app_ids(leaf), policy)
    trail.step("counter")
    trail.must(signed.counter == 0, Refusal.REPLAY, f"an attestation with counter {signed.counter}: it was used before")
    trail.step("environment")
    environment = ENVIRONMENTS.get(credential.aaguid, "")
    trail.must(environment, Refusal.ENVIRONMENT, lambda: f"unknown environment {credential.aaguid.hex()}")
    key = cert.spki(leaf)
    known = Known(
        kind=Kind.APP_ATTEST,
        key=key,
        counter=signed.counter,
        level=Level.HARDWARE,
        environment=environment,
        app_ids=app_ids,
        category=signed.category,
        stand_in=anchor.stand_in,
    )
    signals: dict[str, str | int] = {
        "app_id_hash": signed.app_hash.hex(),
        "receipt": _receipt_signal(receipt, key, signed.app_hash, authorities.apple_receipts, at),
    }
    if version := apple_leaf.os_version(leaf):
        signals["os_version"] = version
    return _claims(evidence, at, known, signed, signals, fresh=True)


def _assertion(
    form: dict[int | str, cborx.Value],
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,
    policy: Policy,
    trail: Trail,
) -> Claims:
    signature, data = form.get("signature"), form.get("authenticatorData")
    if len(form) != 2 or not isinstance(signature, bytes) or not isinstance(data, bytes):
        raise malformed("neither an attestation nor an assertion")
    signed = apple_data.of_assertion(data)
    trail.step("known key")
    if known is None or known.kind is not Kind.APP_ATTEST:
        raise RefusedEvidence(Refusal.KEY, "an assertion by a key that was never attested here")
    key = _known_key(known.key)
    trail.step("binding")
    try:
        key.verify(signature, sha256(data + expected.binding).digest(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise RefusedEvidence(Refusal.BINDING, "not signed by the known key for this request") from None
    trail.step("application")
    app_ids = _application(signed.app_hash, known.app_ids, policy)
    same = not known.app_ids or set(app_ids) & set(known.app_ids)
    trail.must(same, Refusal.APP, "another application than the one that attested the key")
    trail.step("counter")
    risen = signed.counter > known.counter
    trail.must(risen, Refusal.REPLAY, f"counter {signed.counter} is not above {known.counter}")
    category = known.category if signed.category is None else signed.category
    now = replace(known, counter=signed.counter, app_ids=app_ids, category=category)
    signals: dict[str, str | int] = {
        "app_id_hash": signed.app_hash.hex(),
        "counter_step": signed.counter - known.counter,
    }
    return _claims(evidence, at, now, signed, signals, fresh=False)


def _attestation_parts(
    form: dict[int | str, cborx.Value],
) -> tuple[bytes, tuple[x509.Certificate, x509.Certificate], bytes | None]:
    """Return authenticator data, leaf with intermediate, and the receipt. What is not known is refused."""
    statement, data = form.get("attStmt"), form.get("authData")
    if form["fmt"] != "apple-appattest" or set(form) != {"fmt", "attStmt", "authData"}:
        raise malformed("not an apple-appattest object")
    if not isinstance(statement, dict) or not isinstance(data, bytes) or not statement.keys() <= {"x5c", "receipt"}:
        raise malformed("an attestation without its statement or its data")
    certs, receipt = statement.get("x5c"), statement.get("receipt")
    if not isinstance(certs, list) or len(certs) != 2 or not (receipt is None or isinstance(receipt, bytes)):
        raise malformed("an attestation has two certificates and one receipt")
    leaf, above = (cert.load_der(one) if isinstance(one, bytes) else None for one in certs)
    if leaf is None or above is None:
        raise malformed("a certificate that is no bytes")
    return data, (leaf, above), receipt


def _application(app_hash: bytes, others: tuple[str, ...], policy: Policy) -> tuple[str, ...]:
    """Return the application's id, if somebody knows a name of that hash.

    A policy that names applications has to name this one: nothing could be said of any other, so this is not left to
    its judge. One that names none leaves it to him.
    """
    named = policy.apple.app_ids if policy.apple else ()
    found = next((name for name in (*named, *others) if sha256(name.encode()).digest() == app_hash), None)
    if named and found not in named:
        raise RefusedEvidence(Refusal.APP, f"application {found or app_hash.hex()} is not one of the policy's")
    return () if found is None else (found,)


def _point(leaf: x509.Certificate) -> bytes:
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RefusedEvidence(Refusal.KEY, "the certificate's key is not on P-256")
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _known_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RefusedEvidence(Refusal.KEY, "the known key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RefusedEvidence(Refusal.KEY, "the known key is not on P-256")
    return key


def _receipt_signal(receipt: bytes | None, key: bytes, app_hash: bytes, roots: Roots, at: int) -> str:
    """Return a word on the receipt. It stands beside what is signed for this request, so it decides nothing here."""
    if receipt is None:
        return "absent"
    try:
        found = apple_receipt.verify(receipt, roots, at)
    except RefusedEvidence as error:
        return f"refused: {error.code}"
    fits = found.key == key and sha256(found.app_id.encode()).digest() == app_hash
    return "genuine" if fits else "of another key"


def _claims(
    evidence: bytes, at: int, known: Known, signed: apple_data.Signed, signals: dict[str, str | int], *, fresh: bool
) -> Claims:
    told = {
        "instance-identity": WARNING if known.stand_in else AFFIRMING,
        "hardware": AFFIRMING,
        "executables": AFFIRMING if known.app_ids and known.environment == "production" else NO_CLAIM,
        "configuration": WARNING if known.environment == "development" else NO_CLAIM,
    }
    return Claims(
        kind=Kind.APP_ATTEST,
        device_id=sha256(known.key).digest(),
        level=Level.HARDWARE,
        key_binding=HASHED,
        evidence=sha256(evidence).digest(),
        verified_at=at,
        known=known,
        fresh=fresh,
        app_ids=known.app_ids,
        app_version=signed.bundle_version,
        environment=known.environment,
        category=known.category,
        signals=signals,
        trust={name: told.get(name, NO_CLAIM) for name in VECTOR},
        stand_in=known.stand_in,
    )
