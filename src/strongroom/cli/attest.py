"""`strongroom attest`: judge a device's evidence by hand, step by step; capture a TPM's registers."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import attest_report, printing
from strongroom.cli.attest_tpm import capture
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, json_option

if TYPE_CHECKING:
    from strongroom.attest.authorities import Authorities
    from strongroom.attest.claims import Kind
    from strongroom.attest.policy import Policy

KINDS = ("app-attest", "play", "android-key", "tpm")
_ASKS_FOR_A_KEY = 0x0020  # X25519; of a request by a known chip nothing but whether it asks for a key is looked at
REJECTED = 6  # exit code, as for everything that policy refuses

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
    "--evidence",
    "path",
    type=PATH,
    required=True,
    metavar="FILE",
    help="As bytes, base64, hexadecimal, PEM or JSON; a Play token.",
)
@click.option("--binding", required=True, metavar="HEX", help="What it must have been made for.")
@click.option("--at", "when", required=True, metavar="TIME", help="When it was received: RFC 3339 or Unix seconds.")
@click.option("--policy", "policy_path", type=PATH, metavar="FILE", help="The office's attestation.toml.")
@click.option("--model", metavar="NAME", help="Whose rules of the policy. [default: those in [default]]")
@click.option(
    "--roots",
    type=PATH,
    multiple=True,
    metavar="PEM",
    help="More roots to believe, a TPM maker's and its issuers too; may be repeated.",
)
@click.option("--revoked", type=PATH, metavar="FILE", help="Google's list of revoked keys (JSON).")
@click.option(
    "--state",
    type=PATH,
    metavar="FILE",
    help="What is known of an enrolled key: the public key as JSON, or what --json said of its enrolment.",
)
@click.option("--app-id", "app_ids", multiple=True, metavar="ID", help="An application to take, without --policy.")
@click.option(
    "--environment",
    "environments",
    multiple=True,
    type=click.Choice(["production", "development"]),
    help="App Attest's environments to take, without --policy. [default: production]",
)
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
    environments: tuple[str, ...],
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

    _refuse_contradictions(policy_path, model, app_ids, environments)
    wanted = _binding(binding)
    at = _moment(when)
    with needs("server"):
        from strongroom.attest import judge
        from strongroom.attest.claims import Expected, Kind
        from strongroom.cli import attest_chip, attest_spellings
        from strongroom.cli import attest_inputs as inputs

    which = Kind(kind)
    given = attest_spellings.read(path, which, assertion=state is not None)
    data = given.data
    known = None
    if state is not None:
        known = attest_chip.state(state) if which == Kind.TPM else inputs.state(state)
    built_in = inputs.strict(which, app_ids, environments or ("production",), stand_ins=bool(roots))
    policy, authorities = _rules(which, policy_path, model, built_in, at)
    authorities = _with_options(authorities, which, roots, revoked, play_keys)
    missing: list[str] = []
    if which == Kind.ANDROID_KEY and authorities.revoked is None and policy_path is None:
        authorities = replace(authorities, revoked=inputs.no_list(at))
        missing.append(_NO_LIST)
    if which == Kind.TPM and not (authorities.tpm.genuine or authorities.tpm.stand_ins) and policy_path is None:
        data, known = attest_chip.without_endorsement(data, known)
        missing.append(_NO_ROOTS)
    if which == Kind.TPM:
        policy, bound = attest_chip.rules(policy, data, known)
        missing += bound
    if known is not None and which == Kind.APP_ATTEST and not known.environment and policy_path is None:
        known = replace(known, environment="production")
        missing.append(_NO_ENVIRONMENT)
    decoded = inputs.decoded(data) if which == Kind.PLAY else None
    missing += [_UNSIGNED] if decoded is not None else []
    found = judge.report(
        which,
        data,
        Expected(wanted, kem=_ASKS_FOR_A_KEY if which == Kind.TPM and known is not None and known.ek else 0),
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
    why = "--chain-only asks for no more than genuineness" if chain_only else "no policy names anything to compare with"
    missing += [f"{step.removeprefix('policy: ')}: {why}" for step in found.not_judged]
    step = attest_report.next_step(which, found, given.hint, with_state=state is not None)
    if as_json:
        printing.document(attest_report.value(which, found, missing, step))
    else:
        attest_report.show(which, found, missing, step)
    return 0 if found.verdict == judge.ACCEPT else REJECTED


def _refuse_contradictions(
    policy: Path | None, model: str | None, app_ids: tuple[str, ...], environments: tuple[str, ...]
) -> None:
    if model is not None and policy is None:
        raise click.UsageError("--model names rules of a policy: say --policy too")
    if app_ids and policy is not None:
        raise click.UsageError("the policy names the applications: leave --app-id out")
    if environments and policy is not None:
        raise click.UsageError("the policy names the environments: leave --environment out")


def _rules(
    kind: "Kind", path: Path | None, model: str | None, built_in: "Policy", at: int
) -> tuple["Policy", "Authorities"]:
    """Return the rules to judge by and whom to believe."""
    from strongroom.attest.roots import production
    from strongroom.cli import attest_inputs as inputs

    if path is None:
        return built_in, production()
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
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        what = "not bytes in hexadecimal: two letters a byte; of base64: base64 -d | xxd -p -c 0"
        raise click.BadParameter(what, param_hint="--binding") from None


def _moment(text: str) -> int:
    from strongroom.cli.attest_inputs import moment

    try:
        return moment(text)
    except (ValueError, OverflowError, OSError):
        hint = "write 2026-11-23T10:00:00Z or Unix seconds"
        raise click.BadParameter(f"not a time: {hint}", param_hint="--at") from None
