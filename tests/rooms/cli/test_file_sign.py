"""`strongroom file sign` and suite 2 on the command line."""

import json
import os
import stat
from pathlib import Path

import pytest

from strongroom import sealed
from strongroom.errors import Code
from strongroom.operator.keys import write_owner_key
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import hpke, trust
from strongroom.wire.trust import Pin, Trust

MODEL = b"weights " * 300_000
FIRST = (SigningKey.generate(ED25519), SigningKey.generate(ML_DSA_65))
SECOND = (SigningKey.generate(ED25519),)


@pytest.fixture
def model(cli, tmp_path):
    """A file signed by nobody, two owners' keys, and a trust file that asks for both."""
    (tmp_path / "m.bin").write_bytes(MODEL)
    write_owner_key(tmp_path / "first.key", FIRST)
    write_owner_key(tmp_path / "second.key", SECOND)
    assert cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek").code == 0
    write_trust(tmp_path / "trust.json", (1,))
    return tmp_path / "m.srm"


def write_trust(path: Path, suites: tuple[int, ...]) -> None:
    owners = Role(2, tuple(Principal(tuple(key.public for key in keys)) for keys in (FIRST, SECOND)))
    others = [Role(1, (Principal((SigningKey.generate(ED25519).public,)),)) for _ in range(2)]
    pins = (Pin("desk", None, (bytes(32),)),)
    document = Trust(1, 2_000_000_000, "https://desk", pins, owners, *others, (), suites, tuple(hpke.KEMS))
    path.write_bytes(trust.encode(document, (*FIRST, *SECOND)))


def unchanged(model: Path, before: bytes) -> bool:
    return model.read_bytes() == before and not list(model.parent.glob(".*.part"))


def test_two_owners_one_after_the_other(cli, model, tmp_path):
    """A22: the second signature makes the file genuine; the model key lies elsewhere all the while."""
    (tmp_path / "m.mek").rename(tmp_path / "elsewhere")
    model.chmod(0o640)
    verify = ("file", "verify", "m.srm", "--trust", "trust.json")
    assert cli(*verify).code == 5
    first = cli("file", "sign", "m.srm", "--sign-with", "first.key", "--json")
    assert first.code == 0, first.err
    assert [one["alg"] for one in json.loads(first.out)["signatures"]] == [ED25519, ML_DSA_65]
    assert cli(*verify).code == 5
    second = cli("file", "sign", "m.srm", "--sign-with", "second.key")
    assert second.code == 0, second.err
    assert cli(*verify).code == 0
    assert stat.S_IMODE(model.stat().st_mode) == 0o640
    assert not list(tmp_path.glob(".*.part"))
    opened = cli("file", "open", "m.srm", "-o", "out", "--mek", "elsewhere", "--trust", "trust.json")
    assert opened.code == 0, opened.err
    assert (tmp_path / "out" / "m.bin").read_bytes() == MODEL


def test_both_at_once(cli, model):
    assert cli("file", "sign", "m.srm", "--sign-with", "first.key", "--sign-with", "second.key").code == 0
    assert cli("file", "verify", "m.srm", "--trust", "trust.json").code == 0


def test_what_is_refused_leaves_the_file_as_it_was(cli, model, tmp_path):
    cli("file", "sign", "m.srm", "--sign-with", "first.key")
    before = model.read_bytes()
    again = cli("file", "sign", "m.srm", "--sign-with", "first.key")
    assert (again.code, Code.ARGUMENT in again.err) == (2, True)
    assert unchanged(model, before)
    missing = cli("file", "sign", "m.srm", "--sign-with", "nobody.key")
    assert missing.code == 2
    (tmp_path / "link.srm").symlink_to(model)
    assert cli("file", "sign", "link.srm", "--sign-with", "second.key").code == 2
    assert unchanged(model, before)
    bent = bytearray(before)
    bent[-1] ^= 1
    model.write_bytes(bent)
    altered = cli("file", "sign", "m.srm", "--sign-with", "second.key")
    assert (altered.code, Code.FILE_DIGEST in altered.err) == (5, True)
    assert unchanged(model, bytes(bent))
    assert cli("file", "sign", "nothing.srm", "--sign-with", "second.key").code == 2


def test_two_owners_at_the_same_time(cli, model, monkeypatch):
    """The one who finishes second is told to sign again, and the first one's signature stays."""
    copy = sealed.copy_signed

    def meanwhile(readable, sink, *signers, progress):
        head = copy(readable, sink, *signers, progress=progress)
        monkeypatch.setattr(sealed, "copy_signed", copy)
        assert cli("file", "sign", "m.srm", "--sign-with", "first.key").code == 0
        return head

    monkeypatch.setattr(sealed, "copy_signed", meanwhile)
    outcome = cli("file", "sign", "m.srm", "--sign-with", "second.key")
    assert (outcome.code, Code.FILE_SOURCE_CHANGED in outcome.err) == (2, True)
    with sealed.FileReadable.open(model) as readable:
        assert [one.key for one in sealed.read_head(readable).signatures] == [one.public.key_id for one in FIRST]


def test_the_other_finishes_between_the_last_look_and_the_replacing(cli, model, monkeypatch):
    """A22: signers take turns there, so that none of them replaces what it has not seen."""
    replace, codes = Path.replace, []

    def meanwhile(draft, target):
        monkeypatch.setattr(Path, "replace", replace)
        other = cli("file", "sign", "m.srm", "--sign-with", "first.key")
        codes.append((other.code, Code.LOCKED in other.err))
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", meanwhile)
    assert cli("file", "sign", "m.srm", "--sign-with", "second.key").code == 0
    assert codes == [(1, True)]
    assert cli("file", "sign", "m.srm", "--sign-with", "first.key").code == 0
    assert cli("file", "verify", "m.srm", "--trust", "trust.json").code == 0


def test_signing_keeps_owner_group_and_mode(cli, model):
    """As far as this user may: root gives files to anybody, others to groups they are in."""
    user, group = (1234, 1235) if os.geteuid() == 0 else (os.getuid(), max([os.getegid(), *os.getgroups()]))
    os.chown(model, user, group)
    model.chmod(0o640)
    assert cli("file", "sign", "m.srm", "--sign-with", "first.key").code == 0
    state = model.stat()
    assert (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (user, group, 0o640)


def test_suite_2_where_the_owners_allow_it(cli, model, tmp_path):
    """A19: readable, but trust.json decides what is taken; what is sealed without asking is suite 1."""
    seal = ("file", "seal", "m.bin", "--sign-with", "first.key", "--sign-with", "second.key")
    made = cli(*seal, "--suite", "2", "-o", "two.srm", "--mek", "two.mek", "--json")
    assert json.loads(made.out)["suite"] == 2
    assert cli("file", "open", "two.srm", "-o", "free", "--mek", "two.mek").code == 0
    assert (tmp_path / "free" / "m.bin").read_bytes() == MODEL
    for use in (("verify", "two.srm"), ("open", "two.srm", "-o", "out", "--mek", "two.mek")):
        refused = cli("file", *use, "--trust", "trust.json")
        assert (refused.code, Code.FILE_MISMATCH in refused.err) == (5, True)
    write_trust(tmp_path / "both.json", (1, 2))
    for use in (("verify", "two.srm"), ("open", "two.srm", "-o", "out", "--mek", "two.mek")):
        assert cli("file", *use, "--trust", "both.json").code == 0
    default = cli(*seal, "-o", "one.srm", "--mek", "one.mek", "--json")
    assert json.loads(default.out)["suite"] == 1
    assert cli(*seal, "--suite", "3", "-o", "three.srm", "--mek", "three.mek").code == 2
