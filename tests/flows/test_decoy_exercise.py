"""`strongroom decoy test` against a whole strongroom: every kind fires, nobody is punished, a dead one is seen."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from strongroom.cli.decoy_exercise import Rim, exercise
from strongroom.errors import InputError
from strongroom.server.bait.board import Traps
from strongroom.server.ports import AuditEvent
from strongroom_in_memory import DEVICES, Street, Wire


def _rim(street: Street) -> Rim:
    seconds = itertools.count()
    return Rim(street.clock, lambda: float(next(seconds)), lambda _: street.do(street.office.traps.settled()))


def _fill(street: Street) -> None:
    """Add a decoy of each kind to those that were shipped."""
    for kind, name in (
        ("endpoint", "GET /v2/raw"),
        ("key", "app"),
        ("model", "digits-full"),
        ("canary", "page"),
        ("field", "staff"),
    ):
        street.admin.post("decoys", value={"kind": kind, "name": name, "note": ""})
    for sort in ("device", "user", "operator"):
        street.admin.post("decoys", value={"kind": "token", "name": "ci", "note": "", "sort": sort})


def _audit(street: Street) -> list[AuditEvent]:
    async def read() -> Any:
        async with street.ledger.begin() as tx:
            return [row for _, row in await tx.audit(limit=10_000)]

    found: list[AuditEvent] = street.do(read())
    return found


def test_every_kind_fires_and_nobody_is_punished(tmp_path: Path) -> None:
    with Street(tmp_path) as street:
        _fill(street)
        for _ in range(2):
            street.clock.advance(100)
            fired = exercise(street.admin, None, devices=Wire(street, DEVICES), rim=_rim(street))
            assert [row["name"] for row, ok in fired if not ok] == []
            assert len(fired) == 4 + 5 + 3
        street.do(street.office.traps.settled())
        names = {row.event for row in _audit(street)}
        assert "decoy.tested" in names
        assert names.isdisjoint({"decoy.hit", "decoy.noise", "device.stopped", "user.stopped"})
        assert {row["state"] for row in street.admin.every("devices")} == {"active"}

        async def alerts() -> Any:
            async with street.ledger.begin() as tx:
                return await tx.alerts()

        assert street.do(alerts()) == []


def test_a_dead_decoy_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Street(tmp_path) as street:
        _fill(street)
        monkeypatch.setattr(Traps, "follow", lambda _, work: work.close())
        fired = exercise(street.admin, None, devices=Wire(street, DEVICES), rim=_rim(street))
        assert not any(ok for _, ok in fired)


def test_one_alone(tmp_path: Path) -> None:
    with Street(tmp_path) as street:
        made = street.admin.post("decoys", value={"kind": "canary", "name": "page", "note": ""})
        fired = exercise(street.admin, str(made["id"]), devices=Wire(street, DEVICES), rim=_rim(street))
        assert [(row["id"], ok) for row, ok in fired] == [(made["id"], True)]
        with pytest.raises(InputError):
            exercise(street.admin, "dcy_nothing", devices=Wire(street, DEVICES), rim=_rim(street))
