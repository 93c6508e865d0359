"""Run both APIs in one process: two listeners, TLS 1.3 only, one JSON line when ready, a graceful end.

Standard output stays empty. The ready line on standard error holds event "server.ready", device_url, admin_url, pid.
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import Code, SetupError
from strongroom.server.audit import configure_logging
from strongroom.server.checking import Background
from strongroom.server.http.app_admin import create_admin_app
from strongroom.server.http.app_device import create_device_app
from strongroom.server.office import Office
from strongroom.server.ports import LeavesParts
from strongroom.server.settings import Settings
from strongroom.server.wiring import open_office

MAX_CONNECTIONS = 1000  # at once and listener; beyond it: 503 at once
KEEP_ALIVE = 10  # seconds an idle connection stays
MAX_HEADERS = 32_768  # bytes of request line and headers
GRACE = 10  # seconds that running requests get when the process is asked to end
BACKLOG = 256


@dataclass(frozen=True, slots=True)
class Listener:
    """Where one API listens. Port 0: any free one, told in the ready line."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate chain and key, PEM files."""

    certificate: Path
    key: Path


def serve(settings: Settings, *, passphrase: bytes | None = None) -> None:
    """Open the office these settings name and serve it until SIGTERM or SIGINT.

    Args:
        settings: as `settings.load` returned them.
        passphrase: of the keyring, if a person typed it.

    Raises:
        SetupError: CONFIG, and whatever `open_office` finds missing.
        StoreError: DATABASE or STORE_IO.
        IntegrityError: trust.json is not genuine.
    """
    configure_logging(settings.log_level)
    office = open_office(settings, passphrase=passphrase)
    tls = Tls(settings.resolve(settings.tls_certificate), settings.resolve(settings.tls_key))
    run(
        office,
        device=Listener(settings.device_host, settings.device_port),
        admin=Listener(settings.admin_host, settings.admin_port),
        tls=tls,
    )


def run(
    office: Office, *, device: Listener, admin: Listener, tls: Tls, ready: Callable[[str], None] | None = None
) -> None:
    """Serve an office until SIGTERM or SIGINT; running requests are finished first.

    Args:
        office: what to serve.
        device: where the device API listens.
        admin: where the admin API listens.
        tls: for both.
        ready: called with the ready line instead of writing it to standard error.

    Raises:
        SetupError: CONFIG, if an address cannot be used or the certificate cannot be read.
        StoreError: STORE_IO or DATABASE.
    """
    context = tls_context(tls)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_bound(one)) for one in (device, admin)]
        asyncio.run(_serve(office, context, sockets, (device.host, admin.host), ready or _write_line))


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that speaks TLS 1.3 and nothing older.

    Raises:
        SetupError: CONFIG.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise SetupError(
            Code.CONFIG,
            "the TLS certificate or its key cannot be read, or they do not belong together",
            where=str(tls.certificate),
            next_step="see tls_certificate and tls_key in strongroom.toml",
        ) from None
    return context


class _Server(uvicorn.Server):
    """A server that leaves signals to the one loop both run in, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    office: Office,
    context: ssl.SSLContext,
    sockets: list[socket.socket],
    hosts: tuple[str, str],
    ready: Callable[[str], None],
) -> None:
    background = Background(office)
    apps = (create_device_app(office), create_admin_app(office, background))
    servers = [_Server(_config(app, context)) for app in apps]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, servers)
    running = [loop.create_task(one.serve(sockets=[bound])) for one, bound in zip(servers, sockets, strict=True)]
    listening = loop.create_task(_all_listening(servers))
    try:
        if isinstance(office.store, LeavesParts):
            office.store.drop_unfinished()
        await background.resume()
        await asyncio.wait([listening, *running], return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            ready(_ready_line(sockets, hosts))
        await asyncio.gather(*running)
    finally:
        listening.cancel()
        _stop(servers)
        await asyncio.gather(*running, return_exceptions=True)
        await background.stop()
        await office.ledger.close()


async def _all_listening(servers: list[_Server]) -> None:
    for one in servers:
        await one.listening.wait()


def _config(app: FastAPI, context: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,  # logging is set up once, with redaction, by whoever starts the process
        access_log=False,  # its lines would hold signed URLs
        proxy_headers=False,  # nobody's X-Forwarded-For is believed
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=MAX_HEADERS,
        ssl_context_factory=lambda _config, _default: context,
    )


def _stop(servers: list[_Server]) -> None:
    for one in servers:
        one.should_exit = True


def _bound(listener: Listener) -> socket.socket:
    where = f"{listener.host}:{listener.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        step = "choose another port in strongroom.toml, or stop what uses it"
        raise SetupError(Code.CONFIG, f"cannot listen: {error.strerror}", where=where, next_step=step) from None
    return bound


def _ready_line(sockets: list[socket.socket], hosts: tuple[str, str]) -> str:
    urls = [f"https://{_bracketed(host)}:{bound.getsockname()[1]}" for bound, host in zip(sockets, hosts, strict=True)]
    line: dict[str, JsonValue] = {
        "event": "server.ready",
        "device_url": urls[0],
        "admin_url": urls[1],
        "pid": os.getpid(),
    }
    return canonical.encode(line).decode("ascii")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _write_line(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
