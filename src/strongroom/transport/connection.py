"""One TLS connection, closed before use unless the server's key is pinned (docs/spec/protocol.md sections 1 and 3)."""

import hashlib
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, cast

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from urllib3.connection import HTTPException, HTTPSConnection
from urllib3.exceptions import HTTPError

from strongroom.errors import Code, InputError, SetupError, UnreachableError
from strongroom.transport.answers import Answer, bad_answer, deadline
from strongroom.wire.trust import Pin

FAILURES: Final = (HTTPError, HTTPException, OSError, ValueError)  # what a connection raises for hostile servers


class PinnedConnection(HTTPSConnection):
    """A TLS connection that is closed before use unless the server's key is one of the pinned ones."""

    def __init__(
        self, host: str, port: int, *, context: ssl.SSLContext, pinned: frozenset[bytes], timeout: float
    ) -> None:
        super().__init__(host, port, ssl_context=context, timeout=timeout)
        self.reused = False
        self.broken = False
        self._pinned = pinned
        self._seconds = timeout
        self._raw: urllib3.HTTPResponse | None = None

    def connect(self) -> None:
        # http.client calls this for every new socket, a silent reconnect included, before it writes anything.
        super().connect()
        certificate = cast("ssl.SSLSocket", self.sock).getpeercert(binary_form=True)
        if certificate is None or spki_digest(certificate) not in self._pinned:
            self.close()
            step = "if the server's key was changed on purpose, get a newer trust.json"
            raise UnreachableError(Code.PIN_MISMATCH, "the server's key is not a pinned one", next_step=step)

    @property
    def quiet(self) -> bool:
        """Whether the connection is open and nothing came on it unasked, which would pass for the next answer."""
        return self.is_connected and not cast("ssl.SSLSocket", self.sock).pending()

    def close(self) -> None:
        """Close the connection and the answer that may still hold its socket."""
        super().close()
        if self._raw is not None:
            self._raw.close()

    def ask(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str], wait: float
    ) -> "Answer":
        """Send a request and read the head of its answer, within `wait` seconds after the last byte was sent."""
        if self.is_closed:
            self.connect()
        try:
            self.request(method, path, body=body, headers=headers, preload_content=False, decode_content=False)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self.broken = True  # a server may refuse a large body before it has read it: then its answer is there
        sock = self.sock  # http.client lets go of it when the server announces that it will close
        with deadline(sock, wait):
            self._raw = self.getresponse()
        answer = Answer(self._raw, sock, self._seconds)
        if 300 <= answer.status < 400:
            raise bad_answer("the server redirects, which is never followed")
        if not self._raw.chunked and self._raw.length_remaining is None:
            raise bad_answer("the server does not say how long its answer is")  # so that a cut would not be noticed
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise bad_answer("the server sent an encoding that was not asked for")
        return answer


def spki_digest(certificate: bytes) -> bytes:
    """Return the pin of a certificate in DER: SHA-256 of its SubjectPublicKeyInfo.

    Raises:
        InputError: ARGUMENT, when it is no certificate.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    except ValueError:
        raise InputError(Code.ARGUMENT, "not a certificate") from None


def make_context(pin: Pin) -> ssl.SSLContext:
    """Return TLS settings that believe the pin's authorities, or the machine's own if it names none.

    Raises:
        SetupError: CONFIG, when the authorities cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name; reads no key log file
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if pin.ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(cadata=pin.ca)
    except (ssl.SSLError, OSError, ValueError):
        raise SetupError(Code.CONFIG, "the authorities pinned for a host cannot be read", where=pin.host) from None
    return context


def translate(error: Exception, where: str) -> UnreachableError:
    """Return our error for what a connection raised."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        what = f"the server's certificate is refused: {cause.verify_message}"
        return UnreachableError(
            Code.CERTIFICATE, what, where=where, next_step="check the address and this machine's clock"
        )
    if isinstance(error, (ssl.SSLError, urllib3.exceptions.SSLError)):
        return UnreachableError(Code.UNREACHABLE, "no TLS 1.3 connection could be made", where=where)
    kind = "the server did not answer in time" if _is_timeout(error) else "the server cannot be reached"
    return UnreachableError(Code.UNREACHABLE, kind, where=where, next_step="check the network, then try again")


def _is_timeout(error: Exception) -> bool:
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # by descent a timeout, in truth refused or no route
        return False
    return isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError))
