"""Evidence of what this device is: one small port, for a TPM here and for what an app wraps (RFC 9334, "attester").

An app on iOS or Android has no Python interface to its platform's attestation: it implements `Attestor` itself, bytes
in and bytes out, and hands it to the room. The server judges the evidence; nothing here does. What goes in where:

    App Attest      enrol: attestKey(keyId, clientDataHash = binding), its CBOR; request: generateAssertion(keyId,
                    clientDataHash = expected.binding), its CBOR. Kind "app-attest".
    Android         setAttestationChallenge(binding), the chain as DER certificates one behind the other, leaf first;
                    a key is attested anew for each request, since an old one proves nothing of it. Kind "android-key".
                    If the attested key is a P-256 AGREE_KEY key and is itself `expected.public_key` (KEM 0x0010), its
                    challenge is `expected.keyless`, for it cannot sign its own name before it exists.
    Play Integrity  requestHash (standard) or nonce (classic) = base64url of the binding without padding; the token's
                    ASCII bytes. Kind "play".
    TPM 2.0         qualifyingData = binding (edge/evidence/tpm.py). Kind "tpm".

`binding` is 32 bytes and is handed on as it is: never hashed again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from strongroom.wire.messages import Evidence

UNAVAILABLE = "unavailable"  # kind of evidence that says why there is none


@dataclass(frozen=True, slots=True)
class Requested:
    """What evidence for one request must be made for.

    Attributes:
        binding: digest of the request's binding, 32 bytes (docs/spec/protocol.md section 5).
        keyless: digest of the same binding with kem 0 and an empty public key; b"" where no key is asked for.
        kem: HPKE KEM of the request, 0 where no key is asked for.
        public_key: its ephemeral public key, raw; b"" where no key is asked for.
    """

    binding: bytes
    keyless: bytes = b""
    kem: int = 0
    public_key: bytes = b""


@dataclass(frozen=True, slots=True)
class TwoKeys:
    """What a TPM is activated with: the fields of `wire.activation.ActivationRequest` but its challenge.

    Attributes:
        ek_certificates: DER, leaf first.
        ek_public: TPMT_PUBLIC of the endorsement key.
        ak_public: TPMT_PUBLIC of the attestation key.
    """

    ek_certificates: tuple[bytes, ...]
    ek_public: bytes
    ak_public: bytes


Activate = Callable[[TwoKeys], bytes]  # asks the office (`POST /v1/activations`); returns its credential


class Attestor(Protocol):
    """What vouches for this device. Called in the thread of the request, at most once for each."""

    @property
    def kind(self) -> str:
        """Its kind of evidence: "app-attest", "android-key", "play" or "tpm"."""
        ...

    def enrol(self, binding: bytes, activate: Activate) -> tuple[Evidence, ...]:
        """Return evidence for an enrolment, making whatever key it needs.

        Args:
            binding: what it must be made for, 32 bytes.
            activate: for a TPM only, once: gives the credential that proves two keys to be in one chip.

        Raises:
            StrongroomError: it should work and does not. If the platform can only say no (a service is down, a quota
                is used up), return `unavailable(why)` instead: the server's policy decides then.
        """
        ...

    def request(self, expected: Requested) -> tuple[Evidence, ...]:
        """Return evidence for a request of an enrolled device. Raises as `enrol`."""
        ...

    def open_credential(self, credential: bytes) -> bytearray:
        """Open the credential of a grant with this device's TPM; the caller wipes what was in it.

        Raises:
            IntegrityError: SEALED_KEY, if it is not this device's to open; whatever is no TPM raises that always.
            StrongroomError: the TPM failed.
        """
        ...


def unavailable(why: str) -> tuple[Evidence, ...]:
    """Say that this device cannot attest now. `why` goes to the server's audit log: short, and nothing private."""
    return (Evidence(UNAVAILABLE, why.encode("utf-8", "replace")[:200]),)
