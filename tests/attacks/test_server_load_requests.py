"""Requests that two readers could understand differently, and heads without measure: refused, and told in words."""

import asyncio
from pathlib import Path

from served_device_api import HEALTH, Served, problem_of, serving

HOST = b"Host: x\r\n"
POST = b"POST /v1/challenges HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nAuthorization: DPoP x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ODD = {
    "no request line": (b"\x00\x01\x02\r\n\r\n", 400),
    "no version": (b"GET /healthz\r\n\r\n", 400),
    "version 2.0": (b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", 400),
    "version 1.2": (b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "length and chunks": (POST + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    "chunks and length": (POST + CHUNKED + b"content-length: 4\r\n" + b"\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    "chunks in 1.0": (POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400),
    "the same length twice": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a list of lengths": (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    "a signed length": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "a huge length": (POST + b"Content-Length: " + b"9" * 19 + b"\r\n\r\n{}", 400),
    "another coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded header": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "a folded length": (POST + b"Content-Length:\r\n 2\r\n\r\n{}", 400),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: x\n\n", 400),
    "one bare line feed": (b"GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400),
    "a huge header": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 6000 + b"\r\n", 431),
    "a head without end": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 20_000, 431),
    "a long path": (b"GET /v1/models/" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "a long query": (b"GET /o/x?m=" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
}
CODES = {400: "argument", 414: "too-large", 431: "too-large"}


def test_what_is_not_in_its_only_reading_is_a_problem(tmp_path: Path) -> None:
    """The attacker hides a second request in the first, or sends no HTTP: 4xx as a problem, and the connection ends."""

    async def story(served: Served) -> None:
        asked = (served.ask(data + HEALTH) for data, _ in ODD.values())  # the second request is never served
        answers = await asyncio.gather(*asked)  # together: each is kept open for a second, so that it arrives
        for (name, (_, status)), answer in zip(ODD.items(), answers, strict=True):
            assert answer.count(b"HTTP/1.1") == 1, (name, answer)
            problem_of(answer, status, CODES[status])

    serving(tmp_path, story)


def test_plain_requests_are_served_as_ever(tmp_path: Path) -> None:
    """One after the other on one connection, in pieces, with chunks, and before the answer to the first."""

    async def story(served: Served) -> None:
        last = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert (await served.ask(HEALTH + HEALTH + last)).count(b"HTTP/1.1 200") == 3
        chunks = POST + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n"
        answer = await served.ask(chunks + POST + b"Content-Length: 2 \r\n\r\n{}" + last)
        assert [part[:4] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"400 ", b"400 ", b"200 "]
        assert answer.count(b'"shape"') == 2
        upgrade = last.replace(b"close", b"close, upgrade").replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\n\r\n")
        assert (await served.ask(upgrade)).startswith(b"HTTP/1.1 200")
        reader, writer = await served.connect()
        for byte in last:
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await reader.read(65_536)).startswith(b"HTTP/1.1 200")
        writer.close()

    serving(tmp_path, story)
