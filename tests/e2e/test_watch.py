"""The closed loop, over real processes: a decoy is touched, and the model is gone from that device and no other."""

import base64
import contextlib
import json
import secrets
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import pytest

from strongroom.cli.demo.processes import clean_environment

CONTENT = secrets.token_bytes(40_000)
CHILD = Path(__file__).with_name("device_process.py")


class DeviceProcess:
    """A device that lives in a process of its own and does what it is told."""

    def __init__(self, env):
        self.home = Path(env["STRONGROOM_HOME"])
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            env=clean_environment(**env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, verb, **more):
        """Have it done, and return what came of it: `{"done": …}` or `{"error": code}`."""
        self._process.stdin.write(json.dumps({"verb": verb, **more}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self):
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(30) == 0


@contextlib.contextmanager
def living(env):
    device = DeviceProcess(env)
    try:
        yield device
    finally:
        device.end()


@pytest.mark.slow
def test_a_touched_decoy_ends_with_a_signed_receipt(own_office, command):
    """A14, A18: decoy → key refused → lease not renewed → signed order → wiped → signed receipt → the operator sees."""
    own_office.publish(CONTENT, "digits")
    own_office.publish(CONTENT[::-1], "letters")
    made = own_office.admin("decoy", "add", "endpoint", "POST /v2/models/{model}/raw", "--note", "support.py")
    thief_token, other_token = own_office.customer("mallory", "digits", "letters"), own_office.customer("bob", "digits")
    thief_env, other_env = own_office.device("thief", thief_token), own_office.device("other", other_token)
    with living(thief_env) as thief, living(other_env) as other:
        for device in (thief, other):
            assert device.tell("pull") == {"done": "1.0"}
            assert device.tell("open") == {"done": len(CONTENT)}
        sealed = set(thief.home.glob("models/*/*.srm"))
        assert sealed

        real = thief.tell("post", path=f"/v1/releases/rel_{'A' * 22}/urls")
        assert real["error"] == "challenge"
        assert thief.tell("post", path="/v2/models/digits/raw") == real | {"what": ANY}  # looks like any other refusal

        assert thief.tell("pull", model="letters")["error"] == "restricted"  # no key is given any more
        assert thief.tell("renew")["error"] == "wiped"  # no lease: the signed order, carried out
        assert thief.tell("open")["error"] == "wiped"
        assert thief.tell("pull")["error"] == "restricted"
        assert CONTENT not in b"".join(path.read_bytes() for path in thief.home.rglob("*") if path.is_file())
        assert not any(path.exists() for path in sealed)

        assert other.tell("renew") == {"done": "1.0"}
        assert other.tell("open") == {"done": len(CONTENT)}
        assert other.tell("pull") == {"done": "1.0"}

    devices = {one["id"]: one for one in own_office.admin("device", "list")["devices"]}
    stopped = [one for one in devices.values() if one["state"] == "stopped"]
    assert len(stopped) == 1
    shown = own_office.admin("device", "show", stopped[0]["id"])
    assert not shown["holds"]
    assert [one["outcome"] for one in shown["orders"]] == ["wiped"]
    assert all(one["reported"] for one in shown["orders"])
    with sqlite3.connect(own_office.folder / "room" / "database" / "strongroom.db") as database:
        ((receipt,),) = database.execute("SELECT receipt FROM orders").fetchall()
    said = json.loads(base64.urlsafe_b64decode(receipt.split(".")[1] + "=="))
    assert said["order_id"] == shown["orders"][0]["id"]

    found = {one["id"]: one for one in own_office.admin("decoy", "list")["decoys"]}
    assert found[made["id"]]["hits"] == 1
    told = own_office.admin("risk", "explain", stopped[0]["id"])
    assert told["decision"]["band"] == "stop"
    assert {one["word"] for one in told["decision"]["stops"]} == {"decoy"}
    assert told["decision"]["policy"]

    own_office.admin("risk", "restore", "mallory", "--why", "a drill")
    command("pull", "digits", "--json", env=thief_env)
    assert command("run", "digits", "--json", env=thief_env)["files"]
