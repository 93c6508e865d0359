/** The core header: its fields, their caps, and how they agree (docs/spec/sealed-file.md, section 4). */

import { bytesOf } from "./canonical.js";
import { must } from "./errors.js";

const KINDS = ["model", "overlay", "delta", "local"];
const FIELDS = [
  "base", "commitment", "content", "counter", "critical", "epoch", "file_id", "key_id", "kind", "origin",
  "payload_length", "segment_size", "segments", "subject", "toc_length",
];
const SEGMENT_SIZES = [2 ** 20, 2 ** 26]; // bytes, least and most
const TOC_CAP = 2 ** 22; // bytes
const LOCAL_TOC_CAP = 2 ** 23; // bytes
const MAX_SEGMENTS = 16_384;
const MAX_CRITICAL = 16;
const NAME = /^[a-z][a-z0-9_]{0,63}$/; // section 3, of a key
const WHERE = "core header";

/** @typedef {{ fileId: Buffer, head: Buffer }} Reference another file: 32 bytes, and the SHA-512 of its head */

/**
 * @typedef {object} Core the core header; lengths in bytes
 * @property {Buffer} fileId
 * @property {"model" | "overlay" | "delta" | "local"} kind
 * @property {Buffer} keyId
 * @property {Buffer} subject
 * @property {Buffer} content
 * @property {Buffer} commitment
 * @property {number} segmentSize of plaintext
 * @property {number} tocLength
 * @property {number} payloadLength
 * @property {number} segments S, the table of contents among them
 * @property {number} epoch
 * @property {number} counter
 * @property {Reference | null} base
 * @property {Reference | null} origin
 * @property {string[]} critical empty: what else it names, no reader of version 1 knows
 */

/**
 * Judge a core header that is canonical JSON: each field for itself, in the order of the keys; `critical`; which files
 * it refers to; caps; numbers that agree. A file that breaks several rules is refused for the first of them.
 *
 * @param {import("./canonical.js").Value} value
 * @returns {Core}
 * @throws {SealedFileError} `file-format`, `file-limit`, `file-unsupported`, `json-not-canonical` (base64url)
 */
export function coreOf(value) {
  must(isObject(value), "file-format", WHERE, "an object expected");
  for (const field of FIELDS) must(field in value, "file-format", WHERE, `${field} is missing`);
  const core = {
    base: referenceOf(value.base, "base"),
    commitment: bytesOf(value.commitment, WHERE, 32),
    content: bytesOf(value.content, WHERE, 32),
    counter: integer(value, "counter", 1),
    critical: criticalOf(value.critical),
    epoch: integer(value, "epoch", 1),
    fileId: bytesOf(value.file_id, WHERE, 32),
    keyId: bytesOf(value.key_id, WHERE, 16),
    kind: kindOf(value.kind),
    origin: referenceOf(value.origin, "origin"),
    payloadLength: integer(value, "payload_length", 0),
    segmentSize: integer(value, "segment_size", 0),
    segments: integer(value, "segments", 1),
    subject: bytesOf(value.subject, WHERE, 32),
    tocLength: integer(value, "toc_length", 1),
  };
  requireUnderstood(core.critical, value);
  const refers = core.kind === "overlay" || core.kind === "delta";
  must((core.base !== null) === refers, "file-format", WHERE, "base");
  must((core.origin !== null) === (core.kind === "local"), "file-format", WHERE, "origin");
  requireLengths(core);
  return core;
}

function requireLengths({ kind, segmentSize, tocLength, payloadLength, segments }) {
  const [least, most] = SEGMENT_SIZES;
  const power = Number.isInteger(Math.log2(segmentSize));
  must(power && segmentSize >= least && segmentSize <= most, "file-limit", WHERE, "segment_size");
  const cap = kind === "local" ? LOCAL_TOC_CAP : Math.min(segmentSize, TOC_CAP);
  must(tocLength <= cap, "file-limit", WHERE, "toc_length");
  must(segments <= MAX_SEGMENTS, "file-limit", WHERE, `more than ${MAX_SEGMENTS} segments`);
  const needed = 1 + Math.ceil(payloadLength / segmentSize); // exact: division by a power of two
  must(segments === needed, "file-format", WHERE, `${needed} segments expected`);
}

function criticalOf(names) {
  must(Array.isArray(names) && names.length <= MAX_CRITICAL, "file-format", WHERE, "critical");
  for (const name of names) must(typeof name === "string" && NAME.test(name), "file-format", WHERE, "critical");
  return names;
}

// Malformed comes before unsupported: a field that is named but absent can be understood by no reader at all.
function requireUnderstood(critical, value) {
  for (const [index, name] of critical.entries()) {
    must(index === 0 || critical[index - 1] < name, "file-format", WHERE, "critical is not sorted");
    must(!FIELDS.includes(name), "file-format", WHERE, "critical names a field of version 1");
    must(name in value, "file-format", WHERE, "critical names a field that is absent");
  }
  must(critical.length === 0, "file-unsupported", WHERE, "a critical extension field");
}

function kindOf(kind) {
  must(KINDS.includes(kind), "file-format", WHERE, "kind");
  return kind;
}

function referenceOf(value, field) {
  if (value === null) return null;
  const fits = isObject(value) && Object.keys(value).join() === "file_id,head";
  must(fits, "file-format", WHERE, field);
  return { fileId: bytesOf(value.file_id, WHERE, 32), head: bytesOf(value.head, WHERE, 64) };
}

function integer(value, field, least) {
  must(typeof value[field] === "number" && value[field] >= least, "file-format", WHERE, field);
  return value[field];
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
