"""Closed shapes: each accepts what it says, refuses everything else, and says the same in JSON Schema (R63)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.canonical import to_base64url
from strongroom.errors import Code, IntegrityError
from strongroom.shapes import Array, Binary, Choice, Flag, Free, Integer, Nullable, Object, Text

ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.text() | st.just([]) | st.just({}) | st.just([1]) | st.just({"a": 1})
)
SMALL = Object({"name": Text(5, "[a-z]+"), "age": Nullable(Integer(0, 9))}, frozenset({"age"}))


def refused(shape: object, value: object) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        shape.check(value, "field")
    return caught.value


@pytest.mark.parametrize(
    ("shape", "value", "result"),
    [
        (Text(3), "abc", "abc"),
        (Text(3, least=0), "", ""),
        (Integer(-1, 1), -1, -1),
        (Integer(-1, 1), 1, 1),
        (Flag(), False, False),
        (Binary(3), to_base64url(b"abc"), b"abc"),
        (Binary(3, 0), "", b""),
        (Choice(("a", 1)), 1, 1),
        (Array(Integer(), 2), [1, 2], (1, 2)),
        (Nullable(Text(1)), None, None),
        (SMALL, {"name": "abc"}, {"name": "abc", "age": None}),
        (SMALL, {"name": "abc", "age": None}, {"name": "abc", "age": None}),
        (Free(2), {"a": 1, "b": "x"}, {"a": 1, "b": "x"}),
    ],
    ids=repr,
)
def test_what_fits_is_returned_in_python_terms(shape, value, result):
    assert shape.check(value, "field") == result


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (Text(3), ""),
        (Text(3), "abcd"),
        (Text(9, "[a-z]+"), "abc\n"),
        (Text(9, "[a-z]+"), "abc1"),
        (Text(9, "a|b"), "ab"),
        (Text(3), 1),
        (Integer(0, 9), 10),
        (Integer(0, 9), -1),
        (Integer(0, 9), True),
        (Integer(0, 9), "1"),
        (Flag(), 1),
        (Flag(), "true"),
        (Binary(3), to_base64url(b"ab")),
        (Binary(3), to_base64url(b"abcd")),
        (Binary(3, 2), to_base64url(b"a")),
        (Binary(3), b"abc"),
        (Choice(("a", 1)), "b"),
        (Choice(("a", 1)), True),
        (Choice((0,)), False),
        (Array(Integer(), 1), [1, 2]),
        (Array(Integer(), 2, least=1), []),
        (Array(Integer(), 2), ["1"]),
        (Array(Integer(), 2), {"a": 1}),
        (Nullable(Text(1)), "ab"),
        (SMALL, {}),
        (SMALL, {"name": "abc", "more": 1}),
        (SMALL, {"name": None}),
        (SMALL, []),
        (Free(1), {"a": 1, "b": 2}),
        (Free(1), {"a": True}),
        (Free(1), {"a": None}),
        (Free(1, 3), {"a": "abcd"}),
        (Free(1), {"a": [1]}),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused(shape, value):
    assert refused(shape, value).code == Code.SHAPE


def test_binary_that_is_not_canonical_is_refused():
    assert refused(Binary(2), "AAB").code == Code.JSON_NOT_CANONICAL


def test_long_binary_is_refused_before_it_is_decoded():
    assert refused(Binary(2), "A" * 10**6).code == Code.SHAPE


def test_the_error_says_where():
    nested = Object({"list": Array(SMALL, 3)})
    assert refused(nested, {"list": [{"name": "ok"}, {"name": "NO"}]}).where == "field.list[1].name"


def test_the_error_does_not_repeat_the_value():
    assert "secret" not in str(refused(Text(3), "secret-word"))


@given(ANYTHING)
def test_hostile_values_are_refused_in_one_way(value):
    for shape in (
        Text(1),
        Integer(5, 4),
        Flag(),
        Binary(9),
        Choice(()),
        Array(Flag(), 1, 1),
        Object({"x": Flag()}),
        Free(0),
    ):
        try:
            shape.check(value, "field")
        except IntegrityError as error:
            caught = error.code
        else:
            caught = None
        assert caught in {None, Code.SHAPE, Code.JSON_NOT_CANONICAL}


def test_every_shape_describes_itself():
    assert Text(5, "a|b").schema() == {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^(?:a|b)$"}
    assert Integer(1, 2).schema() == {"type": "integer", "minimum": 1, "maximum": 2}
    assert Flag().schema() == {"type": "boolean"}
    assert Binary(32).schema()["minLength"] == Binary(32).schema()["maxLength"] == 43
    assert Choice((1, "a")).schema() == {"enum": [1, "a"]}
    assert Array(Flag(), 3, 1).schema() == {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3}
    assert Nullable(Flag()).schema() == {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
    assert SMALL.schema()["required"] == ["name"]
    assert SMALL.schema()["additionalProperties"] is False
    assert Free(3).schema()["maxProperties"] == 3
