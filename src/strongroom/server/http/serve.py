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
from collections.abc import Callable

import structlog

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.server.alerts.delivery import Delivery
from strongroom.server.alerts.webhook import Webhook
from strongroom.server.audit import configure_logging
from strongroom.server.checking import Background
from strongroom.server.governed import governed
from strongroom.server.http.app_admin import create_admin_app
from strongroom.server.http.app_device import create_device_app
from strongroom.server.http.certificate import Tls, check_certificate, tls_context
from strongroom.server.http.listener import Listener, Server, bound
from strongroom.server.office import Office
from strongroom.server.ports import LeavesParts
from strongroom.server.settings import Settings
from strongroom.server.traps.keeper import Keeper
from strongroom.server.watching.reloading import reload_rules
from strongroom.server.wiring import open_office, open_webhook

_log = structlog.get_logger(__name__)


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
    webhook = open_webhook(settings)
    office = open_office(settings, passphrase=passphrase)
    for odd in governed(settings, office.attestation.policies).odd:
        _log.warning(odd, where=str(settings.resolve(settings.attestation)))
    tls = Tls(settings.resolve(settings.tls_certificate), settings.resolve(settings.tls_key))
    run(
        office,
        device=Listener(settings.device_host, settings.device_port),
        admin=Listener(settings.admin_host, settings.admin_port),
        tls=tls,
        webhook=webhook,
    )


def run(
    office: Office,
    *,
    device: Listener,
    admin: Listener,
    tls: Tls,
    ready: Callable[[str], None] | None = None,
    webhook: Webhook | None = None,
) -> None:
    """Serve an office until SIGTERM or SIGINT; running requests are finished first. SIGHUP reads risk.toml again.

    Args:
        office: what to serve.
        device: where the device API listens.
        admin: where the admin API listens.
        tls: for both.
        ready: called with the ready line instead of writing it to standard error.
        webhook: where alerts go; without it they are log lines only.

    Raises:
        SetupError: CONFIG, if an address cannot be used or devices would refuse the certificate; PERMISSIONS, if others
            may read its key.
        StoreError: STORE_IO or DATABASE.
    """
    context = tls_context(tls)
    check_certificate(tls, office)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(bound(one)) for one in (device, admin)]
        asyncio.run(_serve(office, context, sockets, (device.host, admin.host), ready or _write_line, webhook))


async def _serve(
    office: Office,
    context: ssl.SSLContext,
    sockets: list[socket.socket],
    hosts: tuple[str, str],
    ready: Callable[[str], None],
    webhook: Webhook | None,
) -> None:
    background, alerts, decoys = Background(office), Delivery(office, webhook), Keeper(office)
    apps = (create_device_app(office), create_admin_app(office, background))
    servers = [Server(app, context, lambda: office.new_id("ref")) for app in apps]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, servers)
    reloads: set[asyncio.Task[bool]] = set()
    loop.add_signal_handler(signal.SIGHUP, _reload, office, loop, reloads)
    running = [loop.create_task(one.serve(sockets=[at])) for one, at in zip(servers, sockets, strict=True)]
    listening = loop.create_task(_all_listening(servers))
    try:
        if isinstance(office.store, LeavesParts):
            office.store.drop_unfinished()
        await background.resume()
        alerts.start()
        decoys.start()
        await asyncio.wait([listening, *running], return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            ready(_ready_line(sockets, hosts))
        await asyncio.gather(*running)
    finally:
        listening.cancel()
        _stop(servers)
        await asyncio.gather(*running, *reloads, return_exceptions=True)
        await background.stop()
        await decoys.stop()
        await alerts.stop()
        office.attestation.close()
        await office.ledger.close()


async def _all_listening(servers: list[Server]) -> None:
    for one in servers:
        await one.listening.wait()


def _reload(office: Office, loop: asyncio.AbstractEventLoop, reloads: set[asyncio.Task[bool]]) -> None:
    """Read risk.toml again; nothing else is read twice."""
    task = loop.create_task(reload_rules(office))
    reloads.add(task)  # a task that nobody holds may be collected before it is done
    task.add_done_callback(reloads.discard)


def _stop(servers: list[Server]) -> None:
    for one in servers:
        one.should_exit = True


def _ready_line(sockets: list[socket.socket], hosts: tuple[str, str]) -> str:
    urls = [f"https://{_bracketed(host)}:{at.getsockname()[1]}" for at, host in zip(sockets, hosts, strict=True)]
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
