"""Which paths a model's files may have: one example per rule, both for writers and readers (R28; E16)."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import InputError, IntegrityError
from strongroom.sealed.paths import broken_path_rule, conflict
from strongroom.sealed.toc import parse

BAD = {
    "empty": "",
    "absolute": "/model",
    "trailing slash": "model/",
    "empty part": "a//b",
    "dot": "a/./b",
    "parent": "../model",
    "parent inside": "a/../../b",
    "backslash": "a\\b",
    "drive or stream": "c:model",
    "wildcard": "model*",
    "NUL": "a\0b",
    "line feed": "a\nb",
    "delete": "a\x7fb",
    "C1 control": "a\x85b",
    "trailing dot": "model.",
    "trailing space": "dir /model",
    "device": "CON",
    "device with a suffix": "weights/nul.onnx",
    "device with a space": "aux .txt",
    "numbered device": "com1",
    "superscript device": "LPT\u00b2.bin",
    "console": "conin$",
    "not NFC": "e\u0301",
    "lone surrogate": "a\ud800",
    "1,025 bytes": "m" * 1025,
}
GOOD = [
    "model.onnx",
    "a/b/c",
    "...hidden",
    ".gitignore",
    "console",
    "com",
    "com10",
    "lpt",
    "\u00e9",
    "\u6a21\u578b.bin",
    "m" * 1024,
    "a b",
]


@pytest.mark.parametrize("path", BAD.values(), ids=BAD.keys())
def test_a_path_that_breaks_a_rule(path):
    assert broken_path_rule(path)
    with pytest.raises(InputError) as refusal:
        sealed.seal(
            [sealed.Source.of_bytes(path, b"x")],
            io.BytesIO(),
            mek=sealed.ModelKey.generate(),
            subject=sealed.Subject(None, "m", "1", None),
        )
    assert refusal.value.code == "path"


@pytest.mark.parametrize("path", GOOD, ids=ascii)
def test_a_path_that_breaks_none(path):
    assert broken_path_rule(path) is None


@pytest.mark.parametrize(
    ("paths", "clash"),
    [
        (["a", "b", "a/b"], "a/b"),
        (["a/b", "a"], "a/b"),
        (["A/b", "a"], "A/b"),
        (["a", "A"], "A"),
        (["stra\u00dfe", "STRASSE"], "STRASSE"),
        (["\u03c3", "\u03c2"], "\u03c2"),
        (["a/b", "a/c", "ab"], None),
    ],
    ids=ascii,
)
def test_paths_that_would_be_one_on_some_systems(paths, clash):
    assert conflict(paths) == clash


@given(st.text(max_size=30))
def test_no_allowed_path_leaves_its_directory(path):
    if broken_path_rule(path) is None:
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": [{"path": "m", "size": 1}]},
        {"files": [{"path": "m", "sha256": "AA", "size": 1}]},
        {"format": 1},
        {"metadata": {"a": 1.5}},
        {"metadata": {"a": None}},
        {"runtimes": ["ONNX"]},
        {"unknown": 1},
        {"licence": ""},
    ],
    ids=ascii,
)
def test_a_table_of_contents_of_another_shape(change):
    """Section 9: everything about it is one code; only who made it can mend it."""
    import json

    entry = {"path": "m", "sha256": "A" * 43, "size": 1}
    value = {
        "files": [entry],
        "format": None,
        "licence": None,
        "metadata": {},
        "origin": None,
        "overlayable": [],
        "runtimes": [],
    }
    parse(json.dumps(value, separators=(",", ":")).encode(), 1)
    data = json.dumps(value | change, separators=(",", ":"), sort_keys=True).encode()
    with pytest.raises(IntegrityError) as refusal:
        parse(data, 1)
    assert refusal.value.code == "file-content"
