"""`strongroom demo` with its real server and device processes: what it says of itself, and what it leaves behind."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from strongroom.cli.demo.measure import find_specimen
from strongroom.cli.demo.needles import found_in, needles_of

pytestmark = pytest.mark.slow

STORY = ["init", "serve", "protect", "publish", "entitle", "enrol", "request", "release", "fetch", "re-seal", "open"]


def run_demo(*args, code=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    command = [sys.executable, "-m", "strongroom", "demo", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """One demo, kept, for all tests here: its document and its directory."""
    root = tmp_path_factory.mktemp("demo") / "kept here"
    return json.loads(run_demo("--json", "--keep", root).stdout), root


def test_everything_is_as_it_must_be(kept):
    document, _ = kept
    assert document["differences"] == []
    assert document["ok"] is True


def test_the_story_is_told_in_order(kept):
    document, _ = kept
    assert [step["verb"] for step in document["steps"]][: len(STORY)] == STORY


def test_the_model_is_as_right_as_in_plaintext(kept):
    """Every answer on several hundred labelled files is the same, and most are right (R46)."""
    document, _ = kept
    plain, through = document["scores"]["in plaintext"], document["scores"]["through strongroom"]
    assert plain == through
    assert plain["total"] >= 200
    assert plain["right"] / plain["total"] > 0.8


def test_every_attack_is_refused_by_the_right_check(kept):
    """R29, R71, A02, A24, B01, B10, B14: each with its own code."""
    document, _ = kept
    assert [refusal["code"] for refusal in document["refusals"]] == [
        "not-found",
        "file-digest",
        "proof",
        "challenge",
        "url-expired",
        "grant-mismatch",
        "sealed-key",
        "store-damaged",
    ]


def test_no_plaintext_and_no_key_in_anything_it_wrote(kept):
    """A1, A2, R14, R27, R47: searched by samples of the model; that the search can find is tested beside it."""
    document, root = kept
    assert document["search"]["hits"] == []
    assert document["search"]["files"] > 20
    needles = needles_of(find_specimen().path.read_bytes(), bytes(range(32)))
    assert len(needles.model) > 500
    files = [path for path in root.rglob("*") if path.is_file()]
    assert [path for path in files if found_in(path.read_bytes(), needles)] == []


def test_the_device_holds_another_ciphertext_than_the_bucket(kept):
    """Step 7 of the article: re-encrypted locally under a random key (R47)."""
    _, root = kept
    (stored,) = (path for path in (root / "office" / "objects").iterdir() if path.is_file())
    (local,) = (root / "devices" / "ada" / "models").rglob("*.srm")
    assert stored.read_bytes()[200_000:] not in local.read_bytes()


def test_the_second_device_of_the_attack_has_no_model(kept):
    """What came before the altered segment may wait for the rest of it; nothing became a model."""
    _, root = kept
    second = root / "devices" / "ada-second"
    assert second.is_dir()
    assert list(second.glob("models/*/*")) == []


def test_the_audit_log_says_what_happened(kept):
    """R40, R66: releases and refusals are both rows; no row holds a token or a link."""
    _, root = kept
    with closing(sqlite3.connect(f"file:{root}/office/database/strongroom.db?mode=ro", uri=True)) as database, database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        (audit,) = (name for name in tables if "audit" in name)
        rows = [" ".join(map(str, row)) for row in database.execute(f"select * from {audit}")]  # noqa: S608 - our table
    assert any("release.granted" in row for row in rows)
    assert any("release.refused" in row for row in rows)
    assert not any("eyJ" in row or "&s=" in row for row in rows)


def test_files_are_private(kept):
    """Whatever the umask: keys, database and stores belong to one user (0600, 0700)."""
    _, root = kept
    private = [root / "office" / "keys", root / "office" / "database", root / "devices" / "ada" / "keystore"]
    loose = [path for one in private for path in [one, *one.rglob("*")] if path.stat().st_mode & 0o077]
    assert loose == []


def test_a_directory_that_is_in_use_is_not_touched(tmp_path):
    (tmp_path / "mine").write_text("precious")
    done = run_demo("--keep", tmp_path, code=2)
    assert "[already-there]" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
