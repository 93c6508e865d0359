"""The binding: one digest over everything a request is for (docs/spec/protocol.md section 5).

Every kind of evidence signs it, and the sealed keys of the answer open only under it, so an answer cannot be moved
to another account, device, key, model or moment. Each field carries its length, so no two requests share an encoding.
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Self

from strongroom.errors import Code, InputError

LABEL = b"strongroom/binding/v1\0"
CHALLENGE_SIZE = 32  # bytes
THUMBPRINT_SIZE = 32  # bytes: SHA-256 of the device key's SPKI


def lp(data: bytes) -> bytes:
    """Return the data behind its length as four bytes, big-endian."""
    return len(data).to_bytes(4, "big") + data


def text(value: str) -> bytes:
    """Return UTF-8 of a string that is already in Normalization Form C.

    It is refused rather than normalised: two spellings of one name must not bind to one digest without anyone noticing.

    Raises:
        InputError: ARGUMENT, when the string is not NFC or has no UTF-8 form.
    """
    try:
        encoded = value.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(Code.ARGUMENT, "a name to bind has no UTF-8 form") from None
    if not unicodedata.is_normalized("NFC", value):
        raise InputError(Code.ARGUMENT, "a name to bind is not in Unicode normal form C")
    return encoded


@dataclass(frozen=True, slots=True)
class Binding:
    """What one request is for. The server fills it from its own records wherever it has them.

    Attributes:
        purpose: enrol, release, urls or renew.
        challenge: the server's 32 bytes.
        kem: HPKE KEM identifier, 0 where no key is asked for.
        public_key: the ephemeral public key in raw bytes, empty where no key is asked for.
        account: account identifier, "" while enrolling.
        device: device identifier, "" while enrolling.
        device_key: SHA-256 of the device key's SPKI, 32 bytes.
        platform: as in the Device message; "" where the request carries none.
        model: model name, "" while enrolling.
        version: the version or "@channel" asked for, "" while enrolling.
    """

    purpose: str
    challenge: bytes
    kem: int
    public_key: bytes
    account: str
    device: str
    device_key: bytes
    platform: str
    model: str
    version: str

    @classmethod
    def enrol(cls, *, challenge: bytes, device_key: bytes, platform: str) -> Self:
        """Make the binding of an enrolment: no key, account, device or model yet."""
        return cls("enrol", challenge, 0, b"", "", "", device_key, platform, "", "")

    @classmethod
    def urls(cls, *, challenge: bytes, account: str, device: str, device_key: bytes, model: str, version: str) -> Self:
        """Make the binding of a request for fresh links: model and exact version of the release, no platform."""
        return cls("urls", challenge, 0, b"", account, device, device_key, "", model, version)

    @classmethod
    def renew(
        cls,
        *,
        challenge: bytes,
        account: str,
        device: str,
        device_key: bytes,
        platform: str,
        model: str,
        version: str,
    ) -> Self:
        """Make the binding of a request to renew: model and exact version of the lease; its URL names the lease."""
        return cls("renew", challenge, 0, b"", account, device, device_key, platform, model, version)

    def digest(self) -> bytes:
        """Return the 32 bytes that evidence, proofs and HPKE cover.

        Raises:
            InputError: ARGUMENT, when a field cannot be bound (not NFC, wrong size).
        """
        sizes = (len(self.challenge), len(self.device_key))
        if sizes != (CHALLENGE_SIZE, THUMBPRINT_SIZE) or not 0 <= self.kem <= 0xFFFF:
            raise InputError(
                Code.ARGUMENT, "a binding needs a 32-byte challenge, a 32-byte device key and a 16-bit KEM"
            )
        fields = (
            text(self.purpose),
            self.challenge,
            self.kem.to_bytes(2, "big"),
            self.public_key,
            text(self.account),
            text(self.device),
            self.device_key,
            text(self.platform),
            text(self.model),
            text(self.version),
        )
        return hashlib.sha256(LABEL + b"".join(map(lp, fields))).digest()
