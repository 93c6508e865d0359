"""What a TPM signs and the signature under it (TPM 2.0 Part 2, sections 10.6, 10.11, 10.12 and 11.3)."""

from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from strongroom.errors import Code, IntegrityError
from strongroom.wire.tpm.constants import DIGEST_SIZES, GENERATED, Alg, Tag
from strongroom.wire.tpm.structs import PublicKey, Reader, Scheme, Writer, wrong

MAX_BANKS = 8
MAX_SELECT = 4  # bytes of a bit map: 32 registers, of which a PC has 24
_HASHES: dict[int, hashes.HashAlgorithm] = {
    Alg.SHA256: hashes.SHA256(), Alg.SHA384: hashes.SHA384(), Alg.SHA512: hashes.SHA512(),
}  # fmt: skip
_SIGNING: dict[int, int] = {
    Alg.RSASSA: 512,
    Alg.RSAPSS: 512,
    Alg.ECDSA: 64,
}  # scheme to the largest part of a signature


@dataclass(frozen=True, slots=True)
class PcrSelection:
    """TPMS_PCR_SELECTION (10.6.2): a bank and its registers, in rising order."""

    hash: int
    registers: tuple[int, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read one from where the reader stands."""
        alg, size = reader.u16(), reader.u8()
        if alg not in DIGEST_SIZES or not 1 <= size <= MAX_SELECT:
            raise wrong("a selection of registers in an unknown bank or of an unusual size")
        bits = int.from_bytes(reader.take(size), "little")
        return cls(alg, tuple(index for index in range(size * 8) if bits >> index & 1))

    def write(self, size: int = 3) -> bytes:
        """Return the structure with a bit map of `size` bytes."""
        bits = sum(1 << index for index in set(self.registers))
        return Writer().u16(self.hash).u8(size).raw(bits.to_bytes(size, "little")).bytes()


def read_selections(reader: Reader) -> tuple[PcrSelection, ...]:
    """Read a TPML_PCR_SELECTION (10.9.7); a bank may stand in it once. Raises IntegrityError(SHAPE)."""
    count = reader.u32()
    if count > MAX_BANKS:
        raise wrong(f"{count} banks of registers")
    found = tuple(PcrSelection.read(reader) for _ in range(count))
    if len({one.hash for one in found}) != count:
        raise wrong("a bank of registers is selected twice")
    return found


def write_selections(*selections: PcrSelection) -> bytes:
    """Return a TPML_PCR_SELECTION."""
    return Writer().u32(len(selections)).raw(b"".join(one.write() for one in selections)).bytes()


@dataclass(frozen=True, slots=True)
class TpmsClockInfo:
    """TPMS_CLOCK_INFO (10.11.1): milliseconds while powered, and counts of TPM resets and restarts."""

    clock: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True)
class Attest:
    """TPMS_ATTEST (10.12.8).

    Attributes:
        raw: the bytes that are signed.
        type: Tag.ATTEST_QUOTE, or another.
        signer: qualified name of the signing key.
        extra: the caller's qualifying data.
        clock: of the TPM.
        firmware: version, as its maker counts.
        selections: of a quote, () otherwise.
        digest: of the registers of a quote, hashed with the signing scheme's hash; b"" otherwise.
    """

    raw: bytes
    type: int
    signer: bytes
    extra: bytes
    clock: TpmsClockInfo
    firmware: int
    selections: tuple[PcrSelection, ...]
    digest: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a whole TPMS_ATTEST; what it attests is read for a quote alone.

        Raises:
            IntegrityError: SHAPE, also if a TPM did not make it (magic).
        """
        reader = Reader(data)
        if reader.u32() != GENERATED:
            raise wrong("no TPM made it: TPM_GENERATED_VALUE is missing")
        kind, signer, extra = reader.u16(), reader.sized(68), reader.sized(68)
        clock, resets, restarts, safe, firmware = reader.u64(), reader.u32(), reader.u32(), reader.u8(), reader.u64()
        if safe > 1:
            raise wrong("a truth value that is neither 0 nor 1")
        selections: tuple[PcrSelection, ...] = ()
        digest = b""
        if kind == Tag.ATTEST_QUOTE:
            selections, digest = read_selections(reader), reader.sized(64)
            reader.end()
        info = TpmsClockInfo(clock, resets, restarts, bool(safe))
        return cls(bytes(data), kind, signer, extra, info, firmware, selections, digest)


@dataclass(frozen=True, slots=True)
class Signature:
    """TPMT_SIGNATURE (11.3.4) of RSASSA, RSAPSS or ECDSA.

    Attributes:
        scheme: its algorithm and hash.
        value: as `cryptography` takes it: RSA bytes, or (r, s) in DER.
        parts: the RSA bytes, or r and s.
    """

    scheme: Scheme
    value: bytes
    parts: tuple[bytes, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a whole TPMT_SIGNATURE. Raises IntegrityError(SHAPE)."""
        reader = Reader(data)
        found = cls.read(reader)
        reader.end()
        return found

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read one from where the reader stands. Raises IntegrityError(SHAPE)."""
        scheme = Scheme(reader.u16(), reader.u16())
        if scheme.alg not in _SIGNING:
            raise wrong(f"unknown signature scheme {scheme.alg:#06x}")
        most = _SIGNING[scheme.alg]
        parts = tuple(reader.sized(most) for _ in range(2 if scheme.alg == Alg.ECDSA else 1))
        if scheme.alg != Alg.ECDSA:
            return cls(scheme, parts[0], parts)
        r, s = (int.from_bytes(part, "big") for part in parts)
        return cls(scheme, encode_dss_signature(r, s), parts)

    def verify(self, key: PublicKey, data: bytes) -> None:
        """Check the signature over data.

        Raises:
            IntegrityError: SIGNATURE, also for a hash that is not trusted (SHA-1) or a key of another kind.
        """
        algorithm = _HASHES.get(self.scheme.hash)
        try:
            if algorithm is not None and isinstance(key, rsa.RSAPublicKey) and self.scheme.alg != Alg.ECDSA:
                pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)  # TPMs differ in their salt's size
                key.verify(self.value, data, pss if self.scheme.alg == Alg.RSAPSS else padding.PKCS1v15(), algorithm)
                return
            if algorithm is not None and isinstance(key, ec.EllipticCurvePublicKey) and self.scheme.alg == Alg.ECDSA:
                key.verify(self.value, data, ec.ECDSA(algorithm))
                return
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            pass
        raise IntegrityError(Code.SIGNATURE, "the signature is not this key's over these bytes", where="TPM structure")
