"""Conditions of rules: a small language, checked whole, that can neither reach out nor raise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.risk.expression import (
    MAX_TIMES,
    Kind,
    Name,
    RefusedExpression,
    compiled,
    evaluated,
    gathered,
)

NUMBERS = ("devices_30d", "n", "zero")
NAMES = {
    **{name: Name(Kind.NUMBER, f"f.{name}") for name in NUMBERS},
    "new": Name(Kind.FLAG, "f.new"),
    "type": Name(Kind.TEXT, "f.type"),
    "allow_devices": Name(Kind.NUMBER, "a.devices"),
}
FACTS = {"devices_30d": 5, "n": 3, "zero": 0, "new": True, "type": "login", "allow_devices": 3}


class Facts:
    """Whatever the sources of names read from."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)


F = Facts(**FACTS)
A = Facts(devices=3)


def value(text: str, want: Kind = Kind.FLAG) -> object:
    return evaluated(compiled(text, NAMES, want=want), FACTS, NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("new and devices_30d > allow_devices", True),
        ("not new or devices_30d <= allow_devices", False),
        ("3 < devices_30d < 6", True),
        ("3 < devices_30d != 5", False),
        ('type in ("login", "attest")', True),
        ("type not in ['login', 'attest']", False),
        ('type == "login" and n in (1, 3)', True),
        ("true", True),
        ("new == false", False),
        ("-n + 4 == 1", True),
        ("devices_30d % n == 2", True),
        ("n < 1e3 and n > 1E-3 and n != 1_000 and type != '2b'", True),
    ],
)
def test_conditions_say_what_python_would(text, expected):
    assert value(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 0.5 * (devices_30d - allow_devices)", 2.0),
        ("n if n < 3 else 3 * n", 9),
        ("devices_30d / n", 5 / 3),
        ("7 / zero", 0.0),
        ("7 % zero", 0.0),
        ("1 + 7 / zero * 3", 1.0),
    ],
)
def test_amounts_and_that_a_division_by_nothing_is_nothing(text, expected):
    assert value(text, Kind.NUMBER) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "n.__class__ == 1",
        "new()",
        "type[0] == 'l'",
        "(lambda: new)()",
        "[x for x in (1, 2)] == n",
        "f'{n}' == type",
        "(m := 3) > n",
        "n ** n > 1",
        "n // 2 > 1",
        "n << 60 > 1",
        "n & 1 == 1",
        "~n == 1",
        "+n == 1",
        "n is 3",
        "n == None",
        "n == ...",
        "n == 1j",
        "type == b'login'",
        "type + 'x' == 'loginx'",
        "type * 9 == type",
        "type < 'm'",
        "new + 1 > 1",
        "new > zero",
        "n and new",
        "n == new",
        "n",
        "1 if new else 2",
        "(n if new else 'x') == n",
        "n in 'abc'",
        "n in (n, 1)",
        "n in ('a', 1)",
        "n in ()",
        "1 < n in (1, 3)",
        "type in ('login')",
        "n / 0 == 1",
        "n / 0.0 == 1",
        "n % (n - 3) == 1",
        "n == 1e999",
        "n == 10000000000000",
        f"type == '{'x' * 65}'",
        "*n == 1",
        "{1: n} == n",
        "await n",
        "yield",
        "new; new",
        "new\nnew",
        "new # why",
        "type == '\\x41'",
        "n == 1 \N{LATIN SMALL LETTER E WITH ACUTE}",
        "",
        "new and",
        "((((new",
        " + ".join(["n"] * 60) + " > 1",
        " * ".join(["n"] * 10) + " > 1",
        "(" * 90 + "new" + ")" * 90 + " and (" * 40,
        "not " * 90 + "new",
        "-" * 450 + "n > 1",
        "new and " * 80 + "new",
        "n < 1 or " * 50 + "new",
        "n == 1or new",
        "n == 0x10",
        "n == 1_0_",
        f"n in ({'1, ' * 100})",
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(RefusedExpression) as caught:
        compiled(text, NAMES)
    assert caught.value.what
    assert caught.value.next_step


def test_an_unknown_word_is_refused_with_the_nearest_one():
    with pytest.raises(RefusedExpression, match=r"unknown name devices_3d; is devices_30d meant\?"):
        compiled("devices_3d > 1", NAMES)
    with pytest.raises(RefusedExpression, match="known are: allow_devices, devices_30d, n, new, type, zero"):
        compiled("quux > 1", NAMES)


def test_what_is_run_is_spelled_anew():
    """Nothing of the author's text is run: words become the table's sources, the rest is written again."""
    one = compiled("new  and (devices_30d)>allow_devices", NAMES)
    assert one.source == "(f.new and (f.devices_30d > a.devices))"
    assert one.names == {"new", "devices_30d", "allow_devices"}


def test_one_function_asks_all_rules_and_brings_amounts_into_bounds():
    entries = [
        (compiled("new", NAMES), None),
        (compiled("n > 5", NAMES), None),
        (compiled("n > 2", NAMES), compiled("devices_30d - allow_devices", NAMES, want=Kind.NUMBER)),
        (compiled("new", NAMES), compiled("zero - 4", NAMES, want=Kind.NUMBER)),
        (compiled("new", NAMES), compiled("n * 1000000", NAMES, want=Kind.NUMBER)),
        (compiled("new", NAMES), compiled("n / zero", NAMES, want=Kind.NUMBER)),
    ]
    gather = gathered(("f", "a"), entries)
    assert gather(F, A) == [(0, 1.0), (2, 2), (3, 0.0), (4, MAX_TIMES), (5, 0.0)]
    assert gathered(("f", "a"), [])(F, A) == []


def test_an_amount_that_is_no_number_counts_nothing():
    big = " * ".join(["n"] * 9)
    infinite = compiled(big, NAMES, want=Kind.NUMBER)
    gather = gathered(("f", "a"), [(compiled("new", NAMES), infinite)])
    assert gather(Facts(**FACTS | {"n": math.inf}), A) == [(0, MAX_TIMES)]
    less = compiled("n - n", NAMES, want=Kind.NUMBER)
    assert gathered(("f", "a"), [(compiled("new", NAMES), less)])(Facts(**FACTS | {"n": math.inf}), A) == [(0, 0.0)]


WORDS = st.sampled_from(
    [
        "n",
        "new",
        "type",
        "zero",
        "allow_devices",
        "devices_30d",
        "true",
        "'a'",
        "1",
        "0",
        "0.5",
        "1e300",
        "999999999999",
    ]
)
SIGNS = st.sampled_from(
    [
        " and ",
        " or ",
        " not ",
        " if ",
        " else ",
        " in ",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "%",
        "<",
        ">=",
        "==",
        "!=",
        ".",
    ]
)


@given(st.lists(st.one_of(WORDS, SIGNS), max_size=30).map("".join), st.sampled_from([Kind.FLAG, Kind.NUMBER]))
def test_whatever_is_written_is_refused_or_can_be_run(text, kind):
    _refused_or_run(text, kind)


@given(st.text(max_size=60), st.sampled_from([Kind.FLAG, Kind.NUMBER]))
def test_whatever_bytes_are_written_are_refused_or_can_be_run(text, kind):
    _refused_or_run(text, kind)


def sums(parts):
    two = st.tuples(parts, st.sampled_from(["+", "-", "*"]), parts).map(lambda one: f"({one[0]}{one[1]}{one[2]})")
    divided = st.tuples(parts, st.sampled_from(["/", "%"]), st.sampled_from(["n", "zero", "7", "0.001", "devices_30d"]))
    return st.one_of(two, divided.map(lambda one: f"({one[0]}{one[1]}{one[2]})"), parts.map(lambda one: f"(-{one})"))


AMOUNTS = st.recursive(st.sampled_from(["n", "zero", "devices_30d", "1000000000000", "0.5", "3"]), sums, max_leaves=20)
VALUES = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=True, allow_infinity=True))


@given(AMOUNTS, AMOUNTS, st.tuples(VALUES, VALUES, VALUES))
def test_no_value_of_the_words_makes_an_amount_raise(first, second, values):
    facts = FACTS | dict(zip(NUMBERS, values, strict=True))
    try:
        when = compiled(f"{first} < {second} or true", NAMES)
        times = compiled(first, NAMES, want=Kind.NUMBER)
    except RefusedExpression:
        return
    [(_, found)] = gathered(("f", "a"), [(when, times)])(Facts(**facts), A)
    assert 0 <= found <= MAX_TIMES


def _refused_or_run(text: str, kind: Kind) -> None:
    try:
        one = compiled(text, NAMES, want=kind)
    except RefusedExpression:
        return
    found = evaluated(one, FACTS, NAMES)
    assert isinstance(found, bool) if kind == Kind.FLAG else isinstance(found, (int, float))
