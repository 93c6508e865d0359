"""Compare what evidence proved with what a model's owner demands. Genuineness is settled before this begins.

Every check is made, whatever the one before it said: a policy may answer some of them with less than a refusal, and a
support engineer wants to see all that is wrong. What the evidence does not say is never taken for good.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from strongroom.attest.claims import IN_HARDWARE, Claims, Kind
from strongroom.attest.policy import NO_CATEGORY, AndroidRules, AppleRules, PlayRules, Policy, TpmRules
from strongroom.attest.verdict import JUDGED_BY_POLICY, Reaction, Refusal, Rejection

_SHOWN = 80  # characters of a value that came from outside, in a detail


@dataclass(frozen=True, slots=True)
class Check:
    """One demand and whether it was met.

    Attributes:
        step: its name, for people.
        code: of its failure.
        passed: whether it was met.
        detail: what was found instead, in one line.
        unnamed: the policy names nothing to compare with (no application, no register). That is a failure all the
            same, but for registers: rules for a TPM may ask for none.
    """

    step: str
    code: Refusal
    passed: bool
    detail: str
    unnamed: bool = False


def judge(claims: Claims, policy: Policy, at: int) -> tuple[Rejection, ...]:
    """Return every demand of the policy that genuine evidence does not meet; none if it is accepted.

    Args:
        claims: what the evidence proves.
        policy: of the model that is asked for.
        at: Unix seconds. No demand of today depends on it: ages are the business of verifiers and of the release.
    """
    del at
    return tuple(Rejection(one.code, one.detail, one.step) for one in checks(claims, policy) if not one.passed)


def reaction(findings: tuple[Rejection, ...], policy: Policy) -> Reaction | None:
    """Return what follows from findings: the worst of their reactions, None if there are none.

    A code that policies have no say in is denied, whatever the policy says.
    """
    reactions = (policy.reaction(one.code) if one.code in JUDGED_BY_POLICY else Reaction.DENY for one in findings)
    return max(reactions, key=lambda one: one.rank, default=None)


def checks(claims: Claims, policy: Policy) -> Iterator[Check]:
    """Yield every check that the policy asks for with evidence of this kind, named "policy: …"."""
    for one in _checks(claims, policy):
        yield replace(one, step=f"policy: {one.step}")


def _checks(claims: Claims, policy: Policy) -> Iterator[Check]:
    yield Check("kind", Refusal.POLICY, claims.kind in policy.kinds, f"no evidence of kind {claims.kind} is taken")
    yield Check("authority", Refusal.POLICY, policy.stand_ins or not claims.stand_in, "a test authority vouches for it")
    detail = f"level {claims.level}, not {policy.level} or better"
    yield Check("level", Refusal.DEVICE, claims.level.rank >= policy.level.rank, detail)
    bound = policy.key_binding != IN_HARDWARE or claims.key_binding == IN_HARDWARE
    yield Check("key binding", Refusal.KEY, bound, "the key of the answer is not known to be in hardware")
    for_kind = _KINDS[claims.kind](claims, policy)
    if for_kind is None:
        yield Check("rules", Refusal.POLICY, passed=False, detail=f"there are no rules for {claims.kind}")
    else:
        yield from for_kind


def _apple(claims: Claims, rules: AppleRules) -> Iterator[Check]:
    yield _among("application", Refusal.APP, claims.app_ids, rules.app_ids)
    known = claims.environment in rules.environments
    yield Check("environment", Refusal.ENVIRONMENT, known, f"made for {_shown(claims.environment)}")
    if claims.category is None:
        detail = "it says no validation category"
        yield Check("category", Refusal.ENVIRONMENT, rules.missing_category, detail)
    else:
        allowed = claims.category not in NO_CATEGORY and (not rules.categories or claims.category in rules.categories)
        yield Check("category", Refusal.ENVIRONMENT, allowed, f"validation category {claims.category}")
        # under a code of its own, which no reaction makes milder
        detail = f"validation category {claims.category}, which no policy can allow"
        yield Check("category of an application", Refusal.POLICY, claims.category not in NO_CATEGORY, detail)
    if rules.min_bundle_version:
        enough = _version(claims.app_version) >= _version(rules.min_bundle_version)
        detail = f"version {_shown(claims.app_version)}, not {rules.min_bundle_version} or newer"
        yield Check("version", Refusal.APP, enough, detail)


def _android(claims: Claims, rules: AndroidRules) -> Iterator[Check]:
    # applications with one user id share its keys: each that could use the key must be named
    yield _among("application", Refusal.APP, claims.app_ids, rules.packages)
    yield _among("signer", Refusal.APP, claims.signers, rules.signers)
    yield Check("provisioning", Refusal.POLICY, rules.factory or not claims.factory, "a factory-provisioned chain")
    if rules.locked:
        detail = (
            "boot loader unlocked" if claims.locked is False else "it does not say whether the boot loader is locked"
        )
        yield Check("boot loader", Refusal.BOOT, claims.locked is True, detail)
    detail = f"boot state {_shown(claims.boot_state)}"
    yield Check("boot state", Refusal.BOOT, claims.boot_state in rules.boot_states, detail)
    levels = (
        ("OS patch", claims.os_patch, rules.min_os_patch),
        ("vendor patch", claims.vendor_patch, rules.min_vendor_patch),
        ("boot patch", claims.boot_patch, rules.min_boot_patch),
    )
    for name, found, least in levels:
        if least:
            yield Check(name, Refusal.PATCH, _day(found) >= _day(least), f"{name} level {found}, not {least} or newer")
    if rules.min_os_version:
        enough = claims.os_version is not None and claims.os_version >= rules.min_os_version
        detail = f"OS version {claims.os_version}, not {rules.min_os_version} or newer"
        yield Check("OS version", Refusal.PATCH, enough, detail)


def _play(claims: Claims, rules: PlayRules) -> Iterator[Check]:
    yield _among("application", Refusal.APP, claims.app_ids, rules.packages)
    yield _among("signer", Refusal.APP, claims.signers, rules.signers)
    known = claims.recognition in rules.recognition
    yield Check("recognition", Refusal.APP, known, f"recognition {_shown(claims.recognition)}")
    licensed = claims.licensing in rules.licensing
    yield Check("licensing", Refusal.APP, licensed, f"licensing {_shown(claims.licensing)}")
    if rules.min_version:
        number = int(claims.app_version) if re.fullmatch(r"[0-9]{1,18}", claims.app_version) else -1
        detail = f"version {_shown(claims.app_version)}, not {rules.min_version} or newer"
        yield Check("version", Refusal.APP, number >= rules.min_version, detail)
    missing = [label for label in rules.labels if label not in claims.labels]
    yield Check("device labels", Refusal.DEVICE, not missing, f"the device has no {', '.join(missing)}")


def _tpm(claims: Claims, rules: TpmRules) -> Iterator[Check]:
    if not any(rules.pcrs.values()):
        yield Check("registers", Refusal.PCR, passed=True, detail="the policy names no register", unnamed=True)
    for bank, registers in sorted(rules.pcrs.items()):
        for number, allowed in sorted(registers.items()):
            found = claims.pcrs.get(bank, {}).get(number)
            detail = "not quoted" if found is None else f"holds {found.hex()}"
            yield Check(f"register {bank}:{number}", Refusal.PCR, found in allowed, f"{bank}:{number} {detail}")
    if rules.min_firmware:
        enough = claims.firmware is not None and claims.firmware >= rules.min_firmware
        yield Check(
            "firmware", Refusal.DEVICE, enough, f"firmware {claims.firmware}, not {rules.min_firmware} or newer"
        )


_KINDS: dict[Kind, Callable[[Claims, Policy], Iterator[Check] | None]] = {
    Kind.APP_ATTEST: lambda claims, policy: _apple(claims, policy.apple) if policy.apple else None,
    Kind.ANDROID_KEY: lambda claims, policy: _android(claims, policy.android) if policy.android else None,
    Kind.PLAY: lambda claims, policy: _play(claims, policy.play) if policy.play else None,
    Kind.TPM: lambda claims, policy: _tpm(claims, policy.tpm) if policy.tpm else None,
}


def _among(step: str, code: Refusal, found: tuple[str, ...] | tuple[bytes, ...], named: tuple[object, ...]) -> Check:
    """Return the check that something was found, and that all of it is named by the policy."""
    if not named:
        return Check(step, code, passed=False, detail=f"the policy names no {step}", unnamed=True)
    strangers = [one for one in found if one not in named]
    detail = f"{step} {_shown(strangers[0])}" if strangers else f"it names no {step}"
    return Check(step, code, bool(found) and not strangers, detail)


def _shown(value: str | bytes) -> str:
    """Return a value from outside in a few printable characters."""
    text = value.hex() if isinstance(value, bytes) else ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _version(text: str) -> tuple[int, ...]:
    """Return a dotted version to be compared; what is not one is older than any."""
    if len(text) > _SHOWN or not re.fullmatch(r"[0-9]+(\.[0-9]+)*", text):
        return (-1,)
    numbers = [int(part) for part in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()  # 2.0 is 2
    return tuple(numbers)


def _day(level: int | None) -> int:
    """Return a patch level as YYYYMMDD; one that names no day is as old as its month, and none older than any."""
    if level is None:
        return -1
    return level if level > 999_999 else level * 100
