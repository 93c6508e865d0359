/** What the command line does with this machine: keys in files, links, pipes, signals, mistakes. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import test, { beforeEach, after } from "node:test";
import { fileURLToPath } from "node:url";

import { readTranscripts } from "../src/protocol/transcripts.js";
import { readCases } from "../src/vectors.js";

const VECTORS = fileURLToPath(new URL("../../../tests/vectors/", import.meta.url));
const COMMAND = fileURLToPath(new URL("../bin/strongroom-file.js", import.meta.url));
const CASES = new Map((await readCases(join(VECTORS, "sealed-v1"))).map((vector) => [vector.name, vector]));
const MODEL = CASES.get("several-files");
const OWNER = `--owner=${MODEL.fields.get("owners")}`;
const MEK = Buffer.from(MODEL.fields.get("mek"), "hex");
const SUBJECT = ["--name", "digits", "--version", "1.0", "--account", "ac_customer"];
const scratch = mkdtempSync(join(tmpdir(), "strongroom-file-"));
after(() => rmSync(scratch, { recursive: true }));

function run(words, { before = [], env = {} } = {}) {
  const options = { cwd: scratch, encoding: "utf8", timeout: 60_000, env: { ...process.env, ...env } };
  return spawnSync(process.execPath, [...before, COMMAND, ...words], options);
}

function open(...more) {
  return run(["open", "model.srm", "--mek", "mek", "-o", "out", OWNER, ...SUBJECT, ...more]);
}

function refused(done, code, status) {
  assert.match(done.stderr, new RegExp(`^error: .* \\[${code}\\]\\nnext: .+\\n$`));
  assert.equal(done.status, status, done.stderr);
  assert.equal(done.stdout, "");
}

function writeKey(bytes, mode = 0o600) {
  rmSync(join(scratch, "mek"), { force: true, recursive: true });
  writeFileSync(join(scratch, "mek"), bytes, { mode });
  chmodSync(join(scratch, "mek"), mode);
}

beforeEach(() => {
  for (const name of readdirSync(scratch)) rmSync(join(scratch, name), { recursive: true });
  writeFileSync(join(scratch, "model.srm"), MODEL.data);
  writeKey(MEK);
});

test("a model key is 32 raw bytes, or one line of base64url", () => {
  const line = MEK.toString("base64url");
  for (const bytes of [MEK, line, `${line}\n`]) {
    writeKey(bytes);
    const done = open();
    assert.equal(done.status, 0, done.stderr);
    rmSync(join(scratch, "out"), { recursive: true });
  }
  const others = [MEK.subarray(1), Buffer.concat([MEK, MEK.subarray(0, 1)]), MEK.toString("hex"), MEK.toString("base64")];
  const spelled = [`${line}\r\n`, `${line}\n\n`, ` ${line}`, `${line.slice(0, -1)}~`, line.slice(1), "", Buffer.alloc(43, 255)];
  const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".indexOf(line.at(-1));
  const loose = `${line.slice(0, -1)}${"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last + 1]}`;
  for (const bytes of [...others, ...spelled, loose]) {
    writeKey(bytes);
    const done = open();
    refused(done, "argument", 2);
    assert.ok(!done.stderr.includes(line.slice(4, 20)), "an error that quotes the key");
  }
  assert.deepEqual(readdirSync(scratch).sort(), ["mek", "model.srm"]);
});

test("a model key that others may read, or that is a link, is refused", { skip: process.platform === "win32" }, () => {
  writeKey(MEK, 0o640);
  refused(open(), "permissions", 1);
  writeKey(MEK);
  symlinkSync(join(scratch, "mek"), join(scratch, "link"));
  refused(run(["open", "model.srm", "--mek", "link", "-o", "out", OWNER, ...SUBJECT]), "path", 2);
});

test("no link is followed, no pipe waited for, no directory read", { skip: process.platform === "win32" }, () => {
  symlinkSync(join(scratch, "model.srm"), join(scratch, "link"));
  assert.equal(spawnSync("mkfifo", [join(scratch, "pipe")]).status, 0);
  for (const path of ["link", "pipe", ".", "nothing", "model.srm/below"]) {
    refused(run(["inspect", path]), "path", 2);
    refused(run(["verify", path, OWNER]), "path", 2);
    refused(run(["verify", "model.srm", "--trust", path === "link" ? "nothing" : path]), "path", 2);
  }
});

test("the place of a model is looked at before anything is opened, and nothing there is touched", () => {
  mkdirSync(join(scratch, "out"));
  refused(open(), "already-there", 2);
  rmSync(join(scratch, "out"), { recursive: true });
  symlinkSync("nowhere", join(scratch, "out"));
  refused(open(), "already-there", 2);
  refused(open("-o", "none/out"), "argument", 2);
  refused(open("-o", "mek/out"), "argument", 2);
  assert.deepEqual(readdirSync(scratch).sort(), ["mek", "model.srm", "out"]);
});

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  test(`${name} removes what was begun`, { skip: process.platform === "win32" }, () => {
    const done = stoppedAt("mkdtemp", name);
    assert.equal(done.stderr, "interrupted\n");
    assert.equal(done.status, 128 + constants.signals[name]);
    assert.deepEqual(readdirSync(scratch).sort(), ["hook.cjs", "mek", "model.srm"]);
  });
}

test("a signal that comes when the model has its name changes nothing", { skip: process.platform === "win32" }, () => {
  const done = stoppedAt("rename", "SIGTERM");
  assert.equal(done.status, 0, done.stderr);
  assert.deepEqual(readdirSync(scratch).sort(), ["hook.cjs", "mek", "model.srm", "out"]);
});

// The process sends itself a real signal, right after the call of that name, and goes on once it has arrived.
function stoppedAt(call, name) {
  const hook = `const { promises } = require("node:fs");
    const real = promises[process.env.AT_CALL];
    promises[process.env.AT_CALL] = async (...given) => {
      const made = await real(...given);
      const arrived = new Promise((resolve) => process.once(process.env.WITH_SIGNAL, resolve));
      const awake = setInterval(() => {}, 1_000); // waiting for a signal alone does not keep a process
      process.kill(process.pid, process.env.WITH_SIGNAL);
      await arrived;
      clearInterval(awake);
      return made;
    };
    require("node:module").syncBuiltinESMExports();`;
  writeFileSync(join(scratch, "hook.cjs"), hook);
  const words = ["open", "model.srm", "--mek", "mek", "-o", "out", OWNER, ...SUBJECT];
  return run(words, { before: ["-r", join(scratch, "hook.cjs")], env: { AT_CALL: call, WITH_SIGNAL: name } });
}

test("owners come from a trust.json too, with its threshold and suites", async () => {
  const transcripts = await readTranscripts(join(VECTORS, "protocol-v1"));
  const { inputs } = transcripts.find(({ name }) => name === "trust-chain").checks[0];
  writeFileSync(join(scratch, "trust.json"), inputs.trust);
  const trust = ["--trust", "trust.json"];
  refused(run(["verify", "model.srm", ...trust]), "file-signature", 5); // other owners
  writeFileSync(join(scratch, "chacha.srm"), suiteTwo());
  refused(run(["verify", "chacha.srm", ...trust]), "file-mismatch", 5); // a suite that this trust.json does not allow
  refused(run(["verify", "model.srm", ...trust, OWNER]), "usage", 2);
  refused(run(["verify", "model.srm", ...trust, "--threshold", "1"]), "usage", 2);
  writeFileSync(join(scratch, "trust.json"), inputs.trust.replace("e", "f"));
  const done = run(["verify", "model.srm", ...trust]);
  assert.equal(done.status, 5, done.stderr);
});

function suiteTwo() {
  const opens = ({ name, fields }) => name.startsWith("chacha-") && fields.get("expect") === "success";
  return [...CASES.values()].find((one) => opens(one) && !one.fields.has("origin-head")).data;
}

test("help is no mistake; a mistake says what and what next", () => {
  for (const words of [["--help"], ["-h"], ["open", "--help"], ["inspect", "-h"]]) {
    const { status, stdout, stderr } = run(words);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(stdout, /^usage:/);
  }
  const numbers = ["0", "2", "0x1", "1e0", " 1", "1.0", "01", ""];
  const thresholds = numbers.map((value) => [OWNER, `--threshold=${value}`]);
  const key = MODEL.fields.get("owners");
  const owners = ["AAA", "", "RSA:AAAA", "__proto__:AAAA", `${key}=`, `${key}+`, `Ed25519:Ed25519:${key}`];
  const others = [[OWNER, OWNER], [OWNER, "--kind=local"], [OWNER, "--mek=mek"], []];
  const mistakes = [...thresholds, ...owners.map((value) => [`--owner=${value}`]), ...others];
  for (const words of mistakes) refused(run(["verify", "model.srm", ...words]), "usage", 2);
  for (const words of [["seal", "model.srm"], ["__proto__", "model.srm"], ["inspect"], ["inspect", "a", "b"], ["inspect", ""]]) {
    refused(run(words), "usage", 2);
  }
  refused(run(["vectors", scratch]), "argument", 2);
  const { status, stderr } = run([]);
  assert.equal(status, 2);
  assert.match(stderr, /^usage:/);
});

test("what is printed of a path cannot steer a terminal", () => {
  refused(run(["inspect", "no\u001b[31m\u202e\nerror: x"]), "path", 2);
  assert.doesNotMatch(run(["inspect", "no\u001b[31m\u202e"]).stderr, /[\u001b\u202e]/u);
});

test("what nobody expected is one line, and its trace on request", () => {
  const hook = `require("node:crypto").createHash = () => { throw new RangeError("secret"); };
    require("node:module").syncBuiltinESMExports();`;
  writeFileSync(join(scratch, "hook.cjs"), hook);
  const before = ["-r", join(scratch, "hook.cjs")];
  const env = { STRONGROOM_TRACE: "" };
  refused(run(["inspect", "model.srm"], { before, env }), "internal", 1);
  assert.match(run(["inspect", "model.srm"], { before, env: { STRONGROOM_TRACE: "1" } }).stderr, /^ {4}at /m);
});
