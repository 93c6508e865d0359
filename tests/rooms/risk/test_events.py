"""Events from outside: what is missing says nothing, what is wrong is refused with the field, nothing else happens."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import Code, InputError
from strongroom.risk.events import Event, network, read_event

LEAST = {"event_id": "e1", "ts": 5, "type": "login"}


def test_the_least_event():
    assert read_event(LEAST) == Event("e1", 5, "login")


def test_null_is_as_good_as_missing():
    nulls = dict.fromkeys(Event._fields) | LEAST
    assert read_event(nulls) == Event("e1", 5, "login")


def test_a_full_event_survives_its_json():
    event = Event(
        "e1", 1_800_000_000, "model_download", "ann", "staff", "d", "k", "s", "i", "2001:db8::1", "m", "1.2", "pass",
        "ok", ("hook", "root"), "key", resumed=True, honey=True, activity=4, entitled=12,
    )  # fmt: skip
    assert read_event(json.loads(json.dumps(event.to_value()))) == event


def test_unknown_fields_and_unknown_tamper_words_are_ignored():
    assert read_event(LEAST | {"more": [1], "tamper": ["root", "aliens"]}).tamper == ("root",)


def test_a_version_may_be_a_number():
    assert read_event(LEAST | {"ver": 7}).ver == "7"


@pytest.mark.parametrize(
    ("value", "meant"), [(None, None), ("", None), (False, None), (0, None), (True, "yes"), (1, "yes"), ("api", "api")]
)
def test_a_decoy_is_named_or_said_to_be_one(value, meant):
    assert read_event(LEAST | {"decoy": value}).decoy == meant


def test_a_time_with_parts_of_a_second_is_cut():
    assert read_event(LEAST | {"ts": 5.9}).ts == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ts", "5"), ("ts", -1), ("ts", True), ("ts", None), ("ts", float("nan")), ("ts", float("inf")), ("ts", 10**13),
        ("event_id", ""), ("event_id", 7), ("event_id", "x" * 257), ("type", "dance"), ("type", None),
        ("user_id", 7), ("user_id", "x" * 257), ("device_key", ["k"]), ("ip", 1), ("model", {}), ("ver", 1.5),
        ("ver", True), ("ver", 10**400),
        ("user_class", "king"), ("attestation", "maybe"), ("app_sig", 1), ("tamper", "root"), ("tamper", [1]),
        ("tamper", {"root": 1}), ("activity", 5), ("activity", "3"), ("entitled", -1), ("decoy", ["x"]), ("decoy", 1.5),
        ("decoy", 2), ("decoy", {}), ("resumed", "yes"), ("resumed", []), ("resumed", 7), ("honey", "no"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(InputError) as refusal:
        read_event(LEAST | {field: value})
    assert refusal.value.code == Code.SHAPE
    assert refusal.value.where == field


@pytest.mark.parametrize("value", [None, 7, "event", [], [LEAST]])
def test_what_is_no_object_is_no_event(value):
    with pytest.raises(InputError) as refusal:
        read_event(value)
    assert refusal.value.where == "event"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(Event._fields), JSON))
def test_anything_is_an_event_or_refused(value):
    with contextlib.suppress(InputError):
        assert isinstance(read_event(LEAST | value), Event)


@pytest.mark.parametrize(
    ("ip", "where"),
    [
        ("192.0.2.77", "192.0.2.0/24"), ("::ffff:192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("", ""), (None, ""), ("nowhere", ""), ("300.1.1.1", ""),
    ],
)  # fmt: skip
def test_networks(ip, where):
    assert network(ip) == where
