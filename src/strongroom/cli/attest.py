"""`strongroom attest`: judge a device's evidence by hand, step by step; capture a TPM's registers."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import printing
from strongroom.cli.attest_tpm import capture
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, json_option

if TYPE_CHECKING:
    from strongroom.attest.authorities import Authorities
    from strongroom.attest.claims import Claims, Kind
    from strongroom.attest.judge import Report
    from strongroom.attest.policy import Policy

KINDS = ("app-attest", "play", "android-key", "tpm")
REJECTED = 6  # exit code, as for everything that policy refuses

_NEXT = {  # what a support engineer does about a code
    "malformed": "get the evidence again as the device sent it, uncut; see whether --kind is right",
    "unsupported": "see whether --kind is right; what the device signed with is not judged here",
    "chain": "a forgery, or an authority that is not pinned here: name a TPM maker's root with --roots",
    "expired": "judge it for the time it was received: --at",
    "revoked": "its maker withdrew this key: the device cannot attest any more; replace it",
    "stale-revocation-list": "fetch the revocation list anew, and see why the job that does so has stopped",
    "binding": "made for another request: see whether --binding is this one's; if it is, old evidence was sent",
    "replay": "the same evidence was sent before, or the device's state was copied; let the device enrol anew",
    "key": "the key is another than the one enrolled, or weaker than asked for; let the device enrol anew (--state)",
    "app": "see which application it is and whether the policy should name it",
    "environment": "a development build, or one from a channel that the policy does not take",
    "device": "the device is weaker than the policy asks; another device, or another policy",
    "boot": "the boot loader is unlocked or the system is not the maker's: lock it and install the maker's system",
    "patch": "let the user install system updates",
    "pcr": "firmware or boot configuration changed: if that was wanted, strongroom attest tpm capture",
    "policy": "the policy does not take this kind of evidence, or a test authority made it",
    "unavailable": "let the device try again later",
}
_NO_LIST = "revocation: no list was given (--revoked)"
_NO_ROOTS = "endorsement chain: no TPM maker's root was given (--roots), so anybody could have made these keys"
_ACTIVATION = "activation: only the server knows what it put into the credential"
_UNSIGNED = "signature: a verdict that Google decoded carries none; it is taken at its word"
_NO_ENVIRONMENT = "environment: the state does not say what the key was attested in"


@click.group(cls=Noun)
def attest() -> None:
    """Judge a device's evidence by hand, step by step; capture a TPM's registers."""


@attest.group("tpm", cls=Noun, commands=[capture])
def tpm() -> None:
    """This machine's TPM."""


@attest.command(
    "verify",
    examples=[
        "strongroom attest verify --kind tpm --evidence quote.json --binding 3f1c9ae0 --at 2026-11-23T10:00:00Z",
        "strongroom attest verify --kind play --evidence token --binding 3f1c9ae0 --at 1795428000 --policy office.toml",
    ],
)
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What kind of evidence it is.")
@click.option(
    "--evidence", "path", type=PATH, required=True, metavar="FILE", help="As bytes, base64, PEM or JSON; a Play token."
)
@click.option("--binding", required=True, metavar="HEX", help="What it must have been made for.")
@click.option("--at", "when", required=True, metavar="TIME", help="When it was received: RFC 3339 or Unix seconds.")
@click.option("--policy", "policy_path", type=PATH, metavar="FILE", help="The office's attestation.toml.")
@click.option("--model", metavar="NAME", help="Whose rules of the policy. [default: those in [default]]")
@click.option("--roots", type=PATH, multiple=True, metavar="PEM", help="More root certificates to believe.")
@click.option("--revoked", type=PATH, metavar="FILE", help="Google's list of revoked keys (JSON).")
@click.option("--state", type=PATH, metavar="FILE", help='Of an assertion\'s key: JSON {"key": SPKI, "counter": n}.')
@click.option("--app-id", "app_ids", multiple=True, metavar="ID", help="An application to take, without --policy.")
@click.option(
    "--play-keys", multiple=True, metavar="PACKAGE=FILE,FILE", help="An app's decryption and verification key."
)
@click.option("--chain-only", is_flag=True, help="Ask only whether it is genuine and made for this request.")
@json_option
def verify(
    kind: str,
    path: Path,
    binding: str,
    when: str,
    *,
    policy_path: Path | None,
    model: str | None,
    roots: tuple[Path, ...],
    revoked: Path | None,
    state: Path | None,
    app_ids: tuple[str, ...],
    play_keys: tuple[str, ...],
    chain_only: bool,
    as_json: bool,
) -> int:
    """Judge a piece of evidence as the server would, and show each step.

    Without --policy it is held to the strictest rules that need no word of an owner: a production build, a locked boot
    loader, a verified system, hardware. Who the application is and what a TPM's registers hold is then shown and not
    judged. Nothing is released on the word of this command.

    The exit code is 0 if it is accepted and 6 if it is rejected.
    """
    from strongroom.cli.extras import needs

    if model is not None and policy_path is None:
        raise click.UsageError("--model names rules of a policy: say --policy too")
    if app_ids and policy_path is not None:
        raise click.UsageError("the policy names the applications: leave --app-id out")
    wanted = _binding(binding)
    at = _moment(when)
    with needs("server"):
        from strongroom.attest import judge
        from strongroom.attest.claims import Expected, Kind
        from strongroom.cli import attest_inputs as inputs

    which = Kind(kind)
    data = inputs.evidence(path, which)
    known = None if state is None else inputs.state(state)
    policy, authorities = _rules(which, policy_path, model, app_ids, at, has_roots=bool(roots))
    authorities = _with_options(authorities, which, roots, revoked, play_keys)
    missing: list[str] = []
    if which == Kind.ANDROID_KEY and authorities.revoked is None and policy_path is None:
        authorities = replace(authorities, revoked=inputs.no_list(at))
        missing.append(_NO_LIST)
    if which == Kind.TPM and not (authorities.tpm.genuine or authorities.tpm.stand_ins) and policy_path is None:
        data, known = inputs.without_endorsement(data, known)
        missing.append(_NO_ROOTS)
    if known is not None and which == Kind.APP_ATTEST and not known.environment and policy_path is None:
        known = replace(known, environment="production")
        missing.append(_NO_ENVIRONMENT)
    decoded = inputs.decoded(data) if which == Kind.PLAY else None
    missing += [_UNSIGNED] if decoded is not None else []
    found = judge.report(
        which,
        data,
        Expected(wanted),
        at,
        known,
        policy,
        authorities,
        decoded=decoded,
        demands=not chain_only,
        unnamed_fails=policy_path is not None,
    )
    if found.claims is not None and "activation" in found.claims.signals:
        missing.append(_ACTIVATION)
    missing += [
        f"{step.removeprefix('policy: ')}: no policy names anything to compare with" for step in found.not_judged
    ]
    if as_json:
        printing.document(_value(which, found, missing))
    else:
        _print(which, found, missing)
    return 0 if found.verdict == judge.ACCEPT else REJECTED


def _rules(
    kind: "Kind", path: Path | None, model: str | None, app_ids: tuple[str, ...], at: int, *, has_roots: bool
) -> tuple["Policy", "Authorities"]:
    """Return the rules to judge by and whom to believe."""
    from strongroom.attest.roots import production
    from strongroom.cli import attest_inputs as inputs

    if path is None:
        return inputs.strict(kind, app_ids, stand_ins=has_roots), production()
    policies = inputs.policies(path)
    if model is not None and model not in policies.models:
        printing.note(f"the model {model} has no rules of its own: [default] applies")
    return policies.of(model or ""), inputs.authorities(path.parent, policies.sources, kind, at)


def _with_options(
    authorities: "Authorities", kind: "Kind", roots: tuple[Path, ...], revoked: Path | None, play_keys: tuple[str, ...]
) -> "Authorities":
    """Add what the command line names: roots of TPM makers, and stand-ins of those whose roots are known."""
    from strongroom.attest.authorities_file import with_stand_ins
    from strongroom.attest.claims import Kind
    from strongroom.cli import attest_inputs as inputs

    certificates = inputs.roots(roots)
    if kind == Kind.TPM:
        tpm = replace(authorities.tpm, genuine=(*authorities.tpm.genuine, *certificates))
        authorities = replace(authorities, tpm=tpm)
    else:
        authorities = with_stand_ins(authorities, certificates)
    if revoked is not None:
        authorities = replace(authorities, revoked=inputs.revoked(revoked))
    return replace(authorities, play={**authorities.play, **inputs.play_keys(play_keys)})


def _binding(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise click.BadParameter("not bytes in hexadecimal", param_hint="--binding") from None


def _moment(text: str) -> int:
    from strongroom.cli.attest_inputs import moment

    try:
        return moment(text)
    except (ValueError, OverflowError, OSError):
        hint = "write 2026-11-23T10:00:00Z or Unix seconds"
        raise click.BadParameter(f"not a time: {hint}", param_hint="--at") from None


def _value(kind: "Kind", report: "Report", missing: list[str]) -> dict[str, Any]:
    return {
        "verdict": report.verdict,
        "code": None if report.code is None else str(report.code),
        "detail": report.detail,
        "kind": str(kind),
        "claims": None if report.claims is None else _plain(report.claims),
        "steps": [{"step": step, "passed": passed} for step, passed in report.steps],
        "findings": [{"code": str(one.code), "step": one.step, "detail": one.detail} for one in report.findings],
        "not_judged": missing,
    }


def _print(kind: "Kind", report: "Report", missing: list[str]) -> None:
    details = {one.step: one.detail for one in report.findings}
    for step, passed in report.steps:
        mark = printing.styled(_sign(passed=passed), "green" if passed else "red")
        said = details.get(step, "" if passed else report.detail)
        click.echo(f"{mark} {printing.printable(step + (f': {said}' if said else ''))}")
    for one in missing:
        click.echo(f"{printing.styled('-', 'yellow')} not judged: {printing.printable(one)}")
    accepted = report.code is None
    rows: list[tuple[str, object]] = [("kind", str(kind))]
    if report.code is not None:
        rows += [("code", str(report.code)), ("detail", report.detail), ("next", _NEXT[report.code])]
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
