"""What a request says, as events of the risk engine (docs/spec/protocol.md section 18).

Who asks is proven before this is called. What a device says of itself is not: words of a closed list are taken, and
all else is left out and named in the record.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from strongroom.attest.claims import Level
from strongroom.attest.verdict import Refusal
from strongroom.canonical import to_base64url
from strongroom.errors import Code
from strongroom.risk import events as risk_events
from strongroom.risk.events import Event
from strongroom.risk.rules import Rules
from strongroom.server.attested import Attested
from strongroom.server.enrolled_keys import EnrolledKeys
from strongroom.server.identify import DeviceCaller, UserCaller, Visit, thumbprint
from strongroom.server.office import Office, new_id
from strongroom.server.ports import Account, DeviceRow, User
from strongroom.server.weighing import AttestationRefusedError
from strongroom.wire.messages import Device

SILENT = 2700  # seconds of silence of a device key after which its next request begins a session
KNOWN = ("tamper", "install", "build", "app_sig", "resumed", "runs", "keystore", "place", "elsewhere", "step_up")

_OTHER = ".b"  # ends the name of the session of a key on another machine than it was begun on
_INSTALL = re.compile(r"[A-Za-z0-9_-]{22}")
_BUILD = re.compile(r"[ -~]{1,64}")
_LEVELS = {"LEVEL_1": 1, "LEVEL_2": 2, "LEVEL_3": 3, "LEVEL_4": 4}  # Play Integrity's recentDeviceActivity
# What says that evidence could not be judged, or that a device is old, and not that it is bad: it never stops anybody.
_UNKNOWN = frozenset({
    Refusal.UNAVAILABLE, Refusal.UNSUPPORTED, Refusal.MALFORMED, Refusal.POLICY, Refusal.EXPIRED, Refusal.PATCH,
    Refusal.STALE_REVOCATION_LIST,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """The signals of a request, read; `ignored` names those that say nothing."""

    tamper: tuple[str, ...] = ()
    install: str | None = None
    build: str | None = None
    app_sig: str = "unknown"
    resumed: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """What all events of one request have in common.

    Attributes:
        user: who it is.
        account: the customer; a class of users may be named by it.
        device: its row; None while it enrols, and for a decoy that was touched by a user.
        key: thumbprint of the device key, base64url.
        fingerprint: what the device calls itself, base64url.
        visit: time, reference, address.
        said: its signals.
        model: which it asks for.
        verdict: what its evidence came to: pass, basic, fail or unavailable.
        judged: whether there was evidence to judge.
        activity: the store's activity level of the device, 1 to 4.
        signed_in: when the device's user last showed a token of the user's own; None if that is not known here.
        decoy: the decoy that was touched.
        honey: whether a field that only bait shows was changed.
        enrols: whether it is an enrolment, which is no session yet.
    """

    user: User | None
    account: Account | None
    device: DeviceRow | None
    key: str | None
    fingerprint: str | None
    visit: Visit
    said: Said = field(default_factory=Said)
    model: str | None = None
    verdict: str = "unavailable"
    judged: bool = False
    activity: int | None = None
    signed_in: int | None = None
    decoy: str | None = None
    honey: bool = False
    enrols: bool = False

    def user_class(self, rules: Rules) -> str:
        """Return the class whose allowances hold for this user, or for its whole account."""
        named = {one for row in (self.user, self.account) if row is not None for one in (row.id, row.name)}
        classes: Mapping[str, frozenset[str]] = rules.classes or {}
        return next((word for word, users in classes.items() if not named.isdisjoint(users)), "user")


def of_device(
    office: Office,
    caller: DeviceCaller,
    visit: Visit,
    device: Device | None,
    signals: Mapping[str, str | int],
    model: str | None,
) -> Notice:
    """Return what a request of an enrolled device says; `device` and `signals` as it sent them, inside its proof."""
    signed_in = office.tokens.read(caller.token, now=visit.now, even_expired=True).issued
    return Notice(
        user=caller.user,
        account=caller.account,
        device=caller.device,
        key=to_base64url(caller.device.thumbprint),
        fingerprint=None if device is None else to_base64url(device.fingerprint),
        visit=visit,
        said=read_signals(signals, "" if device is None else device.client),
        model=model,
        signed_in=signed_in,
    )


def of_enrolment(office: Office, caller: UserCaller, visit: Visit, device: Device) -> Notice:
    """Return what an enrolment says; there are no signals in it yet."""
    return Notice(
        user=caller.user,
        account=caller.account,
        device=None,
        key=to_base64url(thumbprint(caller.key)),
        fingerprint=to_base64url(device.fingerprint),
        visit=visit,
        said=Said(build=device.client or None),
        signed_in=office.tokens.read(caller.token, now=visit.now).issued,
        enrols=True,
    )


def read_signals(signals: Mapping[str, str | int], client: str = "") -> Said:
    """Read what a device says of itself; `client` stands for the build of an app that names none."""
    ignored = [name for name in signals if name not in KNOWN]
    words = _text(signals, "tamper").split(",") if "tamper" in signals else []
    tamper = tuple(sorted(risk_events.TAMPER.intersection(words)))
    if len(tamper) != len(set(words)):
        ignored.append("tamper")
    found: dict[str, str | None] = {}
    for name, form in (("install", _INSTALL), ("build", _BUILD)):
        text = _text(signals, name)
        found[name] = text if form.fullmatch(text) else None
        if name in signals and found[name] is None:
            ignored.append(name)
    app_sig = _text(signals, "app_sig") or "unknown"
    if app_sig not in risk_events.SIGNATURES:
        app_sig = "unknown"
        ignored.append("app_sig")
    build = found["build"] or client or None
    return Said(tamper, found["install"], build, app_sig, signals.get("resumed") == 1, tuple(ignored))


def _text(signals: Mapping[str, str | int], name: str) -> str:
    value = signals.get(name, "")
    return value if isinstance(value, str) else ""


def proven(notice: Notice, found: Attested | EnrolledKeys) -> Notice:
    """Add what accepted evidence says; where rules ask for none, nothing is proven and nothing is held against it."""
    pieces = found.judged if isinstance(found, Attested) else tuple(one for one, _ in found.accepted)
    if not pieces:
        return notice
    claims = [one.claims for one in pieces]
    strong = any(not one.stand_in and one.level != Level.SOFTWARE for one in claims)
    levels = [_LEVELS.get(str(one.signals.get("device_activity", ""))) for one in claims]
    vouched = any(one.app_ids or one.signers for one in claims)
    said = (
        replace(notice.said, app_sig="ok") if vouched else notice.said
    )  # a verifier's word is worth more than its own
    activity = next((one for one in levels if one), None)
    return replace(notice, verdict="pass" if strong else "basic", judged=True, activity=activity, said=said)


def unproven(notice: Notice, error: AttestationRefusedError) -> Notice:
    """Add what evidence says that was refused: bad, or not there to be judged."""
    code = error.detail.get("verdict")
    bad = error.code == Code.EVIDENCE and code not in _UNKNOWN  # a step-up was asked for is no verdict on the device
    said = replace(notice.said, app_sig="bad") if bad and code == Refusal.APP else notice.said
    return replace(notice, verdict="fail" if bad else "unavailable", judged=True, said=said)


def events_of(
    office: Office,
    rules: Rules,
    notice: Notice,
    types: tuple[str, ...],
    before: Mapping[str, object] | None,
    entitled: int | None = None,
) -> Iterator[Event]:
    """Make the events of one request, in order: what begins with it first, then its evidence, then what it asks for.

    Args:
        office: what identifiers are drawn with.
        rules: know the classes of users.
        notice: the request.
        types: what it asks for.
        before: the last event of the same device key, as it was recorded.
        entitled: how many models the account has a right to.
    """
    now, last = notice.visit.now, before or {}
    going_on = last.get("session_id") if now - _seconds(last) < SILENT else None
    claimed = notice.fingerprint or (_text_of(last, "device_id") if going_on else None)
    if going_on:
        session = _session(str(going_on), elsewhere=claimed != (_text_of(last, "device_id") or claimed))
    else:
        session = None if notice.enrols else new_id("ses", office.watch.random)
    installed = last.get("app_install_id")
    install = notice.said.install or (str(installed) if installed else None)
    first: list[str] = []
    if notice.device is not None and not notice.enrols:
        if notice.said.install and notice.said.install != installed:  # an enrolment does not name it yet
            first.append("app_install")
        if not going_on:
            first.append("session_start")
    if notice.judged:
        first.append("attest")
    every = (*first, *types)
    for one in every:
        yield Event(
            event_id=new_id("rev", office.watch.random),
            ts=now,
            type=one,
            user_id=None if notice.user is None else notice.user.id,
            user_class=notice.user_class(rules),
            device_id=claimed,
            device_key=notice.key,
            session_id=session,
            app_install_id=install,
            ip=notice.visit.address or None,
            model=notice.model,
            ver=notice.said.build,
            attestation=notice.verdict,
            app_sig=notice.said.app_sig,
            tamper=notice.said.tamper,
            decoy=notice.decoy,
            resumed=notice.said.resumed,
            honey=notice.honey and one == every[-1],
            activity=notice.activity,
            entitled=entitled,
        )


def _session(last: str, *, elsewhere: bool) -> str | None:
    """Return the session a request belongs to: one key on two machines is in two sessions at once, and in no third.

    Whoever changes machines as often as it likes begins nothing anew with it, so what a session counts goes on.
    """
    if not elsewhere:
        return last
    return last.removesuffix(_OTHER) if last.endswith(_OTHER) else last + _OTHER


def _text_of(event: Mapping[str, object], name: str) -> str | None:
    text = event.get(name)
    return text if isinstance(text, str) else None


def _seconds(event: Mapping[str, object]) -> int:
    at = event.get("ts")
    return at if isinstance(at, int) else 0
