"""Owner signing keys and model keys as files (docs/spec/protocol.md section 2).

An owner key file holds one principal: one key, or two of different algorithms that count only together. It belongs
offline; whoever holds it signs models and trust files.
"""

from collections.abc import Sequence
from pathlib import Path

from strongroom import canonical
from strongroom.errors import Code, InputError, StrongroomError
from strongroom.operator.small_files import read_secret, write_secret
from strongroom.sealed import ModelKey
from strongroom.shapes import Array, Binary, Choice, Object
from strongroom.signing import ED25519, ML_DSA_65, SigningKey

OWNER_KEY_LIMIT = 4096  # bytes; two keys need about 200
MODEL_KEY_LIMIT = 64  # bytes; one line of 43 characters

_SHAPE = Object({"keys": Array(Object({"alg": Choice((ED25519, ML_DSA_65)), "seed": Binary(32)}), most=2, least=1)})


def read_owner_key(path: Path) -> tuple[SigningKey, ...]:
    """Read the signing keys of one owner.

    Raises:
        InputError: ARGUMENT if the file is missing, no regular file or no owner key.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    data = read_secret(path, limit=OWNER_KEY_LIMIT, what="owner key")
    try:
        fields = _SHAPE.check(canonical.decode(data.rstrip(b"\n"), limit=OWNER_KEY_LIMIT), "owner key")
        return tuple(SigningKey(key["alg"], key["seed"]) for key in fields["keys"])
    except StrongroomError:
        # The decoder's own words are dropped: they could quote a part of the secret.
        raise InputError(Code.ARGUMENT, "this file is not an owner key", where=str(path)) from None


def write_owner_key(path: Path, keys: Sequence[SigningKey]) -> None:
    """Write the signing keys of one owner to a new file of mode 0600.

    Raises:
        InputError: ALREADY_THERE.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    value = {"keys": [{"alg": key.alg, "seed": canonical.to_base64url(key.seed)} for key in keys]}
    write_secret(path, canonical.encode(value) + b"\n", what="owner key")  # type: ignore[arg-type] # str is JsonValue; list is invariant


def read_model_key(path: Path) -> ModelKey:
    """Read a model key: one line of 43 base64url characters.

    Raises:
        InputError: ARGUMENT if the file is missing, no regular file or no model key.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    data = read_secret(path, limit=MODEL_KEY_LIMIT, what="model key")
    try:
        return ModelKey(canonical.from_base64url(data.removesuffix(b"\n").decode("ascii")))
    except (StrongroomError, UnicodeDecodeError):
        next_step = "a model key is one line of 43 characters: A-Z a-z 0-9 - _"
        raise InputError(Code.ARGUMENT, "this file is not a model key", where=str(path), next_step=next_step) from None


def write_model_key(path: Path, key: ModelKey) -> None:
    """Write a model key to a new file of mode 0600.

    Raises:
        InputError: ALREADY_THERE.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    write_secret(path, canonical.to_base64url(key.reveal()).encode("ascii") + b"\n", what="model key")
