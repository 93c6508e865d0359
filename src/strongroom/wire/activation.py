"""Messages of TPM enrolment: proving that two keys live in one chip (docs/spec/protocol.md section 17)."""

from dataclasses import dataclass

from strongroom.shapes import Array, Binary, Integer, Object
from strongroom.wire.messages import Message

MAX_PUBLIC = 1024  # bytes of a TPMT_PUBLIC
MAX_CERTIFICATE = 4096  # bytes, DER


@dataclass(frozen=True, slots=True)
class ActivationRequest(Message):
    """`POST /v1/activations`: ask for a credential that only the TPM with these two keys can open.

    Attributes:
        challenge: an outstanding challenge for `enrol`, which this does not use up.
        ek_certificates: the endorsement key's certificate and its issuers, DER, leaf first.
        ek_public: TPMT_PUBLIC of the endorsement key.
        ak_public: TPMT_PUBLIC of the attestation key.
    """

    challenge: bytes
    ek_certificates: tuple[bytes, ...]
    ek_public: bytes
    ak_public: bytes

    SHAPE = Object(
        {
            "challenge": Binary(32),
            "ek_certificates": Array(Binary(MAX_CERTIFICATE, 1), most=4, least=1),
            "ek_public": Binary(MAX_PUBLIC, 1),
            "ak_public": Binary(MAX_PUBLIC, 1),
        }
    )


@dataclass(frozen=True, slots=True)
class ActivationAnswer(Message):
    """What TPM2_ActivateCredential takes: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, one behind the other."""

    credential: bytes
    server_time: int

    SHAPE = Object({"credential": Binary(1024, 4), "server_time": Integer()})
