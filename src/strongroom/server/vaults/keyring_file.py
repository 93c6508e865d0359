"""The keyring's file, sealed by a passphrase or by a key file.

Canonical JSON: a header that says how the content is sealed, and the content under AES-256-GCM with that header as
associated data. A passphrase is stretched by Argon2id with the second recommended parameters of RFC 9106.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from strongroom.canonical import JsonValue, decode, encode, to_base64url
from strongroom.errors import Code, IntegrityError, SetupError
from strongroom.server.vaults.keyring import Keyring, derive
from strongroom.shapes import Binary, Choice, Integer, Object

MAX_FILE = 131_072  # bytes
MIN_PASSPHRASE = 8  # bytes; what a person chooses is stretched, but nothing mends a shorter one
KEY_FILE_SIZE = 32  # bytes
ARGON2ID = {"passes": 3, "memory": 65_536, "lanes": 4}  # RFC 9106 section 4, second recommended; memory in KiB

_VERSION = 1
_NONCE, _SALT, _TAG = 12, 32, 16  # bytes
_LABEL = b"strongroom/keyring/key-file/v1\0"

# bounds on what a changed file could make us spend: 1 GiB and 16 passes
_PARAMETERS = Object({"passes": Integer(1, 16), "memory": Integer(8 * 16, 2**20), "lanes": Integer(1, 16)})
_SEALS = {
    "argon2id": Object({"kind": Choice(("argon2id",)), "parameters": _PARAMETERS, "salt": Binary(_SALT)}),
    "key-file": Object({"kind": Choice(("key-file",)), "parameters": Object({}), "salt": Binary(_SALT)}),
}


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What a person types or a file holds; does not print."""

    secret: bytes = field(repr=False)

    kind = "argon2id"

    def parameters(self) -> dict[str, JsonValue]:
        return dict(ARGON2ID)

    def key(self, salt: bytes, parameters: Mapping[str, int]) -> bytes:
        """Stretch the passphrase to 32 bytes; takes 64 MiB and about a tenth of a second."""
        stretch = Argon2id(
            salt=salt,
            length=32,
            iterations=parameters["passes"],
            lanes=parameters["lanes"],
            memory_cost=parameters["memory"],
        )
        return stretch.derive(self.secret)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The 32 random bytes of a key file; does not print."""

    secret: bytes = field(repr=False)

    kind = "key-file"

    def parameters(self) -> dict[str, JsonValue]:
        return {}

    def key(self, salt: bytes, _parameters: Mapping[str, int]) -> bytes:
        """Derive 32 bytes; no stretching, since the secret is random."""
        return derive(self.secret, salt, _LABEL)


def seal_keyring(keyring: Keyring, secret: Passphrase | KeyFile, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Encrypt a keyring for its file, under a fresh salt and nonce.

    Raises:
        SetupError: VAULT_SEALED, if the secret is too weak to seal with.
    """
    if isinstance(secret, Passphrase) and len(secret.secret) < MIN_PASSPHRASE:
        raise SetupError(
            Code.VAULT_SEALED,
            f"the passphrase has {len(secret.secret)} bytes; at least {MIN_PASSPHRASE} are needed",
            next_step="choose a longer passphrase, for example six random words",
        )
    salt, nonce = random(_SALT), random(_NONCE)
    parameters = secret.parameters()
    header: dict[str, JsonValue] = {
        "version": _VERSION,
        "seal": {"kind": secret.kind, "parameters": parameters, "salt": to_base64url(salt)},
    }
    cipher = AESGCM(secret.key(salt, _numbers(parameters)))
    ciphertext = cipher.encrypt(nonce, keyring.content(), encode(header))
    return encode(header | {"nonce": to_base64url(nonce), "ciphertext": to_base64url(ciphertext)})


def open_keyring(
    data: bytes, secret: Passphrase | KeyFile, *, where: str = "keyring", random: Callable[[int], bytes] = os.urandom
) -> Keyring:
    """Open the bytes of a keyring file.

    Args:
        data: the file.
        secret: what it was sealed with.
        where: the file's name, for errors.
        random: source of salts and nonces for what the keyring wraps later.

    Raises:
        SetupError: VAULT_SEALED if the secret is not the one it was sealed with, or the file was changed.
    """
    try:
        value = decode(data, limit=MAX_FILE, where=where)
        if not isinstance(value, dict):
            raise _sealed(where, "not a keyring file")
        kind = seal_kind(value, where)
        fields = _file_shape(kind).check(value, where)
    except IntegrityError:
        raise _sealed(where, "not a keyring file of this version") from None
    if kind != secret.kind:
        wanted = "a passphrase" if kind == "argon2id" else "a key file"
        raise _sealed(where, f"this keyring is sealed by {wanted}")
    header: dict[str, JsonValue] = {"version": value["version"], "seal": value["seal"]}
    seal = fields["seal"]
    cipher = AESGCM(secret.key(seal["salt"], seal["parameters"]))
    try:
        content = cipher.decrypt(fields["nonce"], fields["ciphertext"], encode(header))
    except InvalidTag:
        word = "passphrase" if kind == "argon2id" else "key file"
        raise _sealed(where, f"the {word} does not open this keyring, or the keyring was changed") from None
    try:
        return Keyring.from_content(content, where, random)
    except IntegrityError:
        raise _sealed(where, "the keyring's content is not of this version") from None


def seal_kind(value: Mapping[str, JsonValue], where: str = "keyring") -> str:
    """Tell from the decoded file how it is sealed: argon2id or key-file.

    Raises:
        SetupError: VAULT_SEALED, if it is no keyring.
    """
    seal = value.get("seal")
    kind = seal.get("kind") if isinstance(seal, dict) else None
    if not isinstance(kind, str) or kind not in _SEALS:
        raise _sealed(where, "not a keyring file of this version")
    return kind


def _file_shape(kind: str) -> Object:
    return Object(
        {
            "version": Choice((_VERSION,)),
            "seal": _SEALS[kind],
            "nonce": Binary(_NONCE),
            "ciphertext": Binary(MAX_FILE, _TAG),
        }
    )


def _numbers(parameters: Mapping[str, JsonValue]) -> dict[str, int]:
    return {name: value for name, value in parameters.items() if isinstance(value, int)}


def _sealed(where: str, what: str) -> SetupError:
    return SetupError(
        Code.VAULT_SEALED, what, where=where, next_step="check key_file or passphrase_file in strongroom.toml"
    )
