"""App Attest: each step broken alone, under roots of our own. Genuine objects: tests/vectors."""

import base64
from dataclasses import replace
from hashlib import sha256

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apple_mint import AAGUIDS, APP, AT, LEAF, VERSION_27, Mint, assertion, below, head, new_key, point, root, spki, tlv
from strongroom.attest import apple
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import AFFIRMING, HASHED, VECTOR, WARNING, Claims, Expected, Kind, Known, Level
from strongroom.attest.policy import AppleRules, Policy
from strongroom.attest.roots import production
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail

DAY = 86_400
BINDING = bytes(range(32))
OTHER = "TEAM123456.com.example.other"
MINT = Mint()
KEY, ANOTHER = new_key(1), new_key(2)
POLICY = Policy("default", 1, b"", apple=AppleRules((APP,)))
NO_NAMES = Policy("default", 1, b"")


def judge(evidence, *, binding=BINDING, at=AT, known=None, policy=POLICY, authorities=None, trail=None) -> Claims:
    authorities = authorities or MINT.authorities()
    return apple.verify(evidence, Expected(binding), at, known, policy, authorities, trail or Trail())


def refusal(evidence, **how) -> tuple[Refusal, str]:
    """Return code and step."""
    trail = Trail()
    with pytest.raises(RefusedEvidence) as refused:
        judge(evidence, trail=trail, **how)
    return refused.value.code, trail.steps[-1]


def attested(key=KEY, **bends) -> bytes:
    return MINT.attestation(BINDING, key, **bends)


def enrolled(key=KEY, **bends) -> Known:
    return judge(attested(key, **bends)).known


# attestations


def test_an_attestation_proves_key_app_and_environment():
    evidence = attested()
    claims = judge(evidence)
    expected = Known(
        Kind.APP_ATTEST, spki(KEY), level=Level.HARDWARE, environment="production", app_ids=(APP,), stand_in=True
    )
    assert claims.known == expected
    assert (claims.kind, claims.level, claims.key_binding, claims.fresh) == (
        Kind.APP_ATTEST,
        Level.HARDWARE,
        HASHED,
        True,
    )
    assert (claims.app_ids, claims.environment, claims.category, claims.app_version) == ((APP,), "production", None, "")
    assert claims.device_id == sha256(spki(KEY)).digest()
    assert (claims.evidence, claims.verified_at) == (sha256(evidence).digest(), AT)
    assert set(claims.trust) == set(VECTOR)


def test_a_pass_names_every_step():
    trail = Trail()
    judge(attested(), trail=trail)
    assert trail.steps == [
        "app attest object", "certificate chain", "binding", "attested key", "application", "counter", "environment",
    ]  # fmt: skip


def test_only_a_genuine_root_makes_claims_that_are_no_stand_ins():
    genuine = Authorities(apple=Roots(genuine=(MINT.root.cert,)))
    assert not judge(attested(), authorities=genuine).stand_in
    assert judge(attested(), authorities=genuine).trust["instance-identity"] == AFFIRMING
    assert judge(attested()).trust["instance-identity"] == WARNING
    assert judge(attested()).stand_in
    assert judge(attested()).known.stand_in


def test_production_never_takes_a_stand_in():
    assert refusal(attested(), authorities=production()) == (Refusal.CHAIN, "certificate chain")


@pytest.mark.parametrize("binding", [b"", BINDING[:-1], BINDING + b"\0", bytes(32), sha256(BINDING).digest()])
def test_evidence_made_for_another_request_is_refused(binding):
    """B08: yesterday's attestation, or one for another challenge, is sent again."""
    assert refusal(attested(), binding=binding) == (Refusal.BINDING, "binding")


def test_the_binding_is_any_bytes():
    for binding in (b"test_server_challenge", b"x" * 200):
        assert judge(MINT.attestation(binding, KEY), binding=binding)


@pytest.mark.parametrize("at", [AT - DAY - 1, AT + 3 * DAY + 1])
def test_a_leaf_counts_only_in_its_life(at):
    assert refusal(attested(), at=at) == (Refusal.EXPIRED, "certificate chain")


def test_leaves_of_any_life_are_taken():
    assert judge(attested(days=(-200, 400)), at=AT + 399 * DAY)


def test_the_chain_is_exactly_leaf_and_intermediate():
    """B09: certificates are swapped, added, left out, or come from another service."""
    other = Mint(root(number=500))
    stranger = encoded(below(MINT.root, number=7).cert)
    chains = {
        "swapped": (lambda leaf, above, _top: [above, leaf], Refusal.CHAIN),
        "leaf only": (lambda leaf, _above, _top: [leaf], Refusal.MALFORMED),
        "with root": (lambda leaf, above, top: [leaf, above, top], Refusal.MALFORMED),
        "other intermediate": (lambda leaf, _above, _top: [leaf, stranger], Refusal.CHAIN),
        "root as intermediate": (lambda leaf, _above, top: [leaf, top], Refusal.CHAIN),
        "twice the leaf": (lambda leaf, _above, _top: [leaf, leaf], Refusal.CHAIN),
        "text": (lambda leaf, _above, _top: [leaf, "x"], Refusal.MALFORMED),
    }
    for case, (x5c, code) in chains.items():
        assert refusal(attested(x5c=x5c))[0] == code, case
    assert refusal(other.attestation(BINDING, KEY)) == (Refusal.CHAIN, "certificate chain")


def encoded(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(Encoding.DER)


def test_an_attested_key_cannot_attest_another():
    """The owner of a genuine phone issues a leaf for a key of his own with the attested one."""
    leaf = MINT.issuer.issue("leaf", KEY, LEAF)
    forger = replace(MINT.issuer, key=KEY, cert=leaf)
    assert refusal(attested(ANOTHER, issuer=forger)) == (Refusal.CHAIN, "certificate chain")


def test_the_nonce_stands_where_apple_puts_it():
    right = sha256(MINT.data(KEY) + BINDING).digest()
    for nonce in (
        None,
        right,
        b"\x04\x20" + right,
        bytes.fromhex("3024a0220420") + right,
        bytes.fromhex("3024a1220420"),
    ):
        assert refusal(attested(nonce=nonce)) == (Refusal.MALFORMED, "binding")
    assert refusal(attested(nonce=bytes.fromhex("3024a1220420") + bytes(32))) == (Refusal.BINDING, "binding")
    assert judge(attested(nonce=bytes.fromhex("3024a1220420") + right))


def test_certificate_credential_and_name_are_of_one_key():
    """B09: the attestation of one phone with the key of another."""
    assert refusal(attested(leaf_key=ANOTHER)) == (Refusal.KEY, "attested key")
    assert refusal(attested(identity=sha256(point(ANOTHER)).digest())) == (Refusal.KEY, "attested key")
    spot = point(ANOTHER)
    swapped = {1: 2, 3: -7, -1: 1, -2: spot[1:33], -3: spot[33:]}
    assert refusal(attested(cose=swapped)) == (Refusal.KEY, "attested key")
    assert refusal(attested(cose=swapped, identity=sha256(spot).digest())) == (Refusal.KEY, "attested key")


def test_only_es256_keys_are_attested():
    x, y = point(KEY)[1:33], point(KEY)[33:]
    right = {1: 2, 3: -7, -1: 1, -2: x, -3: y}
    bends = [{1: 1}, {3: -35}, {-1: 2}, {-1: True}, {4: [1]}, {-2: x[:-1]}, {-3: b"\0" + y}, {-2: "x"}, {-3: bytes(32)}]
    for bend in bends:
        assert refusal(attested(cose=right | bend))[0] in {Refusal.KEY, Refusal.MALFORMED}, bend
    for label in right:
        assert refusal(attested(cose={k: v for k, v in right.items() if k != label}))[0] == Refusal.KEY, label
    assert refusal(attested(cose=b"\x01"))[0] == Refusal.MALFORMED
    assert judge(attested(cose=dict(reversed(right.items()))))  # the order of a map's keys is Apple's business
    large = new_key(3, ec.SECP384R1())
    assert refusal(attested(leaf_key=large)) == (Refusal.KEY, "attested key")


def test_another_application_is_refused_where_the_policy_names_one():
    assert refusal(attested(app_id=OTHER)) == (Refusal.APP, "application")
    assert refusal(attested(), policy=replace(POLICY, apple=AppleRules((OTHER,)))) == (Refusal.APP, "application")
    assert judge(attested(), policy=replace(POLICY, apple=AppleRules((OTHER, APP)))).app_ids == (APP,)


def test_without_a_name_in_the_policy_the_hash_decides_what_the_leaf_may_say():
    assert judge(attested(), policy=NO_NAMES).app_ids == (APP,)
    claims = judge(attested(named=False), policy=NO_NAMES)
    assert claims.app_ids == ()
    assert claims.signals["app_id_hash"] == sha256(APP.encode()).hexdigest()
    liar = MINT.attestation(BINDING, KEY, leaf=[*LEAF, lying_extension()], named=False)
    assert judge(liar, policy=NO_NAMES).app_ids == ()


def lying_extension() -> tuple[x509.UnrecognizedExtension, bool]:
    text = OTHER.encode()
    inner = bytes.fromhex("bf8934") + bytes([len(text) + 2, 4, len(text)]) + text
    oid = x509.ObjectIdentifier("1.2.840.113635.100.8.5")
    return x509.UnrecognizedExtension(oid, bytes([0x30, len(inner)]) + inner), False


def test_a_key_that_was_used_before_is_not_attested():
    assert refusal(attested(counter=1)) == (Refusal.REPLAY, "counter")


def test_development_evidence_says_so_and_nothing_else_passes():
    assert judge(attested(environment="development")).environment == "development"
    assert judge(attested(environment="development")).known.environment == "development"
    for aaguid in (bytes(16), b"appattest" + b"x" * 7, b"appattestdeveloq", b"APPATTEST" + bytes(7)):
        assert refusal(attested(aaguid=aaguid)) == (Refusal.ENVIRONMENT, "environment")


# Macs

MAC_POLICY = base64.b64decode(  # as it stands in Apple's text
    "MEAMAjExMDowCQwCb2uhAwEB/zAJDAJvYaEDAQH/MAsMBG9kZWyhAwEB/zAVDARvc2duoAYMBHJzZWMwBaYDAgEB"
)


def leaf_of(system: bytes, policy: bytes | None = None) -> list[tuple]:
    """Return the extensions of a leaf that names its system and perhaps its key's policy, as a Mac's does."""
    facts = tlv(0x30, b"\xbf\x8a\x78" + tlv(4, tlv(4, b"27.2"))[1:], b"\xbf\x88\x02" + tlv(4, tlv(4, system))[1:])
    told = [("1.2.840.113635.100.8.7", facts), *([("1.2.840.113635.100.8.6", policy)] if policy is not None else [])]
    return [*LEAF, *((x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False) for oid, value in told)]


def test_a_mac_is_believed_with_full_security_and_integrity_protection():
    for policy in (tlv(0x30, tlv(0xA3, tlv(4, MAC_POLICY))), tlv(0x30, tlv(4, MAC_POLICY))):
        trail = Trail()
        claims = judge(attested(leaf=leaf_of(b"macosx", policy)), trail=trail)
        assert claims.signals["os_version"] == "27.2"
        assert "security of the Mac" in trail.steps


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (None, Refusal.DEVICE),
        (tlv(0x30, tlv(0xA3, tlv(4, MAC_POLICY.replace(b"rsec", b"xsec")))), Refusal.DEVICE),
        (tlv(0x30, tlv(0xA3, tlv(4, MAC_POLICY[:-1] + b"\0"))), Refusal.DEVICE),
        (tlv(0x30, tlv(0xA3, tlv(4, MAC_POLICY + b"\0"))), Refusal.DEVICE),
        (tlv(0x30, tlv(0xA3, tlv(4, b""))), Refusal.DEVICE),
        (tlv(0x30), Refusal.MALFORMED),
        (tlv(0x30, tlv(4, MAC_POLICY), tlv(4, b"")), Refusal.MALFORMED),
        (tlv(0x30, tlv(2, MAC_POLICY)), Refusal.MALFORMED),
        (b"", Refusal.MALFORMED),
    ],
)
def test_a_mac_that_anybody_may_tamper_with_is_refused(policy, code):
    """B09: a Mac without Full Security attests as well, and says so only in the policy of its key."""
    assert refusal(attested(leaf=leaf_of(b"macosx", policy))) == (code, "security of the Mac")


def test_a_phone_is_not_asked_for_a_macs_policy():
    assert judge(attested(leaf=leaf_of(b"iphoneos")))
    assert judge(attested(leaf=leaf_of(b"iphoneos", tlv(0x30, tlv(0xA3, tlv(4, b"another"))))))


# the map that iOS 27 appends, and the lengths of the data


@pytest.mark.parametrize("flags", [0x40, 0xC0, 0x80, 0x00, 0xFF])
def test_flags_decide_nothing(flags):
    assert judge(attested(flags=flags)).category is None
    claims = judge(attested(flags=flags, extensions=VERSION_27))
    assert (claims.category, claims.app_version, claims.known.category) == (4, "42", 4)
    for extensions, expected in ((VERSION_27, 4), ({}, None)):
        sent = assertion(BINDING, KEY, flags=flags, extensions=extensions)
        assert judge(sent, known=enrolled()).category == expected


def test_extensions_that_are_not_known_are_passed_over():
    more = VERSION_27 | {"apple_cdhash_01": bytes(32), "later": {"x": [1, True]}}
    assert judge(attested(extensions=more)).category == 4
    assert judge(attested(extensions={"apple_validation_category_01": 6})).category == 6


@pytest.mark.parametrize(
    "extensions",
    [
        {"apple_validation_category_01": b"\x04\0\0"},
        {"apple_validation_category_01": b"\x04\0\0\0\0"},
        {"apple_validation_category_01": "4"},
        {"apple_validation_category_01": True},
        {"apple_validation_category_01": None},
        {"apple_validation_category_01": -1},
        {"apple_validation_category_01": 1 << 32},
        {"apple_bundle_version_01": b"42"},
        {"apple_bundle_version_01": "1" * 129},
        {1: 2},
        [1],
        "text",
    ],
)
def test_extensions_of_the_wrong_shape_are_malformed(extensions):
    assert refusal(attested(extensions=extensions))[0] == Refusal.MALFORMED
    assert refusal(assertion(BINDING, KEY, extensions=extensions), known=enrolled())[0] == Refusal.MALFORMED


@pytest.mark.parametrize("tail", [b"\0", b"\xa0\xa0", b"\xff", b"\xa1\x61", b"\xbf\xff"])
def test_nothing_trails(tail):
    assert refusal(attested(tail=tail))[0] == Refusal.MALFORMED
    assert refusal(attested(extensions=VERSION_27, tail=tail))[0] == Refusal.MALFORMED
    assert refusal(assertion(BINDING, KEY, tail=tail), known=enrolled())[0] == Refusal.MALFORMED
    assert refusal(attested() + tail)[0] == Refusal.MALFORMED
    assert refusal(assertion(BINDING, KEY) + tail, known=enrolled())[0] == Refusal.MALFORMED


def test_data_that_is_cut_off_is_malformed():
    whole = cbor2.loads(attested())["authData"]
    for length in range(len(whole)):
        assert refusal(attested(top={"authData": whole[:length]}))[0] in {Refusal.MALFORMED, Refusal.KEY}, length
    for length in range(37):
        assert refusal(signed(head(counter=1)[:length]), known=enrolled())[0] == Refusal.MALFORMED
    assert refusal(attested(identity=bytes(31)))[0] == Refusal.MALFORMED
    longer = attested(top={"authData": whole[:54] + b"\x21" + whole[55:]})
    assert refusal(longer) == (Refusal.MALFORMED, "app attest object")


def signed(data: bytes) -> bytes:
    signature = KEY.sign(sha256(data + BINDING).digest(), ec.ECDSA(hashes.SHA256()))
    return cbor2.dumps({"signature": signature, "authenticatorData": data})


@pytest.mark.parametrize(
    "bends",
    [
        {"top": {"fmt": "packed"}},
        {"top": {"fmt": 1}},
        {"top": {"extra": 1}},
        {"top": {"authData": "text"}},
        {"top": {"attStmt": []}},
        {"more": {"alg": -7}},
        {"more": {"receipt": 1}},
        {"more": {"x5c": b""}},
    ],
)
def test_an_object_that_is_not_apples_is_malformed(bends):
    assert refusal(attested(**bends)) == (Refusal.MALFORMED, "app attest object")


@pytest.mark.parametrize("evidence", [b"", b"\x01", b"\xa0", b"\x80", cbor2.dumps({"signature": b"x"}), b"\xff" * 99])
def test_what_is_no_object_at_all_is_malformed(evidence):
    assert refusal(evidence, known=enrolled()) == (Refusal.MALFORMED, "app attest object")


# assertions


def test_an_assertion_moves_the_counter_and_keeps_what_was_enrolled():
    known = enrolled(environment="development", extensions=VERSION_27)
    claims = judge(assertion(BINDING, KEY, counter=7), known=known)
    assert claims.known == replace(known, counter=7)
    assert (claims.fresh, claims.app_ids, claims.environment, claims.category) == (False, (APP,), "development", 4)
    assert (claims.level, claims.key_binding, claims.stand_in) == (Level.HARDWARE, HASHED, True)
    assert claims.device_id == sha256(spki(KEY)).digest()


def test_a_pass_of_an_assertion_names_every_step():
    trail = Trail()
    judge(assertion(BINDING, KEY), known=enrolled(), trail=trail)
    assert trail.steps == ["app attest object", "known key", "binding", "application", "counter"]


@pytest.mark.parametrize(("counter", "stored"), [(0, 0), (1, 1), (1, 2), (5, 2**32 - 1), (2**32 - 1, 2**32 - 1)])
def test_a_counter_that_did_not_rise_is_a_replay(counter, stored):
    """B01: an assertion is sent twice, or by a copy of the phone's state."""
    known = replace(enrolled(), counter=stored)
    assert refusal(assertion(BINDING, KEY, counter=counter), known=known) == (Refusal.REPLAY, "counter")


def test_a_counter_may_jump():
    assert judge(assertion(BINDING, KEY, counter=2**32 - 1), known=replace(enrolled(), counter=2**32 - 2))


def test_an_assertion_for_another_request_or_by_another_key_is_refused():
    """B08, B09: a genuine assertion of another moment or of another phone."""
    assert refusal(assertion(BINDING, KEY), binding=bytes(32), known=enrolled()) == (Refusal.BINDING, "binding")
    assert refusal(assertion(BINDING, ANOTHER), known=enrolled()) == (Refusal.BINDING, "binding")
    assert judge(assertion(BINDING, ANOTHER), known=enrolled(ANOTHER))


def test_the_counter_and_the_app_are_under_the_signature():
    sent = cbor2.loads(assertion(BINDING, KEY, counter=1))
    for bends in ({"counter": 2}, {"counter": 1, "app_id": OTHER}, {"counter": 1, "flags": 0}):
        touched = cbor2.dumps(sent | {"authenticatorData": head(**bends)})
        assert refusal(touched, known=enrolled()) == (Refusal.BINDING, "binding")


def test_the_signature_is_over_the_nonce_and_not_over_what_was_hashed():
    data = head(counter=1)
    plain = KEY.sign(data + BINDING, ec.ECDSA(hashes.SHA256()))
    form = cbor2.dumps({"signature": plain, "authenticatorData": data})
    assert refusal(form, known=enrolled()) == (Refusal.BINDING, "binding")


def test_an_assertion_of_another_application_is_refused():
    sent = assertion(BINDING, KEY, app_id=OTHER)
    both = replace(POLICY, apple=AppleRules((APP, OTHER)))
    assert refusal(sent, known=enrolled()) == (Refusal.APP, "application")
    assert refusal(sent, known=enrolled(), policy=both) == (Refusal.APP, "application")
    assert refusal(sent, known=enrolled(), policy=NO_NAMES) == (Refusal.APP, "application")
    elsewhere = replace(POLICY, apple=AppleRules((OTHER,)))
    assert refusal(assertion(BINDING, KEY), known=enrolled(), policy=elsewhere) == (Refusal.APP, "application")


def test_an_app_that_nobody_named_at_enrolment_is_named_by_the_policy_later():
    known = replace(enrolled(), app_ids=())
    assert judge(assertion(BINDING, KEY), known=known).known.app_ids == (APP,)
    assert judge(assertion(BINDING, KEY), known=known, policy=NO_NAMES).app_ids == ()


def test_a_new_category_counts_at_once():
    """The app is enrolled from the store and signed anew by somebody else afterwards."""
    known = enrolled(extensions=VERSION_27)
    resigned = assertion(BINDING, KEY, extensions=VERSION_27 | {"apple_validation_category_01": b"\x05\0\0\0"})
    assert judge(resigned, known=known).category == 5


def test_without_a_known_key_nothing_is_asserted():
    sent = assertion(BINDING, KEY)
    ed = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    keys = (b"", b"\x30", spki(KEY)[:-1], ed.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    others = [replace(enrolled(), key=key) for key in (*keys, spki(new_key(3, ec.SECP384R1())))]
    for known in (None, replace(enrolled(), kind=Kind.TPM), *others):
        assert refusal(sent, known=known) == (Refusal.KEY, "known key")


def test_an_assertion_needs_no_valid_leaf():
    """The leaf lives for days and the key for years."""
    assert judge(assertion(BINDING, KEY), known=enrolled(), at=AT + 3000 * DAY)


@pytest.mark.parametrize("signature", [b"", b"\x30\x00", bytes(64), "text", None])
def test_a_signature_that_is_none_is_refused(signature):
    sent = assertion(BINDING, KEY, top={"signature": signature})
    assert refusal(sent, known=enrolled())[0] in {Refusal.BINDING, Refusal.MALFORMED}


def test_an_assertion_has_its_two_entries_and_no_more():
    assert refusal(assertion(BINDING, KEY, top={"more": 1}), known=enrolled())[0] == Refusal.MALFORMED


def test_an_attestation_in_the_place_of_an_assertion_is_still_an_attestation():
    claims = judge(attested(ANOTHER), known=enrolled())
    assert (claims.fresh, claims.known.key) == (True, spki(ANOTHER))


# receipts are a signal


def test_a_receipt_is_a_signal_and_decides_nothing():
    signals = {
        "genuine": MINT.receipt(KEY),
        "of another key": MINT.receipt(ANOTHER),
        "refused: malformed": b"none",
        "refused: expired": MINT.receipt(KEY, fields={21: b"2026-10-26T07:33:19Z"}),
        "refused: chain": MINT.receipt(KEY, signer=new_key(9)),
    }
    for signal, receipt in signals.items():
        assert judge(attested(more={"receipt": receipt})).signals["receipt"] == signal
    assert judge(attested()).signals["receipt"] == "absent"
    other = MINT.receipt(KEY, fields={2: OTHER.encode()})
    assert judge(attested(more={"receipt": other})).signals["receipt"] == "of another key"


def test_every_single_flipped_bit_is_refused():
    """I04: every bit of an assertion, and every 13th of an attestation, one at a time."""
    known = enrolled()
    cases = [(assertion(BINDING, KEY, extensions=VERSION_27), 1), (attested(extensions=VERSION_27), 13)]
    for evidence, stride in cases:
        for bit in range(0, 8 * len(evidence), stride):
            touched = bytearray(evidence)
            touched[bit // 8] ^= 1 << bit % 8
            refusal(bytes(touched), known=known)


def test_every_truncation_is_refused():
    """I04: cut off anywhere."""
    known = enrolled()
    for evidence in (assertion(BINDING, KEY), attested()):
        for length in range(0, len(evidence), 3):
            assert refusal(evidence[:length], known=known)[0] == Refusal.MALFORMED


def test_the_environments_are_the_two_that_apple_names():
    assert {value: key for key, value in apple.ENVIRONMENTS.items()} == AAGUIDS
