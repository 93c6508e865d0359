"""A device API that listens on loopback in the test's own loop, and plain sockets to it."""

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI

from protocol_client import Bench
from strongroom.server import certificates
from strongroom.server.http.app_device import create_device_app
from strongroom.server.http.certificate import Tls, tls_context
from strongroom.server.http.listener import Listener, Server, bound

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def make_tls(folder: Path, *, now: int | None = None) -> Tls:
    """Write a server's certificate and key into a folder."""
    made = certificates.issue(certificates.LOOPBACK, now=int(time.time()) if now is None else now).server
    tls = Tls(folder / "server.pem", folder / "server.key")
    tls.certificate.write_bytes(made.certificate)
    tls.key.touch(0o600)
    tls.key.write_bytes(made.key)
    return tls


class Served:
    """A device API that listens on loopback, and plain clients of it."""

    def __init__(self, context: ssl.SSLContext, app: FastAPI) -> None:
        self._socket = bound(Listener("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.server = Server(app, context, lambda: "ref_x")
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    async def start(self) -> None:
        self.running = asyncio.create_task(self.server.serve(sockets=[self._socket]))
        await self.server.listening.wait()

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.running

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self._context)

    async def ask(self, data: bytes) -> bytes:
        """Send bytes, and read until the server ends the connection."""
        reader, writer = await self.connect()
        with contextlib.closing(writer):
            writer.write(data)
            return await until_end(reader)


async def until_end(reader: asyncio.StreamReader) -> bytes:
    parts = []
    with contextlib.suppress(OSError):
        while part := await asyncio.wait_for(reader.read(65_536), 8):
            parts.append(part)
    return b"".join(parts)


def problem_of(answer: bytes, status: int, code: str) -> None:
    """One whole problem with every header that other problems have."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    lower = head.lower()
    for wanted in (b"application/problem+json", b"x-content-type-options", b"strict-transport", b"connection: close"):
        assert wanted in lower, wanted
    assert (json.loads(body)["code"], json.loads(body)["status"]) == (code, status)


def serving(folder: Path, story: Callable[[Served], Awaitable[None]], app: FastAPI | None = None) -> None:
    """Run a story against a served device API."""
    tls = tls_context(make_tls(folder))

    async def told() -> None:
        async with Bench() as bench:
            served = Served(tls, app or create_device_app(bench.office))
            await served.start()
            try:
                await asyncio.wait_for(story(served), 30)
            finally:
                await served.stop()
                logging.getLogger("uvicorn.access").propagate = True  # which uvicorn's Config has switched off for all

    asyncio.run(told())
