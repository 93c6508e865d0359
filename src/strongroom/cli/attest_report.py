"""What `strongroom attest verify` found, for a person and for a script, and what is to be done about it."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import printing
from strongroom.cli.attest_spellings import FORMS

if TYPE_CHECKING:
    from strongroom.attest.claims import Claims, Kind
    from strongroom.attest.judge import Report

_NEXT = {  # what a support engineer does about a code
    "malformed": "get the evidence again as the device sent it, uncut",
    "unsupported": "see whether --kind is right; what the device signed with is not judged here",
    "chain": "a forgery, or an authority that is not pinned here",
    "expired": "judge it for the time it was received: --at",
    "revoked": "its maker withdrew this key: the device cannot attest any more; replace it",
    "stale-revocation-list": "fetch the revocation list anew, and see why the job that does so has stopped",
    "binding": "made for another request: see whether --binding is this one's; if it is, old evidence was sent",
    "replay": "the same evidence was sent before, or the device's state was copied; let the device enrol anew",
    "key": "the key is another than the one enrolled, or weaker than asked for; let the device enrol anew (--state)",
    "app": "see which application it is and whether the policy should name it",
    "environment": "a development build, or a channel that the rules do not take: --environment or --policy names it",
    "device": "the device is weaker than the policy asks; another device, or another policy",
    "boot": "the boot loader is unlocked or the system is not the maker's: lock it and install the maker's system",
    "patch": "let the user install system updates",
    "pcr": "firmware or boot configuration changed: if that was wanted, strongroom attest tpm capture",
    "policy": "the policy does not take this kind of evidence, or a test authority made it",
    "unavailable": "let the device try again later",
}
_CHAIN = {
    "app-attest": "a forgery, or made with a test authority: name its root with --roots",
    "android-key": "give the whole chain, leaf first and root last, in one file; else a forgery, or made by software",
    "play": "name the app's keys with --play-keys; a standard token only Google opens: give the verdict it decoded",
    "tpm": "if its issuer is missing, name it beside its maker's root: --roots issuer.pem --roots root.pem, or one PEM"
    " file with both; else a forgery",
}


def next_step(kind: "Kind", report: "Report", hint: str, *, with_state: bool) -> str | None:
    """Return what a support engineer does next, None if it was accepted.

    Args:
        kind: of the evidence.
        report: the verdict.
        hint: what was to be said of its form.
        with_state: whether a key was given that is known.
    """
    if report.code is None:
        return None
    if report.code == "malformed":
        return hint or f"{_NEXT[report.code]}; {FORMS[kind]}"
    if report.code == "chain":
        return _CHAIN[kind]
    if report.code == "key" and kind == "app-attest" and not with_state:
        return 'say which key signs: --state with {"key": SPKI, "counter": n}, or what --json said of its attestation'
    if report.code == "key" and kind == "tpm" and not with_state:
        return 'say which key signs: --state with {"ak_public": …, "ek_public": …}, or the evidence of its enrolment'
    return _NEXT[report.code]


def value(kind: "Kind", report: "Report", missing: list[str], step: str | None) -> dict[str, Any]:
    """Return the verdict as one document for scripts."""
    return {
        "verdict": report.verdict,
        "code": None if report.code is None else str(report.code),
        "detail": report.detail,
        "kind": str(kind),
        "claims": None if report.claims is None else _plain(report.claims),
        "steps": [{"step": step, "passed": passed} for step, passed in report.steps],
        "findings": [{"code": str(one.code), "step": one.step, "detail": one.detail} for one in report.findings],
        "not_judged": missing,
        "next": step,
    }


def show(kind: "Kind", report: "Report", missing: list[str], step: str | None) -> None:
    """Print the verdict for a person, step by step."""
    details = {one.step: one.detail for one in report.findings}
    for name, passed in report.steps:
        mark = printing.styled(_sign(passed=passed), "green" if passed else "red")
        said = details.get(name, "" if passed else report.detail)
        click.echo(f"{mark} {printing.printable(name + (f': {said}' if said else ''))}")
    for one in missing:
        click.echo(f"{printing.styled('-', 'yellow')} not judged: {printing.printable(one)}")
    accepted = report.code is None
    rows: list[tuple[str, object]] = [("kind", str(kind))]
    if report.code is not None:
        rows += [("code", str(report.code)), ("detail", report.detail), ("next", step)]
    if report.claims is not None:
        rows += _claims(report.claims)
    width = max(len(name) for name, _ in rows)
    click.echo(f"\n{'verdict'.ljust(width)}  {printing.styled(report.verdict, 'green' if accepted else 'red')}")
    printing.fields(rows)


def _claims(claims: "Claims") -> list[tuple[str, object]]:
    """Return what a person wants to see of the claims: what the evidence says, and nothing that it does not."""
    shown: list[tuple[str, object]] = []
    for name, value in _plain(claims).items():
        if name == "pcrs":
            shown += [(f"{bank}:{number}", digest) for bank in value for number, digest in value[bank].items()]
            continue
        if name in {"kind", "evidence", "verified_at", "known", "trust", "signals"} or value in (
            "",
            None,
            [],
            {},
            False,
        ):
            continue
        shown.append((name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else value))
    return [*shown, *((f"signal {name}", value) for name, value in sorted(claims.signals.items()))]


def _sign(*, passed: bool) -> str:
    """Return a tick or a cross, or words where the terminal's letters have neither."""
    try:
        "✓✗".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "ok " if passed else "bad"
    return "✓" if passed else "✗"


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value that claims are made of
    """Return claims as JSON: bytes in hexadecimal, register numbers as texts."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in sorted(value.items())}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, str) else value
