"""attestation.toml: what its owner wrote is what is asked, and anything else stops the reader with file and line."""

import re
from pathlib import Path

import pytest

from strongroom.attest import policy_file
from strongroom.attest.claims import HASHED, IN_HARDWARE, Kind, Level
from strongroom.attest.verdict import JUDGED_BY_POLICY, Reaction, Refusal
from strongroom.errors import Code, SetupError
from strongroom.toml.lines import line_of

SIGNER = "ab" * 32
WHOLE = f"""\
version = 7

[authorities]
tpm_roots = [
    "maker.pem",  # of the boards in hall 3
    "other.pem",
]
revocation_list = "status.json"
revocation_max_age = "2d"
play = {{ "com.example.app" = {{ decryption_key_file = "play.aes", verification_key_file = "play.pem" }} }}
play_service_account = "google.json"
stand_ins = ["test-roots.pem"]

[default]
kinds = ["tpm", "app-attest", "android-key", "play"]
level = "device"
key_binding = "hashed"
stand_ins = true
attest_again = "12h"
short_lease = 90
[default.apple]
app_ids = ["A1B2C3D4E5.com.example.app", "A1B2C3D4E5.com.example.under_score"]
environments = ["production", "development"]
categories = [2, 4]
missing_category = false
min_bundle_version = "2.14"
[default.android]
packages = ["com.example.app"]
signers = ["{SIGNER}", "{":".join(["CD"] * 32)}"]
boot_states = ["verified", "self-signed"]
locked = false
min_os_patch = 202609
min_vendor_patch = 20260905
min_boot_patch = 0
min_os_version = 150000
factory = false
[default.play]
packages = ["com.example.app"]
signers = ["{SIGNER}"]
min_version = 41
labels = ["MEETS_STRONG_INTEGRITY"]
recognition = ["PLAY_RECOGNIZED"]
licensing = ["LICENSED", "UNEVALUATED"]
max_age = "5m"
[default.tpm]
min_firmware = {2**63}
[default.tpm.pcrs.sha256]
0 = "{"00" * 32}"
7 = ["{"11" * 32}", "{"22" * 32}"]
[default.tpm.pcrs.sha384]
7 = ["{"33" * 48}"]
[default.reactions]
patch = "observe"
device = "short-lease"
unavailable = "deny"

[models.digits]
unattested = true

[models."kiosk.v2"]
kinds = ["tpm"]
key_binding = "hardware"
tpm = {{ pcrs = {{}} }}
"""
SMALL = """\
version = 1
[authorities]
revocation_list = "status.json"
tpm_roots = ["maker.pem"]
play_service_account = "google.json"
[default]
kinds = ["app-attest"]
[default.apple]
app_ids = ["A1B2C3D4E5.com.example.app"]
"""


def read(text):
    return policy_file.read(text, "attestation.toml")


def refused(text):
    with pytest.raises(SetupError) as error:
        read(text)
    assert error.value.code == Code.CONFIG
    assert str(error.value).isprintable()
    return error.value


def test_every_field_is_read():
    policies = read(WHOLE)
    default = policies.default
    assert (policies.version, default.version, default.name) == (7, 7, "default")
    assert default.kinds == frozenset(Kind)
    assert (default.level, default.key_binding, default.stand_ins) == (Level.DEVICE, HASHED, True)
    assert (default.attest_again, default.short_lease) == (43_200, 90)
    assert default.apple.app_ids == ("A1B2C3D4E5.com.example.app", "A1B2C3D4E5.com.example.under_score")
    assert (default.apple.environments, default.apple.categories) == (("production", "development"), (2, 4))
    assert (default.apple.missing_category, default.apple.min_bundle_version) == (False, "2.14")
    assert default.android.signers == (bytes.fromhex(SIGNER), b"\xcd" * 32)
    assert (default.android.min_os_patch, default.android.min_vendor_patch) == (202609, 20260905)
    assert (default.android.boot_states, default.android.locked) == (("verified", "self-signed"), False)
    assert (default.android.factory, default.android.min_os_version) == (False, 150_000)
    assert (default.play.labels, default.play.max_age, default.play.min_version) == (
        ("MEETS_STRONG_INTEGRITY",),
        300,
        41,
    )
    assert default.play.licensing == ("LICENSED", "UNEVALUATED")
    assert default.tpm.min_firmware == 2**63
    assert default.tpm.pcrs["sha256"] == {0: (bytes(32),), 7: (b"\x11" * 32, b"\x22" * 32)}
    assert default.tpm.pcrs["sha384"] == {7: (b"\x33" * 48,)}
    assert default.reaction(Refusal.PATCH) == Reaction.OBSERVE
    assert default.reaction(Refusal.UNAVAILABLE) == Reaction.DENY
    assert default.reaction(Refusal.BOOT) == Reaction.DENY
    assert policies.sources.tpm_roots == ("maker.pem", "other.pem")
    assert (policies.sources.revocation_max_age, policies.sources.stand_ins) == (172_800, ("test-roots.pem",))
    assert policies.sources.play["com.example.app"].verification == "play.pem"
    assert policies.sources.places["tpm_roots"] == "attestation.toml line 4"
    assert policies.sources.places["com.example.app"] == "attestation.toml line 10"


def test_a_models_table_replaces_the_default_whole():
    policies = read(WHOLE)
    kiosk = policies.of("kiosk.v2")
    assert (kiosk.kinds, kiosk.key_binding, kiosk.level) == ({Kind.TPM}, IN_HARDWARE, Level.HARDWARE)
    assert (kiosk.apple, kiosk.stand_ins, dict(kiosk.reactions)) == (None, False, {})
    assert policies.of("digits").unattested
    assert policies.of("another") is policies.default
    assert [one.name for one in policies.every()] == ["default", "digits", "kiosk.v2"]


def test_without_a_default_nothing_is_taken():
    default = read("version = 1").of("anything")
    assert (default.kinds, default.unattested, default.stand_ins) == (frozenset(), False, False)
    assert default.reaction(Refusal.UNAVAILABLE) == Reaction.STEP_UP
    assert (default.apple, default.android, default.play, default.tpm) == (None, None, None, None)


@pytest.mark.parametrize(
    ("found", "instead", "line", "what", "step"),
    [
        ("app_ids", "app_idz", 9, "unknown field 'app_idz' in [default.apple]", "is app_ids meant?"),
        ("[default]", "[defualt]", 6, "unknown field 'defualt'", "is default meant?"),
        ("version = 1", "version = 1\nextra = 2", 2, "unknown field 'extra'", "known are: authorities, default"),
        ("revocation_list", "revokation_list", 3, "'revokation_list' in [authorities]", "is revocation_list meant?"),
        ("version = 1", "", 0, "the file says no version", "add version"),
        ("version = 1", 'version = "1"', 1, "version is not a whole number", "from 1 to"),
        ("version = 1", "version = true", 1, "version is not a whole number", "from 1 to"),
        ("version = 1", "version = 0", 1, "version is not a whole number", "from 1 to"),
        ('app_ids = ["', 'app_ids = ["x', 9, "default.apple.app_ids is not team and bundle id", "A1B2C3D4E5."),
        ('["A1B2C3D4E5.com.example.app"]', "[]", 9, "default.apple.app_ids is not an array", "array of 1"),
        ('["A1B2C3D4E5.com.example.app"]', '"A1B2C3D4E5.com.example.app"', 9, "is not an array", "array of 1"),
        ('["app-attest"]', '["app-attests"]', 7, "default.kinds is not one of app-attest", "one of"),
        ('["app-attest"]', '["app-attest", "app-attest"]', 7, "default.kinds has 'app-attest' twice", "name it once"),
        ('["app-attest"]', '["app-attest", "tpm"]', 7, "tpm is taken, but there are no rules", "[default.tpm]"),
        ('["app-attest"]', '["app-attest"]\nkey_binding = "hardware"', 8, "but it never has the key", "out of"),
        ('["app-attest"]', '["app-attest"]\nlevel = "strongbox"', 8, "but it never has the level", "ask for less"),
        ('["app-attest"]', '["app-attest"]\nlevel = "STRONG"', 8, "default.level is not one of software", "set it"),
        ('["app-attest"]', '["app-attest"]\nunattested = 1', 8, "default.unattested is not true or false", "set it"),
        ('["app-attest"]', '["app-attest"]\nattest_again = "30"', 8, "default.attest_again is not a length", '"7d"'),
        ('["app-attest"]', '["app-attest"]\nattest_again = "367d"', 8, "default.attest_again is not a length", "366"),
        ('["app-attest"]', '["app-attest"]\nattest_again = 0', 8, "default.attest_again is not a length", '"7d"'),
        ('["app-attest"]', '["app-attest"]\nname = "mine"', 8, "unknown field 'name' in [default]", "known are"),
        ('["app-attest"]', '["app-attest"]\ndigest = "00"', 8, "unknown field 'digest' in [default]", "known are"),
        ('["app-attest"]', '["app-attest"]\nreactions = { chain = "observe" }', 8, "chain is always denied", "remove"),
        ('["app-attest"]', '["app-attest"]\nreactions = { replay = "observe" }', 8, "always denied", "remove"),
        ('["app-attest"]', '["app-attest"]\nreactions = { bot = "observe" }', 8, "field 'bot'", "is boot meant?"),
        ('["app-attest"]', '["app-attest"]\nreactions = { boot = "allow" }', 8, "boot is not one of observe", "set it"),
        ("[default.apple]", "[default.apple]\ncategories = [-1]", 9, "apple.categories is not a category", "1 to 6"),
        ("[default.apple]", "[default.apple]\ncategories = []", 9, "apple.categories is not an array of 1", "leave it"),
        ("[default.apple]", "[default.apple]\ncategories = [4, 7]", 9, "apple.categories is not a category", "6, 10"),
        ("[default.apple]", "[default.apple]\ncategories = [0]", 9, "apple.categories is not a category", "6, 10"),
        ("[default.apple]", '[default.apple]\nmin_bundle_version = ""', 9, "min_bundle_version is not a", "2.14.0"),
        ('["app-attest"]', "[]", 7, "default.kinds is not an array of 1", "leave it out"),
        ("[default.apple]", '[default.apple]\nenvironments = ["prod"]', 9, "environments is not one of", "production"),
        ("[default.apple]", '[default.apple]\nmin_bundle_version = "2.x"', 9, "min_bundle_version is not a", "2.14.0"),
        ("[default.apple]", "[default.tpm]\n[default.apple]", 8, "default.tpm says no pcrs", "add pcrs"),
        ("[default.apple]", "[default.tpm]\npcrs = { sha1 = { 0 = [] } }\n[default.apple]", 9, "field 'sha1'", ""),
        ("[default.apple]", "[default.tpm.pcrs.sha256]\n24 = []\n[default.apple]", 9, "no register '24'", "0 to 23"),
        ("[default.apple]", "[default.tpm.pcrs.sha256]\n01 = []\n[default.apple]", 9, "no register '01'", "0 to 23"),
        ("[default.apple]", '[default.tpm.pcrs.sha256]\n1 = "00"\n[default.apple]', 9, "is not a digest of 32", "hexa"),
        ("[default.apple]", "[default.tpm]\npcrs = {}\n[default.apple]", 8, "does not take it", 'add "tpm" to kinds'),
        (
            "[default.apple]",
            "[models.a]\nunattested = true\n[models.a.tpm.pcrs.sha256]\n7 = '" + "00" * 32 + "'\n[default.apple]",
            10,
            "rules for tpm",
            "in [models.a]",
        ),
        ("[default.apple]", "[default.android]\n[default.apple]", 8, "android says no packages", "add packages"),
        ("[default]", "[models.Digits]\nlevel = 'device'\n[default]", 6, "not a model name: 'Digits'", "use 1 to 64"),
        ("[default]", "[models]\ndigits = 1\n[default]", 7, "models.digits is not a table", "a table"),
        ("[default]", "[default", 6, "not valid TOML", "mend this line"),
        ("[default.apple]", 'kinds = ["tpm"]\n[default.apple]', 8, "'kinds' is set twice", "keep one"),
        ("[default.apple]", "[default]\n[default.apple]", 8, "is set twice", "keep one"),
        ('["app-attest"]', '["app-attest"', 8, "not valid TOML", "mend this line"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(found, instead, line, what, step):
    assert found in SMALL
    error = refused(SMALL.replace(found, instead, 1))
    assert error.where == (f"attestation.toml line {line}" if line else "attestation.toml")
    assert what in error.what
    assert step in error.next_step


@pytest.mark.parametrize(
    ("kind", "rules", "source"),
    [
        ("android-key", f'[default.android]\npackages = ["com.a.b"]\nsigners = ["{SIGNER}"]', "revocation_list"),
        ("tpm", "[default.tpm]\npcrs = {}", "tpm_roots"),
        ("play", f'[default.play]\npackages = ["com.a.b"]\nsigners = ["{SIGNER}"]', "play_service_account"),
    ],
)
def test_what_nobody_could_judge_is_not_taken(kind, rules, source):
    """Else a server would refuse every device of a kind and say so only in its audit log."""
    text = SMALL.replace('["app-attest"]', f'["{kind}"]').replace("[default.apple]\napp_ids", f"{rules}\n#")
    assert read(text).default.kinds == {kind}
    without = "\n".join(line for line in text.splitlines() if not line.startswith(source))
    error = refused(without)
    assert f"{kind} is taken, but [authorities] names no" in error.what
    assert error.where == "attestation.toml line 6"


def test_a_mistake_behind_many_lines_is_found():
    """Arrays, texts and comments over several lines, and what only looks like the field."""
    text = '''version = 1
# unattested = "comment"
[authorities]
tpm_roots = [
  "a.pem",  # unattested = "in an array"
]
[models.a]
reactions = { device = "observe", boot = "deny" }
[models.b]
"unattested" = """
unattested = 1
"""
'''
    assert refused(text).where == "attestation.toml line 10"
    assert line_of(text, ("models", "a", "reactions", "boot")) == 8
    assert line_of(text, ("models", "b")) == 9
    assert line_of(text, ("authorities", "tpm_roots")) == 4
    assert line_of(text, ("nothing", "of", "it")) == 0


def test_a_file_that_is_no_policy_is_refused():
    assert "more than" in refused("#" * 1_048_577).what
    assert refused("").what == "the file says no version"
    assert refused("a = " + "[" * 5000).what == "not valid TOML"


def test_the_digest_is_of_the_rules_and_not_of_their_spelling():
    same = SMALL.replace("[default]", "# a comment\n\n[default]").replace('"app-attest"', "'app-attest'")
    same += 'environments = ["production"]  # as by default\n'
    assert read(same).default == read(SMALL).default
    assert len(read(SMALL).default.digest) == 32
    assert policy_file.digest(read(SMALL).default) == read(SMALL).default.digest


def test_the_digest_stands_still():
    """It is in audit logs: the same rules have the same one in every version."""
    assert read(SMALL).default.digest.hex() == "e36c1e1060dfceab94d6d115e07281ecfb219bec0ece12cce642a6c9d1d4dc91"
    assert read(WHOLE).default.digest.hex() == "03802a75cfa1a51cbd66dbccdca5ccd29c4259f0694447e894a7545c386ed502"


@pytest.mark.parametrize(
    "change",
    [
        ("version = 1", "version = 2"),
        ('"A1B2C3D4E5.com.example.app"', '"A1B2C3D4E5.com.example.ap"'),
        ("[default.apple]", "[default.apple]\nmissing_category = false"),
        ("[default.apple]", 'reactions = { boot = "observe" }\n[default.apple]'),
        ('["app-attest"]', '["app-attest", "tpm"]\ntpm = { pcrs = {} }'),
        ("[default.apple]", "unattested = true\n[default.apple]"),
    ],
)
def test_another_rule_is_another_digest(change):
    assert read(SMALL.replace(*change)).default.digest != read(SMALL).default.digest


def test_the_same_rules_of_two_models_have_two_digests():
    policies = read("version = 1\n[models.a]\n[models.b]")
    assert len({one.digest for one in policies.every()}) == 3


def test_what_asks_for_less_is_said_loudly():
    said = read(WHOLE).loud()
    assert said == (
        "models without rules of their own: a test authority may vouch for a device (stand_ins = true)",
        "models without rules of their own: applications built for development are served (apple.environments)",
        'models without rules of their own: what fails the check "device" is served (reactions.device = "short-lease")',
        'models without rules of their own: what fails the check "patch" is served (reactions.patch = "observe")',
        "the model digits: devices that prove nothing are served (unattested = true)",
        "the model kiosk.v2: whatever a machine with a TPM runs is accepted: no register is asked for (tpm.pcrs)",
    )
    assert read(SMALL).loud() == ()
    quiet = SMALL.replace("[default.apple]", 'reactions = { unavailable = "short-lease" }\n[default.apple]')
    assert len(read(quiet).loud()) == 1


def test_rules_under_which_nobody_gets_anything_are_said_loudly():
    for text in ("version = 1\n", "version = 1\n[default]\n", "version = 1\n[default]\nlevel = 'software'\n"):
        (said,) = read(text).loud()
        assert said.startswith("no model is released to anybody")
    said = read(SMALL + "[models.kiosk]\nlevel = 'software'\n").loud()
    assert said == ("the model kiosk: nobody gets it (neither kinds nor unattested = true)",)


def test_keys_in_software_are_said_loudly():
    (said,) = read(SMALL.replace("[default.apple]", 'level = "software"\n[default.apple]')).loud()
    assert '(level = "software")' in said


@pytest.mark.parametrize("code", sorted(JUDGED_BY_POLICY - {Refusal.UNAVAILABLE}))
@pytest.mark.parametrize("wanted", Reaction)
def test_a_check_that_stops_nobody_is_said_loudly(code, wanted):
    said = read(SMALL.replace("[default.apple]", f'reactions = {{ {code} = "{wanted}" }}\n[default.apple]')).loud()
    served = wanted in {Reaction.OBSERVE, Reaction.SHORT_LEASE}
    assert [f'(reactions.{code} = "{wanted}")' in one for one in said] == ([True] if served else [])


PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "attestation.md"


@pytest.mark.parametrize("block", re.findall(r"(?ms)^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8")))
def test_the_examples_of_the_page_are_policies(block):
    assert read(block).version


def test_the_page_names_every_field_and_every_code():
    text = PAGE.read_text(encoding="utf-8")
    error = refused("version = 1\n[default]\nx = 1")
    for name in error.next_step.removeprefix("known are: ").split(", "):
        assert f"`{name}`" in text or f"[default.{name}]" in text or f".{name}." in text, name
    assert [str(code) for code in Refusal if f"`{code}`" not in text] == []
