"""`sr-proof`: the device key signs what a request is for and every byte of it (docs/spec/protocol.md section 8)."""

import dataclasses
import hashlib
from typing import TypeVar

from strongroom import canonical
from strongroom.errors import Code, DeniedError, IntegrityError
from strongroom.signing import PublicKey, Signer
from strongroom.wire import jws
from strongroom.wire.binding import Binding
from strongroom.wire.messages import EnrolRequest, Proof, ReleaseRequest, UrlsRequest
from strongroom.wire.renewal import RenewRequest

TYP = "sr-proof"

Proved = TypeVar("Proved", EnrolRequest, ReleaseRequest, UrlsRequest, RenewRequest)


def body_without_proof(message: EnrolRequest | ReleaseRequest | UrlsRequest | RenewRequest) -> bytes:
    """Return the message's canonical bytes as if it had no field `proof`."""
    value = message.to_value()
    del value["proof"]
    return canonical.encode(value)


def body_hash_without_proof(message: EnrolRequest | ReleaseRequest | UrlsRequest | RenewRequest) -> bytes:
    """Return the SHA-256 that the proof carries as `body`."""
    return hashlib.sha256(body_without_proof(message)).digest()


def make_proof(signer: Signer, binding: Binding, method: str, url: str, body_without_proof: bytes, token: str) -> str:
    """Sign one request with the device key.

    Args:
        signer: the device key.
        binding: what the request is for.
        method: HTTP method.
        url: the whole URL the request goes to.
        body_without_proof: the canonical body without its field `proof`.
        token: the access token the request carries.

    Raises:
        InputError: ARGUMENT, when the binding has a name that is not NFC.
    """
    proof = Proof(binding.digest(), method, url, _hash(body_without_proof), _hash(token.encode("utf-8")))
    return jws.sign(TYP, proof.to_bytes(), (signer,))[0]


def prove(message: Proved, signer: Signer, binding: Binding, method: str, url: str, token: str) -> Proved:
    """Return the message with its proof filled in; whatever stood in `proof` before is replaced."""
    proof = make_proof(signer, binding, method, url, body_without_proof(message), token)
    return dataclasses.replace(message, proof=proof)


def verify_proof(
    proof: str,
    key: PublicKey,
    *,
    expected_binding: Binding,
    expected_method: str,
    expected_url: str,
    expected_body: bytes,
    expected_token: str,
) -> Proof:
    """Check a proof against what the server itself knows of the request.

    Args:
        proof: the JWS as received.
        key: the device key from the server's record (enrolment: from the request).
        expected_binding: made from the server's own challenge record and the request.
        expected_method: HTTP method of the request.
        expected_url: its whole URL, as the server names itself.
        expected_body: the canonical body without its field `proof`.
        expected_token: the access token it carried.

    Raises:
        DeniedError: PROOF, whatever is wrong with it.
    """
    body, token = _hash(expected_body), _hash(expected_token.encode("utf-8"))
    expected = Proof(expected_binding.digest(), expected_method, expected_url, body, token)
    try:
        payload = jws.verify_key(proof, TYP, key)
    except IntegrityError:
        raise DeniedError(Code.PROOF, "the device's proof does not verify") from None
    if payload != expected.to_bytes():
        raise DeniedError(Code.PROOF, "the device's proof was made for another request")
    return expected


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
