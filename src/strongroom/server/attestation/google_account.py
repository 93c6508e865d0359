"""Who we are to Google: the key file of a service account, and what is signed with it (RFC 7523)."""

import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.jwk import RSAKey

from strongroom.errors import Code, SetupError

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
SCOPE = "https://www.googleapis.com/auth/playintegrity"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523 section 2.1

MAX_FILE = 16_384  # bytes; Google's have about 2,400
MIN_RSA = 2048  # bits
ASSERTION_SECONDS = 600  # life of the signed request for an access token; Google takes up to an hour

_EMAIL = re.compile(r"[A-Za-z0-9._-]{1,128}@[A-Za-z0-9.-]{1,128}")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who we are to Google. Needs nothing but the Play Integrity API, in the project the Play Console links."""

    email: str
    key_id: str
    key: RSAKey = field(repr=False)

    def request(self, now: int) -> bytes:
        """Return the body that asks TOKEN_URL for an access token, signed. `now`: Unix seconds."""
        header = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        end = now + ASSERTION_SECONDS
        claims = {"iss": self.email, "scope": SCOPE, "aud": TOKEN_URL, "iat": now, "exp": end}
        assertion = jwt.encode(header, claims, self.key, algorithms=["RS256"])
        return urlencode({"grant_type": GRANT, "assertion": assertion}).encode("ascii")


def read_account(data: bytes, *, where: str = "") -> ServiceAccount:
    """Read a service account's key file, as the Google Cloud console makes it.

    Args:
        data: the file.
        where: its name, for the error.

    Raises:
        SetupError: CONFIG; it says which field is wrong and never what is in it.
    """
    value = _object(data) if len(data) <= MAX_FILE else None
    if value is None:
        raise _not_an_account("no JSON object of a few kilobytes", where)
    if value.get("type") != "service_account":
        raise _not_an_account('its "type" is not "service_account"', where)
    if value.get("token_uri", TOKEN_URL) != TOKEN_URL:  # whoever the assertion is sent to could use it with Google
        raise _not_an_account(f'its "token_uri" is not {TOKEN_URL}', where)
    email, key_id, pem = (value.get(name) for name in ("client_email", "private_key_id", "private_key"))
    if not isinstance(email, str) or not _EMAIL.fullmatch(email):
        raise _not_an_account('its "client_email" is no e-mail address', where)
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise _not_an_account('its "private_key_id" is missing', where)
    key = _private_key(pem)
    if key is None or key.key_size < MIN_RSA:
        raise _not_an_account('its "private_key" is no RSA key of 2048 bits or more', where)
    return ServiceAccount(email, key_id, RSAKey.import_key(key))


def _private_key(pem: object) -> rsa.RSAPrivateKey | None:
    try:
        key = load_pem_private_key(pem.encode("ascii"), password=None) if isinstance(pem, str) else None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a passphrase
        return None
    return key if isinstance(key, rsa.RSAPrivateKey) else None


def _object(data: bytes) -> dict[str, object] | None:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _not_an_account(what: str, where: str) -> SetupError:
    step = "make a key for the service account in the Google Cloud console, as JSON, and name that file"
    return SetupError(Code.CONFIG, f"not a service account's key file: {what}", where=where, next_step=step)
