"""Every attack that is said to be covered has a test that says so: the ids are read out of the tests' docstrings.

A test of an attack begins its docstring with the attack's ids: `A02, A27: what is tried, and what must happen`. A group
is claimed here once every id in it has a test; another is added by a line in `CLAIMED`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BEGIN = re.compile(r"(?:[A-Z]\d\d(?:, |; )|R\d+(?:, |; ))*[A-Z]\d\d(?:[,;] R\d+)*[:.,;]")
ID = re.compile(r"\b[A-Z]\d\d\b")


@dataclass(frozen=True)
class Group:
    """Attacks of one letter, counted from 1, and the files whose tests are about them.

    `later`: ids that are not claimed yet. `said`: those of the files in which every test begins with an id.
    """

    what: str
    size: int
    files: tuple[str, ...]
    later: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()


PROTOCOL = tuple(f"attacks/test_{name}*.py" for name in ("proxy", "tuf", "theft", "release", "device", "lease", "wipe"))
ATTESTATION = ("rooms/attest/test_*.py", "rooms/testing/test_*.py", "attacks/test_attest_*.py")

# Letters are per group: a file that is not named here may use the same ones for something else.
CLAIMED = {
    "A": Group(
        "the sealed file",
        32,
        ("attacks/test_file_*.py", "fuzz/test_*.py", "vectors/test_*.py", "rooms/sealed/test_*.py"),
        said=("attacks/test_file_*.py",),
    ),
    "B": Group(
        "the protocol",
        28,
        (*PROTOCOL, "rooms/wire/test_*.py", "rooms/server/test_*.py", "rooms/transport/test_*.py", *ATTESTATION),
        # tokens of other issuers are not in this version
        later=frozenset({"B12", "B13"}),
        said=("attacks/test_proxy_*.py", "attacks/test_tuf_names.py", "attacks/test_theft_*.py"),
    ),
    "C": Group(
        "the device's store",
        22,
        (*PROTOCOL, "rooms/edge/test_*.py", "e2e/test_*.py"),
        # ten thousand updates, other versions of the client, an audit queue on the device
        later=frozenset({"C20", "C21", "C22"}),
    ),
    "E": Group(
        "the server under load",
        24,
        ("attacks/test_rate_limits.py", "adapters/test_limits_contract.py", "rooms/server/test_limits.py"),
        # the limits of rates alone: tests elsewhere name more of these, and nobody has gone through all of them
        later=frozenset(f"E{number:02}" for number in range(1, 25)) - {"E19"},
        said=("attacks/test_rate_limits.py",),
    ),
    "G": Group("the network", 8, (*PROTOCOL, "rooms/transport/test_*.py", "flows/test_*.py")),
    "H": Group(
        "deceptions",
        8,
        (
            "attacks/test_decoys.py",
            "flows/test_decoy_twin.py",
            "rooms/operator/test_decoy_model.py",
            "rooms/server/test_twins.py",
        ),
        # fingerprints of customers' copies
        later=frozenset({"H08"}),
        said=("attacks/test_decoys.py",),
    ),
    "I": Group(
        "what reads strangers' bytes",
        6,
        ("fuzz/test_*.py", "attacks/test_release_fuzz.py", "rooms/edge/test_state.py", *ATTESTATION),
        # a model of the whole life of a device
        later=frozenset({"I06"}),
    ),
}


def docstrings(pattern: str) -> Iterator[tuple[str, str | None]]:
    """Yield every test of the files that match: its name with its file, and its docstring."""
    for path in sorted(TESTS.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(TESTS)}::{node.name}", ast.get_docstring(node)


def ids_of(docstring: str | None) -> list[str]:
    """Return the ids with which a docstring begins."""
    found = BEGIN.match(docstring or "")
    return [one for one in ID.findall(found[0]) if one[0] != "R"] if found else []


@pytest.mark.parametrize("letter", CLAIMED)
def test_every_attack_of_a_claimed_group_has_a_test(letter):
    group = CLAIMED[letter]
    named = {one for pattern in group.files for _, text in docstrings(pattern) for one in ids_of(text)}
    assert sorted({f"{letter}{number:02}" for number in range(1, group.size + 1)} - named - group.later) == []


@pytest.mark.parametrize("letter", CLAIMED)
def test_no_id_is_made_up(letter):
    group = CLAIMED[letter]
    numbers = {
        int(one[1:])
        for pattern in group.files
        for _, text in docstrings(pattern)
        for one in ids_of(text)
        if one[0] == letter
    }
    assert max(numbers) <= group.size
    assert min(numbers) >= 1


@pytest.mark.parametrize("letter", CLAIMED)
def test_every_test_of_an_attack_says_which(letter):
    nameless = [name for pattern in CLAIMED[letter].said for name, text in docstrings(pattern) if not ids_of(text)]
    assert nameless == []


def test_the_ids_are_read_as_they_are_written():
    """A checker that finds every id everywhere would pass too."""
    assert ids_of("A02, A27: both.") == ["A02", "A27"]
    assert ids_of("A12; R29: with a requirement") == ["A12"]
    assert ids_of("A31, R28, R56: the same verdict") == ["A31"]
    assert ids_of("R28, A02: the other way round") == ["A02"]
    assert ids_of("A30.") == ["A30"]
    for text in (
        None,
        "",
        "What A02 is about",
        "R28: a requirement",
        "A1: too short",
        "A021: too long",
        "A02 no colon",
    ):
        assert ids_of(text) == []
    assert len(list(docstrings("attacks/test_file_*.py"))) > 50
    assert len(list(docstrings("attacks/test_t*.py"))) > 30
