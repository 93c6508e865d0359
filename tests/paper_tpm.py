"""A TPM on paper: its keys, quotes and credentials as a chip makes them, written from the other side of the judge.

It shares nothing with what it tests but the numbers of the TPM library. For tests only: anything may be bent.
"""

import datetime as dt
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

AT = 1_800_000_000  # 2027-01-15
YEAR = 365 * 86_400
BINDING = bytes(range(32))
EK_ATTRIBUTES = 0x000300B2
AK_ATTRIBUTES = 0x00050472
SHA = {"sha1": (4, hashes.SHA1()), "sha256": (11, hashes.SHA256()), "sha384": (12, hashes.SHA384())}  # noqa: S303 - to be refused
CURVES = {"p256": (ec.SECP256R1(), 3, 32), "p384": (ec.SECP384R1(), 4, 48)}
WORDS = {1: "id:53545200", 2: "PAPER", 3: "id:00000001"}
PCRS = {0: bytes(32), 7: b"\7" * 32, 16: b"\x10" * 32}

_RSA: dict[str, rsa.RSAPrivateKey] = {}  # slow to make, and nothing depends on whose they are


def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    return _RSA.setdefault(f"{name}{bits}", rsa.generate_private_key(65_537, bits))


def u16(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def sized(data: bytes) -> bytes:
    return u16(len(data)) + data


def policy_a(name: str) -> bytes:
    """PolicySecret(TPM_RH_ENDORSEMENT)."""
    start = bytes(hashlib.new(name).digest_size)
    first = hashlib.new(name, start + u32(0x151) + u32(0x4000000B)).digest()
    return hashlib.new(name, first).digest()


class Maker:
    """A manufacturer: a root and an issuer under it."""

    def __init__(self, name: str = "paper", *, issuer: dict[str, Any] | None = None) -> None:
        self.root_key, self.issuer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = certificate(f"{name} root", self.root_key, f"{name} root", self.root_key, ca=True)
        bent = {"ca": True, **(issuer or {})}
        self.issuer = certificate(f"{name} issuer", self.issuer_key, f"{name} root", self.root_key, **bent)
        self.name = f"{name} issuer"


def certificate(
    subject: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    *,
    ca: bool,
    pathlen: int | None = None,
    usage: str = "",
    purposes: tuple[str, ...] = (),
    words: dict[int, str] | None = None,
    start: int = AT - YEAR,
    end: int = AT + YEAR,
    hashed: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    """Issue a certificate; `words` are a TPM's in the critical SAN."""
    usages = dict.fromkeys(
        (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    usages[usage or ("key_cert_sign" if ca else "key_agreement")] = True
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(start, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(end, dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=pathlen if ca else None), critical=True)
        .add_extension(x509.KeyUsage(**usages), critical=True)
    )
    if purposes:
        oids = [x509.ObjectIdentifier(one) for one in purposes]
        builder = builder.add_extension(x509.ExtendedKeyUsage(oids), critical=False)
    if words is not None:
        oid = x509.ObjectIdentifier
        name = x509.Name([x509.NameAttribute(oid(f"2.23.133.2.{last}"), text) for last, text in words.items()])
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DirectoryName(name)]), critical=True)
    return builder.sign(issuer_key, hashed or hashes.SHA256())


@dataclass
class PaperTpm:
    """One TPM.

    Attributes:
        maker: that certified it.
        ek: "rsa", "p256" or "p384".
        ak: "rsa", "pss", "p256" or "p384".
        ek_hash: of the endorsement key's name.
        ak_hash: of the attestation key's scheme.
        ak_name_hash: of its name.
        leaf: what its certificate has other than usual.
    """

    maker: Maker = field(default_factory=Maker)
    ek: str = "p256"
    ak: str = "p256"
    ek_hash: str = "sha256"
    ak_hash: str = "sha256"
    ak_name_hash: str = "sha256"
    ek_policy: bytes | None = None
    ek_attributes: int = EK_ATTRIBUTES
    ak_attributes: int = AK_ATTRIBUTES
    ak_scheme: int | None = None
    ak_bits: int = 2048
    leaf: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ek_key = rsa_key("ek") if self.ek == "rsa" else ec.generate_private_key(CURVES[self.ek][0])
        if self.ak in CURVES:
            self.ak_key: Any = ec.generate_private_key(CURVES[self.ak][0])
        else:
            self.ak_key = rsa_key("ak", self.ak_bits)
        self.bits = 256 if self.ek_hash == "sha384" else 128
        policy = policy_a(self.ek_hash) if self.ek_policy is None else self.ek_policy
        symmetric = u16(6, self.bits, 0x43)
        self.ek_public = self._public(self.ek_key, self.ek_attributes, self.ek_hash, policy, symmetric, u16(16))
        usual = {"rsa": 0x14, "pss": 0x16}.get(self.ak, 0x18)
        scheme = usual if self.ak_scheme is None else self.ak_scheme
        self.scheme = u16(scheme) + (b"" if scheme == 0x10 else u16(SHA[self.ak_hash][0]))
        self.ak_public = self._public(self.ak_key, self.ak_attributes, self.ak_name_hash, b"", u16(16), self.scheme)
        self.ak_name = u16(SHA[self.ak_name_hash][0]) + hashlib.new(self.ak_name_hash, self.ak_public).digest()
        usage = "key_encipherment" if self.ek == "rsa" else "key_agreement"
        usually = {"ca": False, "usage": usage, "purposes": ("2.23.133.8.1",), "words": WORDS}
        self.certificate = certificate(
            "paper tpm", self.ek_key, self.maker.name, self.maker.issuer_key, **usually | self.leaf
        )

    @property
    def chain(self) -> list[bytes]:
        return [one.public_bytes(Encoding.DER) for one in (self.certificate, self.maker.issuer)]

    def evidence(self, binding: bytes = BINDING, *, enrol: bool = True, **bent: Any) -> bytes:
        """Return evidence for a binding; `bent` goes to `fields`."""
        fields = self.fields(binding, **bent)
        if enrol:
            fields |= {"ek_certificates": [one.hex() for one in self.chain], "ek_public": self.ek_public.hex()}
        return json.dumps(fields).encode()

    def fields(
        self,
        binding: bytes,
        *,
        pcrs: dict[int, bytes] | None = None,
        banks: dict[str, dict[int, bytes]] | None = None,
        clock: tuple[int, int, int, bool] = (5_000_000, 3, 1, True),
        magic: int = 0xFF544347,
        kind: int = 0x8018,
        above: bytes | None = None,
        tail: bytes = b"",
    ) -> dict[str, Any]:
        banks = banks if banks is not None else {"sha256": PCRS if pcrs is None else pcrs}
        ticks, resets, restarts, safe = clock
        values = b"".join(one[index] for one in banks.values() for index in sorted(one))
        attest = (
            u32(magic) + u16(kind) + sized(self.signer(above)) + sized(binding)
            + ticks.to_bytes(8, "big") + u32(resets) + u32(restarts) + bytes([safe]) + bytes(range(8))
            + u32(len(banks)) + b"".join(self._select(bank, one) for bank, one in banks.items())
            + sized(hashlib.new(self.ak_hash, values).digest()) + tail
        )  # fmt: skip
        return {
            "ak_public": self.ak_public.hex(),
            "attest": attest.hex(),
            "signature": self.sign(attest).hex(),
            "pcrs": {bank: {str(index): value.hex() for index, value in one.items()} for bank, one in banks.items()},
        }

    def signer(self, above: bytes | None = None) -> bytes:
        """Return its qualified name: by default under the endorsement hierarchy."""
        digest = hashlib.new(self.ak_name_hash, (u32(0x4000000B) if above is None else above) + self.ak_name).digest()
        return u16(SHA[self.ak_name_hash][0]) + digest

    def sign(self, data: bytes) -> bytes:
        algorithm = SHA[self.ak_hash][1]
        if isinstance(self.ak_key, ec.EllipticCurvePrivateKey):
            numbers = decode_dss_signature(self.ak_key.sign(data, ec.ECDSA(algorithm)))
            size = CURVES[self.ak][2]
            return self.scheme + b"".join(sized(one.to_bytes(size, "big")) for one in numbers)
        pad = padding.PSS(padding.MGF1(algorithm), 32) if self.ak == "pss" else padding.PKCS1v15()
        return self.scheme + sized(self.ak_key.sign(data, pad, algorithm))

    def open(self, credential: bytes, name: bytes | None = None) -> bytes | None:
        """TPM2_ActivateCredential for a key of that name; None where a chip says "integrity check failed"."""
        wanted = self.ak_name if name is None else name
        identity, encrypted = (credential[2:][: int.from_bytes(credential[:2], "big")], b"")
        encrypted = credential[2 + len(identity) + 2 :]
        algorithm = SHA[self.ek_hash][1]
        if isinstance(self.ek_key, rsa.RSAPrivateKey):
            pad = padding.OAEP(padding.MGF1(algorithm), algorithm, b"IDENTITY\0")
            seed = self.ek_key.decrypt(encrypted, pad)
        else:
            curve, _, size = CURVES[self.ek]
            x, y = encrypted[2 : 2 + size], encrypted[4 + size :]
            point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve)
            z = self.ek_key.exchange(ec.ECDH(), point.public_key())
            own = self.ek_key.public_key().public_numbers().x.to_bytes(size, "big")
            seed = hashlib.new(self.ek_hash, u32(1) + z + b"IDENTITY\0" + x + own).digest()
        mac, concealed = identity[2:][: algorithm.digest_size], identity[2 + algorithm.digest_size :]
        integrity = self._kdf_a(seed, b"INTEGRITY", b"", algorithm.digest_size * 8)
        if not hmac.compare_digest(hmac.digest(integrity, concealed + wanted, self.ek_hash), mac):
            return None
        key = self._kdf_a(seed, b"STORAGE", wanted, self.bits)
        found = Cipher(algorithms.AES(key), CFB(bytes(16))).decryptor().update(concealed)
        assert int.from_bytes(found[:2], "big") == len(found) - 2
        return found[2:]

    def _kdf_a(self, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
        """One block of KDFa: neither key nor integrity key is longer than the hash here."""
        return hmac.digest(key, u32(1) + label + b"\0" + context + u32(bits), self.ek_hash)[: bits // 8]

    @staticmethod
    def _select(bank: str, registers: dict[int, bytes]) -> bytes:
        bits = sum(1 << index for index in registers)
        return u16(SHA[bank][0]) + b"\3" + bits.to_bytes(3, "little")

    @staticmethod
    def _public(key: Any, attributes: int, name_hash: str, policy: bytes, symmetric: bytes, scheme: bytes) -> bytes:
        head = u16(SHA[name_hash][0]) + u32(attributes) + sized(policy) + symmetric + scheme
        numbers = key.public_key().public_numbers()
        if isinstance(key, rsa.RSAPrivateKey):
            return u16(1) + head + u16(key.key_size) + u32(0) + sized(numbers.n.to_bytes(key.key_size // 8, "big"))
        _, curve, size = CURVES["p256" if key.curve.name == "secp256r1" else "p384"]
        point = sized(numbers.x.to_bytes(size, "big")) + sized(numbers.y.to_bytes(size, "big"))
        return u16(0x23) + head + u16(curve) + u16(16) + point
