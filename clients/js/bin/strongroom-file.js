#!/usr/bin/env node
/** The command line of the reader. Keys come from files, never from the argument vector. */

import { resolve } from "node:path";

import { run, show, stoppable, UsageError } from "../src/command.js";
import { PlaceError, readModelKey, readPublic } from "../src/disk.js";
import { ProtocolError, verifyTrust } from "../src/protocol/release.js";
import { fromFile, inspect, open, Owners, verify } from "../src/reader.js";
import { intoFolder, notThere, readThrough } from "../src/unpacking.js";
import { fits, judge, readCases } from "../src/vectors.js";

const USAGE = `usage:
  strongroom-file inspect IN
  strongroom-file verify IN --owner=KEY... [--threshold K] [--kind KIND]
  strongroom-file verify IN --trust FILE [--kind KIND]
  strongroom-file open IN --mek FILE -o DIR --name M --version V [--account A] [--user U] [--kind KIND]
                      and --owner=KEY... [--threshold K], or --trust FILE
  strongroom-file vectors DIR [--json]

  --owner      an owner's raw Ed25519 public key in base64url; of an owner with two keys, KEY+ML-DSA-65:KEY
  --threshold  how many owners must have signed; all of them by default
  --trust      a trust.json: its owners, its threshold, its suites
  --mek        the model key: 32 raw bytes, or one line of 43 base64url characters; readable by nobody else
  --name       what the model was sealed as; --model means the same
  --kind       model, overlay or delta; open expects a model by default, verify takes all three and says which
  -o           a directory that does not exist; it appears when every check has passed

exit codes: 0 done, 1 failed, 2 usage, 5 altered, cut, of another key or not signed by its owners`;

const TEXT = { type: "string" };
const WHO = { owner: { ...TEXT, multiple: true, default: [] }, threshold: TEXT, trust: TEXT, kind: TEXT };
const WHAT = { account: TEXT, name: TEXT, model: TEXT, version: TEXT, user: TEXT };
const COMMANDS = {
  inspect: { options: {}, act: inspectFile },
  verify: { options: WHO, act: verifyFile },
  open: { options: { ...WHO, ...WHAT, mek: TEXT, output: { ...TEXT, short: "o" } }, act: openIntoFolder },
  vectors: { options: { json: { type: "boolean", default: false } }, act: judgeVectors },
};
const KINDS = ["model", "overlay", "delta"];
const TRUST_LIMIT = 1_048_576; // bytes
const THRESHOLD = /^[1-9][0-9]{0,2}$/;

async function inspectFile(path) {
  const head = await withFile(path, inspect);
  const { segmentSize, tocLength, payloadLength, segments, epoch, counter, kind } = head.core;
  show({
    proven: "nothing: whoever made this file wrote these lines",
    kind,
    suite: head.suite,
    file_id: text(head.core.fileId),
    key_id: text(head.core.keyId),
    head: text(head.digest),
    epoch,
    counter,
    size: head.size,
    segment_size: segmentSize,
    segments,
    toc_length: tocLength,
    payload_length: payloadLength,
    base: reference(head.core.base),
    origin: reference(head.core.origin),
    signed_by: head.signatures.map(({ alg, key }) => ({ alg, key })),
  });
}

async function verifyFile(path, values) {
  const expected = await expectedOf(values);
  const { core, digest } = await withFile(path, (source) => verify(source, expected));
  show({ proven: "owners and every stored byte", kind: core.kind, file_id: text(core.fileId), head: text(digest) });
}

// Twice through: nothing is written before the first reading has found everything good, and what is written is checked
// again on its way, so that a file which changes in between is refused too.
async function openIntoFolder(path, values) {
  const { account = null, user = null } = values;
  const model = given(values, "name", values.model);
  const subject = { account, model, version: given(values, "version"), user };
  const folder = resolve(given(values, "output"));
  const key = given(values, "mek");
  const expected = { kind: "model", ...(await expectedOf(values)), subject };
  await notThere(folder);
  const mek = await readModelKey(key);
  try {
    await stoppable((signal) =>
      withFile(path, async (source) => {
        const read = (offset, length) => (signal.throwIfAborted(), source.read(offset, length));
        const opened = () => open({ size: source.size, read }, mek, expected);
        await readThrough(await opened(), async () => {});
        await intoFolder(folder, signal, opened);
      }),
    );
  } finally {
    mek.fill(0);
  }
}

async function judgeVectors(folder, { json }) {
  const wrong = [];
  const verdicts = [];
  for (const vector of await readCases(folder)) {
    const verdict = await judge(vector);
    verdicts.push(verdict);
    if (!fits(verdict, vector)) wrong.push(verdict.name);
  }
  if (verdicts.length === 0) throw new PlaceError("argument", "no vector is here", folder, "name a directory of .case files");
  if (json) show(verdicts);
  else process.stdout.write(`${[`${verdicts.length} vectors, ${wrong.length} wrong`, ...wrong].join("\n")}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}

async function expectedOf(values) {
  const { kind, trust } = values;
  if (kind !== undefined && !KINDS.includes(kind)) throw new UsageError(`--kind is one of ${KINDS.join(", ")}`);
  const who = trust === undefined ? namedOwners(values) : await trustedOwners(trust, values);
  return kind === undefined ? who : { ...who, kind };
}

function namedOwners({ owner, threshold = String(owner.length) }) {
  if (owner.length === 0) throw new UsageError("--owner or --trust is needed: whose signature is to be believed?");
  if (!THRESHOLD.test(threshold)) throw new UsageError("--threshold is a number from 1 on, in decimal");
  try {
    return { owners: Owners.ofText(Number(threshold), owner) };
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`--owner, --threshold: ${error.message}`);
    throw error;
  }
}

async function trustedOwners(path, { owner, threshold }) {
  if (owner.length > 0 || threshold !== undefined) throw new UsageError("--trust names the owners and the threshold itself");
  const { roles, suites } = verifyTrust(await readPublic(path, "trust file", TRUST_LIMIT));
  try {
    return { owners: new Owners(roles.owner.threshold, roles.owner.principals), suites };
  } catch (error) {
    if (error instanceof TypeError) throw new ProtocolError("public-key", "trust.json", "an owner's key that signs no file");
    throw error;
  }
}

function given(values, name, other) {
  const value = values[name] ?? other;
  if (value === undefined) throw new UsageError(`--${name} is needed`);
  return value;
}

async function withFile(path, use) {
  const source = await fromFile(path);
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}

function text(bytes) {
  return bytes.toString("base64url");
}

function reference(value) {
  return value && { file_id: text(value.fileId), head: text(value.head) };
}

await run("strongroom-file", USAGE, COMMANDS, process.argv.slice(2));
