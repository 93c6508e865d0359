"""Play Integrity: what a genuine token proves, and for which request, app and moment it proves it."""

import base64
import hashlib
import json

import pytest

from play_minting import AT, BINDING, PACKAGE, SIGNER, Google, requested, verdict
from strongroom.attest import play
from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import (
    AFFIRMING,
    CONTRAINDICATED,
    HASHED,
    NO_CLAIM,
    VECTOR,
    WARNING,
    Expected,
    Kind,
    Level,
)
from strongroom.attest.policy import PlayRules, Policy
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.canonical import to_base64url

GOOGLE = Google()
TRUSTED = Authorities(play={PACKAGE: GOOGLE.keys})
RULES = PlayRules((PACKAGE,), (SIGNER,))
POLICY = Policy("digits", 1, b"", kinds=frozenset({Kind.PLAY}), play=RULES)
EXPECTED = Expected(BINDING)
HASH = to_base64url(BINDING)


def _verify(token, *, expected=EXPECTED, at=AT, policy=POLICY, authorities=TRUSTED, decoded=None):
    return play.verify(token, expected, at, None, policy, authorities, Trail(), decoded)


def _claims(**changes):
    return _verify(GOOGLE.token(verdict(**changes)))


def _refused(token, **how):
    with pytest.raises(RefusedEvidence) as caught:
        _verify(token, **how)
    return caught.value.code


def _refused_verdict(**changes):
    return _refused(GOOGLE.token(verdict(**changes)))


def _answer(token, package=PACKAGE, **changes):
    """Return what Google answers about a token that only it can open."""
    standard = requested(nonce=None, requestHash=HASH)
    value = verdict(requestDetails=standard) | changes
    return play.Decoded(package, hashlib.sha256(token).digest(), json.dumps(value).encode())


def test_a_classic_token_proves_app_and_device():
    token, trail = GOOGLE.token(), Trail()
    claims = play.verify(token, EXPECTED, AT + 5, None, POLICY, TRUSTED, trail)
    digest = hashlib.sha256(token).digest()
    assert (claims.kind, claims.level, claims.key_binding, claims.fresh) == (Kind.PLAY, Level.HARDWARE, HASHED, True)
    assert (claims.device_id, claims.evidence, claims.verified_at, claims.known) == (digest, digest, AT + 5, None)
    assert (claims.app_ids, claims.app_version, claims.signers) == ((PACKAGE,), "42", (SIGNER,))
    assert claims.labels == ("MEETS_BASIC_INTEGRITY", "MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY")
    assert (claims.recognition, claims.licensing, claims.stand_in) == ("PLAY_RECOGNIZED", "LICENSED", False)
    assert claims.signals == {
        "device_activity": "LEVEL_2",
        "device_recall": "1-0",
        "play_protect": "NO_ISSUES",
        "app_access_risk": "KNOWN_INSTALLED,UNKNOWN_CAPTURING",
        "sdk_version": 33,
    }
    affirmed = {"configuration", "executables", "hardware"}
    assert claims.trust == {name: AFFIRMING if name in affirmed else NO_CLAIM for name in VECTOR}
    assert trail.steps == [
        "key of the app",
        "token encryption",
        "token signature",
        "verdict",
        "application",
        "binding",
        "time stamp",
    ]


def test_a_standard_token_is_judged_by_what_google_says_of_it():
    token, trail = b"standard-token", Trail()
    claims = play.verify(token, EXPECTED, AT, None, POLICY, Authorities(), trail, _answer(token))
    assert (claims.device_id, claims.app_ids) == (hashlib.sha256(token).digest(), (PACKAGE,))
    assert trail.steps == ["decoded by Google", "verdict", "application", "binding", "time stamp"]


def test_an_answer_about_another_token_is_not_taken():
    """A good verdict, put beside a token it does not belong to."""
    assert _refused(b"mine", decoded=_answer(b"another's")) == Refusal.CHAIN


def test_a_verdict_without_a_token_is_nothing():
    """The device sends the JSON that Google would have answered: bare, or signed or encrypted by itself."""
    bare = json.dumps(verdict()).encode()
    other = Google()
    wrapped = json.dumps({"tokenPayloadExternal": verdict()}).encode()
    for evidence in (bare, wrapped, b"", b"{}", b"null", other.sign(verdict()), GOOGLE.sign(verdict())):
        assert _refused(evidence) == Refusal.MALFORMED
    assert _refused(other.token()) == Refusal.CHAIN
    assert _refused(other.token(), authorities=Authorities()) == Refusal.CHAIN
    assert _refused(GOOGLE.encrypt(b"x", {"alg": "A256KW", "enc": "A256GCM", "zip": "DEF"})) == Refusal.UNSUPPORTED


@pytest.mark.parametrize("field", ["nonce", "requestHash"])
def test_the_binding_stands_in_one_field_in_base64url(field):
    drop = {"nonce": None, "requestHash": None}
    for text in (HASH, HASH + "="):
        details = requested(**(drop | {field: text}))
        assert _claims(requestDetails=details).level == Level.HARDWARE
        assert _verify(b"t", decoded=_answer(b"t", requestDetails=details)).level == Level.HARDWARE


@pytest.mark.parametrize("field", ["nonce", "requestHash"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        to_base64url(bytes(32)),
        to_base64url(hashlib.sha256(BINDING).digest()),
        HASH[:-1],
        HASH + "A",
        HASH + "==",
        HASH.lower(),
        " " + HASH,
        BINDING.hex(),
        base64.b64encode(to_base64url(BINDING).encode()).decode(),
    ],
)
def test_a_token_for_another_request_is_refused(field, text):
    """B01, B08: a genuine token of this device, made for another challenge or key."""
    drop = {"nonce": None, "requestHash": None}
    assert _refused_verdict(requestDetails=requested(**(drop | {field: text}))) == Refusal.BINDING


def test_every_bit_of_the_binding_counts():
    token = GOOGLE.token()
    for bit in range(256):
        other = bytearray(BINDING)
        other[bit // 8] ^= 1 << bit % 8
        assert _refused(token, expected=Expected(bytes(other))) == Refusal.BINDING


def test_nothing_was_bound_if_nothing_was_expected():
    details = requested(nonce="")
    assert _refused(GOOGLE.token(verdict(requestDetails=details)), expected=Expected(b"")) == Refusal.BINDING


def test_a_verdict_has_one_of_nonce_and_request_hash():
    """With both, two parties could each read the field that suits them."""
    for details in (
        requested(requestHash=HASH),
        requested(requestHash=""),
        requested(requestHash=to_base64url(bytes(32))),
        requested(nonce=None),
        requested() | {"nonce": None},
        requested() | {"nonce": 1},
        requested() | {"requestHash": [HASH], "nonce": None},
    ):
        assert _refused_verdict(requestDetails=details) == Refusal.MALFORMED


@pytest.mark.parametrize("age", [0, 1, 119, 120, -30])
def test_a_fresh_token_is_taken(age):
    assert _verify(GOOGLE.token(), at=AT + age).verified_at == AT + age


@pytest.mark.parametrize("age", [121, 3600, 10**9, -31, -3600])
def test_a_stale_or_future_token_is_refused(age):
    """B08: kept for later, or made by a clock that is not Google's."""
    assert _refused(GOOGLE.token(), at=AT + age) == Refusal.EXPIRED


def test_the_policy_says_how_old_a_token_may_be():
    rules = PlayRules((PACKAGE,), (SIGNER,), max_age=600)
    policy = Policy("digits", 1, b"", kinds=frozenset({Kind.PLAY}), play=rules)
    assert _verify(GOOGLE.token(), at=AT + 600, policy=policy).level == Level.HARDWARE
    assert _refused(GOOGLE.token(), at=AT + 601, policy=policy) == Refusal.EXPIRED
    nothing = Policy("default", 1, b"")
    assert _refused(GOOGLE.token(), at=AT + 121, policy=nothing) == Refusal.EXPIRED


def test_milliseconds_count_and_numbers_may_be_texts():
    for stamp in (AT * 1000, str(AT * 1000)):
        details = requested(timestampMillis=stamp)
        assert _claims(requestDetails=details).level == Level.HARDWARE
    assert (
        _refused(GOOGLE.token(verdict(requestDetails=requested(timestampMillis=AT * 1000 - 120_001))))
        == Refusal.EXPIRED
    )
    assert _refused_verdict(requestDetails=requested(timestampMillis=None)) == Refusal.EXPIRED
    for stamp in ("", "0", AT, str(AT)):  # nothing, and seconds
        assert _refused_verdict(requestDetails=requested(timestampMillis=stamp)) == Refusal.EXPIRED
    for stamp in ("0x1", f" {AT}000", f"+{AT}000", f"0{AT}000", 1.5e12, True, -1, "9" * 30, [AT], f"{AT}000.0"):
        assert _refused_verdict(requestDetails=requested(timestampMillis=stamp)) == Refusal.MALFORMED


def test_another_app_is_refused():
    """The token of another app on the same device, by the names in it and by the keys it was made with."""
    other = "com.example.evil"
    assert _refused_verdict(requestDetails=requested(requestPackageName=other)) == Refusal.APP
    assert _refused_verdict(requestDetails=requested(requestPackageName=None)) == Refusal.APP
    app = verdict()["appIntegrity"] | {"packageName": other}
    assert _refused_verdict(appIntegrity=app) == Refusal.APP
    both = {"requestDetails": requested(requestPackageName=other), "appIntegrity": app}
    assert _refused_verdict(**both) == Refusal.APP
    assert _refused(b"t", decoded=_answer(b"t", package=other)) == Refusal.APP


def test_the_keys_of_two_apps_are_kept_apart():
    other, name = Google(), "com.example.other"
    both = Authorities(play={PACKAGE: GOOGLE.keys, name: other.keys})
    details, app = requested(requestPackageName=name), verdict()["appIntegrity"] | {"packageName": name}
    token = other.token(verdict(requestDetails=details, appIntegrity=app))
    assert _verify(token, authorities=both).app_ids == (name,)  # it says so, and the policy decides
    assert _refused(other.token(), authorities=both) == Refusal.APP  # that app's keys, this app's name


def test_what_google_did_not_evaluate_is_claimed_by_nobody():
    claims = _claims(
        appIntegrity={"appRecognitionVerdict": "UNEVALUATED"},
        deviceIntegrity={},
        accountDetails={"appLicensingVerdict": "UNEVALUATED"},
        environmentDetails=None,
    )
    assert (claims.recognition, claims.licensing) == ("UNEVALUATED", "UNEVALUATED")
    assert (claims.app_ids, claims.signers, claims.app_version, claims.labels) == ((), (), "", ())
    assert (claims.level, claims.signals) == (Level.SOFTWARE, {})
    assert claims.trust["executables"] == NO_CLAIM
    assert claims.trust["hardware"] == CONTRAINDICATED
    empty = _claims(appIntegrity=None, deviceIntegrity=None, accountDetails=None, environmentDetails=None)
    assert (empty.recognition, empty.licensing, empty.labels) == ("", "", ())


def test_an_unknown_build_of_the_app_says_so():
    app = verdict()["appIntegrity"] | {"appRecognitionVerdict": "UNRECOGNIZED_VERSION"}
    claims = _claims(appIntegrity=app)
    assert (claims.recognition, claims.trust["executables"]) == ("UNRECOGNIZED_VERSION", CONTRAINDICATED)


@pytest.mark.parametrize(
    ("labels", "level", "configuration"),
    [
        (["MEETS_STRONG_INTEGRITY"], Level.HARDWARE, AFFIRMING),
        (["MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY"], Level.HARDWARE, AFFIRMING),
        (["MEETS_DEVICE_INTEGRITY", "MEETS_BASIC_INTEGRITY"], Level.DEVICE, AFFIRMING),
        (["MEETS_BASIC_INTEGRITY"], Level.SOFTWARE, WARNING),
        (["MEETS_VIRTUAL_INTEGRITY"], Level.SOFTWARE, WARNING),
        (["MEETS_STRONG_INTEGRITY_SOON"], Level.SOFTWARE, WARNING),
        ([], Level.SOFTWARE, NO_CLAIM),
    ],
)
def test_labels_become_a_level(labels, level, configuration):
    claims = _claims(deviceIntegrity={"deviceRecognitionVerdict": labels})
    assert (claims.level, claims.labels) == (level, tuple(labels))
    assert claims.trust["configuration"] == configuration


def test_a_testers_verdict_is_a_stand_in():
    """The Play Console lets an app's owner write verdicts for testers: no device stands behind them."""
    assert _claims(testingDetails={"isTestingResponse": True}).stand_in
    assert not _claims(testingDetails={"isTestingResponse": False}).stand_in
    assert not _claims(testingDetails={}).stand_in
    assert _refused_verdict(testingDetails={"isTestingResponse": "false"}) == Refusal.MALFORMED


def test_keys_of_a_test_kit_make_stand_ins():
    kit = Authorities(play=TRUSTED.play, play_stand_ins=frozenset({PACKAGE}))
    assert _verify(GOOGLE.token(), authorities=kit).stand_in


def test_nothing_personal_is_kept():
    """What names a person, an account or an installation, and when a recall bit was set, ends with the token."""
    private = ("jane@example.com", "com.bank.of.jane", "202401", "+41791234567", "TYPICAL_STRONG")
    device = verdict()["deviceIntegrity"] | {"owner": private[0]}
    account = {
        "appLicensingVerdict": "LICENSED",
        "accountActivity": {"activityLevel": private[4]},
        "email": private[0],
        "phone": private[3],
    }
    environment = {"appAccessRiskVerdict": {"appsDetected": ["KNOWN_INSTALLED"], "packages": [private[1]]}}
    token = GOOGLE.token(verdict(deviceIntegrity=device, accountDetails=account, environmentDetails=environment))
    claims = _verify(token)
    assert claims.licensing == "LICENSED"
    assert not [word for word in private if word in repr(claims)]
    decoded = _answer(b"t", accountDetails=account)
    assert private[0] in decoded.verdict.decode()
    assert private[0] not in repr(decoded)
    named = {"appAccessRiskVerdict": {"appsDetected": [private[1]]}}  # a name where a word should be is no word
    assert _refused_verdict(environmentDetails=named) == Refusal.MALFORMED


def test_signer_digests_are_read_in_either_spelling():
    for text in (to_base64url(SIGNER), to_base64url(SIGNER) + "=", SIGNER.hex(), SIGNER.hex().upper()):
        app = verdict()["appIntegrity"] | {"certificateSha256Digest": [text]}
        assert _claims(appIntegrity=app).signers == (SIGNER,)
    for text in ("", to_base64url(SIGNER[:31]), SIGNER.hex()[:-2], base64.b64encode(b"\xff" * 32).decode(), 1, None):
        app = verdict()["appIntegrity"] | {"certificateSha256Digest": [text]}
        assert _refused_verdict(appIntegrity=app) == Refusal.MALFORMED


def test_recall_bits_are_told_apart_from_those_not_said():
    def recall(values):
        return _claims(deviceIntegrity={"deviceRecall": {"values": values}}).signals.get("device_recall")

    assert recall({"bitFirst": True, "bitSecond": True, "bitThird": True}) == "111"
    assert recall({"bitFirst": False, "bitSecond": False, "bitThird": False}) == "000"
    assert recall({"bitThird": True}) == "--1"
    assert recall({}) is None


ODD = (None, 0, -1, 1.5, True, "", "x" * 300, "\ud800", "WORD", [], [None], ["WORD"] * 17, [[]], {}, {"a": {}}, 10**15)


def _paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from _paths(value[name], (*path, name))


def _with(value, path, odd):
    if not path:
        return odd
    return value | {path[0]: _with(value[path[0]], path[1:], odd)}


def test_any_value_in_any_place_is_a_claim_or_a_refusal():
    """No other exception comes out, and no odd value makes a device more than it is."""
    good = verdict()
    accepted = refused = 0
    for path in _paths(good):
        for odd in ODD:
            payload = json.dumps(_with(good, path, odd)).encode()
            decoded = play.Decoded(PACKAGE, hashlib.sha256(b"t").digest(), payload)
            try:
                claims = _verify(b"t", decoded=decoded)
            except RefusedEvidence:
                refused += 1
            else:
                accepted += 1
                assert claims.level in {Level.HARDWARE, Level.SOFTWARE}
                assert set(claims.app_ids) <= {PACKAGE}
                assert all(len(str(value)) <= 200 for value in claims.signals.values())
    assert accepted > 20
    assert refused > 200


def _texts(value, path=()):
    """Yield the path of every text and list of texts that is read, but those of the request."""
    for name in value.keys() - {"requestDetails"}:
        if isinstance(value[name], dict):
            yield from _texts(value[name], (*path, name))
        elif isinstance(value[name], (str, list)) and name != "versionCode":  # a number will do there
            yield (*path, name)


def test_a_text_is_a_text_of_known_signs_and_length():
    paths = list(_texts(verdict()))
    assert len(paths) == 8
    for path in paths:
        for odd in (1, {}, ["WORD", 1], "x y", "A" * 300, ["WORD"] * 17):
            payload = _with(verdict(), path, odd)
            assert _refused(GOOGLE.token(payload)) == Refusal.MALFORMED, (path, odd)
    long = requested(requestPackageName="com." + "a" * 300)
    assert _refused_verdict(requestDetails=long) == Refusal.MALFORMED


def test_what_google_adds_is_passed_over():
    more = {"score": 0.5, "count": 10**30, "list": [[1], None, True], "guidanceDetails": {"userRemediation": ["X"]}}
    assert _claims(**more).level == Level.HARDWARE
    assert _claims(deviceIntegrity=verdict()["deviceIntegrity"] | more).level == Level.HARDWARE


def test_json_that_parsers_read_differently_is_refused():
    """Twice the same name, NaN, other encodings, a list of lists without end, more than one value."""
    text = json.dumps(verdict())
    twice = text[:-1] + ', "testingDetails": {"isTestingResponse": true}, "testingDetails": {}}'
    for payload in (
        twice.encode(),
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + text.encode(),
        text.encode() + b"{}",
        text.replace("33", "33.0").encode(),
        text.replace("33", "NaN").encode(),
        text.replace("{", '{"added": NaN, ', 1).encode(),
        text.replace("{", '{"added": -Infinity, ', 1).encode(),
        text.replace("33", "9" * 5000).encode(),
        b"[" * 60_000,
        b'{"a":' * 5000,
        b"\xff",
        b"",
        b"null",
        b"[]",
        text.encode() + b" " * 65_536,
    ):
        decoded = play.Decoded(PACKAGE, hashlib.sha256(b"t").digest(), payload)
        assert _refused(b"t", decoded=decoded) == Refusal.MALFORMED


STANDARD = Google().token()  # nobody holds the keys of this one


def test_google_is_asked_only_where_no_key_of_ours_opens_the_token():
    two = PlayRules((PACKAGE, "com.example.beta"), (SIGNER,))
    policy = Policy("digits", 1, b"", kinds=frozenset({Kind.PLAY}), play=two)
    assert play.packages_to_ask(GOOGLE.token(), policy, TRUSTED) == ()
    assert play.packages_to_ask(STANDARD, policy, TRUSTED) == two.packages
    assert play.packages_to_ask(GOOGLE.token(), policy, Authorities()) == two.packages
    assert play.packages_to_ask(STANDARD, Policy("default", 1, b""), TRUSTED) == ()
    assert play.packages_to_ask(b"standard-token", policy, TRUSTED) == ()
