"""The next trust document, on its way from owner to owner: a draft, then signatures one by one (protocol.md section 3).

Nothing here is believed by a device: what counts is `trust.advance`, which asks for k of the old owners and k of the
new. This is for the owners' desks, where a document with too few signatures is the normal case.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from strongroom import canonical
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.signing import Role, Signer
from strongroom.wire import jws
from strongroom.wire import trust as trust_of
from strongroom.wire.trust import MAX_PAYLOAD, MAX_SIZE, TYP, Trust

_WHERE = "trust file"
_OBJECT = b"{"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A document that has some signatures or none.

    Attributes:
        trust: what it says; nobody vouches for it yet.
        payload: the bytes that are signed.
        signatures: one JWS a key.
    """

    trust: Trust
    payload: bytes = field(repr=False)
    signatures: tuple[str, ...] = field(repr=False)

    def encode(self) -> bytes:
        """Return the bytes of its file: the payload itself as long as nobody has signed."""
        return trust_of.join(self.signatures) if self.signatures else self.payload


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the owners of one document have come.

    Attributes:
        threshold: how many of them are needed.
        signed: whether each of them has signed, in the order of the role.
    """

    threshold: int
    signed: tuple[bool, ...]

    @property
    def enough(self) -> bool:
        return sum(self.signed) >= self.threshold


def draft(trust: Trust) -> Unfinished:
    """Begin with a document that nobody has signed.

    Raises:
        IntegrityError: SHAPE, PUBLIC_KEY or JSON_TOO_LARGE, if it could not be read back.
    """
    payload = canonical.encode(trust.to_value())
    return Unfinished(trust_of.parse(payload), payload, ())


def read(data: bytes) -> Unfinished:
    """Read a draft, or a document with any number of signatures; they are not verified here.

    Raises:
        IntegrityError: JSON_TOO_LARGE, JSON_NOT_CANONICAL, SHAPE, PUBLIC_KEY; SIGNATURE for different contents.
    """
    if data[:1] == _OBJECT:
        if len(data) > MAX_PAYLOAD:
            raise IntegrityError(Code.JSON_TOO_LARGE, f"more than {MAX_PAYLOAD} bytes", where=_WHERE)
        return Unfinished(trust_of.parse(data), data, ())
    signatures = trust_of.split(data)
    payloads = {jws.unverified_payload(one, _WHERE) for one in signatures}
    if len(payloads) != 1:
        raise IntegrityError(Code.SIGNATURE, "its signatures cover different contents", where=_WHERE)
    payload = payloads.pop()
    return Unfinished(trust_of.parse(payload), payload, signatures)


def sign(document: Unfinished, signers: Sequence[Signer], before: Trust | None) -> Unfinished:
    """Add an owner's signatures.

    Args:
        document: what is signed; all signatures it has must be genuine as far as old and new owners' keys go.
        signers: the keys of one owner.
        before: the document in force, whose owners sign too; None if there is none.

    Raises:
        InputError: ARGUMENT, for a key that is no owner's, or has signed already.
        IntegrityError: SIGNATURE, if a signature that is there does not verify; JSON_TOO_LARGE.
    """
    roles = [document.trust.owner] if before is None else [document.trust.owner, before.owner]
    there = frozenset().union(*(verified(document, role) for role in roles))
    for one in signers:
        key = one.public.key_id
        if all(role.key(key) is None for role in roles):
            step = "use an owner's key; --from FILE names the document whose owners sign too"
            raise InputError(Code.ARGUMENT, f"key {key[:12]} is no owner's of this document", next_step=step)
        if key in there:
            raise InputError(Code.ARGUMENT, f"key {key[:12]} has signed this document already")
    signatures = (*document.signatures, *jws.sign(TYP, document.payload, signers))
    if len(signatures) > jws.MAX_SIGNERS or len(trust_of.join(signatures)) > MAX_SIZE:
        raise IntegrityError(Code.JSON_TOO_LARGE, "too many signatures for one trust file", where=_WHERE)
    return Unfinished(document.trust, document.payload, signatures)


def verified(document: Unfinished, role: Role) -> frozenset[str]:
    """Return which keys of a role have signed.

    Raises:
        IntegrityError: SIGNATURE, if one of them did not sign what it says it signed.
    """
    if not document.signatures:
        return frozenset()
    return jws.verified_keys(document.signatures, TYP, role, _WHERE)[1]


def standing(document: Unfinished, role: Role) -> Standing:
    """Say which owners of a role have signed. Raises as `verified`."""
    keys = verified(document, role)
    return Standing(role.threshold, tuple(all(key.key_id in keys for key in one.keys) for one in role.principals))
