"""What docs/operations.md promises, done by its commands on a real server with real devices."""

import shutil
import sqlite3

import pytest

CONTENT = b"\x07weights of version one" * 20_000
NEWER = b"\x09weights of version two" * 20_000


def next_trust(office, command, *changes):
    """Make, sign and install the next trust file, and start the server anew."""
    trust, key = office.folder / "room" / "trust.json", office.folder / "room" / "owner" / "owner.key"
    made = office.folder / "next.json"
    command("trust", "new", "--from", trust, "-o", made, *changes, "--json")
    command("trust", "sign", made, "--from", trust, "--sign-with", key, "--yes", "--json")
    command("trust", "rotate", made, "--config", office.config, "--json")
    made.unlink()
    office.server.stop()
    office.server.start()


def key_of(office, command, role):
    shown = command("trust", "show", office.folder / "room" / "trust.json", "--json")
    return shown["roles"][role]["keys"][0][0]["key"]


def test_a_stolen_release_key_is_replaced_and_devices_follow(own_office, command):
    """B19, B27: rotation of the online key: what it signed before counts no more, and no device is lost."""
    own_office.publish(CONTENT, "digits")
    env = own_office.device("phone", own_office.customer("alice", "digits"))
    command("pull", "digits", env=env)
    old = key_of(own_office, command, "release")
    public = own_office.folder / "release.pub"
    command("key", "rotate", "release", "-o", public, "--config", own_office.config, "--json")
    next_trust(own_office, command, "--add", f"release={public}", "--drop", f"release={old[:10]}")
    assert key_of(own_office, command, "release") != old
    assert command("pull", "digits", "--json", env=env)["version"] == "1.0"  # it followed, and has a new lease
    assert command("run", "digits", "--json", env=env)["files"]
    tablet = own_office.device("tablet", own_office.token("alice"))
    assert command("pull", "digits", "--json", env=tablet)["fetched"] is True


def test_fast_forward_is_undone_by_an_epoch(own_office, command):
    """B19: whatever counter a thief has published under, the owners' next epoch outranks it, and old versions go."""
    own_office.publish(CONTENT, "digits", "1.0")
    own_office.publish(NEWER, "digits", "6.6")
    env = own_office.device("phone", own_office.customer("alice", "digits"))
    assert command("pull", "digits@stable", "--json", env=env)["version"] == "6.6"
    next_trust(own_office, command, "--epoch", "digits=2")
    own_office.publish(CONTENT, "digits", "2.0")
    assert command("pull", "digits@stable", "--json", env=env)["version"] == "2.0"
    command("pull", "digits@6.6", env=env, expect=4)  # of the epoch before: nothing brings it back


def test_a_backup_made_while_the_server_runs_is_restored(own_office, command, tmp_path):
    """Backup and restore: database by `db backup`, the rest as files; devices go on, nothing is released twice."""
    own_office.publish(CONTENT, "digits")
    env = own_office.device("phone", own_office.customer("alice", "digits"))
    command("pull", "digits", env=env)
    room, safe = own_office.folder / "room", tmp_path / "safe"
    safe.mkdir()
    own_office.admin("db", "backup", safe / "strongroom.db")
    for name in ("keys", "objects", "tls"):
        shutil.copytree(room / name, safe / name)
    for one in [*room.glob("trust*.json"), *room.glob("*.toml")]:
        shutil.copy2(one, safe / one.name)
    command("pull", "digits", env=own_office.device("later", own_office.token("alice")))  # after the backup
    own_office.server.kill()
    token = (room / "admin.token").read_bytes()
    shutil.rmtree(room)

    room.mkdir(mode=0o700)
    for name in ("keys", "objects", "tls"):
        shutil.copytree(safe / name, room / name)
    for one in [*safe.glob("trust*.json"), *safe.glob("*.toml")]:
        shutil.copy2(one, room / one.name)
    (room / "database").mkdir(mode=0o700)
    shutil.copy2(safe / "strongroom.db", room / "database" / "strongroom.db")
    (room / "admin.token").write_bytes(token)
    (room / "admin.token").chmod(0o600)
    own_office.server.start()
    assert command("doctor", "--config", own_office.config, "--json")
    assert command("pull", "digits", "--json", env=env)["fetched"] is False
    fresh = own_office.device("fresh", own_office.token("alice"))
    assert command("pull", "digits", "--json", env=fresh)["fetched"] is True
    # a device that enrolled after the backup is not known any more: it says so, keeps what it holds, and enrols again
    later = {"STRONGROOM_HOME": str(own_office.folder / "later")}
    command("pull", "digits", env=later, expect=4)
    assert command("run", "digits", "--json", env=later)["files"]
    command(
        "enrol", "--server", own_office.url, "--trust", own_office.trust,
        "--token-file", own_office.token("alice"), "--json", env=later,
    )  # fmt: skip
    command("pull", "digits", env=later)


def test_a_backup_is_whole_or_not_there(own_office, command, tmp_path):
    target = tmp_path / "one.db"
    size = own_office.admin("db", "backup", target)["size"]
    assert target.stat().st_size == size
    assert target.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(target) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    before = target.read_bytes()
    command("db", "backup", target, "--config", own_office.config, expect=2)
    assert target.read_bytes() == before
    command("db", "backup", tmp_path / "none" / "two.db", "--config", own_office.config, expect=1)
    assert [one.name for one in tmp_path.iterdir() if one.suffix in {".db", ".part"}] == ["one.db"]


@pytest.mark.slow
def test_a_second_owner_ends_no_published_version_unnoticed(own_office, command):
    """B19: with threshold 1 all goes on; threshold 2 is refused while versions lack a signature, and names them."""
    own_office.publish(CONTENT, "digits")
    env = own_office.device("phone", own_office.customer("alice", "digits"))
    command("pull", "digits", env=env)
    room, second = own_office.folder / "room", own_office.folder / "second.key"
    owner, trust = room / "owner" / "owner.key", room / "trust.json"
    command("trust", "key", second)
    made = own_office.folder / "two.json"

    def signed(*changes):
        made.unlink(missing_ok=True)
        command("trust", "new", "--from", trust, "-o", made, *changes)
        command("trust", "sign", made, "--from", trust, "--sign-with", owner, "--yes")
        command("trust", "sign", made, "--from", trust, "--sign-with", second, "--yes")

    signed("--add", f"owner={second.with_suffix('.pub')}")
    command("trust", "rotate", made, "--config", own_office.config)
    own_office.server.stop()
    own_office.server.start()
    assert command("pull", "digits", "--json", env=env)["fetched"] is False
    assert command("run", "digits", "--json", env=env)["files"]

    signed("--threshold", "owner=2")
    own_office.publish(CONTENT, "letters")
    (own_office.folder / "m.bin").write_bytes(NEWER)
    own_office.admin(
        "model", "publish", own_office.folder / "m.bin", "--name", "digits", "--version", "2.0", "--channel", "stable",
        "--sign-with", owner, "--sign-with", second,
    )  # fmt: skip
    refused = command("trust", "rotate", made, "--config", own_office.config, "--json", expect=2)["error"]
    assert (refused["code"], refused["what"].rpartition(": ")[2]) == ("conflict", "digits 1.0, letters 1.0")
    own_office.admin("model", "revoke", "digits", "1.0", "--yes")
    refused = command("trust", "rotate", made, "--config", own_office.config, "--json", expect=2)["error"]
    assert refused["what"].rpartition(": ")[2] == "letters 1.0"
    own_office.admin("entitle", "alice", "letters")
    command("pull", "letters", env=env)
    command("trust", "rotate", made, "--strand", "--config", own_office.config)
    own_office.server.stop()
    own_office.server.start()
    assert command("pull", "digits@stable", "--json", env=env)["version"] == "2.0"
    assert command("run", "digits", "--json", env=env)["files"]
    fresh = own_office.device("fresh", own_office.token("alice"))
    command("pull", "letters", env=fresh, expect=4)  # no keys for what it could not open
    command("pull", "digits", env=fresh)
