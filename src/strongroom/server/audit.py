"""What the office writes down: event names, and log lines that carry no secret.

Event names are static and live here only; what differs goes into fields. The audit log is rows in the ledger; log
lines are for whoever runs the server and pass through `redact` first.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from enum import StrEnum
from typing import Any, TextIO

import structlog

from strongroom.server.ports import AuditEvent


class Event(StrEnum):
    """Names of audit events. Append only: exports and alarms are written against them."""

    ACCOUNT_ADDED = "account.added"
    ACCOUNT_RESTRICTED = "account.restricted"
    ACCOUNT_RESTORED = "account.restored"
    USER_ADDED = "user.added"
    OPERATOR_ADDED = "operator.added"
    OPERATOR_REFUSED = "operator.refused"
    CALLER_REFUSED = "caller.refused"
    CALLER_LIMITED = "caller.limited"
    TOKEN_ISSUED = "token.issued"  # noqa: S105 - the name of an event
    ENTITLEMENT_ADDED = "entitlement.added"
    ENTITLEMENT_REMOVED = "entitlement.removed"
    ENTITLEMENT_FORGED = "entitlement.forged"
    DEVICE_ENROLLED = "device.enrolled"
    DEVICE_RENEWED = "device.renewed"
    DEVICE_REFUSED = "device.refused"
    DEVICE_ATTESTED = "device.attested"
    DEVICE_BLOCKED = "device.blocked"
    DEVICE_UNBLOCKED = "device.unblocked"
    DEVICE_STOPPED = "device.stopped"
    USER_STOPPED = "user.stopped"
    ACTIVATION_REFUSED = "activation.refused"
    ATTESTATION_REFUSED = "attestation.refused"
    ATTESTATION_NEEDED = "attestation.needed"
    ATTESTATION_FORGED = "attestation.forged"
    ATTESTATION_SHARED = "attestation.shared"
    BREAKER_OPENED = "attestation.breaker-opened"
    BREAKER_CLOSED = "attestation.breaker-closed"
    CHALLENGE_REFUSED = "challenge.refused"
    RELEASE_GRANTED = "release.granted"
    RELEASE_REFUSED = "release.refused"
    URLS_GRANTED = "urls.granted"
    URLS_REFUSED = "urls.refused"
    LEASE_RENEWED = "lease.renewed"
    LEASE_REFUSED = "lease.refused"
    WIPE_ORDERED = "wipe.ordered"
    WIPE_WITHDRAWN = "wipe.withdrawn"
    WIPE_FETCHED = "wipe.fetched"
    WIPE_REPORTED = "wipe.reported"
    WIPE_REFUSED = "wipe.refused"
    DEPOSIT_ACCEPTED = "deposit.accepted"
    DEPOSIT_REFUSED = "deposit.refused"
    DEPOSIT_REPLACED = "deposit.replaced"
    VERSION_CHECKING = "version.checking"
    TWIN_ACCEPTED = "twin.accepted"
    TWIN_REFUSED = "twin.refused"
    TWIN_CHECKING = "twin.checking"
    TWIN_READY = "twin.ready"
    TWIN_FAILED = "twin.failed"
    VERSION_READY = "version.ready"
    VERSION_FAILED = "version.failed"
    VERSION_REVOKED = "version.revoked"
    CHANNEL_MOVED = "channel.moved"
    RISK_BAND_CHANGED = "risk.band-changed"
    RISK_STEPPED_UP = "risk.stepped-up"
    RISK_DECEIVED = "risk.deceived"
    RISK_FAILED = "risk.failed"
    RISK_FROZEN = "risk.frozen"
    RISK_RESTORED = "risk.restored"
    RISK_SNOOZED = "risk.snoozed"
    RISK_UNSNOOZED = "risk.unsnoozed"
    RISK_RELOADED = "risk.reloaded"
    RISK_RELOAD_REFUSED = "risk.reload-refused"
    APPEAL_MADE = "appeal.made"
    APPEAL_DECIDED = "appeal.decided"
    STRONGROOM_INITIALISED = "strongroom.initialised"
    DECOY_ADDED = "decoy.added"
    DECOY_REMOVED = "decoy.removed"
    DECOY_HIT = "decoy.hit"
    DECOY_NOISE = "decoy.noise"
    DECOY_REFUSED = "decoy.refused"
    DECOY_TESTED = "decoy.tested"
    DECOY_EXERCISED = "decoy.exercised"
    ALERT_GIVEN_UP = "alert.given-up"
    ALERT_TESTED = "alert.tested"


def event(name: Event, /, *, at: int, actor: str, subject: str, **detail: str | int) -> AuditEvent:
    """Build one line of the audit log.

    Args:
        name: what happened.
        at: when, in Unix seconds.
        actor: identifier of who did it, or "" for the office itself.
        subject: identifier or name of what it was done to.
        detail: further fields; names and sizes, never a secret.
    """
    return AuditEvent(str(name), at, actor, subject, detail)


REDACTED = "[redacted]"

_SECRET_FIELD = re.compile(
    r"(?:^|_)(?:authorization|cookie|dpop|key|mek|passphrase|password|proof|query|secret|seed|sealed|token|wrapped)s?$",
    re.IGNORECASE,
)
_PLAIN_FIELDS = frozenset({"public_key", "wrapping_key"})  # "wrapping_key" is its identifier
_QUERY = re.compile(r"\?[^\s\"'<>]+")
_JWS = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
_LONG = re.compile(r"[A-Za-z0-9_-]{43,}")  # 32 bytes as base64url or hexadecimal, or more: could be a key or a token
_MAX_DEPTH = 6


def redact(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Take tokens, keys and the query strings of URLs out of a log line (a structlog processor)."""
    return {name: _without_secrets(name, value, 0) for name, value in fields.items()}


def _without_secrets(name: str, value: Any, depth: int) -> Any:  # noqa: ANN401 - whatever a log call was given
    if name not in _PLAIN_FIELDS and _SECRET_FIELD.search(name):
        return REDACTED
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return {str(key): _without_secrets(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and depth < _MAX_DEPTH:
        return [_without_secrets("", item, depth + 1) for item in value]
    return _LONG.sub(REDACTED, _JWS.sub(REDACTED, _QUERY.sub(f"?{REDACTED}", str(value))))


def _without_colours(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields.pop("color_message", None)  # uvicorn says its lines twice
    return fields


def configure_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log line of this process, ours and the libraries', as redacted JSON to standard error.

    Args:
        level: debug, info, warning or error.
        stream: where to write instead of standard error.
    """
    ours: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    finish: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _without_colours,
        redact,  # after exceptions became text, so that nothing is rendered behind its back
        structlog.processors.JSONRenderer(sort_keys=True),
    ]
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=ours, processors=finish))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("alembic", "uvicorn.error"):  # their start-up lines would hide ours; who looks for a fault gets them
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else max(root.level, logging.WARNING))
    structlog.configure(
        processors=[*ours, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
