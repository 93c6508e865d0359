"""The whole path by command line, against a real server process: what each command prints, and how each refuses."""

import contextlib
import hashlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from strongroom.cli import places, root
from strongroom.cli.faults import run
from strongroom.cli.store import verdict
from strongroom.errors import Code, IntegrityError, RefusedError, StoreError
from strongroom.operator.keys import read_owner_key

MODEL = b"\x08\x01 not a real model, but bytes of one " * 5000
READY_SECONDS = 30


def free_ports():
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    stdout: str
    stderr: str


class Shell:
    """Runs commands in one directory; in this process, since only the server needs one of its own."""

    def __init__(self, directory):
        self.directory = directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
        self.environment = kept | {"STRONGROOM_HOME": str(directory / "device")}

    def __call__(self, *args, code=0, **environment):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.directory)
            patch.setattr(places, "START_SECONDS", 0.0)  # the server listens, or is meant not to
            patch.setattr(os, "environ", self.environment | environment)
            patch.setattr(sys, "stdin", io.StringIO())
            returned = run(root, [str(arg) for arg in args])
        done = Done(out.getvalue(), err.getvalue())
        assert returned == code, (args, done)
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def json(self, *args, code=0, **environment):
        return json.loads(self(*args, "--json", code=code, **environment).stdout)


@pytest.fixture(scope="module")
def sh(tmp_path_factory):
    directory = tmp_path_factory.mktemp("story")
    shell = Shell(directory)
    device, admin = free_ports()
    made = shell.json("init", "--device-port", device, "--admin-port", admin)
    shell.url, shell.admin_url = made["public_url"], made["admin_url"]
    (directory / "model.bin").write_bytes(MODEL)
    command = [sys.executable, "-m", "strongroom", "serve"]
    server = subprocess.Popen(command, cwd=directory, env=shell.environment, stderr=subprocess.PIPE)
    try:
        deadline, log = time.monotonic() + READY_SECONDS, b""
        while b"server.ready" not in log:
            left = deadline - time.monotonic()
            assert left > 0, log
            assert server.poll() is None, log
            if select.select([server.stderr], [], [], left)[0]:
                log += os.read(server.stderr.fileno(), 65_536)
        yield shell
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0


@pytest.fixture(scope="module")
def published(sh):
    """Everything up to an enrolled, entitled device."""
    sh("account", "add", "ada")
    sh.published = sh.json(
        "model", "publish", "model.bin", "--name", "digits", "--version", "1.0", "--channel", "stable"
    )
    sh("entitle", "ada", "digits@stable", "--until", "30d")
    sh("token", "issue", "--user", "ada", "--out", "ada.token")
    sh("enrol", "--trust", "strongroom/trust.json", "--token-file", "ada.token")  # the server that trust.json names
    return sh


def test_publish_to_run(published):
    """R35, R46, R47: protect, publish, release, fetch, re-seal, open, run."""
    pulled = published.json("pull", "digits")
    assert (pulled["version"], pulled["fetched"]) == ("1.0", True)
    assert published.json("pull", "digits")["fetched"] is False
    ran = published.json("run", "digits")
    digest = hashlib.sha256(MODEL).hexdigest()
    assert ran == {
        "model": "digits",
        "version": "1.0",
        "files": [{"path": "model.bin", "size": len(MODEL), "sha256": digest}],
    }
    assert published.json("store", "list")["models"][0]["state"] == "ready"
    assert published.json("store", "verify")["models"] == [{"model": "digits@1.0", "state": "whole", "code": ""}]
    assert published.json("device", "list")["devices"][0]["state"] == "active"


def test_what_the_office_shows(published):
    shown = published.json("model", "show", "digits")
    assert [(row["version"], row["state"]) for row in shown["versions"]] == [("1.0", "ready")]
    assert published("model", "list").stdout.split() == ["MODEL", "CHANNELS", "digits", "stable=1.0"]
    assert published.json("account", "list")["accounts"][0]["name"] == "ada"
    assert (published.published["epoch"], published.published["counter"]) == (1, 1)


def test_publishing_leaves_nothing_behind(published):
    """R53: no sealed file unless it was asked for, no plaintext, no draft."""
    names = [one.name for one in published.directory.iterdir()]
    assert not [name for name in names if name.endswith((".srm", ".part"))]


def test_no_secret_on_the_server_is_the_model(published):
    """R14, R18: ciphertext in the store, and no word of the model anywhere in the strongroom."""
    for directory, _, files in os.walk(published.directory / "strongroom"):
        for name in files:
            with open(os.path.join(directory, name), "rb") as file:  # noqa: PTH118, PTH123 - any name
                assert b"not a real model" not in file.read()


def test_a_decoy_twin_is_published_beside_its_version_and_shows_nowhere(published):
    """Of the same name and size; another size is refused with the difference."""
    shown = published.json("model", "show", "digits")
    folder = published.directory / "decoy"
    folder.mkdir()
    (folder / "model.bin").write_bytes(MODEL[::-1])
    done = published.json("model", "publish", "decoy/model.bin", "--decoy-of", "digits@1.0")
    assert [done[key] for key in ("epoch", "counter", "size")] == [
        published.published[key] for key in ("epoch", "counter", "size")
    ]
    assert done["file_id"] != published.published["file_id"]
    assert published.json("model", "show", "digits") == shown
    (folder / "model.bin").write_bytes(MODEL + b"!")
    error = published.json("model", "publish", "decoy/model.bin", "--decoy-of", "digits@1.0", code=2)["error"]
    assert error["code"] == "conflict"  # it has one
    assert published.json("run", "digits@1.0")["files"][0]["sha256"] == hashlib.sha256(MODEL).hexdigest()


def test_conflicts_say_what(published):
    error = published.json("account", "add", "ada", code=2)["error"]
    assert error["code"] == "conflict"
    assert "reference" in error["what"]
    arguments = ["model", "publish", "model.bin", "--name", "digits", "--version", "1.0"]
    assert published.json(*arguments, code=2)["error"]["code"] == "conflict"


def test_a_publisher_may_publish_and_nothing_else(published):
    """R13: the role sees models, not accounts; and no command gives a key back."""
    published("operator", "add", "ci", "--role", "publisher", "--out", "ci.token")
    assert published("model", "list", "--token-file", "ci.token").stdout
    for command in (["account", "list"], ["device", "list"], ["token", "issue", "--user", "ada"]):
        error = published.json(*command, "--token-file", "ci.token", code=4)["error"]
        assert error["code"] == "forbidden"


def test_a_token_without_a_place_is_not_made(published):
    """A full disk at the other end: nothing happened, and the same command works afterwards."""
    command = [sys.executable, "-m", "strongroom", "operator", "add", "lost", "--role", "auditor"]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, no file
        done = subprocess.run(
            command,
            cwd=published.directory,
            env=published.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"cannot write the output" in done.stderr
    published("operator", "add", "lost", "--role", "auditor", "--out", "lost.token")


def test_what_is_not_published_yet_is_said(published):
    assert "no model nothing yet" in published("entitle", "ada", "nothing").stderr
    assert "no channel beta yet" in published("entitle", "ada", "digits@beta").stderr
    assert "yet" not in published("entitle", "ada", "digits").stderr
    error = published.json("model", "show", "nothing", code=4)["error"]
    assert error["code"] == "not-found"


def test_what_an_account_may_have(published):
    shown = published.json("account", "show", "ada", "--model", "digits")["entitlements"]
    assert "stable" in {row["channel"] for row in shown}
    assert "stable" in published("account", "show", "ada", "--model", "digits").stdout


def test_addresses_that_are_none(published):
    device = ["--admin-url", published.url]
    for command in (["model", "list"], ["account", "add", "eve"], ["device", "list"]):
        error = published.json(*command, *device, code=7)["error"]
        assert error["what"] == "this is not the admin API of a strongroom"
    for url in ("https://localhost:99999", "http://localhost", "localhost"):
        error = published.json("model", "list", "--admin-url", url, code=2)["error"]
        assert error["next"]
    secret = "https://ada:s3cret@localhost:8443"
    for command in (["model", "list", "--admin-url", secret], ["enrol", "--server", secret]):
        error = published.json(*command, code=2, STRONGROOM_TOKEN="t")["error"]
        assert "s3cret" not in str(error)


def test_a_model_of_bytes_takes_no_input(published):
    published.json("pull", "digits")
    error = published.json("run", "digits", "--input", "x.npy", code=2)["error"]
    assert error["code"] == "argument"
    assert "leave --input out" in error["next"]


def test_a_wrong_token_is_denied(published):
    error = published.json("model", "list", code=4, STRONGROOM_ADMIN_TOKEN="nonsense")["error"]
    assert error["code"] in {"token", "unauthenticated"}


def test_not_entitled_and_not_there_look_alike(published):
    """Attack B10: the same code and the same words for both."""
    published(
        "model", "publish", "model.bin", "--name", "secret", "--version", "1.0", "--channel", "stable", "--out", "s.srm"
    )
    errors = [published.json("pull", name, code=4)["error"] for name in ("secret", "nothing")]
    assert [error["code"] for error in errors] == ["not-found"] * 2
    assert errors[0]["next"] == errors[1]["next"]


def test_revoked_means_no_more_releases(published):
    published("account", "add", "bob")
    published("entitle", "bob", "digits")
    published("token", "issue", "--user", "bob", "--out", "bob.token")
    home = ["--home", "bob"]
    published(
        "enrol", "--server", published.url, "--trust", "strongroom/trust.json", "--token-file", "bob.token", *home
    )
    published("revoke", "bob", "digits", code=2)  # nobody to ask, and no --yes
    published("revoke", "bob", "digits@stable", "--yes", code=2)  # another right than the one that was given
    assert len(published.json("revoke", "bob", "digits", "--yes")["revoked"]) == 1
    published("pull", "digits", *home, code=4)


def test_a_damaged_store_is_found(published, tmp_path):
    """Attack A20: one changed byte on the device, exit code 5, and how to mend it."""
    home = ["--home", "eve"]
    published("token", "issue", "--user", "ada", "--out", "eve.token")
    published(
        "enrol", "--server", published.url, "--trust", "strongroom/trust.json", "--token-file", "eve.token", *home
    )
    published("pull", "digits", *home)
    (file,) = (published.directory / "eve" / "models").glob("*/*.srm")
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    done = published("store", "verify", *home, code=5)
    assert "strongroom pull digits@1.0" in done.stderr
    told = published.json("store", "verify", *home, code=5)  # one document, models and error
    assert told["models"][0]["code"]
    assert told["error"]["code"] == "store-damaged"


def test_the_worst_decides_what_verify_says():
    damaged, lease = IntegrityError(Code.FILE_SEGMENT, "x"), RefusedError(Code.LEASE_EXPIRED, "over")
    full = StoreError(Code.DISK_FULL, "full")
    assert verdict({"a": None}) is None
    assert verdict({"a": lease, "b": None}).exit_code == 6
    assert verdict({"a": lease, "b": full}).exit_code == 1
    assert verdict({"a": lease, "b": full}).code == Code.DISK_FULL
    assert verdict({"a": lease, "b": full, "c": damaged}).exit_code == 5
    assert verdict({"a": StoreError(Code.STORE_DAMAGED, "x")}).exit_code == 5
    assert verdict({"a": IntegrityError(Code.SIGNATURE, "a lease by a key of yesterday")}).exit_code == 6


def test_a_file_the_owners_did_not_sign_is_refused(published, tmp_path):
    """Attack F09: a publisher with a token but without the owner's key; said before sealing, refused by the office."""
    from strongroom.cli.places import read_token, read_trust
    from strongroom.errors import InputError
    from strongroom.operator import OfficeClient, protect
    from strongroom.operator.keys import write_owner_key
    from strongroom.signing import ED25519, SigningKey

    stranger = SigningKey.generate(ED25519)
    write_owner_key(published.directory / "stranger.key", [stranger])
    arguments = ["model", "publish", "model.bin", "--name", "forged", "--version", "1.0", "--sign-with", "stranger.key"]
    error = published.json(*arguments, code=2)["error"]
    assert error["what"].startswith(f"this key is not an owner's: Ed25519 {stranger.public.key_id[:12]}")
    assert "strongroom trust show" in error["next"]
    room = published.directory / "strongroom"
    token = read_token(room / "admin.token")
    with (
        OfficeClient.connect(published.admin_url, token=token, trust=read_trust(room / "trust.json")) as office,
        protect(MODEL, name="forged", version="1.0", out=tmp_path / "f.srm", sign_with=stranger) as forged,
        pytest.raises(InputError) as caught,
    ):
        forged.publish(office)
    assert caught.value.code == "deposit"


def test_the_wrong_server_is_refused(published):
    other = ["--server", "https://localhost:1", "--trust", "strongroom/trust.json", "--token-file", "ada.token"]
    assert published.json("enrol", *other, "--home", "new", code=2)["error"]["code"] == "argument"
    url = ["--admin-url", "https://localhost:1"]
    assert published.json("model", "list", *url, code=7)["error"]["code"] == "unreachable"
    url = ["--admin-url", "https://elsewhere.example:1"]
    assert published.json("model", "list", *url, code=7)["error"]["code"] == "pin-mismatch"


def test_enrol_wants_a_token(published):
    arguments = ["enrol", "--server", published.url, "--trust", "strongroom/trust.json", "--home", "none"]
    assert "no token" in published(*arguments, code=2).stderr
    assert published.json(*arguments, code=4, STRONGROOM_TOKEN="nonsense")["error"]["code"] in {
        "token",
        "unauthenticated",
    }


def test_a_healthy_strongroom(published):
    found = published.json("doctor")["findings"]
    states = {one["subject"]: one["state"] for one in found}
    assert "bad" not in states.values()
    assert states["owner key"] == states["vault key"] == states["keystore"] == "warn"
    assert states["keyring"] == states["TLS"] == states["device token"] == "ok"
    assert states["database"] == states["pins"] == states["files"] == "ok"


def test_the_owner_key_of_init_is_one_of_ours(published):
    assert [key.alg for key in read_owner_key(published.directory / "strongroom/owner/owner.key")] == [
        "Ed25519",
        "ML-DSA-65",
    ]
