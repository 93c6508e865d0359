"""`strongroom decoy`: what is printed, planted, warned of and refused."""

import contextlib
import itertools

import pytest

import strongroom.transport
from strongroom.cli import decoy_exercise, places
from strongroom.server.bait.board import Traps
from strongroom.server.bait.shipped import CHOSEN
from strongroom.server.traps.wanted import SORTS
from strongroom_in_memory import DEVICES, Street, Wire


@pytest.fixture
def street(tmp_path, monkeypatch):
    """An office in memory; commands reach its admin API, and `decoy test` its device API."""
    folder = tmp_path / "street"
    folder.mkdir()
    with Street(folder) as street:
        seconds = itertools.count()
        rim = decoy_exercise.Rim(street.clock, lambda: float(next(seconds)), lambda _: street.do(settled(street)))
        monkeypatch.setattr(places, "office", lambda _at: street.admin)
        monkeypatch.setattr(decoy_exercise, "Rim", lambda: rim)
        line = contextlib.nullcontext(Wire(street, DEVICES))
        monkeypatch.setattr(strongroom.transport, "Pinned", lambda *_: line)
        yield street


async def settled(street):
    await street.office.traps.settled()


def test_add_list_show_remove(cli, street):
    made = cli("decoy", "add", "endpoint", "GET /v2/weights", "--note", "old client")
    assert made.code == 0
    assert "path    /v2/weights" in made.out
    listed = cli("decoy", "list")
    assert "old client" in listed.out
    assert f"{CHOSEN + 1} never tested" in listed.err
    rows = {row["name"]: row for row in cli("decoy", "list", "--json").json["decoys"]}
    assert len(rows) == CHOSEN + 1
    id_ = rows["GET /v2/weights"]["id"]
    assert cli("decoy", "show", id_, "--json").json["shows"]["method"] == "GET"
    assert cli("decoy", "remove", id_).out == f"{id_}  removed\n"
    assert "decoy" in cli("decoy", "show", id_).err
    assert cli("decoy", "remove", id_).code != 0


def test_what_is_planted_goes_to_a_new_file(cli, street, tmp_path):
    made = cli("decoy", "add", "token", "ci", "--sort", "operator", "--language", "python", "-o", "support.py")
    assert made.code == 0
    code = (tmp_path / "support.py").read_text()
    compile(code, "support.py", "exec")
    assert 'SUPPORT_TOKEN = "sro_' in code
    assert (tmp_path / "support.py").stat().st_mode & 0o777 == 0o600
    again = cli("decoy", "add", "key", "app", "-o", "support.py")
    assert again.code != 0
    assert (tmp_path / "support.py").read_text() == code
    printed = cli("decoy", "add", "model", "digits-full", "--language", "swift")
    assert "enum LoadReferenceModelAccess {" in printed.out
    assert cli("decoy", "add", "model", "digits-full2", "--sort", "user").code == 2


def test_every_sort_of_token(cli, street):
    for sort in SORTS:
        shown = cli("decoy", "add", "token", "ci", "--sort", sort, "--json").json
        assert shown["shows"]["token"].startswith("sro_" if sort == "operator" else "eyJ")


def test_test_says_what_fires(cli, street, monkeypatch):
    made = cli("decoy", "add", "canary", "page", "--json").json["id"]
    cli("decoy", "add", "field", "is_staff")
    tested = cli("decoy", "test")
    assert tested.code == 0
    assert tested.out.count("fires") == CHOSEN + 2
    street.clock.advance(5)
    assert '"fired": true' in cli("decoy", "test", made, "--json").out
    assert "never tested" not in cli("decoy", "list").err
    street.clock.advance(5)
    monkeypatch.setattr(Traps, "follow", lambda _, work: work.close())
    dead = cli("decoy", "test", made)
    assert dead.code == 1
    assert dead.out.splitlines()[-1].endswith("DEAD")


def test_an_unknown_decoy(cli, street):
    assert cli("decoy", "test", "dcy_nothing").code != 0
    assert cli("decoy", "add", "endpoint", "/v1/releases").code != 0
