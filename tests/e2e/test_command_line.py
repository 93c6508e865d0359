"""The whole path by its commands: a real server over TLS, real devices with directories of their own."""

import hashlib
import json
import os
import sqlite3
import ssl
import urllib.request

import numpy as np
import onnxruntime
import pytest

from strongroom.cli.demo.measure import find_specimen

CONTENT = os.urandom(400_000)


@pytest.fixture(scope="module")
def published(office):
    done = office.publish(CONTENT, "digits")
    assert (done["model"], done["epoch"], done["counter"]) == ("digits", 1, 1)
    return office


def needles(data):
    return [data[at : at + 16] for at in range(0, len(data) - 16, 4096)]


def test_the_path_from_init_to_run(own_office, command):
    """R9, R14, R27, R31, R43, R49: init, serve, publish, entitle, enrol, pull, run, each by its command."""
    own_office.publish(CONTENT, "digits")
    env = own_office.device("phone", own_office.customer("alice", "digits"))
    done = command("pull", "digits@stable", "--json", env=env)
    assert (done["model"], done["version"], done["fetched"]) == ("digits", "1.0", True)
    assert command("pull", "digits@stable", "--json", env=env)["fetched"] is False
    ran = command("run", "digits", "--json", env=env)
    assert ran["files"][0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert command("store", "list", "--json", env=env)
    own_office.server.stop()
    offline = command("run", "digits", "--json", env=env)  # within its lease it needs nobody
    assert offline == ran
    command("pull", "digits", env=env, expect=7)


def test_who_is_not_entitled_gets_exit_code_4(published, command):
    env = published.device("intruder", published.customer("mallory"))
    command("pull", "digits", env=env, expect=4)
    command("pull", "nothing", env=env, expect=4)
    assert not any((published.folder / "intruder" / "models").glob("*"))


def test_a_tampered_object_gets_exit_code_5(published, command):
    env = published.device("victim", published.customer("carol", "digits"))
    stored = max((published.folder / "room" / "objects").rglob("*"), key=lambda one: one.stat().st_size)
    data = stored.read_bytes()
    stored.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    command("pull", "digits", env=env, expect=5)
    stored.write_bytes(data)
    command("pull", "digits", env=env)


def test_nothing_on_the_disk_holds_the_model_or_a_token(own_office, command):
    """R14, R18, R34, D01, D12: every file of server and device, searched for pieces of the model and for secrets."""
    own_office.publish(CONTENT, "digits")
    token = own_office.customer("alice", "digits")
    env = own_office.device("phone", token)
    command("run", "digits", env=env)
    own_office.server.stop()
    secret = token.read_bytes().strip()
    token.unlink()
    files = [one for one in own_office.folder.rglob("*") if one.is_file()]
    assert len(files) > 10
    for file in files:
        data = file.read_bytes()
        assert not [one for one in needles(CONTENT) if one in data], file
        assert secret not in data, file
    for file in (one for one in files if "phone" in one.parts or "room" in one.parts):
        assert file.stat().st_mode & 0o077 == 0, file


def test_kill_9_loses_nothing(own_office, command):
    """E09 in small: an acknowledged publish and release survive SIGKILL of the server."""
    own_office.publish(CONTENT, "digits")
    env = own_office.device("phone", own_office.customer("alice", "digits"))
    command("pull", "digits", env=env)
    own_office.server.kill()
    own_office.server.start()
    again = own_office.device("tablet", own_office.token("alice"))
    assert command("pull", "digits", "--json", env=again)["version"] == "1.0"
    rows = sqlite3.connect(own_office.folder / "room" / "database" / "strongroom.db")
    granted = rows.execute("select count(*) from audit where event = 'release.granted'").fetchone()[0]
    released = rows.execute("select count(*) from releases").fetchone()[0]
    rows.close()
    assert (granted, released) == (2, 2)


def test_both_ports_answer_in_their_own_language(published):
    """R9, R65: OpenAPI and health on both; no admin route on the device port and the other way round."""
    context = ssl.create_default_context(cafile=str(published.folder / "room" / "tls" / "ca.pem"))

    def get(url):
        with urllib.request.urlopen(url, context=context) as answer:
            return json.loads(answer.read())

    device, admin = (get(f"{url}/openapi.json")["paths"] for url in (published.url, published.admin_url))
    assert "/v1/releases" in device
    assert "/v1/releases" not in admin
    assert "/v1/deposits" in admin
    assert "/v1/deposits" not in device
    assert get(f"{published.url}/healthz")["status"] == get(f"{published.admin_url}/healthz")["status"] == "ok"


def test_onnx_outputs_are_those_of_the_plain_model(office, command, tmp_path):
    """R31, R46: a real ONNX model; the runtime sees the same bytes."""
    path = find_specimen().path
    office.admin("model", "publish", path, "--name", "magika", "--version", "1.0.3", "--channel", "stable")
    env = office.device("onnx", office.customer("dora", "magika"))
    given = np.arange(2048, dtype=np.int32).reshape(1, 2048) % 257
    np.save(tmp_path / "input.npy", given)
    ours = command("run", "magika", "--input", tmp_path / "input.npy", "--json", env=env)["outputs"]
    plain = onnxruntime.InferenceSession(str(path)).run(None, {"bytes": given})
    assert np.allclose(next(iter(ours.values())), plain[0])
