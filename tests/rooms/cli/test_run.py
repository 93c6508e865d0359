"""Inputs of models as files: NumPy's formats and JSON, and everything that is neither (attacks F01, F02)."""

import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.arrays import plain, read_feeds
from strongroom.errors import Code, InputError

ONE = {"x": "tensor(float)"}
TWO = {"x": "tensor(float)", "y": "tensor(int64)"}

HUGE = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }" + b" " * 40


def test_each_format_gives_the_same(tmp_path):
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "a.npy", value)
    np.savez(tmp_path / "a.npz", x=value)
    (tmp_path / "a.json").write_text(json.dumps(value.tolist()))
    (tmp_path / "named.json").write_text(json.dumps({"x": value.tolist()}))
    for name in ("a.npy", "a.npz", "a.json", "named.json"):
        feeds = read_feeds(tmp_path / name, ONE)
        assert list(feeds) == ["x"]
        assert feeds["x"].dtype == np.float32
        assert (feeds["x"] == value).all()


def test_several_inputs_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=[1.0], y=[2])
    feeds = read_feeds(tmp_path / "a.npz", TWO)
    assert (feeds["x"].dtype, feeds["y"].dtype) == (np.float32, np.int64)
    np.save(tmp_path / "one.npy", [1.0])
    with pytest.raises(InputError) as caught:
        read_feeds(tmp_path / "one.npy", TWO)
    assert "x, y" in caught.value.what


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5], "int64"), ([float("nan")], "int64"), ([float("inf")], "int32"), ([-1], "uint8"), ([256], "uint8"),
        ([2**31], "int32"), ([2**63], "int64"), ([1e300], "int64"), ([2.0**53 + 2], "int64"), ([2], "bool"),
        ([0.5], "bool"), ([1e39], "float"), ([70_000], "float16"), ([70_000.0], "float16"), ([2**24 + 1], "float"),
        (["1"], "float"), (["1"], "int64"), ([1j], "float"), ([2**70], "int64"), ([2**70], "double"),
    ],
    ids=str,
)  # fmt: skip
def test_values_that_would_become_others_are_refused(tmp_path, values, kind):
    np.savez(tmp_path / "a.npz", x=np.array(values, dtype=None))
    with warnings.catch_warnings(action="error"), pytest.raises(InputError) as caught:
        read_feeds(tmp_path / "a.npz", {"x": f"tensor({kind})"})
    assert caught.value.code == Code.ARGUMENT
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.0, -2.0], "int64"), ([0, 255], "uint8"), ([0, 1], "bool"), ([True], "int64"), ([True], "float"),
        ([0.1], "float"), ([float("nan"), float("inf")], "float"), ([2**24], "float"), ([2**63 - 1], "int64"),
        ([2**64 - 1], "uint64"), ([], "int64"), ([[1], [2]], "double"), ([-(2**63)], "int64"),
    ],
    ids=str,
)  # fmt: skip
def test_values_that_stay_what_they_are_are_cast(tmp_path, values, kind):
    np.save(tmp_path / "a.npy", np.array(values))
    with warnings.catch_warnings(action="error"):
        cast = read_feeds(tmp_path / "a.npy", {"x": f"tensor({kind})"})["x"]
    assert np.array_equal(cast.astype(np.array(values).dtype), np.array(values), equal_nan=True) or kind == "float"


def test_numbers_too_large_for_json_are_refused(tmp_path):
    (tmp_path / "a.json").write_text("[1e400]")
    with pytest.raises(InputError):
        read_feeds(tmp_path / "a.json", ONE)


class Canary:
    """What a pickle would run."""

    def __reduce__(self):
        return os.mkdir, ("canary",)


def test_pickles_are_not_run(tmp_path, monkeypatch):
    """Attacks F01, F02: an object array, a bare pickle, a pickle in a zip; the canary never sings."""
    monkeypatch.chdir(tmp_path)
    np.save("o.npy", np.array([Canary()], dtype=object), allow_pickle=True)
    np.savez("o.npz", x=np.array([Canary()], dtype=object))
    with open("p.npy", "wb") as file:  # noqa: PTH123 - numpy takes the open file
        pickle.dump(Canary(), file)
    with zipfile.ZipFile("z.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Canary()))
    for name in ("o.npy", "o.npz", "p.npy", "z.npz"):
        with pytest.raises(InputError) as caught:
            read_feeds(tmp_path / name, ONE)
        assert caught.value.code == Code.ARGUMENT
    assert not os.path.exists("canary")  # noqa: PTH110 - the one name, here


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.npy", b""), ("a.npy", b"\x93NUMPY"), ("a.npz", b"PK"), ("a.npz", b""), ("a.json", b""), ("a.json", b"{"),
        ("a.json", b"[" * 100_000), ("a.json", b'"text"'), ("a.json", b'["a"]'), ("a.json", b"[[1],[1,2]]"),
        ("a.json", b"\xff"), ("a.json", b"null"), ("a.json", b"[[null]]"), ("a.json", b'{"z":[1]}'), ("a.json", b"{}"),
        ("a.txt", b"1"), ("a", b"1"), ("a.npy", HUGE),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_is_no_input(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_feeds(path, ONE)


def test_what_is_no_file(tmp_path):
    (tmp_path / "d.npy").mkdir()
    for name in ("missing.npy", "missing.json", "missing.npz", "d.npy"):
        with pytest.raises(InputError) as caught:
            read_feeds(tmp_path / name, ONE)
        assert caught.value.code == Code.ARGUMENT


@given(st.recursive(st.floats() | st.integers() | st.text() | st.booleans() | st.none(), st.lists, max_leaves=10))
def test_every_output_is_json(value):
    json.loads(json.dumps(plain(value), allow_nan=False))


def test_arrays_become_lists():
    assert plain(np.array([[1, 2], [3, 4]], dtype=np.int64)) == [[1, 2], [3, 4]]
    assert plain([{"a": np.float32(0.5)}]) == [{"a": 0.5}]
    assert plain(np.array([np.nan, np.inf])) == ["nan", "inf"]
    assert plain(np.array(["a", b"b"], dtype=object)) == ["a", "b'b'"]
