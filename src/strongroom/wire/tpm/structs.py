"""Reading and writing big-endian TPM structures, and a key's public area (TPM 2.0 Part 2, sections 10 to 12).

Nothing here reads past its bytes or leaves any unread: all that is wrong with them is IntegrityError(SHAPE).
"""

import hashlib
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.errors import Code, IntegrityError
from strongroom.wire.tpm.constants import CURVE_SIZES, DIGEST_SIZES, HASH_NAMES, RSA_EXPONENT, Alg, Attribute, Curve

MAX_SIZED = 4096  # bytes of any TPM2B here: the largest response of a TPM
_CURVES: dict[int, type[ec.EllipticCurve]] = {Curve.P256: ec.SECP256R1, Curve.P384: ec.SECP384R1}
_MAX_RSA = 512  # bytes of a modulus: 4096 bits

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def wrong(what: str) -> IntegrityError:
    """Return the error of bytes that are no such structure."""
    return IntegrityError(Code.SHAPE, what, where="TPM structure")


class Reader:
    """Reads a buffer once from front to back; call `end` when it must be used up."""

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raises IntegrityError(SHAPE) if there are fewer."""
        if size > self.left:
            raise wrong("it ends too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "big")

    def sized(self, most: int = MAX_SIZED) -> bytes:
        """Return the contents of a TPM2B: two bytes of size, then so many bytes (10.4.1)."""
        size = self.u16()
        if size > most:
            raise wrong(f"a field of {size} bytes; at most {most} are read")
        return self.take(size)

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.left)

    def end(self) -> None:
        """Raise IntegrityError(SHAPE) if anything is left."""
        if self.left:
            raise wrong(f"{self.left} bytes behind its end")


class Writer:
    """Gathers fields; every method returns the writer, so that they can be chained."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u8(self, *values: int) -> Self:
        return self._integers(1, values)

    def u16(self, *values: int) -> Self:
        return self._integers(2, values)

    def u32(self, *values: int) -> Self:
        return self._integers(4, values)

    def u64(self, *values: int) -> Self:
        return self._integers(8, values)

    def raw(self, data: bytes) -> Self:
        self._parts.append(bytes(data))
        return self

    def sized(self, data: bytes) -> Self:
        """Write a TPM2B."""
        return self.u16(len(data)).raw(data)

    def bytes(self) -> bytes:
        """Return what was written."""
        return b"".join(self._parts)

    def _integers(self, size: int, values: tuple[int, ...]) -> Self:
        self._parts.extend(value.to_bytes(size, "big") for value in values)
        return self


def digest(alg: int, data: bytes) -> bytes:
    """Hash with a TPM's algorithm. Raises IntegrityError(SHAPE) for one that is not known."""
    name = HASH_NAMES.get(alg)
    if name is None:
        raise wrong(f"unknown hash algorithm {alg:#06x}")
    return hashlib.new(name, data, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class Symmetric:
    """TPMT_SYM_DEF_OBJECT (11.1.7): what a parent key protects its children and credentials with."""

    alg: int
    bits: int
    mode: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """A signing or key exchange scheme (11.2) and its hash; alg and hash are Alg.NULL where there is none."""

    alg: int = Alg.NULL
    hash: int = Alg.NULL


@dataclass(frozen=True, slots=True)
class Public:
    """TPMT_PUBLIC (12.2.4) of an RSA or ECC key, or of a keyed hash object (sealed data).

    Attributes:
        raw: the TPMT_PUBLIC itself; names and comparisons are made over these bytes.
        type: Alg.RSA, Alg.ECC or Alg.KEYEDHASH.
        name_alg: hash of its Name.
        attributes: TPMA_OBJECT.
        auth_policy: policy digest, or b"".
        symmetric: of a restricted decryption key, None otherwise.
        scheme: its own signing scheme; Scheme() if any may be asked for.
        kdf: of an ECC key, Scheme() otherwise.
        bits: of an RSA modulus, 0 otherwise.
        exponent: of an RSA key, 0 otherwise.
        curve: of an ECC key, 0 otherwise.
        unique: modulus, digest of a keyed hash object, or both coordinates of a point one behind the other.
    """

    raw: bytes
    type: int
    name_alg: int
    attributes: Attribute
    auth_policy: bytes
    symmetric: Symmetric | None
    scheme: Scheme
    kdf: Scheme
    bits: int
    exponent: int
    curve: int
    unique: bytes = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a whole TPMT_PUBLIC or TPM2B_PUBLIC.

        They cannot be mistaken: a TPMT_PUBLIC begins with its type, and none is as short as that number plus two.

        Raises:
            IntegrityError: SHAPE.
        """
        sized = len(data) >= 2 and int.from_bytes(data[:2], "big") == len(data) - 2
        return cls.read(data[2:] if sized else data)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a whole TPMT_PUBLIC. Raises IntegrityError(SHAPE)."""
        reader = Reader(data)
        kind, name_alg, attributes, policy = reader.u16(), reader.u16(), reader.u32(), reader.sized(64)
        if name_alg not in DIGEST_SIZES:
            raise wrong(f"unknown hash algorithm {name_alg:#06x} in a public area")
        if len(policy) not in {0, DIGEST_SIZES[name_alg]}:
            raise wrong("a policy digest of another size than its hash")
        bits = exponent = curve = 0
        symmetric, kdf = None, Scheme()
        if kind == Alg.RSA:
            symmetric, scheme = _symmetric(reader), _scheme(reader)
            bits, exponent = reader.u16(), reader.u32() or RSA_EXPONENT
            unique = reader.sized(_MAX_RSA)
            if len(unique) * 8 != bits or not unique or not unique[0] & 0x80:
                raise wrong(f"a modulus that has not {bits} bits")
        elif kind == Alg.ECC:
            symmetric, scheme, curve, kdf = _symmetric(reader), _scheme(reader), reader.u16(), _scheme(reader)
            size = CURVE_SIZES.get(curve)
            if size is None:
                raise wrong(f"unknown curve {curve:#06x}")
            # some TPMs leave out leading zeros
            unique = reader.sized(size).rjust(size, b"\0") + reader.sized(size).rjust(size, b"\0")
        elif kind == Alg.KEYEDHASH:
            scheme = _scheme(reader)
            unique = reader.sized(64)
        else:
            raise wrong(f"unknown type of object {kind:#06x}")
        reader.end()
        return cls(
            bytes(data), kind, name_alg, Attribute(attributes), policy, symmetric, scheme, kdf, bits, exponent, curve,
            unique,
        )  # fmt: skip

    def sized(self) -> bytes:
        """Return the TPM2B_PUBLIC."""
        return Writer().sized(self.raw).bytes()

    def name(self) -> bytes:
        """Return the Name: the hash algorithm's number and the digest of the public area (Part 1, section 16)."""
        return self.name_alg.to_bytes(2, "big") + digest(self.name_alg, self.raw)

    def key(self) -> PublicKey:
        """Return the public key. Raises IntegrityError(SHAPE), for a point off the curve too."""
        try:
            if self.type == Alg.RSA:
                return rsa.RSAPublicNumbers(self.exponent, int.from_bytes(self.unique, "big")).public_key()
            if self.type == Alg.ECC:
                return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[self.curve](), b"\x04" + self.unique)
        except ValueError:
            raise wrong("a public area without a usable public key") from None
        raise wrong("a sealed object has no public key")


def _symmetric(reader: Reader) -> Symmetric | None:
    alg = reader.u16()
    if alg == Alg.NULL:
        return None
    if alg != Alg.AES:
        raise wrong(f"unknown symmetric algorithm {alg:#06x}")
    return Symmetric(alg, reader.u16(), reader.u16())


def _scheme(reader: Reader) -> Scheme:
    alg = reader.u16()
    if alg in {Alg.NULL, Alg.RSAES}:
        return Scheme(alg)
    if alg == Alg.ECDAA:
        raise wrong("an ECDAA scheme")
    found = Scheme(alg, reader.u16())
    if alg == Alg.XOR:
        reader.u16()  # its key derivation, which nothing here uses
    return found
