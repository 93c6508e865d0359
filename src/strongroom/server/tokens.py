"""The embedded token issuer: JWT access tokens for users and devices, random bearer tokens for operators.

A user token (scope `enrol`) enrols installations and nothing else. A device token is bound to the device's key
(RFC 9449 section 6: `cnf.jkt`), so that a stolen one is worth nothing without it (docs/spec/protocol.md section 7).
Only one spelling of the header is ever read, so that `alg`, `kid` and their many tricks have no reader to fool.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from strongroom.canonical import to_base64url
from strongroom.errors import Code, DeniedError, IntegrityError, SetupError
from strongroom.shapes import Integer, Object, Text
from strongroom.signing import ED25519, SigningKey

MAX_TOKEN = 4096  # characters
LEEWAY = 30  # seconds two servers' clocks may differ; applies to the beginning of a token, never to its end
USER, DEVICE = "enrol", "device"

_OPERATOR = re.compile(r"sro_[A-Za-z0-9_-]{43}")
_TIME = Integer()
_CLAIMS = Object(
    {
        "iss": Text(512),
        "aud": Text(512),
        "sub": Text(64),
        "scope": Text(16),
        "iat": _TIME,
        "nbf": _TIME,
        "exp": _TIME,
        "jti": Text(64),
        "cnf": Object({"jkt": Text(43, "[A-Za-z0-9_-]{43}", least=43)}),
    },
    frozenset({"cnf"}),
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that was read says.

    Attributes:
        scope: `enrol` (a user) or `device`.
        subject: id of the user or the device.
        jkt: RFC 7638 thumbprint of the key the token is bound to; None for a user token.
        expires: Unix seconds.
        issued: Unix seconds; of a device token, when the device last enrolled with the user's token.
    """

    scope: str
    subject: str
    jkt: str | None
    expires: int
    issued: int


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Issues and reads the tokens of one office, signed by one Ed25519 key.

    Attributes:
        key: the token signer of the keyring.
        issuer: the device API's public URL; issuer and audience at once.
    """

    key: SigningKey = field(repr=False)
    issuer: str
    _jwk: OKPKey = field(init=False, repr=False, compare=False)  # made once: every request brings a token
    _prefix: str = field(init=False, repr=False, compare=False)  # the header as it stands in a token, and its dot

    def __post_init__(self) -> None:
        if self.key.alg != ED25519:
            raise SetupError(Code.CONFIG, "the token signer must be an Ed25519 key")
        object.__setattr__(self, "_jwk", _jwk(self.key))
        empty = jwt.encode(self._header(), {}, self._jwk, algorithms=[ED25519])
        object.__setattr__(self, "_prefix", empty.partition(".")[0] + ".")

    def user_token(self, user: str, *, now: int, seconds: int, random: Callable[[int], bytes]) -> tuple[str, int]:
        """Return a token by which a user may enrol devices, and when it expires."""
        return self._issue(USER, user, None, now, seconds, random)

    def device_token(
        self, device: str, jkt: str, *, now: int, seconds: int, random: Callable[[int], bytes]
    ) -> tuple[str, int]:
        """Return a token bound to a device's key, and when it expires."""
        return self._issue(DEVICE, device, jkt, now, seconds, random)

    def read(self, token: str, *, now: int, even_expired: bool = False) -> Claims:
        """Verify a token made by this issuer.

        Args:
            token: its text.
            now: Unix seconds.
            even_expired: take one whose time is over as well; the caller then looks at `Claims.expires`.

        Raises:
            DeniedError: TOKEN, one answer for everything that can be wrong with it.
        """
        # The header is compared, not parsed: `none`, another algorithm, a path in `kid` all end here.
        if len(token) > MAX_TOKEN or not token.isascii() or not token.startswith(self._prefix):
            raise _refused()
        try:
            claims = _CLAIMS.check(jwt.decode(token, self._jwk, algorithms=[ED25519]).claims, "token")
        except (JoseError, IntegrityError, ValueError, TypeError, RecursionError):
            raise _refused() from None
        if claims["iss"] != self.issuer or claims["aud"] != self.issuer:
            raise _refused()
        if now < claims["nbf"] - LEEWAY or (now >= claims["exp"] and not even_expired):
            raise _refused()
        if claims["scope"] not in (USER, DEVICE) or (claims["scope"] == DEVICE) != (claims["cnf"] is not None):
            raise _refused()
        jkt = claims["cnf"]["jkt"] if claims["cnf"] else None
        return Claims(claims["scope"], claims["sub"], jkt, claims["exp"], claims["iat"])

    def _issue(
        self, scope: str, subject: str, jkt: str | None, now: int, seconds: int, random: Callable[[int], bytes]
    ) -> tuple[str, int]:
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": subject,
            "scope": scope,
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "jti": to_base64url(random(16)),
        }
        if jkt is not None:
            claims["cnf"] = {"jkt": jkt}
        return jwt.encode(self._header(), claims, self._jwk, algorithms=[ED25519]), now + seconds

    def _header(self) -> dict[str, str]:
        return {"typ": "at+jwt", "alg": ED25519, "kid": self.key.public.key_id}


def operator_token(random: Callable[[int], bytes]) -> str:
    """Make a bearer token for an operator: shown once, stored only as its hash."""
    return f"sro_{to_base64url(random(32))}"


def hash_token(token: str) -> bytes:
    """Return what is stored of an operator token. Plain SHA-256 suffices: the token is 32 random bytes."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def trace(token: str) -> str:
    """Return what the audit log keeps of an operator token that was refused: half of its hash.

    "" for what does not look like one. That may be a password in the wrong place, which could be guessed from a hash;
    32 random bytes cannot.
    """
    return hash_token(token)[:16].hex() if _OPERATOR.fullmatch(token) else ""


def _jwk(key: SigningKey) -> OKPKey:
    raw: dict[str, str | list[str]] = {
        "kty": "OKP",
        "crv": ED25519,
        "d": to_base64url(key.seed),
        "x": to_base64url(key.public.raw),
    }
    return OKPKey.import_key(raw)


def _refused() -> DeniedError:
    return DeniedError(Code.TOKEN, "the token is not valid here, or no longer", next_step="ask for a new token")
