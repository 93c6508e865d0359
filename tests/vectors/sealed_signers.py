"""Owners of the vectors: their keys from labels, their signatures, and how a vector names them (sections 7 and 14).

ML-DSA-65 signs with fresh randomness, so its signatures are kept beside this module and checked when they are used:
otherwise the vectors would be others each time they are made.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

KEPT = Path(__file__).parent / "ml_dsa_signatures.json"

used: dict[str, str] = {}  # signatures of ML-DSA-65 that were asked for; `make_sealed.py` keeps them

Json = None | bool | int | str | list | dict
Sign = Callable[[str, bytes], dict]


def fixed(label: str, size: int) -> bytes:
    """Return bytes that look random and are always the same for a label."""
    return hashlib.shake_256(label.encode()).digest(size)


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def dump(value: Json) -> bytes:
    """Return canonical JSON (section 3)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def owner(name: str) -> Ed25519PrivateKey:
    """Return an owner's key."""
    return Ed25519PrivateKey.from_private_bytes(fixed(f"owner {name}", 32))


def public(name: str) -> tuple[str, bytes]:
    """Return algorithm and raw public key: "pq …" has a key of ML-DSA-65, "raw …" the key that follows in hex."""
    if name.startswith("raw "):
        return "Ed25519", bytes.fromhex(name.removeprefix("raw "))
    if name.startswith("pq "):
        return "ML-DSA-65", _ml_dsa(name).public_key().public_bytes_raw()
    return "Ed25519", owner(name).public_key().public_bytes_raw()


def key_id(key: Ed25519PrivateKey) -> str:
    """Return the identifier of a key of Ed25519."""
    return b64(hashlib.sha256(b"Ed25519\0" + key.public_key().public_bytes_raw()).digest())


def id_of(name: str) -> str:
    """Return the identifier of an owner's key."""
    alg, raw = public(name)
    return b64(hashlib.sha256(alg.encode() + b"\0" + raw).digest())


def owner_line(name: str) -> str:
    """Return an owner as a vector's header has it: its keys joined by "+", ML-DSA-65 called by name."""
    keys = [public(one) for one in name.split("+")]
    return "+".join(b64(raw) if alg == "Ed25519" else f"{alg}:{b64(raw)}" for alg, raw in keys)


def signed(name: str, message: bytes) -> dict:
    """Return the signature of one key, as it stands in the block."""
    if not name.startswith("pq "):
        return {"alg": "Ed25519", "key": id_of(name), "sig": b64(owner(name).sign(message))}
    label = f"{name} {hashlib.sha256(message).hexdigest()}"
    if label not in used:
        kept = json.loads(KEPT.read_text(encoding="ascii"))
        used[label] = kept[label] if label in kept else b64(_ml_dsa(name).sign(message))
    signature = used[label]
    _ml_dsa(name).public_key().verify(base64.urlsafe_b64decode(signature + "=="), message)
    return {"alg": "ML-DSA-65", "key": id_of(name), "sig": signature}


def _ml_dsa(name: str) -> MLDSA65PrivateKey:
    return MLDSA65PrivateKey.from_seed_bytes(fixed(f"owner {name}", 32))
