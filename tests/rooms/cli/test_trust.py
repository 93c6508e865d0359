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
