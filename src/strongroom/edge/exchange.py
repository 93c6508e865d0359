"""Talking to the office: what is needed of a transport, and a device's signed calls over it.

The transport is a port so that everything above it is tried against an office in memory. It must be safe to call from
several threads, follow no redirects, and stop at the size it is given.
"""

import email.utils
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from strongroom.edge.clock import Reading
from strongroom.edge.evidence import Attestor
from strongroom.edge.signals import Teller
from strongroom.errors import Code, StrongroomError
from strongroom.signing import Signer
from strongroom.transport import Pinned, raise_problem
from strongroom.wire import dpop
from strongroom.wire.messages import ChallengeAnswer, ChallengeRequest
from strongroom.wire.trust import Trust

_UNAUTHENTICATED = 401
_LONGEST_WAIT = 86_400  # seconds of a Retry-After that are believed
_SMALL = 65_536  # bytes of an answer without a limit of its own
_SKEW = 30  # seconds between the two clocks from which a refused proof is made again by the office's clock


class Answer(Protocol):
    """What came back, whole and within its limit."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Exchange(Protocol):
    """A way to the office and its object store (`transport.Pinned`, or an office in memory)."""

    def request(
        self, method: str, path_or_url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Answer:
        """Send one request and return the whole answer. Raises UnreachableError."""
        ...

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        """Return exactly these bytes of an object. Raises DeniedError, RefusedError (URL_EXPIRED), UnreachableError."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and the scheme it is shown under: Bearer to enrol, DPoP afterwards. Does not print."""

    scheme: str
    text: str = field(repr=False)


Connector = Callable[[Trust], Exchange]


class Ways:
    """Ways to the office by the pins of whichever trust document is in force; the last one is kept open."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._kept: tuple[Trust, Exchange] | None = None

    def to(self, trust: Trust) -> Exchange:
        """Return a way by this document's pins."""
        kept = self._kept
        if kept is None or kept[0] != trust:
            self.close()
            self._kept = kept = trust, self._connector(trust)
        return kept[1]

    def close(self) -> None:
        """Close idle connections; there may be others afterwards."""
        kept, self._kept = self._kept, None
        if kept is not None and isinstance(kept[1], Pinned):
            kept[1].close()


@dataclass(slots=True)
class Line:
    """A device's line to its office: every call carries the token and a fresh proof by the device key (RFC 9449)."""

    exchange: Exchange
    server: str  # base URL, as trust.json names it
    signer: Signer
    clocks: Callable[[], Reading]
    random: Callable[[int], bytes] = os.urandom
    attestor: Attestor | None = None  # what vouches for this device, if anything does
    teller: Teller = field(default_factory=Teller)  # what tells the office of this installation
    _skew: int = 0  # seconds to add to our wall clock for the office's

    def challenge(self, purpose: str, model: str | None, token: Token) -> ChallengeAnswer:
        """Ask for a fresh challenge. Raises as `post`."""
        request = ChallengeRequest(purpose, model)
        answer = self.post("/v1/challenges", request.to_bytes(), token, limit=ChallengeAnswer.LIMIT)
        return ChallengeAnswer.from_bytes(answer)

    def url(self, path: str) -> str:
        """Return the URL that proofs for this path are made over."""
        return self.server + path

    def post(self, path: str, body: bytes, token: Token, *, limit: int) -> bytes:
        """Send a body and return the answer's.

        Raises:
            DeniedError, RefusedError, InputError: what the office said, by its stable code.
            UnreachableError: no connection, a wrong pin, an answer that is no answer.
        """
        answer = self._send(path, body, token, limit)
        if answer.status == _UNAUTHENTICATED and self._learn_skew(answer):
            answer = self._send(path, body, token, limit)
        return accepted(answer)

    def _send(self, path: str, body: bytes, token: Token, limit: int) -> Answer:
        now = self.clocks().wall + self._skew
        headers = {
            "Authorization": f"{token.scheme} {token.text}",
            "DPoP": dpop.make(self.signer, "POST", self.url(path), token.text, now, self.random(16)),
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        return self.exchange.request("POST", path, body=body, headers=headers, limit=max(limit, _SMALL))

    def _learn_skew(self, answer: Answer) -> bool:
        """Take the office's clock for making proofs, if ours may be why one was refused.

        The date is not signed, and needs not be: it decides nothing here, the office judges the proof by its own clock.
        """
        text = next((value for name, value in answer.headers.items() if name.lower() == "date"), "")
        try:
            date = int(email.utils.parsedate_to_datetime(text).timestamp())
        except (ValueError, OverflowError):
            return False
        skew = date - self.clocks().wall
        if abs(skew - self._skew) < _SKEW:
            return False
        self._skew = skew
        return True


def accepted(answer: Answer) -> bytes:
    """Return the body of a successful answer, or raise what the office said instead. Raises as `Line.post`."""
    if answer.status in {200, 201}:
        return answer.body
    try:
        raise_problem(answer)
    except StrongroomError as error:
        _learn_wait(error, answer)
        raise


def _learn_wait(error: StrongroomError, answer: Answer) -> None:
    """Note how long the office asks to wait: a hint, and nobody sleeps here."""
    text = next((value.strip() for name, value in answer.headers.items() if name.lower() == "retry-after"), "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        return
    error.retry_after = min(int(text), _LONGEST_WAIT)
    if error.code == Code.RATE_LIMITED:
        error.next_step = f"wait {error.retry_after} seconds, then try again"
