/** What the vectors cannot say: use after a failure, sources that lie, owners, and the command line. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { bytesOf } from "../src/canonical.js";
import { fromBytes, inspect, open, Owners, verify } from "../src/reader.js";
import { readCases } from "../src/vectors.js";

const FOLDER = fileURLToPath(new URL("../../../tests/vectors/sealed-v1/", import.meta.url));
const COMMAND = fileURLToPath(new URL("../bin/strongroom-file.js", import.meta.url));
const CASES = new Map((await readCases(FOLDER)).map((vector) => [vector.name, vector]));
const SUBJECT = { account: "ac_customer", model: "digits", version: "1.0", user: null };
const scratch = await mkdtemp(join(tmpdir(), "strongroom-file-"));
after(() => rm(scratch, { recursive: true }));

function ownersOf({ fields }) {
  return Owners.ofText(1, fields.get("owners").split(" "));
}

function opened(vector, more = {}, source = fromBytes(vector.data)) {
  const expected = { kind: "model", subject: SUBJECT, owners: ownersOf(vector), ...more };
  return open(source, Buffer.from(vector.fields.get("mek"), "hex"), expected);
}

async function run(...args) {
  return promisify(execFile)(process.execPath, [COMMAND, ...args], { timeout: 60_000 }).then(
    ({ stdout }) => ({ status: 0, stdout }),
    ({ code, stdout, stderr }) => ({ status: code, stdout, stderr }),
  );
}

async function onDisk(vector) {
  await writeFile(join(scratch, "model.srm"), vector.data);
  await writeFile(join(scratch, "mek"), Buffer.from(vector.fields.get("mek"), "hex"), { mode: 0o600 });
  const options = ["--mek", join(scratch, "mek"), "-o", join(scratch, "out"), "--account", "ac_customer"];
  const owners = vector.fields.get("owners").split(" ").flatMap((key) => [`--owner=${key}`]);
  return [join(scratch, "model.srm"), ...options, ...owners, "--model", "digits", "--version", "1.0"];
}

test("after a failure, and after closing, everything is refused", async () => {
  const broken = await opened(CASES.get("signed-bit"));
  await assert.rejects(broken.segments().next(), { code: "file-segment" });
  await assert.rejects(broken.segments().next(), { code: "file-refused" });
  const closed = await opened(CASES.get("bytes-1"));
  closed.close();
  await assert.rejects(closed.segments().next(), { code: "file-refused" });
});

test("a key of another length is refused before anything is read", async () => {
  const never = { size: 1, read: () => assert.fail("read") };
  await assert.rejects(open(never, Buffer.alloc(31), {}), { code: "file-key-size" });
});

test("a source that gives less than it promised is a cut file", async () => {
  const { data, ...vector } = CASES.get("two-segments");
  const read = async (offset, length) => Buffer.from(data.subarray(offset, Math.min(offset + length, data.length - 1)));
  const file = await opened({ ...vector, data }, {}, { size: data.length, read });
  const pieces = file.segments();
  await pieces.next();
  await assert.rejects(pieces.next(), { code: "file-truncated" });
});

test("nothing is allocated for a length beyond its cap or beyond the file", async () => {
  for (const name of ["manifest-4-gib", "signatures-65537", "total-huge", "segments-65537", "payload-2-to-53"]) {
    const { data } = CASES.get(name);
    const read = async (offset, length) => {
      assert.ok(length <= data.length, name);
      return data.subarray(offset, offset + length);
    };
    await assert.rejects(inspect({ size: data.length, read }), { name: "SealedFileError" });
  }
});

test("each thing that was asked for is compared", async () => {
  const vector = CASES.get("overlay");
  const head = await inspect(fromBytes(vector.data));
  const { core, size, suite } = head;
  const right = {
    fileId: core.fileId, keyId: core.keyId, suite, head: head.digest, epoch: core.epoch, counter: core.counter, size,
    base: core.base,
  };
  (await opened(vector, { kind: "overlay", ...right, suites: [2, 1] })).close();
  await assert.rejects(opened(vector, { kind: "overlay", suites: [2] }), { code: "file-mismatch" });
  for (const [name, value] of Object.entries(right)) {
    const other = name === "base" ? { ...value, head: Buffer.alloc(64) }
      : typeof value === "number" ? value + 1 : Buffer.alloc(value.length);
    await assert.rejects(opened(vector, { kind: "overlay", [name]: other }), { code: "file-mismatch" }, name);
  }
});

test("verify needs no key, and sees each stored byte", async () => {
  const expected = (vector) => ({ kind: "model", owners: ownersOf(vector) });
  const good = CASES.get("two-segments");
  assert.equal((await verify(fromBytes(good.data), expected(good))).size, good.data.length);
  const broken = CASES.get("stored-bit");
  await assert.rejects(verify(fromBytes(broken.data), expected(broken)), { code: "file-digest" });
});

test("a reader without the key takes every kind but local, and says which it is", async () => {
  for (const [name, kind] of [["bytes-1", "model"], ["overlay", "overlay"], ["delta", "delta"]]) {
    const vector = CASES.get(name);
    const judged = (more) => verify(fromBytes(vector.data), { owners: ownersOf(vector), ...more });
    assert.equal((await judged({})).core.kind, kind);
    assert.equal((await judged({ kind })).core.kind, kind);
    await assert.rejects(judged({ kind: kind === "delta" ? "model" : "delta" }), { code: "file-kind" });
  }
  const local = CASES.get("local-opens");
  for (const kind of [undefined, "model", "local"]) {
    await assert.rejects(verify(fromBytes(local.data), { owners: ownersOf(local), kind }), { code: "file-kind" });
  }
  await assert.rejects(opened(CASES.get("overlay"), { kind: undefined }), { code: "file-kind" }); // who opens says it
});

test("an owner with two keys needs both", async () => {
  const vector = CASES.get("two-of-three");
  const [one, two, three] = vector.fields.get("owners").split(" ").map((text) => bytesOf(text, "owners", 32));
  const key = (raw) => ({ alg: "Ed25519", raw });
  const signed = [];
  for (const raw of [one, two, three]) {
    await verify(fromBytes(vector.data), { kind: "model", owners: Owners.ofEd25519(1, [raw]) }).then(
      () => signed.push(raw),
      (error) => assert.equal(error.code, "file-signature"),
    );
  }
  const other = [one, two, three].find((raw) => !signed.includes(raw));
  const judged = (owners) => verify(fromBytes(vector.data), { kind: "model", owners });
  await judged(new Owners(1, [signed.map(key)]));
  await assert.rejects(judged(new Owners(1, [[key(signed[0]), key(other)]])), { code: "file-signature" });
  const hybrid = [key(signed[0]), { alg: "ML-DSA-65", raw: Buffer.alloc(1_952) }];
  await assert.rejects(judged(new Owners(1, [hybrid])), { code: "file-signature", unsupported: false });
  await judged(new Owners(1, [hybrid, [key(signed[1])]]));
});

test("a signature of ML-DSA-65 is verified, or the refusal says that it could not be", async () => {
  const judged = (vector) => verify(fromBytes(vector.data), { kind: "model", owners: ownersOf(vector) });
  const told = await judged(CASES.get("hybrid")).then(() => "verified", (error) => error);
  if (told !== "verified") {
    assert.equal(told.code, "file-signature");
    assert.equal(told.unsupported, true);
    assert.match(told.message, /ML-DSA-65/);
  }
  // Without a signature of that algorithm there is nothing that another reader could say.
  const never = { code: "file-signature", unsupported: false };
  await assert.rejects(judged(CASES.get("hybrid-ed25519-only")), never);
  await judged(CASES.get("hybrid-not-needed"));
});

test("owners that cannot be meant are a mistake of the caller", () => {
  const key = bytesOf(CASES.get("bytes-1").fields.get("owners"), "owners", 32);
  const small = Buffer.alloc(32);
  small[0] = 1; // the neutral element signs anything
  const wrong = [[0, [key]], [2, [key]], [1, []], [2, [key, key]]];
  const eighth = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
  const eighths = [eighth, `${eighth.slice(0, -2)}fa`].map((hex) => Buffer.from(hex, "hex"));
  for (const raw of [key.subarray(1), small, ...eighths, Buffer.alloc(32, 255)]) wrong.push([1, [raw]]);
  for (const [threshold, keys] of wrong) assert.throws(() => Owners.ofEd25519(threshold, keys), TypeError);
});

test("the command line writes files when everything is good", async () => {
  const vector = CASES.get("several-files");
  assert.deepEqual(await run("open", ...(await onDisk(vector))), { status: 0, stdout: "" });
  const { toc } = await opened(vector);
  for (const { path, size } of toc.files) assert.equal((await readFile(join(scratch, "out", path))).length, size);
  const again = await run("open", ...(await onDisk(vector)));
  assert.equal(again.status, 2); // the folder is there
  assert.match(again.stderr, /^error: .* \[already-there\]\nnext: /);
  await rm(join(scratch, "out"), { recursive: true });
});

test("the command line writes nothing when anything is wrong", async () => {
  for (const name of ["signed-last", "checksum", "path-parent", "wrong-key", "stranger", "cut-end"]) {
    const { status, stderr } = await run("open", ...(await onDisk(CASES.get(name))));
    assert.equal(status, 5);
    assert.match(stderr, new RegExp(`^error: .* \\[${CASES.get(name).fields.get("expect")}\\]\nnext: `));
    assert.deepEqual((await readdir(scratch)).sort(), ["mek", "model.srm"], name);
  }
});

test("the command line inspects, verifies, and explains itself", async () => {
  const [path] = await onDisk(CASES.get("overlay"));
  assert.equal(JSON.parse((await run("inspect", path)).stdout).kind, "overlay");
  const owner = `--owner=${CASES.get("overlay").fields.get("owners")}`;
  for (const more of [[], ["--kind", "overlay"]]) {
    assert.equal(JSON.parse((await run("verify", path, owner, ...more)).stdout).kind, "overlay");
  }
  assert.match((await run("verify", path, owner, "--kind", "model")).stderr, /\[file-kind\]/);
  const mistakes = [["inspect", path, "-x"], ["constructor", path], ["verify", path], ["open", path, owner]];
  for (const args of [[], ["inspect"], ...mistakes]) {
    const { status, stderr } = await run(...args);
    assert.equal(status, 2, stderr);
  }
});
