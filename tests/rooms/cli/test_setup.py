"""init, serve, config, db, doctor and the search for a strongroom: every bad set-up has a code and a next step."""

import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One strongroom, copied by whoever bends it: making one takes a second."""
    from strongroom.server.initialise import init

    directory = tmp_path_factory.mktemp("made") / "strongroom"
    init(directory, now=1_790_000_000, passphrase=None)
    return directory


@pytest.fixture
def strongroom(made, tmp_path):
    import shutil

    shutil.copytree(made, tmp_path / "strongroom")
    return tmp_path / "strongroom"


def test_init_makes_private_files_and_is_not_repeated(cli, tmp_path):
    outcome = cli("init", "here", "--host", "models.example.com", "--json")
    assert outcome.code == 0
    assert outcome.json["public_url"] == "https://models.example.com:8443"
    for path in (tmp_path / "here").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert cli("init", "here").code == 2
    assert cli("doctor", "--config", "here").code == 0


@pytest.mark.parametrize(
    "args",
    [
        ["--host", "not a host"], ["--host", "https://x"], ["--device-port", "0"], ["--admin-port", "99999"],
        ["--device-port", "8444"], ["--passphrase-file", "missing"], ["--passphrase-file", "short"], ["none/below"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_inits_leave_nothing(cli, tmp_path, args):
    (tmp_path / "short").write_bytes(b"x\n")
    (tmp_path / "short").chmod(0o600)
    outcome = cli("init", *args)
    assert outcome.code in {1, 2}
    assert "[" in outcome.err
    assert [one.name for one in tmp_path.iterdir()] == ["short"]


def test_init_with_a_passphrase_keeps_no_key_beside_the_keyring(cli, tmp_path):
    (tmp_path / "pass").write_bytes(b"correct horse battery\n")
    (tmp_path / "pass").chmod(0o600)
    assert cli("init", "here", "--passphrase-file", "pass").code == 0
    assert not (tmp_path / "here" / "keys" / "vault.key").exists()
    assert b"correct horse" not in b"".join(p.read_bytes() for p in (tmp_path / "here").rglob("*") if p.is_file())
    (tmp_path / "pass").unlink()
    outcome = cli("serve", "--config", "here", "--device-port", "0", "--admin-port", "0")
    assert outcome.code == 1
    assert f"({tmp_path / 'pass'})" in outcome.err


def test_nothing_here(cli, tmp_path):
    for command in (["serve"], ["config", "show"], ["db", "current"], ["model", "list"], ["account", "add", "ada"]):
        outcome = cli(*command)
        assert outcome.code == 1
        assert "[not-initialised]" in outcome.err
        assert "strongroom init" in outcome.err
    assert not list(tmp_path.iterdir())
    assert cli("serve", "--config", "missing.toml").code == 1


def test_a_strongroom_is_found(cli, strongroom, tmp_path, monkeypatch):
    here = cli("config", "show", "--json").json  # ./strongroom
    assert here["admin_port"]["value"] == "8444"
    monkeypatch.chdir(strongroom)
    assert cli("config", "show", "--json").json == here  # the current directory
    monkeypatch.chdir("/")
    for variable in ("STRONGROOM_DIR", "STRONGROOM_CONFIG"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(strongroom))
            assert cli("config", "show", "--json").json == here
    assert cli("config", "show", "--json", "--config", strongroom / "strongroom.toml").json == here
    assert cli("config", "show", "--json", "--config", strongroom).json == here


def test_origins(cli, strongroom, monkeypatch):
    monkeypatch.setenv("STRONGROOM_LOG_LEVEL", "error")
    outcome = cli("config", "show", "--origin")
    origins = {line.split()[0]: line for line in outcome.out.splitlines()}
    assert "STRONGROOM_LOG_LEVEL" in origins["log_level"]
    assert "strongroom.toml line" in origins["admin_port"]
    assert origins["lease_seconds"].endswith("default")


@pytest.mark.parametrize(
    "text",
    [
        "admin_port = ",
        "admin_port = 'x'",
        "unknown = 1",
        "url_seconds = 301",
        "\udcff",
        "[" * 2000,
        "admin_url = 'http://x'",
    ],
    ids=["no TOML", "no number", "unknown", "out of range", "not UTF-8", "deep", "not https"],
)
def test_bad_settings(cli, strongroom, text):
    """A bad strongroom.toml is one line with its place, for the server and for every client of it."""
    (strongroom / "strongroom.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    for command in (["config", "show"], ["db", "upgrade"], ["serve"]):
        outcome = cli(*command)
        assert outcome.code == 1
        assert "[config]" in outcome.err
        assert "strongroom.toml" in outcome.err
        assert "next:" in outcome.err
    assert cli("model", "list").code in {1, 2, 7}  # it has no need of the server's settings but their TOML


def test_database(cli, strongroom):
    current = cli("db", "current", "--json").json
    assert current["current"] == current["head"]
    outcome = cli("db", "upgrade", "--json")
    assert outcome.json == {"before": current["head"], "after": current["head"]}
    (strongroom / "database" / "strongroom.db").write_bytes(b"not a database" * 1000)
    outcome = cli("db", "current")
    assert outcome.code == 1
    assert "[database]" in outcome.err
    assert f"({strongroom / 'database' / 'strongroom.db'})" in outcome.err
    assert "next: put it back from a backup" in outcome.err


@pytest.mark.parametrize("left", [None, b"", "no tables"], ids=["missing", "0 bytes", "no tables"])
def test_a_lost_database_is_not_started_anew_without_asking(cli, strongroom, left):
    """An empty one would entitle nobody, and nobody could say that it was lost."""
    database = strongroom / "database" / "strongroom.db"
    for path in database.parent.iterdir():
        path.unlink()
    if left == "no tables":
        sqlite3.connect(database).execute("PRAGMA journal_mode = WAL").connection.close()
    elif left is not None:
        database.write_bytes(left)
    found = findings(cli("doctor", "--json"))["database"]
    assert found["state"] == "bad"
    assert found["mend"] == "put it back from a backup; an empty one would entitle nobody"
    outcome = cli("serve", "--device-port", "0", "--admin-port", "0")
    assert outcome.code == 1
    assert "next: put it back from a backup" in outcome.err
    outcome = cli("db", "upgrade")
    assert outcome.code == 2
    assert "--yes" in outcome.err
    assert str(database) in outcome.err
    assert cli("db", "upgrade", "--yes", "--json").json["before"] is None
    assert findings(cli("doctor", "--json"))["database"]["state"] == "ok"


def test_serve_needs_its_port(cli, strongroom):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = cli("serve", "--device-port", taken.getsockname()[1])
    assert outcome.code == 1
    assert "[config]" in outcome.err


def findings(outcome):
    return {one["subject"]: one for one in outcome.json["findings"]}


def test_doctor_without_anything(cli, tmp_path):
    outcome = cli("doctor", "--json")
    assert outcome.code == 0
    assert {"python", "cryptography", "AES hardware", "core dumps", "device"} <= findings(outcome).keys()
    assert not list(tmp_path.iterdir())  # looking makes nothing


def test_doctor_finds_open_files(cli, strongroom):
    (strongroom / "keys" / "keyring.json").chmod(0o644)
    outcome = cli("doctor", "--json")
    assert outcome.code == 1
    assert findings(outcome)["files"]["state"] == "bad"
    assert "chmod go-rwx" in findings(outcome)["files"]["mend"]


def test_what_is_public_may_be_read_and_not_written(cli, strongroom):
    rules = 'version = 1\n[authorities]\nrevocation_list = "lists/status.json"\n[default]\nunattested = true\n'
    (strongroom / "attestation.toml").write_text(rules)
    (strongroom / "lists").mkdir(mode=0o700)
    (strongroom / "lists" / "status.json").write_text('{"entries": {}}')
    public = [strongroom / name for name in ("attestation.toml", "lists/status.json", "trust.json", "tls/server.pem")]
    for path in public:
        path.chmod(0o644)
    assert findings(cli("doctor", "--json"))["files"]["state"] == "ok"
    for path in public:
        path.chmod(0o664)
        found = findings(cli("doctor", "--json"))["files"]
        assert (found["state"], found["what"], found["mend"]) == (
            "bad", f"others may write {path}", f"run: chmod go-w {path}"
        )  # fmt: skip
        path.chmod(0o644)
    (strongroom / "keys" / "keyring.json").chmod(0o640)
    assert findings(cli("doctor", "--json"))["files"]["what"].startswith("others may read /")


def test_doctor_finds_what_is_over(cli, made, tmp_path):
    import shutil

    from strongroom.cli.office_findings import office

    shutil.copytree(made, tmp_path / "s")
    config = tmp_path / "s" / "strongroom.toml"
    year = 1_790_000_000 + 365 * 86_400
    by_time = {
        at: {one.subject: one.state for one in office(config, at)} for at in (year - 31 * 86_400, year - 1, year)
    }
    assert [states["trust"] for states in by_time.values()] == ["ok", "warn", "bad"]
    assert [states["deposit key"] for states in by_time.values()] == ["ok", "warn", "bad"]
    assert {one.subject: one.state for one in office(config, year * 2)}["certificate"] == "bad"


@pytest.mark.parametrize(
    ("path", "damage", "subject"),
    [
        ("database/strongroom.db", None, "database"),
        ("database/strongroom.db", b"garbage" * 1000, "database"),
        ("trust.json", None, "trust"),
        ("trust.json", b"{}", "trust"),
        ("attestation.toml", None, "attestation"),
        ("attestation.toml", b"version = 1\n[default]\nunattestet = true\n", "attestation"),
        ("tls/server.pem", b"x", "certificate"),
        ("tls/server.pem", "backup of another", "pins"),
        ("strongroom.toml", b"=", "strongroom"),
        ("keys/keyring.json", None, "keyring"),
        ("keys/keyring.json", "backup of another", "keyring"),
        ("keys/keyring.json", b"{}", "keyring"),
        ("keys/vault.key", b"x" * 32, "keyring"),
        ("keys/vault.key", None, "keyring"),
        ("keys", "backup of another", "keyring's release key"),
        ("keys", "backup of another", "keyring's deposit key"),
        ("tls/server.key", "backup of another", "TLS"),
        ("tls/server.key", None, "TLS"),
        ("database/strongroom.db", b"", "database"),
        ("strongroom.toml", b"public_url = 'https://elsewhere:1'", "public_url"),
    ],
    ids=[
        "no database",
        "broken database",
        "no trust",
        "broken trust",
        "no attestation policy",
        "misspelt attestation policy",
        "no certificate",
        "other key",
        "no TOML",
        "no keyring",
        "other keyring",
        "broken keyring",
        "wrong vault key",
        "no vault key",
        "other keys",
        "other deposit key",
        "other TLS key",
        "no TLS key",
        "empty database",
        "other address",
    ],
)
def test_doctor_finds_damage(cli, strongroom, path, damage, subject, tmp_path):
    target = strongroom / path
    if damage is None:
        target.unlink()
    elif isinstance(damage, str):
        cli("init", "other")
        for one in target.iterdir() if target.is_dir() else [target]:
            one.write_bytes((tmp_path / "other" / one.relative_to(strongroom)).read_bytes())
    else:
        target.write_bytes(damage)
    outcome = cli("doctor", "--config", strongroom, "--json")
    assert outcome.code == 1
    assert findings(outcome)[subject]["state"] == "bad"
    assert findings(outcome)[subject]["mend"]
    assert "disk" in findings(outcome) or subject == "strongroom"  # one that is bad hides no other


def test_doctor_and_init_say_that_nothing_is_asked_of_devices(cli, strongroom):
    found = findings(cli("doctor", "--config", strongroom, "--json"))["attestation"]
    assert (found["state"], "devices that prove nothing are served" in found["what"]) == ("warn", True)
    assert str(strongroom / "attestation.toml") in found["mend"]
    told = cli("init", "another").err
    assert "WARNING: devices that prove nothing are served" in told
    rules = 'version = 1\n[default]\nkinds = ["app-attest"]\napple.app_ids = ["A1B2C3D4E5.com.example.app"]\n'
    (strongroom / "attestation.toml").write_text(rules)
    assert findings(cli("doctor", "--config", strongroom, "--json"))["attestation"]["state"] == "ok"


def _publish(strongroom, *models):
    """Write rows of published versions; of no other column is anything read here."""
    with closing(sqlite3.connect(strongroom / "database" / "strongroom.db")) as database, database:
        columns = [(name, kind) for _, name, kind, *_ in database.execute("PRAGMA table_info(versions)")]
        for model in models:
            row = {name: 0 if "INT" in kind else f"{model} {name}" for name, kind in columns}
            row |= {"model": model, "state": "ready"}
            database.execute(f"INSERT INTO versions VALUES ({', '.join('?' * len(row))})", tuple(row.values()))  # noqa: S608 - question marks alone


def test_rules_for_a_model_that_is_not_there_are_pointed_out(cli, strongroom):
    """A misspelt name leaves the real model to [default], which may serve everybody."""
    rules = 'version = 1\n[default]\nunattested = true\n[models.kisok]\nkinds = ["app-attest"]\n'
    rules += 'apple.app_ids = ["A1B2C3D4E5.com.example.app"]\n'
    (strongroom / "attestation.toml").write_text(rules)
    _publish(strongroom, "kiosk", "digits")
    told = [one for one in cli("doctor", "--json").json["findings"] if one["subject"] == "model rules"]
    assert [one["state"] for one in told] == ["warn", "ok"]
    assert "[models.kisok] names no published model: is kiosk meant" in told[0]["what"]
    assert told[1]["what"] == "under [default]: digits, kiosk"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "[models.kisok] names no published model" in cli("serve", "--device-port", taken.getsockname()[1]).err


def test_models_that_nobody_gets_are_pointed_out(cli, strongroom):
    (strongroom / "attestation.toml").write_text("version = 1\n[models.kiosk]\nunattested = true\n")
    _publish(strongroom, "kiosk", *(f"m{number:02}" for number in range(12)))
    told = [one for one in cli("doctor", "--json").json["findings"] if one["subject"] == "model rules"]
    assert "nobody gets m00, " in told[0]["what"]
    assert "m09 and 2 more: no rules of their own" in told[0]["what"]
    (strongroom / "attestation.toml").write_text("version = 1\n")
    assert "no model is released to anybody" in findings(cli("doctor", "--json"))["attestation"]["what"]


def test_doctor_names_an_old_database(cli, strongroom):
    with closing(sqlite3.connect(strongroom / "database" / "strongroom.db")) as database, database:
        database.execute("DELETE FROM alembic_version")
    database.close()
    assert findings(cli("doctor", "--json"))["database"]["mend"] == "run: strongroom db upgrade"


@pytest.mark.parametrize(
    ("extra", "package"), [("server", "sqlalchemy"), ("server", "fastapi"), ("server", "pydantic_settings")]
)
def test_a_missing_extra_says_what_to_install(tmp_path, extra, package):
    script = f"import sys; sys.modules[{package!r}] = None\nfrom strongroom.cli import main\nmain(sys.argv[1:])\n"
    (tmp_path / "strongroom.toml").write_text("")
    for command in (["init", "x"], ["serve"], ["db", "current"]):
        if command[0] != "serve" and package == "fastapi":
            continue
        if command[0] == "init" and package == "pydantic_settings":
            continue
        done = subprocess.run(
            [sys.executable, "-c", script, *command], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 1, done
        assert "[missing-extra]" in done.stderr
        assert f'next: run: pip install "strongroom[{extra}]"' in done.stderr
        assert "Traceback" not in done.stderr


def test_operator_files_in_every_bad_shape(cli, strongroom):
    """Token and trust files that are missing, open, empty or of another kind."""
    outcome = cli("model", "list", "--trust", "missing")
    assert outcome.code == 2
    trust = (strongroom / "trust.json").read_bytes()
    for bad in (b"[]", b"{}", trust[:-10], trust.replace(b"eyJ", b"eyK", 1)):
        (strongroom / "trust.json").write_bytes(bad)
        assert cli("model", "list").code == 5
    (strongroom / "trust.json").write_bytes(trust)
    (strongroom / "admin.token").chmod(0o644)
    assert "[permissions]" in cli("model", "list").err
    (strongroom / "admin.token").chmod(0o600)
    (strongroom / "admin.token").write_bytes(b"two words\n")
    assert "[argument]" in cli("model", "list").err
    (strongroom / "admin.token").write_bytes(b"")
    assert "[argument]" in cli("model", "list").err
    (strongroom / "admin.token").unlink()
    assert "[argument]" in cli("model", "list").err


@pytest.mark.parametrize(
    "args",
    [
        ["account", "add", "Ada"], ["account", "add", "../x"], ["account", "add", "a\nb"], ["entitle", "ada", "Model"],
        ["entitle", "ada", "m@1.0"], ["entitle", "ada", "m@"], ["entitle", "ada", "m", "--user", "U"],
        ["revoke", "ada", "m@x@y", "--yes"], ["token", "issue", "--user", ""],
        ["operator", "add", "-", "--role", "admin"],
        ["model", "show", ""], ["entitle", "ada", "m", "--until", "yesterday"],
        ["token", "issue", "--user", "a", "--seconds", "0"],
        ["operator", "add", "x", "--role", "king"], ["model", "publish", "none", "--name", "m", "--version", "1"],
        ["model", "publish", ".", "--name", "m", "--version", "1", "--channel", "C"],
        ["pull", "Model"], ["pull", "m@@"], ["run", "m@1@2"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_words_are_refused_before_anything_is_sent(cli, strongroom, args):
    """Attack E17: names are checked here already; nothing listens, so a request would say unreachable."""
    outcome = cli(*args, "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["code"] in {"name", "argument", "usage", "path"}


def test_devices_that_are_none(cli, tmp_path):
    for command in (["pull", "m"], ["run", "m"], ["store", "list"], ["store", "verify"]):
        outcome = cli(*command, "--json")
        assert outcome.code == 1
        assert outcome.json["error"]["code"] == "not-enrolled"
    assert not list(tmp_path.iterdir())
