"""The attestation policy as its owner writes it: attestation.toml, read whole or refused with file and line.

    version = 3
    [authorities]      files with roots, keys and the revocation list, by name; `authorities_file` reads them
    [default]          rules for models that have no table of their own; without it nothing is released to anybody
    [models.NAME]      rules of one model, instead of [default]

No field is guessed: an unknown one, one of another type, or one that contradicts another stops the reader. So a
spelling mistake cannot take a check away.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from strongroom import canonical, names
from strongroom.attest import policy_fields
from strongroom.attest.claims import HASHED, IN_HARDWARE, Kind, Level
from strongroom.attest.policy import DAY, NO_CATEGORY, AndroidRules, AppleRules, PlayRules, Policy, TpmRules
from strongroom.attest.verdict import JUDGED_BY_POLICY, Reaction, Refusal
from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import InputError
from strongroom.toml import fields
from strongroom.toml.fields import Document, Field
from strongroom.toml.lines import Path

Rules = TypeVar("Rules", AppleRules, AndroidRules, PlayRules, TpmRules)

_PACKAGE = fields.text(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+", "a package name such as com.example.app")
_FILE = fields.text(r"[^\0\n]{1,1024}", "the name of a file, relative to this one")
_NUMBER = fields.whole(0, canonical.MAX_INTEGER)
_SIGNERS = fields.several(policy_fields.digest(32))


def _category(document: Document, path: Path, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32 or value in NO_CATEGORY:
        raise document.wrong(path, "a category: 1 to 6, 10, or a later one; 0 and 7 to 9 are never taken")
    return value


_APPLE: dict[str, Field] = {
    "app_ids": fields.several(
        fields.text(r"[A-Z0-9]{10}\.[A-Za-z0-9._-]{1,155}", "team and bundle id such as A1B2C3D4E5.com.example.app")
    ),
    "environments": fields.several(fields.choice("production", "development")),
    "categories": fields.several(_category),
    "missing_category": fields.flag,
    "min_bundle_version": fields.text(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}", "a version such as 2.14.0"),
}
_ANDROID: dict[str, Field] = {
    "packages": fields.several(_PACKAGE),
    "signers": _SIGNERS,
    "boot_states": fields.several(fields.choice("verified", "self-signed", "unverified", "failed")),
    "locked": fields.flag,
    "min_os_patch": policy_fields.month,
    "min_vendor_patch": policy_fields.month,
    "min_boot_patch": policy_fields.month,
    "min_os_version": _NUMBER,
    "factory": fields.flag,
}
_LABELS = tuple(f"MEETS_{name}_INTEGRITY" for name in ("BASIC", "DEVICE", "STRONG", "VIRTUAL"))
_PLAY: dict[str, Field] = {
    "packages": fields.several(_PACKAGE),
    "signers": _SIGNERS,
    "min_version": _NUMBER,
    "labels": fields.several(fields.choice(*_LABELS)),
    "recognition": fields.several(fields.choice("PLAY_RECOGNIZED", "UNRECOGNIZED_VERSION", "UNEVALUATED")),
    "licensing": fields.several(fields.choice("LICENSED", "UNLICENSED", "UNEVALUATED")),
    "max_age": fields.seconds,
}
_TPM: dict[str, Field] = {"pcrs": policy_fields.registers, "min_firmware": fields.whole(0, 2**64 - 1)}
_TABLES = {Kind.APP_ATTEST: "apple", Kind.ANDROID_KEY: "android", Kind.PLAY: "play", Kind.TPM: "tpm"}
_BINDABLE = frozenset({Kind.ANDROID_KEY, Kind.TPM})  # what can open the answer in hardware
_JUDGED = tuple(sorted(JUDGED_BY_POLICY))


@dataclass(frozen=True, slots=True)
class PlayFiles:
    """Where the keys of an app's classic tokens are, and whether they are a test kit's."""

    decryption: str
    verification: str
    stand_in: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """The [authorities]: names of files, relative to the policy file. `places`: where each name stands in it."""

    tpm_roots: tuple[str, ...] = ()
    revocation_list: str | None = None
    revocation_max_age: int = 7 * DAY
    play: Mapping[str, PlayFiles] = field(default_factory=dict)
    play_service_account: str | None = None
    stand_ins: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All policies of an office. What no policy speaks of is refused: `default` then takes nothing."""

    version: int
    default: Policy
    models: Mapping[str, Policy] = field(default_factory=dict)
    sources: Sources = field(default_factory=Sources)

    def of(self, model: str) -> Policy:
        """Return the rules for a model."""
        return self.models.get(model, self.default)

    def every(self) -> tuple[Policy, ...]:
        """Return all of them, the default first."""
        return (self.default, *(self.models[name] for name in sorted(self.models)))

    def loud(self) -> tuple[str, ...]:
        """Tell, a sentence each, where less is asked than a genuine device's word: to be said wherever they apply.

        That nobody gets anything is said too: it is safe, and hardly what was meant.
        """
        said = []
        for one in self.every():
            name = "models without rules of their own" if one is self.default else f"the model {one.name}"
            said += [f"{name}: {what}" for what in _less(one)]
            if one is not self.default and not one.serves:
                said.append(f"{name}: nobody gets it (neither kinds nor unattested = true)")
        if not any(one.serves for one in self.every()):
            said.append("no model is released to anybody: no rules have kinds, and none says unattested = true")
        return tuple(said)


def _less(one: Policy) -> Iterator[str]:
    """Yield what these rules ask less of than a genuine device's word."""
    if one.unattested:
        yield "devices that prove nothing are served (unattested = true)"
    elif one.reaction(Refusal.UNAVAILABLE).rank < Reaction.STEP_UP.rank:
        yield "devices that say they cannot attest are served (reactions.unavailable)"
    if one.stand_ins:
        yield "a test authority may vouch for a device (stand_ins = true)"
    if one.kinds and one.level == Level.SOFTWARE:
        yield 'keys that no hardware holds are accepted (level = "software")'
    if one.apple is not None and "development" in one.apple.environments:
        yield "applications built for development are served (apple.environments)"
    if one.tpm is not None and not any(one.tpm.pcrs.values()):
        yield "whatever a machine with a TPM runs is accepted: no register is asked for (tpm.pcrs)"
    for code in _JUDGED:
        if code != Refusal.UNAVAILABLE and one.reaction(code).rank < Reaction.STEP_UP.rank:
            yield f'what fails the check "{code}" is served (reactions.{code} = "{one.reaction(code)}")'


def read(text: str, where: str) -> PolicySet:
    """Read a policy file.

    Args:
        text: its whole text.
        where: its name, for errors.

    Raises:
        SetupError: CONFIG, with file and line.
    """
    document = Document(text, where)
    value = document.load()
    top: dict[str, Field] = {
        "version": fields.whole(1, canonical.MAX_INTEGER),
        "authorities": _sources,
        "default": lambda document, path, inner: inner,  # noqa: ARG005 - the shape of a field; read below
        "models": lambda document, path, inner: inner,  # noqa: ARG005 - the same
    }
    found = fields.table(document, (), value, top, ("version",))
    version, sources = found["version"], found.get("authorities", Sources())
    default = _policy(document, ("default",), found.get("default", {}), "default", version)
    models = found.get("models", {})
    if not isinstance(models, dict):
        raise document.wrong(("models",), "a table for each model, as [models.NAME]")
    policies = {name: _model(document, name, inner, version) for name, inner in models.items()}
    for path, one in ((("default",), default), *((("models", name), one) for name, one in policies.items())):
        _check_sources(document, path, one, sources)
    return PolicySet(version, default, policies, sources)


def digest(policy: Policy) -> bytes:
    """Return what names these rules in the audit log: SHA-256 of all they say, defaults included."""
    return hashlib.sha256(b"strongroom/attestation-policy/v1\0" + canonical.encode(_spelled(policy))).digest()


def _model(document: Document, name: str, value: object, version: int) -> Policy:
    path = ("models", name)
    try:
        names.check("model", name)
    except InputError as error:
        raise document.wrong(path, error.next_step, what=error.what) from None
    return _policy(document, path, value, name, version)


def _policy(document: Document, path: Path, value: object, name: str, version: int) -> Policy:
    spec: dict[str, Field] = {
        "kinds": fields.several(fields.word(Kind)),
        "unattested": fields.flag,
        "level": fields.word(Level),
        "key_binding": fields.choice(HASHED, IN_HARDWARE),
        "stand_ins": fields.flag,
        "attest_again": fields.seconds,
        "short_lease": fields.seconds,
        "reactions": _reactions,
        "apple": _rules(AppleRules, _APPLE, ("app_ids",)),
        "android": _rules(AndroidRules, _ANDROID, ("packages", "signers")),
        "play": _rules(PlayRules, _PLAY, ("packages", "signers")),
        "tpm": _rules(TpmRules, _TPM, ("pcrs",)),
    }
    found = fields.table(document, path, value, spec)
    found["kinds"] = frozenset(found.get("kinds", ()))
    policy = Policy(name, version, b"", **found)
    for kind in sorted(policy.kinds):
        here = (*path, "kinds")
        if getattr(policy, _TABLES[kind]) is None:
            step = f"write what it must be under [{'.'.join((*path, _TABLES[kind]))}]"
            raise document.wrong(here, step, what=f"{kind} is taken, but there are no rules for it")
        if policy.key_binding == IN_HARDWARE and kind not in _BINDABLE:
            what = f"{kind} is taken, but it never has the key_binding that is asked for"
            raise document.wrong((*path, "key_binding"), f"take {kind} out of kinds, or ask for {HASHED!r}", what=what)
        if policy.level == Level.STRONGBOX and kind != Kind.ANDROID_KEY:
            what = f"{kind} is taken, but it never has the level that is asked for"
            raise document.wrong((*path, "level"), f"take {kind} out of kinds, or ask for less", what=what)
    for kind, table in _TABLES.items():
        if table in found and kind not in policy.kinds:
            step = f'add "{kind}" to kinds in [{".".join(path)}], or take this table away'
            what = f"there are rules for {kind}, but kinds does not take it"
            raise document.wrong((*path, table), step, what=what)
    return replace(policy, digest=digest(policy))


def _rules(kind: type[Rules], spec: Mapping[str, Field], required: tuple[str, ...]) -> Field:
    def take(document: Document, path: Path, value: object) -> Rules:
        return kind(**fields.table(document, path, value, spec, required))

    return take


def _reactions(document: Document, path: Path, value: object) -> dict[Refusal, Reaction]:
    """Read what follows from failed checks; those that prove forgery or replay are denied whatever is said here."""
    for name in value if isinstance(value, dict) else ():
        if name in list(Refusal) and name not in _JUDGED:
            step = f"remove it; reactions can be chosen for: {', '.join(_JUDGED)}"
            raise document.wrong((*path, name), step, what=f"{name} is always denied")
    found = fields.table(document, path, value, dict.fromkeys(_JUDGED, fields.word(Reaction)))
    return {Refusal(name): reaction for name, reaction in found.items()}


def _sources(document: Document, path: Path, value: object) -> Sources:
    keys: dict[str, Field] = {"decryption_key_file": _FILE, "verification_key_file": _FILE, "stand_in": fields.flag}

    def play(document: Document, path: Path, value: object) -> dict[str, PlayFiles]:
        if not isinstance(value, dict):
            raise document.wrong(path, "a table for each package")
        found = {}
        for package, inner in value.items():
            _PACKAGE(document, (*path, package), package)
            files = fields.table(document, (*path, package), inner, keys, tuple(keys)[:2])
            found[package] = PlayFiles(
                files["decryption_key_file"], files["verification_key_file"], files.get("stand_in", False)
            )
        return found

    spec: dict[str, Field] = {
        "tpm_roots": fields.several(_FILE),
        "revocation_list": _FILE,
        "revocation_max_age": fields.seconds,
        "play": play,
        "play_service_account": _FILE,
        "stand_ins": fields.several(_FILE),
    }
    found = fields.table(document, path, value, spec)
    places = {name: document.place((*path, name)) for name in found}
    places |= {package: document.place((*path, "play", package)) for package in found.get("play", ())}
    return Sources(**found, places=places)


def _check_sources(document: Document, path: Path, policy: Policy, sources: Sources) -> None:
    """Refuse a policy that takes evidence which nothing in this file lets anybody judge."""
    missing: dict[Kind, Callable[[], str]] = {
        Kind.ANDROID_KEY: lambda: "" if sources.revocation_list else "revocation_list",
        Kind.TPM: lambda: "" if sources.tpm_roots or sources.stand_ins else "tpm_roots",
        Kind.PLAY: lambda: "" if sources.play_service_account or _keys_of(policy, sources) else "play",
    }
    for kind in sorted(policy.kinds & missing.keys()):
        if name := missing[kind]():
            what = f"{kind} is taken, but [authorities] names no {name}, so all of it would be refused"
            raise document.wrong((*path, "kinds"), f"add {name} to [authorities]", what=what)


def _keys_of(policy: Policy, sources: Sources) -> bool:
    return policy.play is not None and set(policy.play.packages) <= sources.play.keys()


def _spelled(value: Any) -> JsonValue:  # noqa: ANN401 - any value that a policy is made of
    """Return a policy as JSON: every field by its name, sets and tables in one order, bytes as base64url."""
    if isinstance(value, (Policy, AppleRules, AndroidRules, PlayRules, TpmRules)):
        return {name: _spelled(getattr(value, name)) for name in type(value).__slots__ if name != "digest"}
    if isinstance(value, Mapping):  # its keys are not all legal ones
        return [[_spelled(name), _spelled(value[name])] for name in sorted(value)]
    if isinstance(value, (frozenset, tuple)):
        return [_spelled(one) for one in (sorted(value) if isinstance(value, frozenset) else value)]
    if isinstance(value, bytes):
        return to_base64url(value)
    if isinstance(value, int) and value > canonical.MAX_INTEGER:
        return str(value)  # a TPM's firmware version has 64 bits
    return str(value) if isinstance(value, str) else value
