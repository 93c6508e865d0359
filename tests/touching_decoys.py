"""Touching decoys by hand: requests of a `HandDevice`, or of nobody, and what the office made of them."""

import os
from typing import Any

import httpx

from protocol_client import DEVICES, JSON, Bench, HandDevice
from strongroom.server.ports import AuditEvent
from strongroom.server.watch_ports import AlertRow, DecoyRow
from strongroom.wire import dpop

NAMES = {"{release_id}": f"rel_{'A' * 22}", "{lease_id}": f"lse_{'A' * 22}", "{model}": "digits"}


def route_of(row: DecoyRow) -> tuple[str, str]:
    """Return method and path of a decoy route, with something in the place of each name."""
    method, _, path = row.name.partition(" ")
    for name, value in NAMES.items():
        path = path.replace(name, value)
    return method, path


def proof_of(device: HandDevice, method: str, path: str, token: str) -> str:
    """Make a proof by a device's key over any token."""
    return dpop.make(device.key, method, DEVICES + path, token, device.bench.clock(), os.urandom(16))


async def touch(
    device: HandDevice, method: str, path: str, body: bytes | None = None, *, token: str | None = None, by: str = "DPoP"
) -> httpx.Response:
    """Send one request with a device's proof, and wait until what follows it is done."""
    token = device.token if token is None else token
    headers = {"Authorization": f"{by} {token}", "DPoP": proof_of(device, method, path, token)}
    if body is not None:
        headers |= JSON
    answer = await device.bench.devices.request(method, path, content=body, headers=headers)
    await device.bench.office.traps.settled()
    return answer


async def added(bench: Bench, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """Add a decoy as the admin."""
    answer = await bench.ask("POST", "/v1/decoys", {"kind": kind, "name": name, "note": "in a test"} | more)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def row_of(bench: Bench, id_: str) -> DecoyRow:
    """Return a decoy's row."""
    async with bench.ledger.begin() as tx:
        row = await tx.decoy(id_)
    assert row is not None
    return row


async def alerts(bench: Bench) -> list[AlertRow]:
    """Return the alerts about decoys."""
    async with bench.ledger.begin() as tx:
        return [row for row in await tx.alerts() if row.key.startswith("decoy.")]


async def decoy_events(bench: Bench) -> list[AuditEvent]:
    """Return what the audit log says of decoys that were touched."""
    wanted = {"decoy.hit", "decoy.noise", "decoy.tested"}
    async with bench.ledger.begin() as tx:
        return [row for _, row in await tx.audit(limit=100_000) if row.event in wanted]
