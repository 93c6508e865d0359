"""Messages: what is written is read back; anything else is refused with a code (R39, R63)."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom import canonical
from strongroom.errors import Code, IntegrityError
from strongroom.shapes import Array, Binary, Choice, Flag, Free, Integer, Nullable, Object, Text
from strongroom.signing import ED25519, PublicKey
from strongroom.wire import activation, messages
from strongroom.wire.messages import Message, Record

KEY = PublicKey(ED25519, b"k" * 32)
TEXTS = ("digits", "1.2", "@stable", "aa.bb.cc", "app-attest", "dev_" + "d" * 22, "slow")
ALL = [
    getattr(messages, name)
    for name in vars(messages)
    if isinstance(getattr(messages, name), type) and issubclass(getattr(messages, name), Message) and name != "Message"
] + [activation.ActivationRequest, activation.ActivationAnswer]


def values(shape: object) -> st.SearchStrategy:  # noqa: PLR0911 - one line for each shape
    """Make JSON values of a shape."""
    if isinstance(shape, Text):
        fixed = [text for text in TEXTS if shape.pattern and re.fullmatch(shape.pattern, text)]
        return (
            st.sampled_from(fixed)
            if fixed
            else st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
        )
    if isinstance(shape, Integer):
        return st.integers(shape.low, shape.high)
    if isinstance(shape, Flag):
        return st.booleans()
    if isinstance(shape, Choice):
        return st.sampled_from(shape.values)
    if isinstance(shape, Binary):
        low = shape.most if shape.least is None else shape.least
        return st.binary(min_size=low, max_size=max(low, min(shape.most, 80))).map(canonical.to_base64url)
    if isinstance(shape, Array):
        return st.lists(values(shape.of), min_size=shape.least, max_size=shape.least + 1)
    if isinstance(shape, Nullable):
        return st.none() | values(shape.of)
    if isinstance(shape, Free):
        return st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), st.integers(0, 9), max_size=2)
    if isinstance(shape, Record):
        return st.just(KEY.to_value()) if shape.of is PublicKey else values(shape.of.SHAPE)
    assert isinstance(shape, Object)
    required = {name: values(one) for name, one in shape.fields.items() if name not in shape.optional}
    optional = {name: values(shape.fields[name]) for name in shape.optional}
    return st.fixed_dictionaries(required, optional=optional)


def code_of(message: type[Message], data: bytes) -> Code:
    with pytest.raises(IntegrityError) as caught:
        message.from_bytes(data)
    return caught.value.code


@pytest.mark.parametrize("message", ALL, ids=lambda message: message.__name__)
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_is_written_is_read_back(message, data):
    value = data.draw(values(message.SHAPE))
    encoded = canonical.encode(value)
    read = message.from_bytes(encoded)
    assert read.to_bytes() == encoded
    assert message.from_value(read.to_value()) == read
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(read, next(iter(value), "purpose"), 1)


@pytest.mark.parametrize("message", ALL, ids=lambda message: message.__name__)
@given(data=st.data())
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_missing_unknown_and_wrong_fields_are_refused(message, data):
    value = data.draw(values(message.SHAPE))
    assert code_of(message, canonical.encode(value | {"unknown": 1})) == Code.SHAPE
    for name in message.SHAPE.fields.keys() - message.SHAPE.optional:
        less = {other: value[other] for other in value if other != name}
        assert code_of(message, canonical.encode(less)) == Code.SHAPE
        assert code_of(message, canonical.encode(value | {name: False})) == Code.SHAPE


@pytest.mark.parametrize("message", ALL, ids=lambda message: message.__name__)
def test_fields_and_shape_agree(message):
    fields = {field.name: field for field in dataclasses.fields(message)}
    assert fields.keys() == message.SHAPE.fields.keys()
    defaults = {name for name, field in fields.items() if field.default is None}
    assert defaults == message.SHAPE.optional


@pytest.mark.parametrize("message", ALL, ids=lambda message: message.__name__)
@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"{", b"\xff\xfe", b'{"a":1}', b"[" * 5000], ids=repr)
def test_garbage_is_refused(message, data):
    """E14."""
    assert code_of(message, data[:1000]) in {Code.SHAPE, Code.JSON_NOT_CANONICAL, Code.JSON_TOO_LARGE}


@pytest.mark.parametrize("message", ALL, ids=lambda message: message.__name__)
def test_sizes_are_checked_before_parsing(message):
    """E13."""
    assert code_of(message, b'"' + b"a" * message.LIMIT + b'"') == Code.JSON_TOO_LARGE
    with pytest.raises(IntegrityError):
        message.from_bytes(b'"' + b"a" * (message.LIMIT - 2) + b'"')


def test_a_key_of_the_wrong_size_is_refused():
    value = {"alg": "ES256", "key": canonical.to_base64url(b"k" * 32)}
    with pytest.raises(IntegrityError) as caught:
        Record(PublicKey).check(value, "key")
    assert caught.value.code == Code.PUBLIC_KEY


@pytest.mark.parametrize("selector", ["stable", "@Stable", "@stable1", "", "@", "1.2@stable", "../1", "1" * 65])
def test_selectors_are_versions_or_channels(selector):
    with pytest.raises(IntegrityError):
        messages.SELECTOR.check(selector, "version")


def test_every_message_describes_itself():
    for message in ALL:
        schema = message.SHAPE.schema()
        assert schema["additionalProperties"] is False
        assert set(schema["properties"]) == set(message.SHAPE.fields)


def test_the_specification_names_every_message_and_every_field():
    page = (Path(__file__).resolve().parents[3] / "docs" / "spec" / "protocol.md").read_text(encoding="utf-8")
    for message in ALL:
        part = page.split(f"### {message.__name__}\n")[1].split("\n#")[0]
        rows = [line.split("|") for line in part.splitlines() if line.startswith("| `")]
        assert [row[1].strip(" `") for row in rows] == list(message.SHAPE.fields), message
        assert {row[1].strip(" `") for row in rows if "(may be absent)" in row[2]} == message.SHAPE.optional
        assert f"At most {message.LIMIT:,} bytes." in part


SECRETS = {"token", "proof", "url", "urls", "sealed", "lease", "grant"}  # fields that let their holder do something


@pytest.mark.parametrize("kind", sorted({*ALL} - {messages.Proof}, key=str), ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_repr_holds_a_secret(kind, data):
    """R56: what lets its holder do something is in no repr, and so in no log line or traceback.

    A Proof is left out: it has hashes only, and the URL of the API.
    """
    message = kind.from_value(data.draw(values(kind.SHAPE)))
    named = {field.name for field in dataclasses.fields(kind)}
    unnamed = dataclasses.replace(message, **dict.fromkeys(named & SECRETS, "needle-in-a-repr"))
    assert "needle" not in repr(unnamed)
    assert all(f"{name}=" in repr(message) for name in named - SECRETS)
