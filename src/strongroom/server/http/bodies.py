"""Request bodies: size first, then bytes, then JSON; and answers in canonical bytes."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import Code, InputError, IntegrityError, InternalError
from strongroom.shapes import Object

SECONDS = 30  # for one JSON body to arrive whole
MAX_DIGITS = 17  # digits of the longest integer that JSON readers agree on
JSON = "application/json"
MARKS = b"[]{},:\\"  # what makes JSON costly to parse, byte for byte; long plain strings cost next to nothing


async def read(request: Request, limit: int, *, marks: int, seconds: float = SECONDS) -> bytes:
    """Read a JSON body of at most `limit` bytes. What is declared too large is not read at all.

    Args:
        request: its body was not read yet.
        limit: most bytes.
        marks: most MARKS; a body with more of them is no message of this place, and is not worth parsing.
        seconds: for the whole body to arrive.

    Raises:
        InputError: CONTENT_TYPE; TOO_LARGE, declared or sent; TIMEOUT if it trickles; ARGUMENT for a bad length; SHAPE
            for too many marks.
    """
    _check_type(request)
    declared = request.headers.get("content-length")
    if declared is not None and (not declared.isascii() or not declared.isdigit()):
        raise InputError(Code.ARGUMENT, "the content length is not a number", where="content-length")
    if declared is not None and (len(declared) > MAX_DIGITS or int(declared) > limit):
        raise _too_large(limit)
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                if len(data) + len(chunk) > limit:
                    raise _too_large(limit)
                data += chunk
    except TimeoutError:
        raise InputError(Code.TIMEOUT, f"the body did not arrive within {seconds:g} seconds") from None
    if sum(data.count(mark) for mark in MARKS) > marks:
        raise InputError(Code.SHAPE, f"more than {marks} of the signs {MARKS.decode('ascii')}", where="body")
    return bytes(data)


def loose(data: bytes, shape: Object, where: str) -> dict[str, Any]:
    """Read JSON that a person or a script wrote: spaces and order are free, everything that is ambiguous is refused.

    Raises:
        InputError: JSON_NOT_CANONICAL for bytes that JSON readers could disagree on; SHAPE, naming the field.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_float=_refuse,
            parse_constant=_refuse,
            parse_int=_integer,
        )
    except (ValueError, RecursionError):
        raise InputError(Code.JSON_NOT_CANONICAL, "not strict JSON", where=where) from None
    try:
        # through the one strict decoder as well: lone surrogates, depth and key names end there
        value = canonical.decode(canonical.encode(value), limit=len(data) * 6 + 64, where=where)
        return shape.check(value, where)
    except InternalError:
        raise InputError(Code.JSON_NOT_CANONICAL, "not strict JSON", where=where) from None
    except IntegrityError as error:
        raise InputError(error.code, error.what, where=error.where) from None


def answer(value: Mapping[str, JsonValue], status: int = 200) -> Response:
    """Answer in canonical JSON."""
    return Response(canonical.encode(dict(value)), status, media_type=JSON)


def _check_type(request: Request) -> None:
    kinds = request.headers.getlist("content-type")
    if len(kinds) != 1 or kinds[0].lower().replace(" ", "") not in {JSON, f"{JSON};charset=utf-8"}:
        raise InputError(Code.CONTENT_TYPE, f"a body is {JSON}", where="content-type")
    if "content-encoding" in request.headers:  # nothing is ever unpacked: no bomb has a fuse here
        raise InputError(Code.CONTENT_TYPE, "a body has no content encoding", where="content-encoding")


def _too_large(limit: int) -> InputError:
    return InputError(Code.TOO_LARGE, f"at most {limit} bytes are read here")


def _pairs(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _refuse(text: str) -> JsonValue:
    raise ValueError(text[:20])


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:  # before int(): its cost grows with the square of the length
        raise ValueError
    return int(text)
