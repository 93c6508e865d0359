"""Evidence that was tampered with: every bit of one piece of each kind, and changes that hypothesis thinks of (I04).

What comes out of the judge is claims or a rejection, and never claims for bytes that nobody signed. Two parts of
evidence prove nothing and are not asked: an App Attest receipt, which is a signal alone, and the certificate of an
Android root, of which the key counts. Where such a part was changed, all else that is claimed must be the same.
"""

import dataclasses
import functools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stand_ins import APP_ID, AT, BINDING, EXPECTED, POLICY, description, judged, kits
from strongroom.attest import judge
from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import Claims, Kind, Known
from strongroom.attest.verdict import Refusal, Rejection

EVERY = 67  # of the bits that prove nothing, one in so many is tried
NAMES = ("attestation", "assertion", "android-key", "android-key from the factory", "play", "tpm", "tpm quote")


@dataclasses.dataclass(frozen=True)
class Piece:
    """Good evidence, how it is judged, and what it proves."""

    kind: Kind
    evidence: bytes
    authorities: Authorities
    known: Known | None
    claims: Claims
    idle: range  # its bytes that prove nothing

    def judge(self, evidence):
        return judge.verify(self.kind, evidence, EXPECTED, AT, self.known, POLICY, self.authorities)


@functools.cache
def pieces() -> dict[str, Piece]:
    kit = kits()
    authorities = kit.authorities
    phone = kit.apple.phone(APP_ID, bundle_version="1.2", category=4)
    attestation = phone.attest(BINDING, AT)
    chip = kit.tpm.chip()
    enrolled = chip.enrol(BINDING)
    apple = judged(Kind.APP_ATTEST, attestation, authorities).known
    tpm = judged(Kind.TPM, enrolled, authorities).known
    receipt = range(attestation.index(b"greceipt") + 8, attestation.index(b"hauthData"))
    factory = kit.android.attest(description(), AT, factory=True)
    given = {
        "attestation": (Kind.APP_ATTEST, attestation, None, receipt),
        "assertion": (Kind.APP_ATTEST, phone.sign(BINDING), apple, range(0)),
        "android-key": (Kind.ANDROID_KEY, kit.android.attest(description(), AT).evidence, None, range(0)),
        "android-key from the factory": (Kind.ANDROID_KEY, factory.evidence, None, range(0)),
        "play": (Kind.PLAY, kit.play.token(kit.play.verdict(BINDING, AT)), None, range(0)),
        "tpm": (Kind.TPM, enrolled, None, range(0)),
        "tpm quote": (Kind.TPM, chip.quote(BINDING), tpm, range(0)),
    }
    found = {}
    for name, (kind, evidence, known, idle) in given.items():
        claims = judged(kind, evidence, authorities, known=known)
        assert isinstance(claims, Claims), (name, claims)
        found[name] = Piece(kind, evidence, authorities, known, claims, idle)
    return found


def proved(claims: Claims) -> Claims:
    """Return claims without what is said of the bytes themselves, and without signals."""
    return dataclasses.replace(claims, evidence=b"", signals={})


def refused(found: judge.Judged | Rejection) -> bool:
    """Whether it is a rejection as an audit log takes it."""
    if not isinstance(found, Rejection):
        return False
    assert found.code in set(Refusal)
    assert found.step
    assert found.detail.isascii()
    assert found.detail.isprintable()
    assert len(found.detail) <= judge.MAX_DETAIL + 3
    return True


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "android-key from the factory"])
def test_every_bit(name):
    """I04, B08: one bit of genuine evidence is changed; none of the changed pieces is accepted."""
    piece, tried = pieces()[name], 0
    assert piece.judge(piece.evidence).claims == piece.claims
    for bit in range(len(piece.evidence) * 8):
        if bit // 8 in piece.idle:
            continue
        tried += 1
        found = piece.judge(flipped(piece.evidence, bit))
        assert refused(found), f"bit {bit % 8} of byte {bit // 8}: {found}"
    assert tried == (len(piece.evidence) - len(piece.idle)) * 8
    assert tried > 1000


@pytest.mark.slow
def test_bits_of_a_receipt_prove_nothing():
    """I04: a changed receipt is another signal, or the same; it changes no claim and crashes nothing."""
    piece = pieces()["attestation"]
    words = set()
    for bit in range(piece.idle.start * 8, piece.idle.stop * 8, EVERY):
        found = piece.judge(flipped(piece.evidence, bit))
        if not refused(found):
            assert proved(found.claims) == proved(piece.claims)
            words.add(found.claims.signals["receipt"])
    assert "genuine" in {piece.claims.signals["receipt"], *words}
    assert len(words) > 2


@pytest.mark.parametrize("name", NAMES)
def test_every_cut(name):
    """I04: evidence that ends early, at any byte, or goes on."""
    piece = pieces()[name]
    for end in range(len(piece.evidence)):
        assert refused(piece.judge(piece.evidence[:end])), end
    for more in (b"\0", b" ", b"\xff", piece.evidence, b"0" * 70_000):
        found = piece.judge(piece.evidence + more)
        blank = piece.kind == Kind.TPM and more == b" "  # white space behind JSON is JSON
        assert refused(found) or (blank and proved(found.claims) == proved(piece.claims)), more[:4]


NASTY = (b"\0", b"\xff", b"\x80", b"0", b"A", b".", b"=", b'"', b"{", b"\x30\x80", b"\x1f", b"\x5f", b"\x9f", b"\xbf")


@st.composite
def edits(draw, piece: Piece) -> bytes:
    """Change evidence where hypothesis likes: bytes put in, taken out, repeated, exchanged."""
    data = piece.evidence
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        size = draw(st.sampled_from((1, 1, 2, 4, 32, 300)))
        what = draw(st.integers(0, 4))
        if what == 0:
            data = data[:at] + data[at + size :]
        elif what == 1:
            data = data[:at] + draw(st.sampled_from(NASTY) | st.binary(max_size=8)) + data[at:]
        elif what == 2:
            data = data[:at] + draw(st.binary(min_size=size, max_size=size)) + data[at + size :]
        elif what == 3:
            data = data[:at] + data[at : at + size] + data[at:]
        else:
            other = draw(st.integers(0, max(len(data) - 1, 0)))
            data = data[:at] + data[other : other + size] + data[at + size :]
    return data


@pytest.mark.parametrize("name", NAMES)
def test_changes_of_every_sort(name):
    """I04, B08: whatever is changed, it is refused, unless all that it proves is the same."""
    piece = pieces()[name]

    @settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(edits(piece))
    def change(data):
        found = piece.judge(data)
        if not refused(found):
            assert proved(found.claims) == proved(piece.claims)

    change()


@pytest.mark.parametrize("kind", Kind)
def test_anything_at_all(kind):
    """I04: bytes that are no evidence, and values of JSON and texts that look a little like some."""
    piece = next(one for one in pieces().values() if one.kind == kind)
    leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(("00", "ff54", "sha256"))
    names = st.sampled_from(("ak_public", "attest", "signature", "pcrs", "ek_public", "sha256", "0", "x"))
    values = st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=5) | st.lists(inner, max_size=3))
    parts = st.lists(st.from_regex(r"[A-Za-z0-9_=-]{0,40}", fullmatch=True), max_size=6).map(".".join).map(str.encode)
    anything = st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()) | parts

    @settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(anything)
    def judge_it(data):
        assert refused(piece.judge(data))

    judge_it()
