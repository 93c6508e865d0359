"""App Attest evidence under roots of its own, bent as a test asks; the shapes are those of the genuine vectors."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attest.authorities import Authorities, Roots

AT = 1_793_000_000
APP = "TEAM123456.com.example.digits"
AAGUIDS = {"production": b"appattest" + bytes(7), "development": b"appattestdevelop"}
NONCE = x509.ObjectIdentifier("1.2.840.113635.100.8.2")
RECEIPTS = x509.ObjectIdentifier("1.2.840.113635.100.12.15")
KEY_USE = x509.ObjectIdentifier("1.2.840.113635.100.8.5")
VERSION_27 = {"apple_bundle_version_01": "42", "apple_validation_category_01": b"\x04\x00\x00\x00"}


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def new_key(number: int = 1, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """Return the same key for the same number."""
    return ec.derive_private_key(int.from_bytes(sha256(b"%d" % number).digest(), "big") >> 8, curve or ec.SECP256R1())


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Authority:
    """One that issues certificates."""

    key: ec.EllipticCurvePrivateKey
    cert: x509.Certificate

    def issue(self, subject: str, key, extensions=(), *, days=(-1, 3), at=AT, **bends) -> x509.Certificate:
        return certificate(self.cert.subject, self.key, name(subject), key, extensions, days=days, at=at, **bends)


def certificate(issuer, signer, subject, key, extensions=(), *, days, at=AT, hashed=None) -> x509.Certificate:
    now = datetime.fromtimestamp(at, UTC)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(sha256(spki(key)).digest()[:8], "big") | 1)
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashed or hashes.SHA256())


def usage(**on) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{one: on.get(one, False) for one in names})


def authority_of(length: int | None = None) -> tuple:
    return (
        (x509.BasicConstraints(ca=True, path_length=length), True),
        (usage(key_cert_sign=True, crl_sign=True), True),
    )


LEAF = ((x509.BasicConstraints(ca=False, path_length=None), True), (usage(digital_signature=True), True))


def root(subject: str = "A stand-in's root", number: int = 100, **bends) -> Authority:
    key = new_key(number, ec.SECP384R1())
    bends = {"extensions": authority_of(), "days": (-900, 9000), **bends}
    return Authority(key, certificate(name(subject), key, name(subject), key, **bends))


def below(above: Authority, subject: str = "A stand-in's CA 1", number: int = 101, **bends) -> Authority:
    key = new_key(number, ec.SECP384R1())
    bends = {"extensions": authority_of(0), "days": (-900, 3000), **bends}
    return Authority(key, above.issue(subject, key, **bends))


@dataclass
class Mint:
    """An App Attest service; `receipts` under a root of their own."""

    root: Authority = field(default_factory=root)
    receipts: Authority = field(default_factory=lambda: root("A stand-in's root for receipts", 110))

    def __post_init__(self) -> None:
        self.issuer = below(self.root)

    def authorities(self) -> Authorities:
        receipts = Roots(stand_ins=(self.receipts.cert,))
        return Authorities(apple=Roots(stand_ins=(self.root.cert,)), apple_receipts=receipts)

    def receipt(self, key: ec.EllipticCurvePrivateKey, **bends) -> bytes:
        """Return a receipt for a key.

        Args:
            key: the attested one.
            bends: fields (number to bytes, None to leave one out), entries (all of the payload's, in DER), twice (more
                of them), payload, signer (a key), marker (whether the signer may sign receipts), certs (a function of
                the three), digest, algorithm, extra (elements behind the SignerInfo's), serial, name (of the signer's
                issuer).
        """
        above = below(self.receipts, "A stand-in's CA 5", 111)
        signer = new_key(112)
        marker = [(x509.UnrecognizedExtension(RECEIPTS, b"\x05\x00"), False)] if bends.get("marker", True) else []
        cert = above.issue("receipts", signer, [*LEAF, *marker], days=(-100, 300))
        subject = self.issuer.issue("leaf", key, LEAF).public_bytes(Encoding.DER)
        fields = {2: APP.encode(), 3: subject, 4: b"hash", 6: b"ATTEST", 7: b"production"}
        fields |= {12: b"2026-10-26T07:33:20.123Z", 21: b"2027-01-24T07:33:20.123Z", **bends.get("fields", {})}
        entries = [entry(number, value) for number, value in fields.items() if value is not None]
        payload = bends.get("payload", tlv(0x31, *bends.get("entries", entries), *bends.get("twice", ())))
        signature = bends.get("signer", signer).sign(payload, ec.ECDSA(hashes.SHA256()))
        chain = [one.public_bytes(Encoding.DER) for one in (cert, above.cert, self.receipts.cert)]
        named = bends.get("name", cert.issuer).public_bytes()
        sha = tlv(0x30, bytes.fromhex("0609608648016503040201"), b"\x05\x00")
        info = tlv(
            0x30,
            b"\x02\x01\x01",
            tlv(0x30, named, tlv(2, bends.get("serial", cert.serial_number).to_bytes(9, "big"))),
            bends.get("digest", sha),
            bends.get("algorithm", bytes.fromhex("300a06082a8648ce3d040302")),
            tlv(4, signature),
            *bends.get("extra", ()),
        )
        half = len(payload) // 2
        pieces = opened(0x24, tlv(4, payload[:half]), tlv(4, payload[half:]))
        content = opened(0x30, bytes.fromhex("06092a864886f70d010701"), opened(0xA0, pieces))
        certs = opened(0xA0, *bends.get("certs", lambda *every: every)(*chain))
        data = opened(0x30, b"\x02\x01\x01", tlv(0x31, sha), content, certs, tlv(0x31, info))
        return opened(0x30, bytes.fromhex("06092a864886f70d010702"), opened(0xA0, data))

    def attestation(self, binding: bytes, key: ec.EllipticCurvePrivateKey, **bends) -> bytes:
        """Return an attestation of a key.

        Args:
            binding: what the app gave as clientDataHash.
            key: the attested one.
            bends: app_id, environment or aaguid, counter, flags, extensions (a map), tail (bytes behind the data), cose
                (a map, or bytes), identity, leaf_key, nonce (the extension's bytes), issuer, days, named (whether the
                leaf names the app), leaf (its extensions), x5c (a function of the three certificates), more (entries of
                attStmt), top (entries of the object).
        """
        data = self.data(key, **bends)
        nonce = bends.get("nonce", bytes.fromhex("3024a1220420") + sha256(data + binding).digest())
        app_id = bends.get("app_id", APP).encode()
        uses = bytes.fromhex("bf8934") + bytes([len(app_id) + 2, 4, len(app_id)]) + app_id
        extensions = [*bends.get("leaf", LEAF)]
        if bends.get("named", True):
            extensions.append((x509.UnrecognizedExtension(KEY_USE, bytes([0x30, len(uses)]) + uses), False))
        if nonce is not None:
            extensions.append((x509.UnrecognizedExtension(NONCE, nonce), False))
        issuer = bends.get("issuer", self.issuer)
        leaf = issuer.issue("leaf", bends.get("leaf_key", key), extensions, days=bends.get("days", (-1, 3)))
        certs = [one.public_bytes(Encoding.DER) for one in (leaf, issuer.cert, self.root.cert)]
        x5c = bends.get("x5c", lambda leaf, above, _root: [leaf, above])(*certs)
        statement = {"x5c": x5c, **bends.get("more", {})}
        return cbor2.dumps({"fmt": "apple-appattest", "attStmt": statement, "authData": data, **bends.get("top", {})})

    def data(self, key: ec.EllipticCurvePrivateKey, **bends) -> bytes:
        """Return the authenticator data of an attestation."""
        spot = point(key)
        aaguid = bends.get("aaguid", AAGUIDS[bends.get("environment", "production")])
        cose = bends.get("cose", {1: 2, 3: -7, -1: 1, -2: spot[1:33], -3: spot[33:]})
        identity = bends.get("identity", sha256(spot).digest())
        body = aaguid + len(identity).to_bytes(2, "big") + identity
        return head(**bends) + body + (cose if isinstance(cose, bytes) else cbor2.dumps(cose)) + tail(**bends)


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return an ASN.1 element in DER."""
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    return bytes([tag, 0x82]) + len(body).to_bytes(2, "big") + body


def opened(tag: int, *parts: bytes) -> bytes:
    """Return an ASN.1 element whose length is left open, as Apple writes them."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def entry(number: int, value: bytes) -> bytes:
    """Return a field of a receipt."""
    return tlv(0x30, tlv(2, bytes([number])), tlv(2, b"\x01"), tlv(4, value))


def head(**bends) -> bytes:
    counter = bends.get("counter", 0).to_bytes(4, "big")
    return sha256(bends.get("app_id", APP).encode()).digest() + bytes([bends.get("flags", 0x40)]) + counter


def tail(**bends) -> bytes:
    return (cbor2.dumps(bends["extensions"]) if "extensions" in bends else b"") + bends.get("tail", b"")


def assertion(binding: bytes, key: ec.EllipticCurvePrivateKey, counter: int = 1, **bends) -> bytes:
    """Return an assertion; its bends are those of an attestation's head and tail, and `top`."""
    data = head(counter=counter, **bends) + tail(**bends)
    signature = key.sign(sha256(data + binding).digest(), ec.ECDSA(hashes.SHA256()))
    return cbor2.dumps({"signature": signature, "authenticatorData": data, **bends.get("top", {})})
