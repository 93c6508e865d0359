"""The error tree: families by who must act, stable codes, and no code that the specification does not list."""

import re
from pathlib import Path

import pytest

from strongroom import errors
from strongroom.errors import Code, StrongroomError
from strongroom.wire.problems import REFUSALS

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
EXIT_CODES = {
    "InputError": 2,
    "SetupError": 1,
    "StoreError": 1,
    "DeniedError": 4,
    "IntegrityError": 5,
    "RefusedError": 6,
    "UnreachableError": 7,
    "InternalError": 1,
}


def families() -> dict[str, type[StrongroomError]]:
    return {one.__name__: one for one in StrongroomError.__subclasses__()}


def rows(page: str, section: int) -> dict[str, list[str]]:
    """Return the rows of a section's tables that begin with a code."""
    text = (SPEC / page).read_text(encoding="utf-8")
    body = re.split(rf"^## {section}[. ]", text, flags=re.MULTILINE)[1]
    lines = re.split(r"^## ", body, flags=re.MULTILINE)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_exit_codes_are_those_of_the_specification():
    assert {name: family.exit_code for name, family in families().items()} == EXIT_CODES
    listed = {name: int(row[0]) for name, row in rows("protocol.md", 12).items() if name.endswith("Error")}
    assert listed == EXIT_CODES


def test_every_code_is_listed_once_in_the_specification():
    """The files' codes stand in sealed-file.md section 13, all others in protocol.md section 12."""
    listed = [name for name in rows("protocol.md", 12) if not name.endswith("Error")]
    files = {str(code) for code in Code if code.startswith("file-")}
    assert sorted(listed) == sorted(str(code) for code in Code if str(code) not in files - {"file-key-size"})
    text = (SPEC / "sealed-file.md").read_text(encoding="utf-8")
    assert {code for code in files if code not in text} == set()


def test_http_statuses_are_those_of_the_specification():
    listed = {name: row[0] for name, row in rows("protocol.md", 12).items() if not name.endswith("Error")}
    expected = {str(code): str(REFUSALS[code].status) if code in REFUSALS else "" for code in map(Code, listed)}
    assert listed == expected


def test_the_families_a_refusal_arrives_as_are_those_of_the_specification():
    listed = rows("protocol.md", 12)
    for code, refusal in REFUSALS.items():
        assert refusal.family.__name__.removesuffix("Error") in listed[str(code)][1]


@pytest.mark.parametrize("code", Code, ids=str)
def test_codes_are_words(code):
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", code)
    assert code == code.name.lower().replace("_", "-")


def test_an_error_says_what_where_and_what_to_do():
    error = errors.InputError(Code.NAME, "not a name", where="model", next_step="use another")
    assert str(error) == "not a name (model) [name]; use another"
    assert error.to_value() == {"code": "name", "what": "not a name", "where": "model", "next": "use another"}
    assert str(errors.StoreError(Code.STORE_IO, "the disk failed")) == "the disk failed [store-io]"
