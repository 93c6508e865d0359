#!/usr/bin/env node
/** The command line of the reader. Keys come from files, never from the argument vector. */

import { mkdir, mkdtemp, open as openFile, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { bytesOf } from "../src/canonical.js";
import { fromFile, inspect, open, Owners, SealedFileError, verify } from "../src/reader.js";
import { judge, readCases } from "../src/vectors.js";

const USAGE = `usage:
  strongroom-file inspect IN
  strongroom-file verify IN --owner KEY... [--threshold K] [--kind KIND]
  strongroom-file open IN --mek FILE -o DIR --owner KEY... [--threshold K] [--kind KIND]
                      --model M --version V [--account A] [--user U]
  strongroom-file vectors DIR [--json]

  KEY   an owner's raw Ed25519 public key in base64url; --threshold defaults to all of them
  FILE  the model key, 32 raw bytes;  KIND  model (the default), overlay or delta
  DIR   must not exist; it appears when every check has passed`;

const OPTIONS = {
  owner: { type: "string", multiple: true, default: [] },
  threshold: { type: "string" },
  kind: { type: "string", default: "model" },
  mek: { type: "string" },
  output: { type: "string", short: "o" },
  account: { type: "string" },
  model: { type: "string" },
  version: { type: "string" },
  user: { type: "string" },
  json: { type: "boolean", default: false },
};

const COMMANDS = { inspect: inspectFile, verify: verifyFile, open: openIntoFolder, vectors: judgeVectors };

class UsageError extends Error {}

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

async function verifyFile(path, options) {
  const head = await withFile(path, (source) => verify(source, expectedOf(options)));
  show({ proven: "owners and every stored byte", file_id: text(head.core.fileId), head: text(head.digest) });
}

// Twice through: nothing is written before the first reading has found everything good, and what is written is checked
// again on its way, so that a file which changes in between is refused too.
async function openIntoFolder(path, options) {
  const { account = null, user = null } = options;
  const subject = { account, model: given(options, "model"), version: given(options, "version"), user };
  const expected = { ...expectedOf(options), subject };
  const folder = resolve(given(options, "output"));
  const mek = await readFile(given(options, "mek"));
  try {
    await withFile(path, async (source) => {
      await readThrough(await open(source, mek, expected), async () => {});
      await appear(folder, async (partial) => unpack(await open(source, mek, expected), partial));
    });
  } finally {
    mek.fill(0);
  }
}

async function appear(folder, fill) {
  const partial = await mkdtemp(join(dirname(folder), ".strongroom-file-"));
  try {
    await fill(partial);
    await mkdir(folder); // refuses a folder that is there; rename alone replaces an empty one
    await rename(partial, folder);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function judgeVectors(folder, { json }) {
  const wrong = [];
  const verdicts = [];
  for (const vector of await readCases(folder)) {
    const verdict = await judge(vector);
    verdicts.push(verdict);
    const fits = verdict.verdict === vector.fields.get("expect") && verdict.payload === vector.fields.get("payload");
    if (!fits) wrong.push(verdict.name);
  }
  if (json) show(verdicts);
  else process.stdout.write(`${[`${verdicts.length} vectors, ${wrong.length} wrong`, ...wrong].join("\n")}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}

async function readThrough(file, take) {
  try {
    for await (const bytes of file.segments()) await take(bytes);
  } finally {
    file.close();
  }
}

async function unpack(file, folder) {
  const pending = file.toc.files.map(({ path, size }) => ({ path: join(folder, ...path.split("/")), left: size }));
  let handle = null;
  const next = async () => {
    await handle?.close();
    handle = null;
    if (pending.length === 0) return;
    await mkdir(dirname(pending[0].path), { recursive: true });
    handle = await openFile(pending[0].path, "wx", 0o600);
  };
  const finishEnded = async () => {
    while (pending.length > 0 && pending[0].left === 0) {
      pending.shift();
      await next();
    }
  };
  try {
    await next();
    await finishEnded();
    await readThrough(file, async (segment) => {
      for (let at = 0; at < segment.length; ) {
        const part = segment.subarray(at, at + pending[0].left);
        await handle.writeFile(part);
        at += part.length;
        pending[0].left -= part.length;
        await finishEnded();
      }
    });
  } finally {
    await handle?.close();
  }
}

function expectedOf(options) {
  const keys = options.owner.map((key) => bytesOf(key, "--owner", 32));
  if (keys.length === 0) throw new UsageError("--owner is needed: whose signature is to be believed?");
  return { kind: options.kind, owners: Owners.ofEd25519(Number(options.threshold ?? keys.length), keys) };
}

function given(options, name) {
  if (options[name] === undefined) throw new UsageError(`--${name} is needed`);
  return options[name];
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

function show(value) {
  process.stdout.write(`${JSON.stringify(value, null, 1)}\n`);
}

async function main(argv) {
  try {
    const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
    const [name, path, ...rest] = positionals;
    const complete = Object.hasOwn(COMMANDS, name ?? "") && path !== undefined && rest.length === 0;
    if (!complete) throw new UsageError("a command and one path are needed");
    await COMMANDS[name](path, values);
  } catch (error) {
    const usage = error instanceof UsageError || error.code?.startsWith?.("ERR_PARSE_ARGS");
    const next = error instanceof SealedFileError ? `\nnext: ${error.next}` : usage ? `\n${USAGE}` : "";
    process.stderr.write(`${error.message}${next}\n`);
    process.exitCode = usage ? 2 : 1;
  }
}

await main(process.argv.slice(2));
