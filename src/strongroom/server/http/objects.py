"""Objects by signed URL, for a store that leads its URLs back to us (docs/spec/protocol.md section 11).

The signature in the URL is the whole authorisation: one method, one object, one size, one time (R68, R71). There is
no listing and no other way in.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from strongroom.errors import Code, DeniedError, InputError
from strongroom.server import uploads
from strongroom.server.office import Office
from strongroom.server.ports import ServedObjects

PIECE = 1_048_576  # bytes read and sent at once
SECONDS = 60.0  # between two pieces of an upload
BINARY = "application/octet-stream"

_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")


async def read(office: Office, store: ServedObjects, request: Request, name: str) -> Response:
    """Serve GET and HEAD, the whole object or one range of it.

    Raises:
        DeniedError: URL_INVALID; NOT_FOUND.
        RefusedError: URL_EXPIRED.
        InputError: RANGE.
        StoreError: STORE_IO.
    """
    store.check_url(request.method, name, _query(request), office.now())
    size = await store.size(name)
    if size is None:
        raise DeniedError(Code.NOT_FOUND, "there is no such object", where=name)
    start, end, status = _range(request, size)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    if request.method == "HEAD":
        return Response(None, status, headers, BINARY)
    # The first piece is read before the status is sent, so that a failing store is an honest 503.
    first = await store.read(name, start, min(PIECE, end - start))
    return StreamingResponse(_pieces(store, name, first, start, end), status, headers, BINARY)


async def write(office: Office, store: ServedObjects, request: Request, name: str) -> Response:
    """Take an upload of exactly the size its URL was made for.

    Raises:
        DeniedError: URL_INVALID.
        RefusedError: URL_EXPIRED.
        InputError: TOO_LARGE, DEPOSIT if bytes are missing, CONFLICT if it is there or not awaited, TIMEOUT.
        StoreError: STORE_IO.
    """
    size = store.check_url("PUT", name, _query(request), office.now())
    if size is None:
        raise DeniedError(Code.URL_INVALID, "this link is not for uploading", where=name)
    declared = request.headers.get("content-length")
    if declared is not None and declared != str(size):
        raise InputError(Code.TOO_LARGE, f"this link is for exactly {size} bytes", where="content-length")
    await uploads.may_write(office, name)
    await store.write(name, _arriving(request), size=size)
    return Response(None, 201)


async def _pieces(store: ServedObjects, name: str, first: bytes, start: int, end: int) -> AsyncIterator[bytes]:
    yield first
    for offset in range(start + len(first), end, PIECE):
        yield await store.read(name, offset, min(PIECE, end - offset))


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise InputError(Code.TIMEOUT, f"nothing arrived for {SECONDS:g} seconds") from None
        if chunk:
            yield chunk


def _query(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    if len(query) != len(pairs):  # a doubled parameter: two readers could each believe another one
        raise DeniedError(Code.URL_INVALID, "this link is not valid for this request")
    return query


def _range(request: Request, size: int) -> tuple[int, int, int]:
    """Return start, end (exclusive) and status; only one range from a start is known, all else is refused."""
    asked = request.headers.getlist("range")
    if not asked:
        return 0, size, 200
    match = _RANGE.fullmatch(asked[0]) if len(asked) == 1 else None
    if match is None:
        raise InputError(Code.RANGE, "one range bytes=START-END is served", where="range")
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if not start < end:
        raise InputError(Code.RANGE, f"the object has {size} bytes", where="range")
    return start, end, 206
