"""Small files: whole or refused, private or refused, never written over."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from strongroom.errors import Code, InputError, SetupError
from strongroom.operator.keys import read_model_key, read_owner_key, write_model_key, write_owner_key
from strongroom.operator.small_files import read_public, read_secret, write_secret
from strongroom.sealed import ModelKey
from strongroom.signing import ED25519, ML_DSA_65, SigningKey


def secret(path, data=b"x", mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_what_is_written_is_read(tmp_path):
    write_secret(tmp_path / "s", b"value", what="token")
    assert read_secret(tmp_path / "s", limit=10, what="token") == b"value"
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], ids=oct)
def test_secrets_are_0600_whatever_the_umask_gives_away(tmp_path, umask):
    old = os.umask(umask)
    try:
        write_secret(tmp_path / "s", b"value", what="token")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) & 0o077 == 0


def test_nothing_is_written_over(tmp_path):
    for path in (secret(tmp_path / "file", b"old"), tmp_path / "dangling", tmp_path / "directory"):
        if path.name == "dangling":
            path.symlink_to(tmp_path / "elsewhere")
        if path.name == "directory":
            path.mkdir()
        with pytest.raises(InputError) as caught:
            write_secret(path, b"new", what="token")
        assert caught.value.code == Code.ALREADY_THERE
    assert (tmp_path / "file").read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dangling", "directory", "file"]  # no draft is left


def test_bad_places_to_write(tmp_path):
    secret(tmp_path / "file")
    for path in (tmp_path / "none" / "s", tmp_path / "file" / "s"):
        with pytest.raises(InputError) as caught:
            write_secret(path, b"new", what="token")
        assert caught.value.code == Code.ARGUMENT


@pytest.mark.parametrize("name", ["\u0905" * 80, "k" * 250, "\U0001f511" * 60, os.fsdecode(b"\xff" * 240)], ids=len)
def test_long_names_have_drafts(tmp_path, name):
    """A file name has 255 bytes, not characters; its draft repeats what there is room for."""
    write_secret(tmp_path / name, b"value", what="token")
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_link_that_was_made_twice_is_no_other_file(tmp_path, monkeypatch):
    """C04: a network file system may lose the answer, ask again and be told that the name is taken."""
    link = os.link

    def twice(*args, **how):
        link(*args, **how)
        link(*args, **how)

    monkeypatch.setattr(os, "link", twice)
    write_secret(tmp_path / "s", b"value", what="token")
    assert [one.name for one in tmp_path.iterdir()] == ["s"]


def test_a_draft_that_cannot_be_removed_is_not_a_name_that_is_taken(tmp_path, monkeypatch):
    """C04: the file has its name by then."""
    unlink = Path.unlink

    def failing(path, **how):
        if path.name.endswith(".part"):
            raise OSError(5, "Input/output error")
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", failing)
    write_secret(tmp_path / "s", b"value", what="token")
    assert (tmp_path / "s").read_bytes() == b"value"


def test_a_draft_that_another_process_took_for_stale(tmp_path, monkeypatch):
    """C13: between making a draft and locking it, it looks left behind; then another one is made."""
    flock, taken = fcntl.flock, []

    def late(handle, how):
        if len(taken) < 3:
            (draft,) = tmp_path.glob(".s.*.part")
            taken.append(draft.name)
            if len(taken) == 2:
                raise BlockingIOError
            draft.unlink()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_secret(tmp_path / "s", b"value", what="token")
    assert len(set(taken)) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666], ids=oct)
def test_secrets_that_others_may_read_are_refused(tmp_path, mode):
    """Attack D11's neighbour: a key that lies open is no key any more; the owner hears of it."""
    path = secret(tmp_path / "s", mode=mode)
    with pytest.raises(SetupError) as caught:
        read_secret(path, limit=10, what="owner key")
    assert caught.value.code == Code.PERMISSIONS
    assert "chmod 600" in caught.value.next_step
    assert read_public(path, limit=10, what="trust file") == b"x"


def test_what_is_no_small_file_is_refused_without_waiting(tmp_path):
    """Attack C14: links, FIFOs, directories; none of them hangs or is followed."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "link").symlink_to(secret(tmp_path / "target"))
    (tmp_path / "directory").mkdir(mode=0o700)
    secret(tmp_path / "empty", b"")
    secret(tmp_path / "large", b"x" * 11)
    for name in ("fifo", "link", "directory", "empty", "large", "missing", "target/below"):
        with pytest.raises(InputError) as caught:
            read_secret(tmp_path / name, limit=10, what="token")
        assert caught.value.code == Code.ARGUMENT
    for name in ("fifo", "directory", "empty", "large", "missing"):
        with pytest.raises(InputError):
            read_public(tmp_path / name, limit=10, what="trust file")
    assert read_public(tmp_path / "link", limit=10, what="trust file") == b"x"


def test_owner_keys_round_trip(tmp_path):
    keys = (SigningKey.generate(ED25519), SigningKey.generate(ML_DSA_65))
    write_owner_key(tmp_path / "owner.key", keys)
    assert read_owner_key(tmp_path / "owner.key") == keys


def test_model_keys_round_trip(tmp_path):
    key = ModelKey.generate()
    write_model_key(tmp_path / "mek", key)
    assert len((tmp_path / "mek").read_bytes()) == 44
    assert read_model_key(tmp_path / "mek") == key


@pytest.mark.parametrize(
    "data",
    [b"A" * 42, b"A" * 44, b"A" * 42 + b"=", b"A" * 42 + b"B", b"\xff" * 43, b"A" * 43 + b"\n\n", b"{}", b"\n"],
    ids=["short", "long", "padded", "not canonical", "not text", "two lines", "JSON", "blank"],
)
def test_what_is_no_key_is_refused_without_quoting_it(tmp_path, data):
    """R16: a file that was to hold a secret is never quoted."""
    path = secret(tmp_path / "key", data)
    for reader in (read_model_key, read_owner_key):
        with pytest.raises(InputError) as caught:
            reader(path)
        assert caught.value.code == Code.ARGUMENT
        assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"keys":[]}',
        b'{"keys":[{"alg":"ES256","seed":"%s"}]}' % (b"A" * 43),
        b'{"keys":[{"alg":"Ed25519","seed":"AAAA"}]}',
        b'{"keys":[{"alg":"Ed25519","seed":"%s"}],"more":1}' % (b"A" * 43),
        b'{ "keys":[{"alg":"Ed25519","seed":"%s"}]}' % (b"A" * 43),
    ],
    ids=["none", "device algorithm", "short seed", "unknown field", "not canonical"],
)
def test_owner_keys_of_another_shape_are_refused(tmp_path, data):
    with pytest.raises(InputError):
        read_owner_key(secret(tmp_path / "key", data))
