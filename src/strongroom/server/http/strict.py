"""HTTP/1.1 with one reading: what two readers could understand differently is refused before anybody acts on it.

h11 accepts some forms for the sake of old peers; a proxy in front of us might read them in another way, and a request
could be smuggled in the difference (RFC 9112 sections 2.2, 5.2, 6.3).
"""

import re

import h11

MAX_HEADERS = 32_768  # bytes of request line and headers together
MAX_TARGET = 8192  # bytes of path and query; our own links have 300
BAD_REQUEST, TARGET_TOO_LONG, HEADERS_TOO_LARGE = 400, 414, 431

_END = re.compile(rb"\n\r?\n")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_FOLDED = re.compile(rb"\n[ \t]")
_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_DIGITS = re.compile(rb"[0-9]{1,17}")
_VERSIONS = (b"1.0", b"1.1")


class StrictConnection(h11.Connection):
    """The server's side of one connection; `refused` is the status to refuse with once reading failed."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEADERS)
        self.refused = BAD_REQUEST

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As h11's, with more that is refused. Raises h11.RemoteProtocolError."""
        try:
            head = _head(self.trailing_data[0]) if self.their_state is h11.IDLE else b""
            event = super().next_event()
            if isinstance(event, h11.Request):
                _check(event, head)
        except h11.RemoteProtocolError as error:
            self.refused = error.error_status_hint
            raise
        return event


def _head(unread: bytes) -> bytes:
    """Return what is there of a request's head; h11 counts only while it waits for more."""
    end = _END.search(unread)
    head = unread[: end.end()] if end else unread
    if len(head) > MAX_HEADERS:
        raise h11.RemoteProtocolError("too many headers", error_status_hint=HEADERS_TOO_LARGE)
    return head


def _check(request: h11.Request, head: bytes) -> None:
    if len(request.target) > MAX_TARGET:
        raise h11.RemoteProtocolError("too long a target", error_status_hint=TARGET_TOO_LONG)
    if request.http_version not in _VERSIONS:
        raise h11.RemoteProtocolError("another version of HTTP")
    if _BARE_LINE_FEED.search(head) or _FOLDED.search(head):
        raise h11.RemoteProtocolError("lines that end or go on in an old way")
    lengths = _LENGTH.findall(head)
    if len(lengths) > 1 or not all(_DIGITS.fullmatch(one.rstrip(b" \t")) for one in lengths):
        raise h11.RemoteProtocolError("not one plain length")
    coded = any(name == b"transfer-encoding" for name, _ in request.headers)
    if coded and (lengths or request.http_version != b"1.1"):
        raise h11.RemoteProtocolError("two ways to tell where the body ends")
