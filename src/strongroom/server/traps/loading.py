"""Reading the decoys: what other processes added, and what was shipped."""

from collections.abc import Sequence
from contextlib import suppress

from strongroom.errors import InputError
from strongroom.server.bait.board import Known
from strongroom.server.bait.shipped import shipped
from strongroom.server.office import Office
from strongroom.server.watch_ports import DecoyRow


async def load(office: Office) -> Known:
    """Read the decoys, and write down the shipped ones that are not there yet.

    Raises:
        StoreError: DATABASE.
    """
    async with office.ledger.begin() as tx:
        rows = await tx.decoys()
    missing = _missing(office, rows)
    for row in missing:
        with suppress(InputError):  # CONFLICT: another process was first
            async with office.ledger.begin() as tx:
                await tx.add_decoy(row)
    return office.traps.learn((*rows, *missing))


def _missing(office: Office, rows: Sequence[DecoyRow]) -> tuple[DecoyRow, ...]:
    there = {(row.kind, row.name) for row in rows}
    return tuple(row for row in shipped(office.traps.marks) if (row.kind, row.name) not in there)
