"""C01, C03, C04: strace kills or fails the device's acts at the calls that change its directory.

A share of them here, `make crash` all. What is judged: `acts.judge`.
"""

import os
import signal
from pathlib import Path

import pytest

from crash import acts, cutting
from strongroom.edge.folder import Folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not cutting.available(), reason="strace is not here: apt-get install strace"),
]


@pytest.fixture(scope="module")
def driver():
    with cutting.Driver() as one:
        yield one


@pytest.fixture(scope="module")
def calls(driver, tmp_path_factory) -> list[cutting.Call]:
    return driver.calls([act.name for act in acts.ACTS], tmp_path_factory.mktemp("calls") / "log")


def test_every_act_is_seen_to_change_the_disk(calls):
    """C01: the list of calls is the real one: each act makes, writes, syncs and renames under a lock."""
    for act in acts.ACTS:
        kinds = {one.kind for one in calls if one.act == act.name and one.changes}
        assert {"write", "fsync", "renameat", "flock"} <= kinds
        assert sum(one.changes for one in calls if one.act == act.name) >= 25


def test_killed_at_a_call_it_leaves_before_or_after(driver, calls):
    """C01: kill -9 before each of these calls; a fresh process finds the old or the new, whole, and nothing else."""
    chosen = cutting.spread(calls, 7)
    counts = driver.hit(chosen, cutting.KILL)
    _report(cutting.KILL, counts)
    assert len(chosen) >= 200
    assert {act for act, _ in counts.found} == {act.name for act in acts.ACTS}
    assert {what for _, what in counts.found} == {acts.BEFORE, acts.AFTER}


def test_killed_in_a_thread_that_fetches(driver, calls):
    """C01: the same while segments are downloaded side by side, which the other points do one after the other."""
    counts, hits = driver.hit_threads(("install", "update", "resume"), cutting.KILL)
    _report("threads, " + cutting.KILL, counts)
    making = {(act, kind) for act in ("install", "update") for kind in ("openat", "fchmod", "write")}
    going_on = {("resume", "openat"), ("resume", "write")}  # into a file that is already there
    assert {(one.act, one.kind) for one in hits if one.number == 1} == making | going_on


def test_a_call_that_fails_is_told_and_costs_nothing(driver, calls):
    """C03: EIO at each of these calls: a typed error, or no harm; what is installed opens in the same process."""
    opening = [one for one in calls if not one.changes]
    counts = driver.hit([*[one for one in calls if one.changes][::9], *opening[::41]], cutting.EIO)
    _report(cutting.EIO, counts)


def test_a_full_disk_is_told_and_costs_nothing(driver, calls):
    """C04: ENOSPC at each of these calls, as above."""
    counts = driver.hit(cutting.takes_room(calls)[::9], cutting.ENOSPC)
    _report(cutting.ENOSPC, counts)


def test_the_call_that_is_hit_is_not_made(driver, tmp_path):
    """C01: killed at the rename of state.json, the old file is still there: the points lie between the calls."""
    with Folder.open(tmp_path / "home") as home:
        home.write("file", b"old")
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.read(read, 1)
            home.write("file", b"new")
            os._exit(0)
        with driver.traced(
            "-e", "trace=renameat", "-e", "inject=renameat:signal=SIGKILL", "-o", "/dev/null", pid=child
        ):
            os.write(write, b"x")
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        os.close(read)
        os.close(write)
        assert home.read("file", limit=10) == b"old"
        assert len(home.names()) == 2


def _report(how: str, counts: cutting.Counts) -> None:
    print(cutting.told(how, counts))  # noqa: T201 - how much was tried is a result
    assert counts.other == []


SPOILT = {
    "a key": lambda home: (home / "keystore" / ("0" * 32 + ".key")).write_bytes(bytes(32)),
    "a version": lambda home: (home / "models" / ("0" * 32)).mkdir(mode=0o700),
    "a file": lambda home: (home / "notes.txt").touch(mode=0o600),
    "a file of a version": lambda home: next(home.glob("models/*/0.srm")).with_name("1.srm").touch(mode=0o600),
    "no file": lambda home: next(home.glob("models/*/0.srm")).unlink(),
    "a mode": lambda home: (home / "state.json").chmod(0o644),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_the_judge_finds_what_is_wrong(tmp_path: Path, spoil):
    """C01: a key, a version or a file that no state names, a mode: none of them passes as before or as after."""
    made = acts.scene(acts.ACTS[1], tmp_path / "device")
    acts.check_nothing_else(made.device())
    spoil(made.home)
    with pytest.raises(AssertionError):
        acts.check_nothing_else(made.device())
