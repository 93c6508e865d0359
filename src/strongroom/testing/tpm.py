"""A stand-in for a TPM and its maker: keys in plain memory that answer as a chip does. There is no chip.

It certifies an endorsement key, opens credentials and quotes registers (TPM 2.0 Part 1, sections 17 and 24; Part 2,
10.12). For the commands of a TPM themselves use a software TPM such as swtpm; this is for policies.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attest.authorities import Authorities, Roots
from strongroom.testing import der, tpm_credential
from strongroom.testing.authority import DAY, YEAR, Issuer, Random, fresh_key, named, signed, usage, warn_of
from strongroom.testing.tpm_objects import attestation_key, endorsement_key
from strongroom.wire.tpm.constants import DIGEST_SIZES, GENERATED, HASH_NAMES, Alg, Handle, Tag
from strongroom.wire.tpm.signed import PcrSelection, write_selections
from strongroom.wire.tpm.structs import Public, Writer, digest

REGISTERS = 24  # of a PC's TPM
QUOTED = (0, 1, 2, 3, 4, 5, 7)  # firmware, boot loader and secure boot
FIRMWARE = 0x2026_0001_0000_0000
_BANKS = {name: number for number, name in HASH_NAMES.items()}
_CHIP = ("2.23.133.2.1", "id:53544e44"), ("2.23.133.2.2", "stand-in"), ("2.23.133.2.3", "id:00010000")
_SPECIFICATION = der.sequence(
    der.sequence(
        der.oid("2.23.133.2.16"),
        der.set_of(der.sequence(der.tlv(der.UTF8_STRING, b"2.0"), der.integer(0), der.integer(164))),
    )
)  # tpmSpecification: family, level, revision
_NOT_EVER = 253_402_300_799  # 9999-12-31T23:59:59Z: chips outlive every date


class TestTpm:
    """A maker of TPMs, as a test has it: a root and an issuer under it.

    Args:
        at: Unix seconds at which it is made; its authorities are valid from a day before.
        random: what keys and serial numbers are drawn from. With the same bytes and times it mints the same evidence,
            but for RSA keys, which come from the operating system.
    """

    __test__ = False  # pytest takes every class of this name for a test

    def __init__(self, at: int, random: Random = secrets.token_bytes) -> None:
        warn_of("TestTpm")
        self._at, self._random = at, random
        self._root = Issuer.root(named("Test TPM Root CA"), at, random)
        self._issuer = self._root.below(named("Test TPM EK Issuing CA"), (at - DAY, at + 20 * YEAR))

    @property
    def roots(self) -> Roots:
        """For `Authorities.tpm`."""
        return Roots(stand_ins=(self._root.certificate,))

    def among(self, authorities: Authorities) -> Authorities:
        """Return the authorities with this one among their stand-ins."""
        tpm = authorities.tpm
        return replace(authorities, tpm=replace(tpm, stand_ins=(*tpm.stand_ins, self._root.certificate)))

    def chip(self, *, use_rsa: bool = False, banks: tuple[str, ...] = ("sha256",)) -> "TestChip":
        """Return a chip with an endorsement key that this maker certified, and an attestation key.

        Args:
            use_rsa: RSA with 2048 bits, otherwise P-256.
            banks: of registers, all zero.
        """
        ek = rsa.generate_private_key(65537, 2048) if use_rsa else fresh_key(ec.SECP256R1(), self._random)
        ak = fresh_key(ec.SECP256R1(), self._random)
        pcrs = {bank: dict.fromkeys(range(REGISTERS), bytes(DIGEST_SIZES[_BANKS[bank]])) for bank in banks}
        made = self._issuer.issue(
            x509.Name([]), ek.public_key(), (self._at - DAY, _NOT_EVER), _ek_extensions(use_rsa=use_rsa)
        )
        chain = tuple(one.public_bytes(Encoding.DER) for one in (made, self._issuer.certificate))
        return TestChip(chain, endorsement_key(ek.public_key()), attestation_key(ak.public_key()), pcrs, ek, ak)


@dataclass(slots=True)
class TestChip:
    """One TPM in memory. Its clock moves by a second with every quote.

    Attributes:
        ek_certificates: DER, leaf first, without the root.
        ek: endorsement key.
        ak: attestation key, restricted to what the chip itself made.
        pcrs: bank to register number to digest.
        clock: milliseconds.
        reset_count: of TPM resets.
        restart_count: of restarts and resumes.
        firmware: version.
    """

    __test__ = False

    ek_certificates: tuple[bytes, ...]
    ek: Public
    ak: Public
    pcrs: dict[str, dict[int, bytes]]
    _ek_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(repr=False)
    _ak_key: ec.EllipticCurvePrivateKey = field(repr=False)
    clock: int = 1_000
    reset_count: int = 1
    restart_count: int = 0
    firmware: int = FIRMWARE

    def extend(self, register: int, data: bytes, bank: str = "sha256") -> None:
        """Measure data into a register: the digest of its old value and the data's digest (TPM2_PCR_Event)."""
        value = self.pcrs[bank][register] + hashlib.new(bank, data).digest()
        self.pcrs[bank][register] = hashlib.new(bank, value).digest()

    def reset(self) -> None:
        """Switch it off and on: registers are zero again, and it counts."""
        for registers in self.pcrs.values():
            registers.update({number: bytes(len(value)) for number, value in registers.items()})
        self.reset_count, self.restart_count = self.reset_count + 1, 0

    def activate(self, credential: bytes) -> bytes:
        """Return the secret in a credential for this chip's keys, as TPM2_ActivateCredential does.

        Raises:
            IntegrityError: SEALED_KEY if it was made for another chip or key, SHAPE if it is no credential.
        """
        return tpm_credential.opened(self._ek_key, self.ek, self.ak.name(), credential)

    def enrol(self, binding: bytes, *, activation: bytes = b"", quoted: Iterable[int] = QUOTED) -> bytes:
        """Return the evidence of an enrolment: certificates, keys, what a credential held, and a quote."""
        more = {
            "ek_certificates": [one.hex() for one in self.ek_certificates],
            "ek_public": self.ek.raw.hex(),
            **({"activation": activation.hex()} if activation else {}),
        }
        return self._evidence(binding, quoted, more)

    def quote(self, binding: bytes, *, quoted: Iterable[int] = QUOTED) -> bytes:
        """Return the evidence of a request: a quote of these registers in all banks.

        Args:
            binding: the qualifying data.
            quoted: numbers of registers.
        """
        return self._evidence(binding, quoted, {})

    def _evidence(self, binding: bytes, quoted: Iterable[int], more: Mapping[str, object]) -> bytes:
        numbers = tuple(sorted(set(quoted)))
        self.clock += 1000
        attest = self._attest(binding, numbers)
        r, s = decode_dss_signature(signed(self._ak_key, attest))
        signature = Writer().u16(Alg.ECDSA, Alg.SHA256).sized(r.to_bytes(32, "big")).sized(s.to_bytes(32, "big"))
        told = {
            "ak_public": self.ak.raw.hex(),
            "attest": attest.hex(),
            "signature": signature.bytes().hex(),
            "pcrs": {
                bank: {str(number): registers[number].hex() for number in numbers}
                for bank, registers in self.pcrs.items()
            },
            **more,
        }
        return json.dumps(told).encode()

    def _attest(self, binding: bytes, numbers: tuple[int, ...]) -> bytes:
        """Return TPMS_ATTEST of a quote (Part 2, 10.12.8)."""
        values = b"".join(registers[number] for registers in self.pcrs.values() for number in numbers)
        return (
            Writer()
            .u32(GENERATED)
            .u16(Tag.ATTEST_QUOTE)
            .sized(self._qualified_name())
            .sized(binding)
            .u64(self.clock)
            .u32(self.reset_count, self.restart_count)
            .u8(1)
            .u64(self.firmware)
            .raw(write_selections(*(PcrSelection(_BANKS[bank], numbers) for bank in self.pcrs)))
            .sized(digest(Alg.SHA256, values))
            .bytes()
        )

    def _qualified_name(self) -> bytes:
        """Return the attestation key's qualified name: it lies under the endorsement key (Part 1, 26.5)."""
        number = Alg.SHA256.to_bytes(2, "big")
        name = int(Handle.ENDORSEMENT).to_bytes(4, "big")
        for one in (self.ek, self.ak):
            name = number + digest(Alg.SHA256, name + one.name())
        return name


def _ek_extensions(*, use_rsa: bool) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """Return what TCG's EK Credential Profile asks for (section 3.2), in the shape of swtpm's."""
    chip = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), value) for oid, value in _CHIP])
    return (
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.1")]), False),
        (x509.SubjectAlternativeName([x509.DirectoryName(chip)]), True),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), _SPECIFICATION), False),
        usage("key_encipherment" if use_rsa else "key_agreement"),
    )
