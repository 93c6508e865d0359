"""Floods of connections, over real sockets: one client may not take what all of them share."""

import asyncio
import contextlib
import socket
import time
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from served_device_api import HEALTH, Served, problem_of, serving, until_end
from strongroom.server.http import connection, listener
from strongroom.server.limits.addresses import of_one_hand

POST = b"POST /v1/releases HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost"], ids=["silent", "a byte", "half a head"]
)
def test_a_connection_without_a_request_ends(tmp_path: Path, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker opens connections and sends nothing, or a byte; they are closed when their time is over."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)

    async def story(served: Served) -> None:
        assert await served.ask(begun) == b""
        reader, writer = await served.connect()
        writer.write(HEALTH)
        assert (await reader.read(65_536)).startswith(b"HTTP/1.1 200")
        writer.write(begun)  # after an answer as well
        assert await until_end(reader) == b""
        writer.close()

    serving(tmp_path, story)


def test_bytes_now_and_then_wind_no_clock_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker sends a header for ever, a byte at a time."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)

    async def story(served: Served) -> None:
        reader, writer = await served.connect()
        ended = asyncio.create_task(until_end(reader))
        with contextlib.suppress(OSError):
            for byte in HEALTH[:-2] * 100:
                writer.write(bytes((byte,)))
                await asyncio.wait((ended,), timeout=0.05)
                if ended.done():
                    break
        assert ended.done()
        assert await ended == b""

    serving(tmp_path, story)


def test_one_address_cannot_take_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker holds as many connections as it gets: it is told no, and gets room again when it lets go."""
    monkeypatch.setattr(connection, "MAX_PER_ADDRESS", 5)

    async def story(served: Served) -> None:
        held = [await served.connect() for _ in range(5)]
        for reader, writer in held:
            writer.write(HEALTH)
            assert (await reader.read(65_536)).startswith(b"HTTP/1.1 200")
        answer = await served.ask(HEALTH)
        problem_of(answer, 503, "unreachable")
        assert b"retry-after" in answer.lower()
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.1)
        assert (await served.ask(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).startswith(
            b"HTTP/1.1 200"
        )

    serving(tmp_path, story)


def test_one_network_is_one_client() -> None:
    """Whoever has one IPv6 address has 2^64 of them; IPv4 inside IPv6 is the IPv4 address."""
    assert of_one_hand("2001:db8::1") == of_one_hand("2001:db8::ffff:1")
    assert of_one_hand("2001:db8::1") != of_one_hand("2001:db8:0:1::1")
    assert of_one_hand("::ffff:192.0.2.1") == of_one_hand("192.0.2.1") == "192.0.2.1"
    assert of_one_hand("fe80::1%eth0") == of_one_hand("fe80::2")


def test_connections_that_never_begin_tls_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker opens TCP and says nothing: beyond its share it is closed at once, the rest after their time."""
    monkeypatch.setattr(listener, "MAX_PER_ADDRESS", 5)
    monkeypatch.setattr(listener, "HEAD_SECONDS", 1)

    async def story(served: Served) -> None:
        silent = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(8)]
        loop = asyncio.get_running_loop()
        for one in silent:
            one.settimeout(0)
        ends = [asyncio.create_task(loop.sock_recv(one, 1)) for one in silent]
        done, waiting = await asyncio.wait(ends, timeout=0.5)
        assert (len(done), len(waiting)) == (3, 5)
        done, waiting = await asyncio.wait(ends, timeout=5)
        assert not waiting
        assert all(one.exception() or one.result() == b"" for one in done)
        assert (await served.ask(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).startswith(
            b"HTTP/1.1 200"
        )
        for one in silent:
            one.close()

    serving(tmp_path, story)


def test_a_body_nobody_wants_is_not_read(tmp_path: Path) -> None:
    """The attacker declares 10 GiB and sends: an answer that ends the connection, and 64 KiB are read at most."""

    async def story(served: Served) -> None:
        reader, writer = await served.connect()
        writer.write(POST + b"Content-Length: 10737418240\r\n\r\n")
        answer = asyncio.create_task(until_end(reader))
        sent, started = 0, time.monotonic()
        with contextlib.suppress(OSError):
            while not answer.done() and sent < 2**28:
                writer.write(bytes(65_536))
                await writer.drain()
                sent += 65_536
        problem_of(await answer, 401, "unauthenticated")
        assert sent < 2**26  # what buffers on the way hold, and no more
        assert time.monotonic() - started < 5
        quiet = await served.ask(POST + b"Content-Length: 5\r\n\r\n12")
        problem_of(quiet, 401, "unauthenticated")

    serving(tmp_path, story)


def test_a_client_that_does_not_read_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker asks for much and reads nothing of it, to hold the connection for ever."""
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.3)
    app = FastAPI()

    @app.get("/much")
    async def much() -> Response:
        return StreamingResponse((bytes(1_048_576) for _ in range(64)), headers={"Content-Length": str(64 * 1_048_576)})

    async def story(served: Served) -> None:
        _, writer = await served.connect()
        writer.write(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        connections, seen = served.server.server_state.connections, False
        for _ in range(100):
            await asyncio.sleep(0.05)  # until it is there, and then until it is gone
            if seen and not connections:
                break
            seen = seen or bool(connections)
        assert seen
        assert not connections
        writer.close()

    serving(tmp_path, story, app)


def test_an_idle_client_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Clients keep connections open, and answer nothing: the server ends at once and complains of nothing."""

    async def story(served: Served) -> None:
        held = [await served.connect() for _ in range(3)]
        for reader, writer in held[:2]:
            writer.write(HEALTH)
            assert (await reader.read(65_536)).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        with capture_logs() as lines:
            await served.stop()
        assert time.monotonic() - started < 1.5
        assert [line for line in lines if line["log_level"] in {"error", "critical"}] == []

    serving(tmp_path, story)


def test_a_request_that_never_ends_is_broken_off_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client is in the middle of a body when the server has to stop: its grace, and then no more."""
    monkeypatch.setattr(listener, "GRACE", 0.3)
    app, entered = FastAPI(), asyncio.Event()

    @app.put("/slow")
    async def slow(request: Request) -> Response:
        entered.set()
        with contextlib.suppress(Exception):
            async for _ in request.stream():
                pass
        return Response(None, 204)

    async def story(served: Served) -> None:
        _, writer = await served.connect()
        writer.write(b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
        await entered.wait()
        started = time.monotonic()
        await served.stop()
        assert time.monotonic() - started < 3
        writer.close()

    serving(tmp_path, story, app)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
