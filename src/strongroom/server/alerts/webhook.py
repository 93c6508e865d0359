"""Sending an alert to one webhook: Standard Webhooks 1.0.0, signature scheme v1 (HMAC-SHA256).

The receiver is the operator's, but the network between is not: TLS with chain and name checked, no redirect, no proxy
of the environment, an end to every wait. Of the answer only the status is read.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from strongroom import __version__
from strongroom.errors import Code, SetupError, UnreachableError

TOTAL = 15.0  # seconds for one attempt, looking the name up included
MAX_LINE = 16_384  # bytes of a line of the answer's head
MAX_LINES = 200  # of the answer's head, interim answers included
MAX_SECRET_FILE = 4096  # bytes
MAX_AUTHORITIES = 1_048_576  # bytes of PEM
MAX_SECRETS = 4  # signatures in one header: the secret in use, and those that come or go
SECRET_BYTES = range(24, 65)  # as the standard asks
URL_RULE: Final = "https://HOST/PATH with the host in lower case, without a name, password or fragment"

_URL = re.compile(r"https://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])(?::[0-9]{1,5})?(?:/[!-~]{0,1000})?\Z")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |\r?\n)")
_PREFIX: Final = "whsec_"  # of a secret in the standard's spelling
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts go, and what signs them.

    Attributes:
        url: an https URL that `is_url` accepts.
        secrets: what receivers check with; each makes one signature.
        context: TLS settings that check chain and name.
    """

    url: str = field(repr=False)  # a path may be a secret of its own
    secrets: tuple[bytes, ...] = field(repr=False)
    context: ssl.SSLContext = field(repr=False)

    @property
    def host(self) -> str:
        """The receiver's host, for people."""
        return urlsplit(self.url).hostname or ""

    async def send(self, id_: str, body: bytes, *, now: int) -> None:
        """Send one alert; returns when the receiver has taken it (2xx).

        Args:
            id_: the same at every attempt: receivers tell by it what they had already.
            body: signed and sent as it is.
            now: Unix seconds, of this attempt.

        Raises:
            UnreachableError: UNREACHABLE, CERTIFICATE, or ANSWER for every other status.
        """
        try:
            async with asyncio.timeout(TOTAL):
                status = await self._exchange(_request(self.url, self._headers(id_, body, now), body))
        except TimeoutError:
            raise UnreachableError(Code.UNREACHABLE, "the webhook did not answer in time", where=self.host) from None
        except ssl.SSLCertVerificationError as error:
            what = f"the webhook's certificate is refused: {error.verify_message}"
            step = "name its authority in alert_ca_file, or mend alert_url"
            raise UnreachableError(Code.CERTIFICATE, what, where=self.host, next_step=step) from None
        except (OSError, ValueError):  # ValueError: a line of the answer is too long
            raise UnreachableError(Code.UNREACHABLE, "the webhook cannot be reached", where=self.host) from None
        if not 200 <= status <= 299:
            what = f"the webhook answered with status {status}" if status else "the webhook's answer is no HTTP"
            raise UnreachableError(Code.ANSWER, what, where=self.host, next_step="see the receiver's own log")

    async def _exchange(self, request: bytes) -> int:
        """Send a request on a connection of its own; return the status, or 0 if the answer has none."""
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or 443, ssl=self.context, limit=MAX_LINE
        )
        try:
            writer.write(request)
            await writer.drain()
            return await _status(reader)
        finally:
            writer.transport.abort()  # what else it says is nobody's concern

    def _headers(self, id_: str, body: bytes, now: int) -> dict[str, str]:
        return {
            "webhook-id": id_,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(sign(secret, id_, now, body) for secret in self.secrets),
        }


def sign(secret: bytes, id_: str, now: int, body: bytes) -> str:
    """Return a signature as the header carries it: over identifier, time and body, with full stops between."""
    signed = f"{id_}.{now}.".encode("ascii") + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode("ascii")


def is_url(text: str) -> bool:
    """Tell whether alerts can be sent there: https, a host in lower case, no name or password in it, no fragment."""
    try:
        return bool(_URL.match(text)) and "#" not in text and urlsplit(text).port != 0
    except ValueError:  # a port above 65535
        return False


def read_secrets(data: bytes, *, where: str) -> tuple[bytes, ...]:
    """Read a secrets file: one `whsec_` and base64 of 24 to 64 bytes a line, at most 4.

    Args:
        data: the file.
        where: its path, for errors; what stands in it is never repeated.

    Raises:
        SetupError: CONFIG.
    """
    lines = [line.strip() for line in data.splitlines() if line.strip()]
    secrets = tuple(secret for line in lines if (secret := _secret(line)) is not None)
    if not secrets or len(secrets) != len(lines) or len(secrets) > MAX_SECRETS:
        what = f"not 1 to {MAX_SECRETS} lines of {_PREFIX} and base64 of 24 to 64 random bytes"
        step = f"make one: (umask 077; echo {_PREFIX}$(openssl rand -base64 32) > {where})"
        raise SetupError(Code.CONFIG, what, where=where, next_step=step)
    return secrets


def tls_context(authorities: str | None, *, where: str = "") -> ssl.SSLContext:
    """Return TLS settings that believe these authorities, in PEM, or else the machine's own.

    The receiver is not ours: TLS 1.2 is spoken with it too, with forward secrecy and AEAD only.

    Raises:
        SetupError: CONFIG, when the authorities cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and name; reads no key log file
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    try:
        if authorities is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError):
        what = "not certificates in PEM"
        raise SetupError(Code.CONFIG, what, where=where, next_step="mend alert_ca_file in strongroom.toml") from None
    return context


def _secret(line: bytes) -> bytes | None:
    try:
        secret = base64.b64decode(line.removeprefix(_PREFIX.encode("ascii")), validate=True)
    except ValueError:
        return None
    return secret if line.startswith(_PREFIX.encode("ascii")) and len(secret) in SECRET_BYTES else None


def _request(url: str, headers: dict[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    sent = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": f"strongroom/{__version__}",
        "Connection": "close",
        **headers,
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    return "\r\n".join(lines).encode("ascii") + body


async def _status(reader: asyncio.StreamReader) -> int:
    """Read the status of the final answer; interim ones (1xx) are skipped with their headers."""
    status, begins = 0, True
    for _ in range(MAX_LINES):
        line = await reader.readline()
        if begins:
            found = _STATUS.match(line)
            status = int(found[1]) if found else 0
            if status // 100 != 1:
                return status
        if not line:
            return 0
        begins = line in {b"\r\n", b"\n"}
    return 0
