/** Rules of form that no vector breaks alone: totals, caps of lists, what a local file says of its origin. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { bytesOf, encode, parse } from "../src/canonical.js";
import { headPartLength, readHeadPart, readPreamble } from "../src/header.js";
import { requireOrigin } from "../src/local.js";
import { fromBytes, openLocal, Owners } from "../src/reader.js";
import { coreOf } from "../src/schema.js";
import { tocOf } from "../src/toc.js";
import { readCases } from "../src/vectors.js";

const FOLDER = fileURLToPath(new URL("../../../tests/vectors/sealed-v1/", import.meta.url));
const SCHEDULE = JSON.parse(await readFile(`${FOLDER}key-schedule.json`, "utf8"));
const FILE = Buffer.from(SCHEDULE.file, "hex");
const PREAMBLE = readPreamble(FILE.subarray(0, 32));
const HEAD_PART = FILE.subarray(0, headPartLength(PREAMBLE));
const CORE = parse(FILE.subarray(32, 32 + PREAMBLE.core), "core header");
const TOC = parse(Buffer.from(SCHEDULE.toc, "hex"), "table of contents");
const LOCAL = (await readCases(FOLDER)).find(({ name }) => name === "local-opens");

test("a total that the core header does not give is refused, whichever way it is wrong", () => {
  for (const [by, code] of [[-1, "file-truncated"], [1, "file-trailing"]]) {
    const bytes = Buffer.from(HEAD_PART);
    bytes.writeBigUInt64BE(BigInt(FILE.length + by), 24);
    assert.throws(() => readHeadPart(bytes), { code });
  }
});

test("a head part is neither shorter nor longer than it says", () => {
  assert.throws(() => readHeadPart(HEAD_PART.subarray(0, -1)), { code: "file-truncated" });
  assert.throws(() => readHeadPart(Buffer.concat([HEAD_PART, Buffer.from(" ")])), { code: "file-trailing" });
});

test("a local file is not signed", () => {
  const { core, manifest } = readPreamble(LOCAL.data.subarray(0, 32));
  const end = 64 + core + manifest;
  const block = FILE.subarray(HEAD_PART.length - PREAMBLE.signatures, HEAD_PART.length);
  const bytes = Buffer.concat([LOCAL.data.subarray(0, end), block]);
  bytes.writeUInt32BE(block.length, 20);
  assert.throws(() => readHeadPart(bytes), { code: "file-format", where: "signature block" });
});

test("critical is a short sorted list, judged before caps and after form", () => {
  const extensions = Object.fromEntries(Array.from("abcdefghijklmnopq", (letter) => [`x${letter}`, 1]));
  const judged = (critical, more = {}) => () => coreOf({ ...CORE, ...extensions, ...more, critical });
  assert.throws(judged(["xa", "xb"]), { code: "file-unsupported" });
  assert.throws(judged(Object.keys(extensions)), { code: "file-format" });
  for (const critical of [["xb", "xa"], ["xa", "xa"], [1], "xa", null]) {
    assert.throws(judged(critical), { code: "file-format" });
  }
  assert.throws(judged(["xa"], { segment_size: 1 }), { code: "file-unsupported" });
  assert.throws(judged(["xa"], { epoch: 0 }), { code: "file-format" });
});

test("lists and texts of the table of contents end at their caps", () => {
  const texts = (count, size) => Array.from({ length: count }, () => "x".repeat(size));
  const fields = (count) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index]));
  const kept = [
    { runtimes: texts(16, 40) }, { overlayable: texts(65_536, 1) }, { overlayable: ["😀".repeat(256)] },
    { metadata: fields(64) }, { metadata: { k: "😀".repeat(1_024) } }, { licence: "é".repeat(200) }, { format: "onnx" },
  ];
  const broken = [
    { runtimes: texts(17, 1) }, { runtimes: texts(1, 41) }, { overlayable: texts(65_537, 1) }, { overlayable: [""] },
    { overlayable: texts(1, 257) }, { metadata: fields(65) }, { metadata: { k: true } },
    { metadata: { k: "x".repeat(1_025) } }, { licence: "" }, { licence: "x".repeat(201) }, { more: 1 },
    { format: "ONNX" }, { format: "onnx\n" }, { files: [] },
  ];
  const core = { kind: "model", payloadLength: 1_000 };
  const judged = (change) => tocOf(encode({ ...TOC, ...change }), core);
  for (const change of kept) judged(change);
  for (const change of broken) assert.throws(() => judged(change), { code: "file-content" }, Object.keys(change)[0]);
});

test("a local file names its origin, and the origin is not itself local", async () => {
  const { fields, data } = LOCAL;
  const owners = Owners.ofEd25519(1, [bytesOf(fields.get("owners"), "owners", 32)]);
  const [account, model, version, user] = JSON.parse(fields.get("subject"));
  const expected = { kind: "model", subject: { account, model, version, user }, owners };
  expected.originHead = Buffer.from(fields.get("origin-head"), "hex");
  const { head, toc } = await openLocal(fromBytes(data), Buffer.from(fields.get("mek"), "hex"), expected);
  requireOrigin(head, toc, expected);
  for (const change of [{ fileId: Buffer.alloc(32) }, { head: Buffer.alloc(64) }]) {
    const other = { ...head, core: { ...head.core, origin: { ...head.core.origin, ...change } } };
    assert.throws(() => requireOrigin(other, toc, expected), { code: "file-mismatch" });
  }
  const headPart = data.subarray(0, headPartLength(readPreamble(data.subarray(0, 32))));
  const nested = { ...toc, origin: { ...toc.origin, headPart } };
  assert.throws(() => requireOrigin(head, nested, expected), { code: "file-kind" });
});
