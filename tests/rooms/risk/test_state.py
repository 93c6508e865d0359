"""States: 256 bytes at most, nothing lost, damage noticed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.risk.people import crowded
from strongroom.errors import Code, IntegrityError
from strongroom.risk.defaults import default_rules
from strongroom.risk.engine import entities, judge
from strongroom.risk.facts import FACTS, Facts
from strongroom.risk.score import charge, decayed, points
from strongroom.risk.state import MAX_BYTES, AllState, BuildState, IdState, KeyState, State, UserState, rule_tag


@pytest.mark.parametrize("seed", [1, 2])
def test_states_packed_between_all_events_give_the_same_decisions(seed):
    """R90: at most 256 bytes an entity, and nothing that a decision needs is lost in them."""
    rules = default_rules()
    kept, packed, most = {}, {}, {}
    for event in crowded(seed, 4000):
        carried = {entity: State.unpack(packed[entity]) for entity in entities(event) if entity in packed}
        there, here = judge(rules, event, kept), judge(rules, event, carried)
        assert here == there
        for entity, state in carried.items():
            packed[entity] = state.pack()
            most[entity.kind] = max(most.get(entity.kind, 0), len(packed[entity]))
    assert max(most.values()) <= MAX_BYTES
    assert len(most) == 5
    assert most["user"] > 200, "the lists were not full"


HOURS = 500_000


def full():
    """Return one state of each kind with all its lists full."""
    base, at = HOURS * 60, HOURS * 60 + 77
    evidence = {n: [50_000, at] for n in range(8)}
    yield UserState(
        base, at, 2, at, 63, 63, evidence, 20_000, 255, at, 15, 127, wide=True,
        keys={n: [HOURS, at, 65_535, 3] for n in range(8)},
        nets={n: [HOURS, 255] for n in range(8)},
        models=dict.fromkeys(range(0x8000, 0x800A), HOURS),
    )  # fmt: skip
    yield KeyState(
        base, at, 2, at, 63, 63, evidence, 3, 15, at, 15, at, (65_535, 1), 9, 7,
        (65_535, at), (65_535, 1, at), 255, 255,
        downloads=dict.fromkeys(range(4), 255),
        users={n: [HOURS, 3, HOURS + 336] for n in range(6)},
        ids=dict.fromkeys(range(8), HOURS),
        installs=[HOURS] * 8,
        foreign=dict.fromkeys(range(8), HOURS),
    )  # fmt: skip
    yield IdState(base, [1, 2, 3, 4], {n: [2**32 - 1, HOURS, at, 65_535] for n in range(6)}, [HOURS] * 8)
    yield BuildState(base, 1.5, 1e9, {n: [0.1, 1 / 3, 1.0] for n in range(6)})
    yield AllState(HOURS * 6, (2**32 - 1, 1), (2, 3), HOURS, (4, 5), base, 0.1)


@pytest.mark.parametrize("state", tuple(full()), ids=lambda state: type(state).__name__)
def test_a_full_state_fits_and_comes_back(state):
    data = state.pack()
    assert len(data) <= MAX_BYTES
    assert State.unpack(data) == state


@pytest.mark.parametrize("state", tuple(full()), ids=lambda state: type(state).__name__)
def test_a_cut_or_longer_state_is_damaged(state):
    data = state.pack()
    for wrong in (*(data[:at] for at in range(len(data))), data + b"\0", b"\x09" + data[1:]):
        with pytest.raises(IntegrityError) as refusal:
            State.unpack(wrong)
        assert refusal.value.code == Code.STORE_DAMAGED


@given(st.binary(max_size=300))
def test_any_bytes_are_a_state_or_damaged(data):
    with contextlib.suppress(IntegrityError):
        assert isinstance(State.unpack(data), State)


def test_a_state_of_years_ago_is_brought_up_to_date():
    for state in full():
        if hasattr(state, "aged"):
            state.aged(HOURS + 60_000)
            assert State.unpack(state.pack()) == state
            assert (HOURS + 60_000) - state.base // 60 == 10_000


def test_every_fact_has_a_place_and_a_kind():
    assert set(Facts.__annotations__) == set(FACTS) == set(Facts.__slots__)
    kinds = {"true or false": bool, "a number": int, "a text": str}
    assert {name: kinds[kind.value] for name, (kind, _) in FACTS.items()} == Facts.__annotations__


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 100_000)), max_size=20), st.integers(60, 10**7))
def test_evidence_never_exceeds_its_cap_nor_grows_by_waiting(hits, half_life):
    bearer, now, cap, tag = KeyState(0, 0), 0, 9000, rule_tag("r")
    for amount, wait in hits:
        now += wait
        charge(bearer, tag, amount, half_life, cap, now)
        assert bearer.evidence[tag][0] <= cap
        held = sum(left for _, left in points(bearer, {tag: (half_life, cap)}, now))
        later = sum(left for _, left in points(bearer, {tag: (half_life, cap)}, now + 60))
        assert 0 <= later <= held <= cap


def test_evidence_halves():
    assert decayed(4000, 60 * 24 * 7, 7 * 86_400) == 2000
    assert decayed(4000, 60 * 24 * 14, 7 * 86_400) == 1000
    assert decayed(4000, -5, 60) == 4000
    assert decayed(4000, 10**9, 1) == 0


def test_the_smallest_evidence_gives_way_to_a_ninth_rule():
    bearer = KeyState(0, 0)
    for rule in range(8):
        charge(bearer, rule, 1000 + rule, 86_400, 9000, 5)
    charge(bearer, 99, 50, 86_400, 9000, 6)
    assert set(bearer.evidence) == {1, 2, 3, 4, 5, 6, 7, 99}
