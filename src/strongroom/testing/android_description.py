"""What a phone's secure hardware says of a key and of the system around it: KeyDescription, written.

Schema: developer documentation of Android, "Key and ID attestation", versions 3 to 400.
"""

from dataclasses import dataclass

from strongroom.testing import der

SOFTWARE, TRUSTED_ENVIRONMENT, STRONGBOX = 0, 1, 2  # SecurityLevel
ENCRYPT, DECRYPT, SIGN, VERIFY, WRAP_KEY, AGREE_KEY, ATTEST_KEY = 0, 1, 2, 3, 5, 6, 7  # KeyPurpose
GENERATED, DERIVED, IMPORTED = 0, 1, 2  # KeyOrigin
VERIFIED, SELF_SIGNED, UNVERIFIED, FAILED = 0, 1, 2, 3  # VerifiedBootState
_EC, _P256, _SHA256 = 3, 1, 4  # Algorithm, EcCurve, Digest


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """The contents of the attestation extension, for a P-256 key. The defaults are those of a phone as it is sold.

    Attributes:
        challenge: what the key was made for.
        packages: names and version codes of the application (all that share its user id).
        signers: SHA-256 digests of its signing certificates, 32 bytes each.
        purposes: SIGN for a key that signs, AGREE_KEY for one that agrees on secrets.
        attestation_level: SOFTWARE, TRUSTED_ENVIRONMENT or STRONGBOX: who attests.
        key_level: who holds the key.
        version: of attestation and key mint.
        origin: GENERATED, or another.
        boot_state: VERIFIED, SELF_SIGNED (a key of the user's), UNVERIFIED (unlocked) or FAILED.
        locked: the boot loader.
        boot_key: SHA-256 of the key that verified what booted.
        boot_hash: SHA-256 over what booted.
        os_version: six digits, 160000 for 16.0.0.
        os_patch: YYYYMM.
        vendor_patch: YYYYMMDD.
        boot_patch: YYYYMMDD.
        created: Unix milliseconds.
        digests: that a key which signs may sign with: SHA-256.
        root_of_trust: whether there is one at all.
    """

    challenge: bytes
    packages: tuple[tuple[str, int], ...]
    signers: tuple[bytes, ...]
    purposes: tuple[int, ...] = (SIGN,)
    attestation_level: int = TRUSTED_ENVIRONMENT
    key_level: int = TRUSTED_ENVIRONMENT
    version: int = 300
    origin: int = GENERATED
    boot_state: int = VERIFIED
    locked: bool = True
    boot_key: bytes = bytes([0x11]) * 32
    boot_hash: bytes = bytes([0x22]) * 32
    os_version: int = 160000
    os_patch: int = 202610
    vendor_patch: int = 20261005
    boot_patch: int = 20261005
    created: int = 0
    digests: tuple[int, ...] = (_SHA256,)
    root_of_trust: bool = True

    def encode(self) -> bytes:
        """Return it in DER. Of a key in software all is said by software."""
        application, device = self._of_software(), self._of_hardware()
        by_software, by_hardware = (application, device) if self.key_level else (application | device, {})
        return der.sequence(
            der.integer(self.version),
            der.integer(self.attestation_level, der.ENUMERATED),
            der.integer(self.version),
            der.integer(self.key_level, der.ENUMERATED),
            der.octets(self.challenge),
            der.octets(b""),  # the unique id, which only system applications may ask for
            *(_authorizations(one) for one in (by_software, by_hardware)),
        )

    def _of_software(self) -> dict[int, bytes]:
        packages = (der.sequence(der.octets(name.encode()), der.integer(code)) for name, code in self.packages)
        application = der.sequence(der.set_of(*packages), der.set_of(*map(der.octets, self.signers)))
        return {701: der.integer(self.created), 709: der.octets(application)}

    def _of_hardware(self) -> dict[int, bytes]:
        digests = self.digests if SIGN in self.purposes else ()
        return {
            1: der.set_of(*map(der.integer, self.purposes)),
            2: der.integer(_EC),
            3: der.integer(256),
            **({5: der.set_of(*map(der.integer, digests))} if digests else {}),
            10: der.integer(_P256),
            503: der.tlv(der.NULL, b""),
            702: der.integer(self.origin),
            **({704: self._root_of_trust()} if self.root_of_trust else {}),
            705: der.integer(self.os_version),
            706: der.integer(self.os_patch),
            718: der.integer(self.vendor_patch),
            719: der.integer(self.boot_patch),
        }

    def _root_of_trust(self) -> bytes:
        return der.sequence(
            der.octets(self.boot_key),
            der.boolean(self.locked),
            der.integer(self.boot_state, der.ENUMERATED),
            der.octets(self.boot_hash),
        )


def _authorizations(fields: dict[int, bytes]) -> bytes:
    """Return an AuthorizationList, whose tags rise."""
    return der.sequence(*(der.explicit(tag, value) for tag, value in sorted(fields.items())))
