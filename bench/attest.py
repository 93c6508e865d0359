"""What does judging evidence cost beside the signature checks in it, that nobody can leave out?

Evidence is minted by the testing kit, of the shape that devices send, and judged as a release judges it: read, verified
up to a root, compared with a policy. The bare rows check the same signatures with the same keys over bytes that are
ready, in one loop; of a Play token that is one signature, one key unwrapped and one decryption.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import load_der_public_key

from rounds import Goal, Question, Row, main
from strongroom.attest import judge
from strongroom.attest.authorities import Authorities, PlayKeys
from strongroom.attest.claims import Claims, Expected, Kind, Known, Level
from strongroom.attest.policy import AndroidRules, AppleRules, PlayRules, Policy, TpmRules
from strongroom.canonical import from_base64url
from strongroom.testing import KeyDescription, StandInWarning, TestAndroid, TestApple, TestPlay, TestTpm
from strongroom.wire.tpm.signed import Signature
from strongroom.wire.tpm.structs import Public
from window import Work

COUNT = "count"
AT, BINDING = 1_795_435_200, bytes(range(32))
APP, PACKAGE, SIGNER = "A1B2C3D4E5.com.example.app", "com.example.app", bytes(32)
POLICY = Policy(
    name="bench",
    version=1,
    digest=bytes(32),
    kinds=frozenset(Kind),
    level=Level.HARDWARE,
    stand_ins=True,
    apple=AppleRules((APP,), categories=(4,)),
    android=AndroidRules((PACKAGE,), (SIGNER,), min_os_patch=202610),
    play=PlayRules((PACKAGE,), (SIGNER,)),
    tpm=TpmRules({"sha256": {7: (bytes(32),)}}),
)

Checks = list[Callable[[], object]]


class Minted:
    """Evidence of every kind, and whom to believe."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StandInWarning)
            apple, android, play, tpm = (
                TestApple(AT),
                TestAndroid(AT),
                TestPlay(PACKAGE, signers=(SIGNER,)),
                TestTpm(AT),
            )
        self.authorities = tpm.among(play.among(android.among(apple.among(Authorities()))))
        phone, chip = apple.phone(APP, bundle_version="2.1", category=4), tpm.chip()
        said = KeyDescription(BINDING, ((PACKAGE, 7),), (SIGNER,))
        self.play_keys = play.keys
        self.roots = {
            "attestation": self.authorities.apple.stand_ins,
            "android": self.authorities.android.stand_ins,
            "enrolment": self.authorities.tpm.stand_ins,
        }
        self.evidence: dict[str, tuple[Kind, bytes]] = {
            "attestation": (Kind.APP_ATTEST, phone.attest(BINDING, AT)),
            "assertion": (Kind.APP_ATTEST, phone.sign(BINDING)),
            "android": (Kind.ANDROID_KEY, android.attest(said, AT).evidence),
            "play": (Kind.PLAY, play.token(play.verdict(BINDING, AT, classic=True))),
            "enrolment": (Kind.TPM, chip.enrol(BINDING)),
            "quote": (Kind.TPM, chip.quote(BINDING)),
        }
        before = {"assertion": self.judged("attestation"), "quote": self.judged("enrolment")}
        self.known = {name: claims.known for name, claims in before.items() if claims is not None}

    def judged(self, name: str, known: Known | None = None) -> Claims | None:
        """Judge a piece of evidence as a release does; return its claims, or None."""
        kind, evidence = self.evidence[name]
        found = judge.verify(kind, evidence, Expected(BINDING), AT, known, POLICY, self.authorities)
        return found.claims if isinstance(found, judge.Judged) and not found.findings else None

    def checks(self, name: str) -> Checks:
        """Return the bare checks of the signatures in a piece of evidence."""
        evidence = self.evidence[name][1]
        if name == "attestation":
            return _path(cbor2.loads(evidence)["attStmt"]["x5c"], self.roots[name])
        if name == "assertion":
            form, key = cbor2.loads(evidence), load_der_public_key(self.known[name].key)
            nonce = hashlib.sha256(form["authenticatorData"] + BINDING).digest()
            return [partial(key.verify, form["signature"], nonce, ec.ECDSA(SHA256()))]
        if name == "android":
            return _path(_split(evidence), ())
        if name == "play":
            return _token(evidence, self.play_keys)
        fields = json.loads(evidence)
        key = Public.parse(bytes.fromhex(fields["ak_public"])).key()
        signature = Signature.parse(bytes.fromhex(fields["signature"]))
        quote = partial(signature.verify, key, bytes.fromhex(fields["attest"]))
        chain = [bytes.fromhex(one) for one in fields.get("ek_certificates", [])]
        return [quote, *(_path(chain, self.roots[name]) if chain else [])]


def _path(chain: list[bytes], roots: tuple[x509.Certificate, ...]) -> Checks:
    certificates = [*map(x509.load_der_x509_certificate, chain), *roots]
    return [partial(below.verify_directly_issued_by, above) for below, above in pairwise(certificates)]


def _split(data: bytes) -> Iterator[bytes]:
    """Yield certificates that stand one behind the other; each is longer than 255 bytes and shorter than 64 KiB."""
    while data:
        size = 4 + int.from_bytes(data[2:4], "big")
        yield data[:size]
        data = data[size:]


def _token(token: bytes, keys: PlayKeys) -> Checks:
    head, *parts = token.split(b".")
    wrapped, nonce, sealed, tag = (from_base64url(part.decode()) for part in parts)

    def check() -> None:
        inner = AESGCM(aes_key_unwrap(keys.decryption, wrapped)).decrypt(nonce, sealed + tag, head)
        signed, _, signature = inner.rpartition(b".")
        both = from_base64url(signature.decode())
        r, s = int.from_bytes(both[:32], "big"), int.from_bytes(both[32:], "big")
        keys.verification.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))

    return [check]


@contextmanager
def counted(folder: Path, size: int) -> Iterator[None]:
    """Say how often: once for each MiB of the model that other questions have."""
    (folder / COUNT).write_text(str(max(1, size // 2**20)), encoding="ascii")
    yield


def judging(folder: Path, name: str) -> Work:
    """Everything that is done with a piece of evidence."""
    minted = Minted()
    known = minted.known.get(name)
    return _often(folder, lambda: minted.judged(name, known) is not None)


def checking(folder: Path, name: str) -> Work:
    """Its signatures alone."""
    checks = Minted().checks(name)

    def once() -> bool:
        for check in checks:
            check()  # raises if a signature is wrong
        return True

    return _often(folder, once)


def _often(folder: Path, once: Callable[[], bool]) -> Work:
    count = int((folder / COUNT).read_text(encoding="ascii"))
    once()  # what is loaded at the first call is loaded once in the life of a server
    return Work(lambda: sum(once() for _ in range(count)), lambda done: done == count)


KINDS = {
    "attestation": "App Attest attestation",
    "assertion": "App Attest assertion",
    "android": "Android chain of five",
    "play": "Play classic token",
    "enrolment": "TPM enrolment",
    "quote": "TPM quote",
}
LIMITS = {"attestation": 5.0, "assertion": 3.0, "android": 5.0, "play": 3.0, "enrolment": 5.0, "quote": 3.0}
QUESTION = Question(
    name="attest",
    title="Judging evidence, against its bare signature checks",
    script="attest.py",
    made=counted,
    base="bare-assertion",
    rows=tuple(
        row
        for name, text in KINDS.items()
        for row in (
            Row(f"bare-{name}", f"{text}: signatures alone", partial(checking, name=name)),
            Row(name, f"{text}: judged", partial(judging, name=name)),
        )
    ),
    goals=tuple(
        Goal(f"{KINDS[name]}: processor time / its signatures alone", name, "cpu", limit, f"bare-{name}")
        for name, limit in LIMITS.items()
    ),
    counts="checks",
)

if __name__ == "__main__":
    main(QUESTION)
