"""Wycheproof's Ed25519 vectors through our own verification, in both languages (R56)."""

import json
from pathlib import Path

import pytest

from strongroom.signing import ED25519, PublicKey
from vectors.test_second_language import node

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "crypto" / "wycheproof" / "ed25519_test.json"
IN_NODE = """
import { readFileSync } from "node:fs";
import { known, signedBy } from "./src/owners.js";
const verdicts = {};
for (const { publicKey, tests } of JSON.parse(readFileSync(process.argv[1])).testGroups) {
  const key = known({ alg: "Ed25519", raw: Buffer.from(publicKey.pk, "hex") });
  for (const { tcId, msg, sig } of tests) {
    const signature = { alg: "Ed25519", sig: Buffer.from(sig, "hex") };
    verdicts[tcId] = signedBy(key, signature, Buffer.from(msg, "hex"));
  }
}
console.log(JSON.stringify(verdicts));
"""
absent = pytest.mark.skipif(not FILE.exists(), reason="the vectors are not part of the project")


def cases() -> list[tuple[str, dict]]:
    """Return public key and test, of each."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    found = [(group["publicKey"]["pk"], test) for group in document["testGroups"] for test in group["tests"]]
    assert len(found) == document["numberOfTests"] == 151
    return found


@absent
def test_every_verdict_is_that_of_wycheproof():
    valid = 0
    for public, test in cases():
        verdict = PublicKey(ED25519, bytes.fromhex(public)).verify(
            bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
        )
        assert verdict == (test["result"] == "valid"), test["tcId"]
        valid += verdict
    assert valid == 88


@absent
def test_every_verdict_of_the_second_reader_is_that_of_wycheproof():
    done = node("--input-type=module", "--eval", IN_NODE, str(FILE))
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)
    for _, test in cases():
        assert verdicts[str(test["tcId"])] == (test["result"] == "valid"), test["tcId"]
    assert len(verdicts) == 151
