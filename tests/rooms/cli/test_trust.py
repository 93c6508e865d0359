"""The key ceremony on the command line: make, show, sign, put into force; and what is refused on the way."""

import json
import shutil

import pytest

from strongroom.server import wiring
from strongroom.server.settings import load
from strongroom.wire import trust as trust_of

NOW_ISH = 1_790_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from strongroom.server.initialise import init

    directory = tmp_path_factory.mktemp("made") / "strongroom"
    init(directory, now=NOW_ISH, passphrase=None)
    return directory


@pytest.fixture
def room(made, tmp_path):
    shutil.copytree(made, tmp_path / "strongroom")
    return tmp_path / "strongroom"


OWNER = ("--sign-with", "strongroom/owner/owner.key")
FROM = ("--from", "strongroom/trust.json")
CONFIG = ("--config", "strongroom/strongroom.toml")
SECOND = ("--sign-with", "second.key")


def code(outcome):
    """Return the code that a refused command printed with --json."""
    return json.loads(outcome.out)["error"]["code"]


def keys(cli, role):
    """Return what `key status` says of a role's keys."""
    return [one for one in cli("key", "status", *CONFIG, "--json").json["keys"] if one["role"] == role]


def ids(cli, role, path="strongroom/trust.json"):
    return [one["key"] for keys in cli("trust", "show", path, "--json").json["roles"][role]["keys"] for one in keys]


def rotated(cli, *changes, signers=(OWNER,), name="next.json"):
    """Make the next document with these changes, have it signed and put it into force; return the last outcome."""
    outcome = cli("trust", "new", *FROM, "-o", name, *changes)
    assert outcome.code == 0, outcome.err
    for key in signers:
        outcome = cli("trust", "sign", name, *FROM, *key, "--yes")
        assert outcome.code == 0, outcome.err
    return cli("trust", "rotate", name, *CONFIG, "--json")


def test_a_release_key_is_replaced_and_the_server_signs_with_the_new_one(cli, room):
    """The whole ceremony: the server makes the key, the owners name it, the server takes their word."""
    settings = load(room / "strongroom.toml")
    old = ids(cli, "release")
    assert cli("key", "rotate", "release", "-o", "release.pub", *CONFIG).code == 0
    office = wiring.open_office(settings)
    assert [one.public.key_id for one in office.release_signers] == old  # nothing uses it before the owners name it
    status = cli("key", "status", *CONFIG, "--json").json["keys"]
    assert [(one["trusted"], one["next"]) for one in status if one["role"] == "release"] == [
        (True, False),
        (False, True),
    ]

    outcome = rotated(cli, "--add", "release=release.pub", "--drop", f"release={old[0][:8]}")
    assert outcome.code == 0, outcome.err
    new = ids(cli, "release")
    assert new != old
    office = wiring.open_office(settings)
    assert [one.public.key_id for one in office.release_signers] == new
    assert office.trust.version == 2
    assert len(office.trust_documents) == 2  # devices that have not followed yet get the chain
    assert cli("doctor", *CONFIG).code == 0

    assert cli("key", "rotate", "release", "-o", "third.pub", *CONFIG).code == 0
    kept = [one["key"] for one in keys(cli, "release")]
    assert kept[0] == new[0]
    assert old[0] not in kept  # what was replaced is forgotten


def test_a_lost_public_half_costs_nothing(cli, room):
    config = CONFIG
    cli("key", "rotate", "order", "-o", "one.pub", *config)
    cli("key", "rotate", "order", "-o", "two.pub", *config)
    assert (room.parent / "one.pub").read_bytes() == (room.parent / "two.pub").read_bytes()


def test_a_deposit_key_is_replaced_and_the_old_one_still_opens(cli, room):
    config = CONFIG
    cli("key", "rotate", "deposit", "-o", "deposit.pub", *config)
    before = wiring.open_office(load(room / "strongroom.toml")).trust.deposit[0].key
    assert rotated(cli, "--add", "deposit=deposit.pub").code == 0
    office = wiring.open_office(load(room / "strongroom.toml"))
    named = [one.key for one in office.trust.deposit]
    assert named[1:] == [before]
    assert {one.public for one in office.deposit_keys} == set(named)


def test_two_owners_sign_one_after_the_other(cli, room):
    """K of the old and k of the new: each signature is added to one file, and `show` says who is missing."""
    assert cli("trust", "key", "second.key").code == 0
    outcome = rotated(cli, "--add", "owner=second.pub", "--threshold", "owner=2", signers=(OWNER, SECOND))
    assert outcome.code == 0
    assert cli("trust", "new", *FROM, "-o", "third.json").code == 0
    assert cli("trust", "sign", "third.json", *FROM, *OWNER, "--yes").code == 0
    shown = cli("trust", "show", "third.json", *FROM, "--json").json
    assert shown["signatures"]["its owners"] == {"needed": 2, "signed": 1, "enough": False}
    refused = cli("trust", "rotate", "third.json", *CONFIG, "--json")
    assert (refused.code, code(refused)) == (5, "trust-threshold")
    assert trust_of.read((room / "trust.json").read_bytes()).version == 2  # the one before is untouched
    assert cli("trust", "sign", "third.json", *FROM, "--sign-with", "second.key", "--yes").code == 0
    assert cli("trust", "rotate", "third.json", *CONFIG).code == 0


def test_an_owner_who_leaves_signs_his_own_leaving(cli, room):
    cli("trust", "key", "second.key")
    first = ids(cli, "owner")[0][:8]
    outcome = rotated(
        cli, "--add", "owner=second.pub", "--drop", f"owner={first}", signers=(OWNER, ("--sign-with", "second.key"))
    )
    assert outcome.code == 0
    cli("trust", "new", *FROM, "-o", "third.json")
    outcome = cli("trust", "sign", "third.json", *FROM, *OWNER, "--yes", "--json")  # he is no owner any more
    assert (outcome.code, code(outcome)) == (2, "argument")


def test_what_is_signed_is_shown_before(cli, room):
    cli("trust", "new", *FROM, "-o", "next.json", "--epoch", "digits=3", "--server", "https://new.example:8443")
    outcome = cli("trust", "sign", "next.json", *FROM, *OWNER)
    assert outcome.code == 2  # nobody to ask, and no --yes
    assert "epoch of digits: 1 -> 3" in outcome.err
    assert "server: " in outcome.err
    assert (room.parent / "next.json").read_bytes()[:1] == b"{"  # still unsigned


def test_a_document_is_signed_once_by_each_key_and_by_owners_only(cli, room):
    cli("trust", "key", "stranger.key")
    cli("trust", "new", *FROM, "-o", "next.json")
    assert cli("trust", "sign", "next.json", *FROM, "--sign-with", "stranger.key", "--yes").code == 2
    assert cli("trust", "sign", "next.json", *FROM, *OWNER, "--yes").code == 0
    before = (room.parent / "next.json").read_bytes()
    assert cli("trust", "sign", "next.json", *FROM, *OWNER, "--yes").code == 2
    assert (room.parent / "next.json").read_bytes() == before


def test_a_pin_is_added_and_taken_away(cli, room):
    backup = ("--pin", "localhost=strongroom/tls/backup.pem")
    assert cli("trust", "new", *FROM, "-o", "same.json", *backup).code == 0
    assert cli("trust", "show", "same.json", *FROM, "--json").json["changes"] == []  # it is pinned already
    assert cli("trust", "new", *FROM, "-o", "less.json", "--unpin", "localhost=strongroom/tls/backup.pem").code == 0
    changes = cli("trust", "show", "less.json", *FROM, "--json").json["changes"]
    assert [line.split(":")[0] for line in changes] == ["pin removed"]


@pytest.mark.parametrize(
    "words",
    [
        ("--add", "owner"), ("--add", "boss=x"), ("--add", "owner=missing.pub"),
        ("--add", "owner=strongroom/trust.json"), ("--unpin", "localhost=strongroom/tls/ca.pem"),
        ("--drop", "owner=short"), ("--drop", "release=AAAAAAAA"), ("--drop", "deposit=AAAAAAAA"),
        ("--threshold", "owner=2"), ("--threshold", "owner=0"), ("--threshold", "owner=x"), ("--epoch", "digits=1"),
        ("--epoch", "digits=-1"), ("--pin", "localhost=strongroom/trust.json"),
        ("--expires-in", "0"), ("--server", "http://plain.example"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_changes_make_no_file(cli, room, words):
    outcome = cli("trust", "new", *FROM, "-o", "next.json", *words)
    assert outcome.code in {2, 5}, outcome.err
    assert not (room.parent / "next.json").exists()


def test_what_does_not_follow_is_not_installed(cli, room):
    """A step left out, the same version again, another server's, an expired one: the one in force stays."""
    config = (*CONFIG, "--json")
    before = (room / "trust.json").read_bytes()
    codes = []
    for words in ((), ("--server", "https://elsewhere.example:1")):
        cli("trust", "new", *FROM, "-o", "next.json", *words)
        cli("trust", "sign", "next.json", *FROM, *OWNER, "--yes")
        if not words:
            cli("trust", "new", "--from", "next.json", "-o", "after.json")
            cli("trust", "sign", "after.json", "--from", "next.json", *OWNER, "--yes")
            outcome = cli("trust", "rotate", "after.json", *config)
        else:
            outcome = cli("trust", "rotate", "next.json", *config)
        codes.append(code(outcome))
        (room.parent / "next.json").unlink()
    outcome = cli("trust", "rotate", "strongroom/trust.json", *config)
    codes.append(code(outcome))
    assert codes == ["trust-version", "config", "trust-version"]
    assert (room / "trust.json").read_bytes() == before


def test_owner_keys_are_private_and_never_overwritten(cli, room):
    assert cli("trust", "key", "second.key").code == 0
    assert (room.parent / "second.key").stat().st_mode & 0o077 == 0
    before = (room.parent / "second.key").read_bytes()
    assert cli("trust", "key", "second.key", "--public", "other.pub").code == 2
    assert (room.parent / "second.key").read_bytes() == before
    assert not (room.parent / "other.pub").exists()


def test_what_is_refused_says_which_file_and_what_next(cli, room):
    """D10: an unsigned draft, the same file twice, too few signatures, a step left out."""

    def error(*names):
        outcome = cli("trust", "rotate", *names, *CONFIG, "--json")
        assert outcome.code != 0
        return json.loads(outcome.out)["error"]

    cli("trust", "new", *FROM, "-o", "next.json")
    draft = error("next.json")
    assert (draft["code"], draft["where"]) == ("trust-threshold", "next.json")
    assert "trust show next.json" in draft["next"]
    cli("trust", "sign", "next.json", *FROM, *OWNER, "--yes")
    cli("trust", "new", "--from", "next.json", "-o", "after.json")
    cli("trust", "sign", "after.json", "--from", "next.json", *OWNER, "--yes")
    gap = error("after.json")
    assert (gap["code"], gap["where"]) == ("trust-version", "after.json")
    assert "between" in gap["next"]
    assert cli("trust", "rotate", "next.json", "after.json", *CONFIG).code == 0
    again = error("after.json")
    assert (again["code"], again["where"]) == ("trust-version", "after.json")
    assert "in force already" in again["what"]
    assert "trust new" in again["next"]


def test_nobody_signs_blindly(cli, room):
    """The next document is signed against the one in force, or not at all."""
    cli("trust", "new", *FROM, "-o", "next.json")
    assert cli("trust", "sign", "next.json", *OWNER, "--yes").code == 2
    assert (room.parent / "next.json").read_bytes()[:1] == b"{"
    assert cli("trust", "sign", "next.json", *FROM, *OWNER, "--yes").code == 0


def test_what_show_prints_is_what_drop_and_status_name(cli, room):
    """A deposit key is dropped by its beginning: `show` says it; pins are there to be compared."""
    shown = cli("trust", "show", "strongroom/trust.json", "--json").json
    assert [one["key"] for one in shown["deposit"]] == [one["key"] for one in keys(cli, "deposit")]
    document = trust_of.read((room / "trust.json").read_bytes())
    assert {host: len(spki) for host, spki in shown["pins"].items()} == {
        pin.host: len(pin.spki) for pin in document.pins
    }


def test_a_keyring_under_a_passphrase_is_opened_by_every_command_that_needs_it(cli, tmp_path):
    (tmp_path / "phrase").write_bytes(b"correct horse battery\n")
    (tmp_path / "phrase").chmod(0o600)
    assert cli("init", "strongroom", "--passphrase-file", "phrase").code == 0
    (tmp_path / "phrase").rename(tmp_path / "typed")  # from now on a person has it
    config = tmp_path / "strongroom" / "strongroom.toml"
    lines = [one for one in config.read_text().splitlines(keepends=True) if not one.startswith("passphrase_file")]
    config.write_text("".join(lines))
    typed = ("--passphrase-file", "typed", *CONFIG)
    assert cli("key", "status", *CONFIG).code == 1
    assert cli("key", "status", *typed).code == 0
    assert cli("key", "rotate", "release", "-o", "release.pub", *typed).code == 0
    cli("trust", "new", *FROM, "-o", "next.json", "--add", "release=release.pub")
    cli("trust", "sign", "next.json", *FROM, *OWNER, "--yes")
    assert cli("trust", "rotate", "next.json", *CONFIG).code == 1
    assert cli("trust", "rotate", "next.json", *typed).code == 0
