"""Wycheproof's Ed25519 vectors through our own verification (R56)."""

import json
from pathlib import Path

import pytest

from strongroom.signing import ED25519, PublicKey

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "crypto" / "wycheproof" / "ed25519_test.json"


@pytest.mark.skipif(not FILE.exists(), reason="the vectors are not part of the project")
def test_every_verdict_is_that_of_wycheproof():
    document = json.loads(FILE.read_text(encoding="utf-8"))
    tried = 0
    for group in document["testGroups"]:
        key = PublicKey(ED25519, bytes.fromhex(group["publicKey"]["pk"]))
        for test in group["tests"]:
            verdict = key.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            assert verdict == (test["result"] == "valid"), test["tcId"]
            tried += 1
    assert tried == document["numberOfTests"]
    assert tried >= 150
