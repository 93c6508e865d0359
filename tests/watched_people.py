"""People and their devices at an office that watches: what they ask for, from where, and what came of it."""

import json
from typing import Any, cast

from protocol_client import Bench, HandDevice
from strongroom.canonical import encode, to_base64url
from strongroom.server.identify import Visit
from strongroom.server.watching.noticing import Notice
from strongroom.wire.messages import EnrolAnswer

HOUR, DAY = 3600, 86_400


class Person:
    """A user, and its devices; a device goes on until it is refused."""

    def __init__(self, bench: Bench, name: str = "ada") -> None:
        self.bench = bench
        self.name = name

    async def device(self, machine: int = 0) -> HandDevice | str:
        """Enrol another device on a machine, or return why not."""
        answer = await self.bench.ask("POST", "/v1/tokens", {"user": self.name})
        if answer.status_code != 201:
            return str(answer.json()["code"])
        device = On(self.bench, str(answer.json()["token"]), machine)
        enrolled = await device.try_enrol()
        if enrolled.status_code != 201:
            return str(enrolled.json()["code"])
        said = EnrolAnswer.from_bytes(enrolled.content)
        device.id, device.account, device.token = said.device_id, said.account, said.token
        return device


class On(HandDevice):
    """A device on a machine, whose id it tells."""

    def __init__(self, bench: Bench, token: str, machine: int) -> None:
        super().__init__(bench, token)
        self.machine = machine

    def facts(self, **changes: Any) -> Any:
        """Tell the machine, too."""
        return super().facts(**({"fingerprint": bytes([self.machine]) * 32} | changes))


async def asked(by: HandDevice | str, model: str = "digits", **changes: Any) -> str:
    """Ask for keys, and return what came: "got", or the code of the refusal, at whichever step."""
    if isinstance(by, str):
        return by
    first = await by.send("/v1/challenges", encode({"purpose": "release", "model": model}))
    if first.status_code != 200:
        return str(first.json()["code"])
    answer = await by.try_release(**({"model": model} | changes))
    return "got" if answer.status_code == 200 else str(answer.json()["code"])


def place(bench: Bench, number: int) -> None:
    """Let the next requests come from another network: the transport of tests has one peer."""
    cast(Any, bench.devices)._transport.client = (f"192.0.{number}.7", 40_000)


async def rules_of(bench: Bench, band: str) -> set[str]:
    """Return the rules behind the decisions of a band or above."""
    bands = ("none", "medium", "high", "stop")
    async with bench.ledger.begin() as tx:
        every = [json.loads(row.body)["decision"] for _, row in await tx.risk_log(limit=10_000)]
    return {point["rule"] for one in every if bands.index(one["band"]) >= bands.index(band) for point in one["rules"]}


async def standing(bench: Bench, name: str) -> str:
    """Return the state of a user."""
    async with bench.ledger.begin() as tx:
        found = await tx.user(name)
    return "" if found is None else found.state


async def noticed(bench: Bench, device: HandDevice) -> Notice:
    """Return what a request of a device says, without the request."""
    async with bench.ledger.begin() as tx:
        row = await tx.device(device.id or "")
        user = None if row is None else await tx.user(row.user)
    key = None if row is None else to_base64url(row.thumbprint)
    seen = Visit(bench.clock(), "ref_test", "POST", "https://rooms.test:8443/v1/releases", "192.0.2.7")
    return Notice(user, None, row, key, None, seen, signed_in=bench.clock() - HOUR)
