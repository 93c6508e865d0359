/** Every transcript of tests/vectors/protocol-v1, every wrong twin, and what they leave out. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import {
  bindingOf, followTrust, hasLattice, KEMS, openGrant, P256, ProtocolError, readProblem, verifyTrust, X25519,
} from "../src/protocol/release.js";
import { requirePublicKey } from "../src/protocol/hpke.js";
import { judgeAll, readTranscripts } from "../src/protocol/transcripts.js";

const FOLDER = fileURLToPath(new URL("../../../tests/vectors/protocol-v1/", import.meta.url));
const BIN = fileURLToPath(new URL("../bin/strongroom-release.js", import.meta.url));
const TRANSCRIPTS = await readTranscripts(FOLDER);

test("the transcripts are there", () => assert.ok(TRANSCRIPTS.length >= 10));

for (const transcript of TRANSCRIPTS) {
  test(`${transcript.name}: ${transcript.comment}`, () => {
    const verdicts = judgeAll(transcript);
    assert.ok(verdicts.length > transcript.checks.length);
    assert.deepEqual(verdicts.filter(({ fits }) => !fits), []);
    const hybrid = transcript.keys.some(({ alg }) => ["ML-DSA-65", "MLKEM768_X25519"].includes(alg));
    if (!hybrid || hasLattice) assert.deepEqual(verdicts.filter(({ verdict }) => verdict === "unsupported"), []);
  });
}

test("the binding of section 5", () => {
  const binding = bindingOf({
    purpose: "release", challenge: Buffer.from(Array.from({ length: 32 }, (_, index) => index)), kem: 0x647a,
    publicKey: Buffer.from("public"), account: "acc_1", device: "dev_1", deviceKey: Buffer.alloc(32, "k"), platform: "linux",
    model: "digits", version: "@stable",
  });
  assert.equal(binding.toString("hex"), "b4951d4a15d2d0086581cd871577dddd2be13e54733024850d9620e3492c2a12");
});

test("names are bound in one spelling, and refused in any other", () => {
  const bound = { purpose: "urls", challenge: Buffer.alloc(32), deviceKey: Buffer.alloc(32) };
  assert.throws(() => bindingOf({ ...bound, model: "e\u0301" }), TypeError);
});

test("public keys have one spelling and are points of their curve", () => {
  const order = (name) => Buffer.from(name, "hex").reverse();
  const prime = order("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed");
  const refused = [
    [X25519, Buffer.alloc(32)], [X25519, prime], [X25519, Buffer.alloc(31, 9)], [X25519, Buffer.alloc(32, 0xff)],
    [P256, Buffer.alloc(65, 4)], [P256, Buffer.alloc(33, 2)], [KEMS[0], Buffer.alloc(1_216, 0xff)],
    [KEMS[0], Buffer.concat([Buffer.alloc(1_184), Buffer.alloc(32)])],
  ];
  for (const [kem, key] of refused) assert.throws(() => requirePublicKey(kem, key, "key"), { code: "public-key" });
  requirePublicKey(X25519, Buffer.from([9, ...Buffer.alloc(31)]), "key");
});

test("the seed of a key is overwritten, whatever comes of opening", () => {
  const seed = Buffer.alloc(32, 7);
  const grant = { files: [{}], sealed: Buffer.alloc(80) };
  assert.throws(() => openGrant({ grant, payload: Buffer.from("{}") }, { kem: X25519, seed }, Buffer.alloc(32)), {
    code: "sealed-key",
  });
  assert.deepEqual(seed, Buffer.alloc(32));
});

test("a grant that is wrapped for a TPM is refused in plain words, and its seed overwritten", () => {
  const seed = Buffer.alloc(32, 7);
  const grant = { files: [{}], sealed: Buffer.alloc(88), credential: Buffer.alloc(4) };
  assert.throws(() => openGrant({ grant, payload: Buffer.from("{}") }, { kem: X25519, seed }, Buffer.alloc(32)), {
    code: "sealed-key", message: /wrapped for one TPM/,
  });
  assert.deepEqual(seed, Buffer.alloc(32));
});

test("sizes come before parsing", () => {
  assert.throws(() => verifyTrust(Buffer.alloc(1_048_577, " ")), { code: "json-too-large" });
  const chain = TRANSCRIPTS.find(({ name }) => name === "trust-chain").checks.find(({ name }) => name === "first");
  const trust = verifyTrust(chain.inputs.trust);
  assert.throws(() => followTrust(trust, Buffer.alloc(8_388_609, " ")), { code: "json-too-large" });
  assert.equal(followTrust(trust, '{"trust":[]}'), trust);
});

test("a refusal says what, where and what next, and nothing it was given", () => {
  const error = new ProtocolError("sealed-key", "grant");
  assert.match(error.message, /^sealed-key: .* \(grant\)$/);
  assert.ok(error.next.length > 0 && !error.unsupported);
});

test("what attestation comes to is told apart", () => {
  for (const code of ["evidence", "attestation-needed"]) {
    assert.deepEqual(readProblem(403, JSON.stringify({ code })), { code, family: "RefusedError", exit: 6 });
  }
});

test("a hostile body of a refusal is a refusal like any other", () => {
  for (const body of ["", "[".repeat(100_000), "null", '{"code":"__proto__"}', '{"code":["token"]}']) {
    assert.deepEqual(readProblem(418, body), { code: "argument", family: "InputError", exit: 2 });
  }
});

test("the command shows what a chain ends in, and refuses with 5, or with 2 where it was not understood", async () => {
  const [first, follow] = TRANSCRIPTS.find(({ name }) => name === "trust-chain").checks;
  const folder = await mkdtemp(join(tmpdir(), "strongroom-"));
  try {
    const [trust, answer] = [join(folder, "trust.json"), join(folder, "answer.json")];
    await writeFile(trust, first.inputs.trust);
    await writeFile(answer, follow.inputs.answer);
    const run = (...given) => spawnSync(process.execPath, [BIN, ...given], { encoding: "utf8" });
    assert.equal(JSON.parse(run("trust", trust).stdout).version, 1);
    assert.equal(JSON.parse(run("trust", trust, "--follow", answer).stdout).version, 3);
    const refused = run("trust", answer);
    assert.equal(refused.status, 5);
    assert.match(refused.stderr, /^error: .* \[shape\]\nnext: /);
    assert.match(run("--help").stdout, /^usage:/);
    const wrong = [[], ["trust"], ["open", trust], ["trust", trust, "--nothing"], ["trust", folder], ["trust", `${trust}x`]];
    for (const words of [...wrong, ["vectors", folder + "x"], ["trust", trust, "--follow", "/dev/null"]]) {
      const { status, stderr } = run(...words);
      assert.equal(status, 2, stderr);
      assert.doesNotMatch(stderr, /ENOENT|EISDIR|^ {4}at /m);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
