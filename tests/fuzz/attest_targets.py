"""Targets in the room `attest`: evidence of every kind, its parsers, a policy file and a revocation list (attack I04).

`evidence` goes through the judge as a server's request does. What stands behind a signature is reached by the parsers'
own targets, and by minting a verdict, a key description or a quote anew around what was changed.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from random import Random

from fuzz.judging import Target
from fuzz.mutation import Bytewise, json_bytes
from stand_ins import APP_ID, AT, BINDING, EXPECTED, PACKAGE, POLICY, SIGNER, Kits, description, judged, kits
from strongroom.attest import (
    android_description,
    apple_data,
    apple_receipt,
    cborx,
    judge,
    play_verdict,
    policy_file,
    revocation,
)
from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import Claims, Kind, Known
from strongroom.attest.tpm import eventlog, evidence
from strongroom.attest.verdict import Refusal, RefusedEvidence, Rejection
from strongroom.errors import Code, IntegrityError, SetupError
from strongroom.testing import TestPhone
from strongroom.wire.tpm.signed import Attest, Signature
from strongroom.wire.tpm.structs import Public

TEXT = f"""version = 3
[authorities]
tpm_roots = ["maker.pem"]
revocation_list = "status.json"
[default]
kinds = ["app-attest", "android-key", "tpm"]
attest_again = "12h"
apple = {{ app_ids = ["{APP_ID}"], categories = [2, 4] }}
[default.android]
packages = ["{PACKAGE}"]
signers = ["{SIGNER.hex()}"]
min_os_patch = 202609
[default.tpm.pcrs.sha256]
7 = ["{"11" * 32}"]
[default.reactions]
patch = "observe"
[models.digits]
unattested = true
"""
STATUS = {"entries": {"c0ffee": {"status": "REVOKED", "reason": "KEY_COMPROMISE"}, "12": {"status": "SUSPENDED"}}}
LINES = ("[default]", "[models.a]", "unattested = true", "kinds = []", 'x = "', '"""', "]", "level = 1", "a.b = {}")
UNFORESEEN = "it cannot be read"  # how the judge's last line of defence begins its detail


@functools.cache
def kit() -> Kits:
    return kits()


@functools.cache
def authorities() -> Authorities:
    return kit().authorities


@functools.cache
def phone() -> TestPhone:
    return kit().apple.phone(APP_ID, bundle_version="1.2", category=4)


@functools.cache
def good() -> dict[str, tuple[bytes, Known | None, Claims]]:
    """Return good evidence by the word in front of it: a kind, or a kind and "known"."""
    chip = kit().tpm.chip()
    found: dict[str, tuple[bytes, Known | None, Claims]] = {}

    def add(word: str, kind: Kind, data: bytes, known: Known | None = None) -> Known | None:
        claims = judged(kind, data, authorities(), known=known)
        assert isinstance(claims, Claims), claims
        found[word] = data, known, claims
        return claims.known

    apple = add("app-attest", Kind.APP_ATTEST, phone().attest(BINDING, AT))
    add("app-attest known", Kind.APP_ATTEST, phone().sign(BINDING), apple)
    add("android-key", Kind.ANDROID_KEY, kit().android.attest(description(), AT).evidence)
    add("play", Kind.PLAY, kit().play.token(kit().play.verdict(BINDING, AT)))
    tpm = add("tpm", Kind.TPM, chip.enrol(BINDING))
    add("tpm known", Kind.TPM, chip.quote(BINDING), tpm)
    return found


def judge_evidence(data: bytes) -> None:
    """A line with a kind, then the evidence: claims are those of the seed, or it is refused with a reason."""
    word, _, body = data.partition(b"\n")
    name = word.decode("latin-1")
    known = good()[name][1] if name in good() else None
    found = judge.verify(name.partition(" ")[0], body, EXPECTED, AT, known, POLICY, authorities())
    if isinstance(found, Rejection):
        assert found.step
        assert found.detail.isascii()
        assert found.detail.isprintable()
        assert not found.detail.startswith(UNFORESEEN), found
        return
    assert name in good(), name
    assert _proved(found.claims) == _proved(good()[name][2])


def _proved(claims: Claims) -> Claims:
    """Return what claims say of device and application: a verdict minted anew may say the rest in other words."""
    device = b"" if claims.kind == Kind.PLAY else claims.device_id  # of a token its digest stands for the device
    signers = tuple(sorted(set(claims.signers)))
    return replace(
        claims, evidence=b"", signals={}, signers=signers, device_id=device, labels=(), trust={}, level=POLICY.level,
        app_version="", pcrs={}, known=None,
    )  # fmt: skip


def mutate_evidence(random: Random, data: bytes, raw: Bytewise) -> bytes:
    word, _, body = data.partition(b"\n")
    way = random.random()
    if way < 0.03:
        return raw(word) + b"\n" + body
    if word.startswith(b"tpm") and way < 0.7:
        return word + b"\n" + json_bytes(random, body, raw)
    if word == b"play" and way < 0.5:
        verdict = json_bytes(random, json.dumps(kit().play.verdict(BINDING, AT)).encode(), raw)
        try:
            return word + b"\n" + kit().play.token(json.loads(verdict))
        except (ValueError, TypeError, RecursionError):
            return word + b"\n" + raw(body)
    return word + b"\n" + raw(body)


def only_refuses(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """Return a judge of bytes for a parser of the room: it reads them, or says that they are malformed."""

    def judge_bytes(data: bytes) -> None:
        try:
            read(data)
        except RefusedEvidence as refusal:
            assert refusal.code in {Refusal.MALFORMED, Refusal.UNSUPPORTED, Refusal.KEY}, refusal.code  # noqa: PT017 - a fuzz target, not a test
            assert refusal.detail  # noqa: PT017 - the same

    return judge_bytes


def read_cbor(data: bytes) -> None:
    """What is accepted has one spelling: Python's other encoder writes the same length of it."""
    value = cborx.item(data)
    assert isinstance(value, (int, str, bytes, list, dict, bool)) or value is None
    assert cborx.item(data) == value


def read_authenticator(data: bytes) -> None:
    """Both forms of authenticator data, by a first byte."""
    if data[:1] == b"a":
        signed, credential = apple_data.of_attestation(data[1:])
        assert len(credential.point) == 65
    else:
        signed = apple_data.of_assertion(data[1:])
    assert 0 <= signed.counter < 2**32
    assert data[1:33] == signed.app_hash


def read_receipt(data: bytes) -> None:
    """A receipt; what is accepted is by the test authority's key."""
    try:
        apple_receipt.verify(data, authorities().apple_receipts, AT)
    except RefusedEvidence as refusal:
        assert refusal.code in {Refusal.MALFORMED, Refusal.UNSUPPORTED, Refusal.CHAIN, Refusal.EXPIRED}  # noqa: PT017 - a fuzz target, not a test


def read_tpm(data: bytes) -> None:
    """One of the TPM's own structures, by a first byte; what is read is what was written."""
    kind, body = data[:1], data[1:]
    if kind == b"p":
        public = Public.parse(body)
        assert public.raw in {body, body[2:]}
        public.key()
        public.name()
    elif kind == b"q":
        assert Attest.parse(body).raw == body
    elif kind == b"s":
        Signature.parse(body)
    elif kind == b"l":
        eventlog.replay(eventlog.parse(body), "sha256")


def read_policy(data: bytes) -> None:
    """A policy file: what is read has a digest, and reading it again gives the same."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    found = policy_file.read(text, "attestation.toml")
    assert policy_file.read(text, "attestation.toml") == found
    assert all(len(one.digest) == 32 for one in found.every())


def read_revocation(data: bytes) -> None:
    found = revocation.read(data, fetched=AT, max_age=1)
    assert all(len(serial) <= 64 and not set(serial) - set("0123456789abcdef") for serial in found.serials)


def mutate_marked(random: Random, data: bytes, raw: Bytewise) -> bytes:
    """Keep the first byte, mostly: it says which parser reads the rest."""
    return raw(data) if random.random() < 0.05 else data[:1] + raw(data[1:])


def mutate_policy(random: Random, data: bytes, raw: Bytewise) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    way = random.randrange(6)
    if way == 0:
        return raw(data)
    if way == 1:
        del lines[at]
    elif way == 2:
        lines.insert(at, random.choice(LINES).encode())
    elif way == 3:
        lines.insert(random.randrange(len(lines)), lines[at])
    else:
        lines[at] = raw(lines[at])
    return b"\n".join(lines)


def raw_only(_: Random, data: bytes, raw: Bytewise) -> bytes:
    return raw(data)


def evidence_seeds() -> list[bytes]:
    return [word.encode() + b"\n" + data for word, (data, _, _) in good().items()]


def apple_objects() -> tuple[dict, dict]:
    attestation, assertion = (cborx.item(good()[word][0]) for word in ("app-attest", "app-attest known"))
    assert isinstance(attestation, dict)
    assert isinstance(assertion, dict)
    return attestation, assertion


def authenticator_seeds() -> list[bytes]:
    attestation, assertion = apple_objects()
    return [b"a" + attestation["authData"], b"s" + assertion["authenticatorData"]]


def cbor_seeds() -> list[bytes]:
    return [
        good()["app-attest known"][0],
        good()["app-attest"][0],
        authenticator_seeds()[1][38:],
        b"\xa1\x01\x82\xf5\x20",
    ]


def receipt_seeds() -> list[bytes]:
    return [apple_objects()[0]["attStmt"]["receipt"]]


def description_seeds() -> list[bytes]:
    other = description(
        purposes=(6,), attestation_level=2, key_level=2, boot_state=2, locked=False, root_of_trust=False
    )
    return [description().encode(), other.encode()]


def verdict_seeds() -> list[bytes]:
    standard = kit().play.verdict(BINDING, AT)
    more = standard | {
        "environmentDetails": {"playProtectVerdict": "NO_ISSUES"},
        "testingDetails": {"isTestingResponse": True},
    }
    return [json.dumps(one, separators=(",", ":"), sort_keys=True).encode() for one in (standard, more)]


def tpm_seeds() -> list[bytes]:
    enrolled = json.loads(good()["tpm"][0])
    log = bytes(4) + b"\x03\0\0\0" + bytes(20) + b"\x04\0\0\0" + b"text"
    fields = (("p", "ak_public"), ("p", "ek_public"), ("q", "attest"), ("s", "signature"))
    return [*(mark.encode() + bytes.fromhex(enrolled[name]) for mark, name in fields), b"l" + log + log]


def spelled(value: dict) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


_SHAPE = {IntegrityError: frozenset((Code.SHAPE,))}
_PUBLIC = {IntegrityError: frozenset((Code.SHAPE, Code.PUBLIC_KEY))}
_CONFIG = {SetupError: frozenset((Code.CONFIG,))}

TARGETS = (
    Target("evidence", judge_evidence, {}, evidence_seeds, mutate_evidence, 20_000, 8192),
    Target("attest_cbor", only_refuses(read_cbor), {}, cbor_seeds, raw_only, 15_000, 6000),
    Target("authenticator", only_refuses(read_authenticator), {}, authenticator_seeds, mutate_marked, 15_000, 1024),
    Target("receipt", read_receipt, {}, receipt_seeds, raw_only, 5_000, 6000),
    Target("key_description", only_refuses(android_description.read), {}, description_seeds, raw_only, 15_000, 2048),
    Target("verdict", only_refuses(play_verdict.read), {}, verdict_seeds, json_bytes, 10_000, 4096),
    Target("tpm_evidence", only_refuses(evidence.read), {}, lambda: [good()["tpm"][0]], json_bytes, 8_000, 8192),
    Target("tpm_structures", read_tpm, _PUBLIC, tpm_seeds, mutate_marked, 15_000, 2048),
    Target("revocation", read_revocation, _SHAPE, lambda: [spelled(STATUS)], json_bytes, 5_000, 2048),
    Target("policy", read_policy, _CONFIG, lambda: [TEXT.encode()], mutate_policy, 3_000, 4096),
)
