"""Is this process able to do its work: the database answers, the vault is open."""

from starlette.responses import Response

from strongroom.errors import StrongroomError
from strongroom.server.http import bodies
from strongroom.server.office import Office


async def health(office: Office) -> Response:
    """Answer 200, or 503 if releases would fail. Says which part, never why."""
    database = await _database(office)
    vault = _vault(office)
    well = database and vault
    parts = {"status": _word(well), "database": _word(database), "vault": _word(vault)}
    return bodies.answer(parts, 200 if well else 503)


async def _database(office: Office) -> bool:
    try:
        return await office.ledger.healthy()
    except StrongroomError:
        return False


def _vault(office: Office) -> bool:
    try:
        return len(office.vault.mac(b"strongroom/health")) > 0
    except StrongroomError:
        return False


def _word(well: bool) -> str:  # noqa: FBT001 - the one thing it translates
    return "ok" if well else "degraded"
