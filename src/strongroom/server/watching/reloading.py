"""Read the rules again while the server runs: good ones are in force at once, wrong ones never."""

import structlog

from strongroom.errors import StrongroomError
from strongroom.server.audit import Event, event
from strongroom.server.office import Office

_log = structlog.get_logger(__name__)


async def reload_rules(office: Office) -> bool:
    """Read risk.toml again, and say what came of it in the log and in the audit log.

    Args:
        office: whose rules.

    Returns:
        Whether the rules of the file are in force now. If not, those from before are.
    """
    before = office.watch.rules.version
    told: dict[str, str | int]
    try:
        after = office.watch.reload().version
    except StrongroomError as error:
        _log.error("the new rules are refused; those from before stay in force", **error.to_value())
        name = Event.RISK_RELOAD_REFUSED
        told = {"code": str(error.code), "what": error.what, "where": error.where, "next": error.next_step}
    else:
        _log.info("the rules were read again", policy=after[:16], changed=after != before)
        name, told = Event.RISK_RELOADED, {"before": before}
    policy = office.watch.rules.version
    row = event(name, at=office.now(), actor="", subject="risk.toml", policy_version=policy, **told)
    try:
        async with office.ledger.begin() as tx:
            await tx.add_audit(row)
    except StrongroomError as error:  # the rules hold, whether that could be written down or not
        _log.error("that rules were read again could not be written down", **error.to_value())
    return name == Event.RISK_RELOADED
