"""The whole path by its commands: a real server over TLS, real devices with directories of their own."""

import hashlib
import json
import os
import signal
import sqlite3
import ssl
import urllib.request
from pathlib import Path

import pytest

CONTENT = os.urandom(400_000)


@pytest.fixture
def published(server, tmp_path):
    model = tmp_path / "weights.bin"
    model.write_bytes(CONTENT)
    done = server.admin("model", "publish", model, "--name", "digits", "--version", "1.0", "--channel", "stable")
    assert (done["model"], done["epoch"], done["counter"]) == ("digits", 1, 1)
    return server


def needles(data):
    return [data[at : at + 16] for at in range(0, len(data) - 16, 4096)]


def test_the_path_from_init_to_run(published, command):
    """R9, R14, R27, R31, R43, R49: init, serve, publish, entitle, enrol, pull, run, each by its command."""
    env = published.device("phone", published.customer("alice", "digits"))
    done = command("pull", "digits@stable", "--json", env=env)
    assert (done["model"], done["version"], done["fetched"]) == ("digits", "1.0", True)
    assert command("pull", "digits@stable", "--json", env=env)["fetched"] is False
    ran = command("run", "digits", "--json", env=env)
    assert ran["files"][0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert command("store", "list", "--json", env=env)
    published.stop()
    offline = command("run", "digits", "--json", env=env)  # within its lease it needs nobody
    assert offline == ran
    command("pull", "digits", env=env, expect=7)


def test_who_is_not_entitled_gets_exit_code_4(published, command):
    env = published.device("phone", published.customer("mallory"))
    command("pull", "digits", env=env, expect=4)
    command("pull", "nothing", env=env, expect=4)
    assert not any((published.folder / "phone" / "models").glob("*"))


def test_a_tampered_object_gets_exit_code_5(published, command):
    env = published.device("phone", published.customer("alice", "digits"))
    stored = next(one for one in (published.folder / "room" / "objects").rglob("*") if one.is_file())
    data = bytearray(stored.read_bytes())
    data[-20] ^= 1
    stored.write_bytes(data)
    command("pull", "digits", env=env, expect=5)


def test_nothing_on_the_disk_holds_the_model_or_a_token(published, command):
    """R14, R18, R34, D01, D12: every file of server and device, searched for pieces of the model and for secrets."""
    token = published.customer("alice", "digits")
    env = published.device("phone", token)
    command("run", "digits", env=env)
    published.stop()
    (published.folder / "weights.bin").unlink()
    secret = token.read_bytes().strip()
    token.unlink()
    files = [one for one in published.folder.rglob("*") if one.is_file()]
    assert len(files) > 10
    for file in files:
        data = file.read_bytes()
        assert not [one for one in needles(CONTENT) if one in data], file
        assert secret not in data, file
    for file in (one for one in files if "phone" in one.parts or "room" in one.parts):
        assert file.stat().st_mode & 0o077 == 0 or file.suffix in {".pem", ".toml"} or file.name == "trust.json", file


def test_kill_9_loses_nothing(published, command):
    """E09 in small: an acknowledged publish and release survive SIGKILL of the server."""
    env = published.device("phone", published.customer("alice", "digits"))
    command("pull", "digits", env=env)
    assert published.stop(kill=True) == -signal.SIGKILL
    published.start()
    again = published.device("tablet", published.token("alice"))
    assert command("pull", "digits", "--json", env=again)["version"] == "1.0"
    rows = sqlite3.connect(published.folder / "room" / "database" / "strongroom.db")
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


def test_onnx_outputs_are_those_of_the_plain_model(server, command, tmp_path):
    """R31, R46: a real ONNX model; the runtime sees the same bytes."""
    onnxruntime = pytest.importorskip("onnxruntime")
    import magika
    import numpy as np

    path = Path(magika.__file__).parent / "models" / "standard_v3_3" / "model.onnx"
    server.admin("model", "publish", path, "--name", "magika", "--version", "1.0.3", "--channel", "stable")
    env = server.device("phone", server.customer("alice", "magika"))
    given = np.arange(2048, dtype=np.int32).reshape(1, 2048) % 257
    np.save(tmp_path / "input.npy", given)
    ours = command("run", "magika", "--input", tmp_path / "input.npy", "--json", env=env)["outputs"]
    plain = onnxruntime.InferenceSession(str(path)).run(None, {"bytes": given})
    assert np.allclose(next(iter(ours.values())), plain[0])
