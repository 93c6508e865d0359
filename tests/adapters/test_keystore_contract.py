"""What every keystore must do: one suite over the file keystore and the TPM keystore on a real TPM."""

import pytest

from strongroom.edge.folder import FRESH
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.keystore.opening import open_keystore
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.errors import Code, InternalError, StrongroomError
from strongroom.signing import ES256

KINDS = {"file": FileKeystore, "tpm": TpmKeystore}
SECRET, OTHER = bytes(range(32)), bytes(range(32, 64))


@pytest.fixture(params=sorted(KINDS))
def make(request, tmp_path):
    """Return what opens the keystore of one directory anew, as another process would."""
    if request.param == "file":
        return lambda: FileKeystore(tmp_path / "keystore")
    chip = request.getfixturevalue("chip")
    return lambda: TpmKeystore(tmp_path / "keystore", chip.address)


@pytest.fixture
def files(tmp_path):
    return lambda: sorted((tmp_path / "keystore").iterdir())


def test_it_says_what_it_is_worth(make):
    assert KINDS[make().strength] is type(make())


def test_a_fresh_one_is_empty(make):
    assert make().device_key() is None
    assert make().names() == []
    assert make().get("state") is None
    make().destroy("state")
    make().clean()


def test_a_secret_comes_back_as_bytes_that_can_be_wiped(make):
    make().put("state", SECRET)
    make().put("0123456789abcdef", bytearray(OTHER))
    found = make().get("state")
    assert type(found) is bytearray
    assert found == SECRET
    found[:] = bytes(32)
    assert make().get("state") == SECRET
    assert make().get("0123456789abcdef") == OTHER
    assert make().names() == ["0123456789abcdef", "state"]


def test_putting_does_not_change_the_callers_buffer(make):
    secret = bytearray(SECRET)
    make().put("state", secret)
    assert secret == SECRET


def test_a_destroyed_secret_is_gone(make, files):
    make().put("state", SECRET)
    make().put("other", OTHER)
    make().destroy("state")
    assert make().get("state") is None
    assert make().names() == ["other"]
    assert make().get("other") == OTHER
    assert not any("state" in path.name for path in files())
    make().put("state", OTHER)
    assert make().get("state") == OTHER


def test_the_device_key_is_made_once_and_signs(make):
    made = make().make_device_key()
    again = make().make_device_key()
    found = make().device_key()
    assert made.public == again.public == found.public
    assert made.public.alg == ES256
    for signer in (made, again, found):
        assert signer.public.verify(signer.sign(b"data"), b"data")
    assert not made.public.verify(made.sign(b"data"), b"other")
    assert make().names() == []  # it is no secret of the callers'


def test_names_are_ours(make):
    for name in ("", "device", "../state", "State", "a" * 65, "a.b", "a/b", "ä"):
        for use in (
            lambda n=name: make().put(n, SECRET),
            lambda n=name: make().get(n),
            lambda n=name: make().destroy(n),
        ):
            with pytest.raises(InternalError):
                use()
    make().put("a" * 64, SECRET)
    assert make().get("a" * 64) == SECRET


def test_a_secret_has_32_bytes(make):
    for size in (0, 31, 33):
        with pytest.raises(InternalError):
            make().put("state", bytes(size))
    assert make().names() == []


def test_only_the_owner_may_read_the_files(make, files, tmp_path):
    make().make_device_key()
    make().put("state", SECRET)
    assert (tmp_path / "keystore").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files()} == {0o600}


def test_what_an_interrupted_put_left_is_removed(make, files, tmp_path):
    make().put("state", SECRET)
    (tmp_path / "keystore" / f"{FRESH}0011").write_bytes(b"half")
    assert make().names() == ["state"]
    make().clean()
    assert not any(path.name.startswith(FRESH) for path in files())
    assert make().get("state") == SECRET


def test_a_cut_or_overlong_file_is_damage(make, files):
    make().make_device_key()
    make().put("state", SECRET)
    for path in files():
        if path.suffix == ".json":
            continue
        whole = path.read_bytes()
        for bent in (whole[:-1], whole + b"\0", b"", b"x" * 100_000):
            path.write_bytes(bent)
            with pytest.raises(StrongroomError) as caught:
                make().get("state") if "state" in path.name else make().device_key().public
            assert caught.value.code == Code.STORE_DAMAGED
        path.write_bytes(whole)
    assert make().get("state") == SECRET


def test_nothing_of_a_secret_prints(make):
    made = make().make_device_key()
    make().put("state", SECRET)
    assert SECRET.hex() not in repr(make())
    assert "seed" not in repr(made)
    assert len(repr(made)) < 400


def test_a_directory_is_opened_as_what_it_is(make, tmp_path):
    make().make_device_key()
    make().put("state", SECRET)
    found = open_keystore(tmp_path / "keystore")
    assert type(found) is type(make())
    assert found.get("state") == SECRET
