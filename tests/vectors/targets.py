"""Sealed files for the tests that attack them, and how an honest reader opens them."""

import hashlib
from collections.abc import Callable

from strongroom import sealed
from strongroom.signing import ED25519, Principal, PublicKey, Role
from vectors.sealed_writer import Made, Plan, b64, fixed, make, owner

SUBJECT = sealed.Subject("ac_customer", "digits", "1.0", None)


def role(*names: str, threshold: int = 1) -> Role:
    """Return a role of owners by name."""
    keys = [PublicKey(ED25519, owner(name).public_key().public_bytes_raw()) for name in names]
    return Role(threshold, tuple(Principal((key,)) for key in keys))


OWNERS = role("first")
EXPECTED = sealed.Expected("model", SUBJECT, OWNERS)


def network_file(name: str = "target", size: int = 50_000, **how: object) -> tuple[bytes, sealed.ModelKey, Made]:
    """Return a delivered file, its key, and how it was made."""
    plan = Plan(name, [("model", fixed(name, size))], **how)
    made = make(plan)
    return made.data, sealed.ModelKey(plan.key()), made


def local_file(name: str = "target", size: int = 50_000, **how: object) -> tuple[bytes, sealed.ModelKey, bytes]:
    """Return a device's own copy, its key, and the SHA-512 of its origin's head."""
    origin = make(Plan(name, [("model", fixed(name, size))]))
    digest = hashlib.sha512(origin.head).digest()
    plan = Plan(
        f"{name} local",
        [("model", fixed(name, size))],
        kind="local",
        signers=(),
        toc={"origin": {"blind": b64(origin.keys.blind), "head_part": b64(origin.head_part)}},
        core={"origin": {"file_id": origin.core["file_id"], "head": b64(digest)}},
        **how,
    )
    return make(plan).data, sealed.ModelKey(plan.key()), digest


def opener(data: bytes, mek: sealed.ModelKey) -> Callable[[], memoryview]:
    """Return a call that opens a delivered file."""
    return lambda: sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED, workers=1).payload


def local_opener(data: bytes, key: sealed.ModelKey, digest: bytes) -> Callable[[], memoryview]:
    """Return a call that opens a device's own copy."""
    return lambda: (
        sealed.open_local(
            sealed.BytesReadable(data), key, subject=SUBJECT, owners=OWNERS, origin_head=digest, workers=1
        ).payload
    )
