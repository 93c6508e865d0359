"""The PlayDecoder that asks Google: `decodeIntegrityToken` of the Play Integrity API, as a service account."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

from strongroom import __version__
from strongroom.errors import Code, UnreachableError
from strongroom.server.attestation.google_account import TOKEN_URL, ServiceAccount
from strongroom.transport.connection import FAILURES, PinnedConnection, make_context, translate
from strongroom.wire.trust import Pin

DECODE_URL = "https://playintegrity.googleapis.com"

MAX_ANSWER = 65_536  # bytes
MAX_TOKEN = 65_536  # bytes, as for all evidence
MAX_LIFE = 3600  # seconds that an access token is believed to live, whatever is said
EARLY = 120  # seconds before its end at which an access token is not used any more
WAIT = 5.0  # seconds for a connection, and for the first byte of an answer
TOTAL = 20.0  # seconds for a decoding, waiting for a free thread included
PAUSE = 300  # seconds without a question after Google said that its quota is used up
THREADS = 8  # questions on the way to Google at a time
MAX_ASKING = 64  # questions on the way or waiting: more are refused at once

_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+")
_COMPACT = re.compile(rb"[A-Za-z0-9_.=+/-]+")
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")  # RFC 6750 section 2.1
_WORD = re.compile(r"[A-Za-z_]{1,40}")


class GooglePlay:
    """A PlayDecoder over HTTPS: two hosts of Google, TLS 1.3 by the machine's authorities, no redirect, no proxy.

    Permission needed: the role "Service Usage Consumer" of the Cloud project that the Play Console links to the app,
    with the Play Integrity API enabled there. Its quota is 10,000 decodings a day unless Google raised it.
    """

    def __init__(
        self,
        account: ServiceAccount,
        now: Callable[[], int],
        *,
        decode_url: str = DECODE_URL,
        token_url: str = TOKEN_URL,
        authorities: str | None = None,
    ) -> None:
        """Prepare an adapter; nothing is sent.

        Args:
            account: who asks.
            now: Unix seconds.
            decode_url: base URL of the API, another one only for tests.
            token_url: of the authorization server, another one only for tests.
            authorities: certificates in PEM that are believed instead of the machine's, only for tests.

        Raises:
            SetupError: CONFIG, when the authorities cannot be read.
        """
        self._account = account
        self._now = now
        self._decode_url = decode_url
        self._token_url = token_url
        self._context = make_context(Pin(urlsplit(decode_url).hostname or "", authorities, ()))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="google-play")
        self._room = threading.BoundedSemaphore(MAX_ASKING)
        self._renewing = threading.Lock()
        self._quiet = 0  # Unix seconds until which nothing is asked
        self._bearer = ("", 0)  # access token, and the time from which it is not used

    def close(self) -> None:
        """Let the threads end; the adapter is not used any more."""
        self._threads.shutdown(wait=False)

    async def decode(self, package: str, token: bytes) -> bytes:
        """Ask Google. As `PlayDecoder.decode`."""
        if not _PACKAGE.fullmatch(package) or not (len(token) <= MAX_TOKEN and _COMPACT.fullmatch(token)):
            raise UnreachableError(Code.EVIDENCE, "not a token, or not a package's name; Google was not asked")
        if self._now() < self._quiet:
            raise UnreachableError(Code.UNREACHABLE, "Google's quota is used up; it is not asked for a while")
        if not self._room.acquire(blocking=False):
            raise UnreachableError(Code.UNREACHABLE, "too many questions are on the way to Google")
        try:
            asked = self._threads.submit(self._decode, package, token.decode("ascii"))
        except RuntimeError:  # it was closed
            self._room.release()
            raise UnreachableError(Code.UNREACHABLE, "the server is ending") from None
        asked.add_done_callback(self._make_room)  # when the thread is free again, even if nobody waits any more
        try:
            async with asyncio.timeout(TOTAL):
                return await asyncio.wrap_future(asked)
        except TimeoutError:
            raise UnreachableError(Code.UNREACHABLE, "Google did not answer in time") from None

    def _make_room(self, _: Future[bytes]) -> None:
        self._room.release()

    def _decode(self, package: str, token: str) -> bytes:
        bearer = self._access_token()
        path = f"/v1/{package}:decodeIntegrityToken"
        body = json.dumps({"integrity_token": token}).encode("ascii")
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        status, answer = self._post(self._decode_url + path, body, headers)
        if status == 401:
            self._forget(bearer)
        if status == 400:
            raise UnreachableError(Code.EVIDENCE, "Google does not take this for a token of this package")
        verdict = answer.get("tokenPayloadExternal")
        if status != 200 or not isinstance(verdict, dict):
            raise _unexpected("decode a token", status, answer)
        return json.dumps(verdict).encode("ascii")

    def _access_token(self) -> str:
        """Return an access token (RFC 7523), asked for once for all who wait for one."""
        with self._renewing:
            bearer, until = self._bearer
            now = self._now()
            if bearer and now < until:
                return bearer
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            status, answer = self._post(self._token_url, self._account.request(now), headers)
            given, seconds = answer.get("access_token"), answer.get("expires_in")
            if status != 200 or not isinstance(given, str) or not isinstance(seconds, int):
                raise _unexpected("give an access token", status, answer)
            if not _BEARER.fullmatch(given):  # it becomes a header
                raise _unexpected("give an access token that can be sent", status, answer)
            self._bearer = (given, now + min(seconds, MAX_LIFE) - EARLY)
            return given

    def _forget(self, bearer: str) -> None:
        with self._renewing:
            if self._bearer[0] == bearer:
                self._bearer = ("", 0)

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, object]]:
        """Make one request on a connection of its own; return the status, and the answer if it is a JSON object."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        sent = {"Accept-Encoding": "identity", "User-Agent": f"strongroom/{__version__}", **headers}
        connection = _Connection(host, port, context=self._context, pinned=frozenset(), timeout=WAIT)
        try:
            answer = connection.ask("POST", parts.path, body, sent, WAIT)
            if answer.status == 429:
                self._quiet = self._now() + PAUSE
            return answer.status, _object(answer.read(MAX_ANSWER)) or {}
        except FAILURES as error:
            raise translate(error, host) from None
        finally:
            connection.close()


class _Connection(PinnedConnection):
    def connect(self) -> None:
        super(PinnedConnection, self).connect()  # Google's keys change: its chain and name are checked, no pin


def _object(data: bytes) -> dict[str, object] | None:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unexpected(what: str, status: int, answer: Mapping[str, object]) -> UnreachableError:
    """Return the error for a refusal, with Google's word for it and nothing else of its answer."""
    error = answer.get("error")
    word = error.get("status") if isinstance(error, dict) else error
    said = f", {word}" if isinstance(word, str) and _WORD.fullmatch(word) else ""
    step = "check the service account, its project and the quota of the Play Integrity API"
    return UnreachableError(Code.ANSWER, f"Google did not {what}: status {status}{said}", next_step=step)
