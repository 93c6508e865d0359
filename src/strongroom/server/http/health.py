"""Is this process able to do its work: database, vault, and the trust.json it has in force."""

from starlette.responses import Response

from strongroom.canonical import JsonValue
from strongroom.errors import StrongroomError
from strongroom.server.http import bodies
from strongroom.server.office import Office
from strongroom.wire.trust import check_fresh


async def health(office: Office) -> Response:
    """Answer 200, or 503 if releases would fail for one of these parts. Says which part, never why.

    The database is well if it answers and, after a transaction has failed, takes a row again; the vault if it can
    compute a MAC; the trust document, whose version is named, until it expires. The object store is not looked at.
    """
    database = await _database(office)
    vault = _vault(office)
    fresh = _fresh(office)
    well = database and vault and fresh
    parts: dict[str, JsonValue] = {
        "status": _word(well),
        "database": _word(database),
        "vault": _word(vault),
        "trust": "ok" if fresh else "expired",
        "trust_version": office.trust.version,
    }
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


def _fresh(office: Office) -> bool:
    try:
        check_fresh(office.trust, office.now())
    except StrongroomError:
        return False
    return True


def _word(well: bool) -> str:  # noqa: FBT001 - the one thing it translates
    return "ok" if well else "degraded"
