/**
 * The head part of a sealed file: steps 1 and 2 of section 10 (docs/spec/sealed-file.md, sections 2, 4, 5 and 7).
 * Nothing here needs a key, and nothing here is proven: that is what `reader.js` adds.
 */

import { bytesOf, parse } from "./canonical.js";
import { storedLength, SUITES } from "./chunks.js";
import { must } from "./errors.js";
import { digest } from "./keys.js";
import { coreOf } from "./schema.js";

/** Bytes that stand in front of everything else (section 2). */
export const PREAMBLE = 32;
/** Bytes of the longest head part there can be (section 1). */
export const MAX_HEAD_PART = 1_179_712;
const MAGIC = Buffer.from("\x89SRM\r\n\x1a\n", "latin1");
const VERSION = 1;
const CORE_CAP = 65_536; // bytes, section 2
const MANIFEST_CAP = 1_048_576; // bytes, section 2
const SIGNATURES_CAP = 65_536; // bytes, section 2
const MAC_SIZE = 32; // bytes, section 6
const MAX_SIGNATURES = 64; // section 7
const SIGNATURE_SIZES = Object.assign(Object.create(null), { "Ed25519": 64, "ML-DSA-65": 3_309 }); // bytes, section 7

/** @typedef {{ suite: number, core: number, manifest: number, signatures: number, total: bigint }} Preamble bytes */
/** @typedef {{ alg: string, key: string, sig: Buffer }} Signature `key` names the key (section 7) */

/**
 * @typedef {object} Head a head part that keeps every rule of form
 * @property {number} suite
 * @property {import("./schema.js").Core} core
 * @property {Buffer[]} manifest the SHA-256 of each stored segment; empty for a local file
 * @property {Signature[]} signatures
 * @property {Buffer} covered what MAC and signatures cover (the "head" of section 2)
 * @property {Buffer} digest SHA-512 of `covered`: the `head` by which other files name this one
 * @property {Buffer} mac
 * @property {Buffer} binding SHA-512 of `[0, 12) || core header` (section 8)
 * @property {Segment[]} segments
 * @property {number} size bytes of the whole file
 */

/** @typedef {{ offset: number, stored: number, plain: number }} Segment all in bytes */

/**
 * The first 32 bytes: magic, version, suite, flags, caps (step 1).
 *
 * @param {Buffer} bytes 32 bytes, or fewer where the file has no more
 * @returns {Preamble}
 * @throws {SealedFileError} `file-truncated`, `file-format`, `file-unsupported`, `file-limit`
 */
export function readPreamble(bytes) {
  const begun = bytes.subarray(0, MAGIC.length);
  must(begun.length > 0 && begun.equals(MAGIC.subarray(0, begun.length)), "file-format", "magic");
  must(bytes.length >= PREAMBLE, "file-truncated", "preamble");
  must(bytes[8] === VERSION, "file-unsupported", "format version", String(bytes[8]));
  must(SUITES.has(bytes[9]), "file-unsupported", "suite", String(bytes[9]));
  must(bytes.readUInt16BE(10) === 0, "file-format", "flags");
  return {
    suite: bytes[9],
    core: capped(bytes.readUInt32BE(12), 1, CORE_CAP, "core header"),
    manifest: capped(bytes.readUInt32BE(16), 1, MANIFEST_CAP, "manifest"),
    signatures: capped(bytes.readUInt32BE(20), 2, SIGNATURES_CAP, "signature block"),
    total: bytes.readBigUInt64BE(24),
  };
}

/**
 * @param {Preamble} preamble
 * @returns {number} bytes of the head part, 64 + C + M + G
 */
export function headPartLength({ core, manifest, signatures }) {
  return PREAMBLE + MAC_SIZE + core + manifest + signatures;
}

/**
 * Compare the length a file claims with the one it has (step 1).
 *
 * @param {Preamble} preamble
 * @param {number} size bytes the file really has
 * @throws {SealedFileError} `file-truncated` or `file-trailing`
 */
export function requireSize(preamble, size) {
  const least = BigInt(headPartLength(preamble));
  must(least <= preamble.total && preamble.total <= BigInt(size), "file-truncated", "file");
  must(preamble.total === BigInt(size), "file-trailing", "file");
}

/**
 * Form of the head part: canonical JSON, schema, and numbers that agree (step 2).
 *
 * @param {Buffer} bytes exactly the head part
 * @returns {Head}
 * @throws {SealedFileError} `file-truncated`, `file-trailing`, and every code of steps 1 and 2
 */
export function readHeadPart(bytes) {
  const preamble = readPreamble(bytes);
  must(bytes.length >= headPartLength(preamble), "file-truncated", "head part");
  must(bytes.length === headPartLength(preamble), "file-trailing", "head part");
  const coreEnd = PREAMBLE + preamble.core;
  const manifestEnd = coreEnd + preamble.manifest;
  const core = coreOf(parse(bytes.subarray(PREAMBLE, coreEnd), "core header"));
  const local = core.kind === "local";
  const manifest = manifestOf(parse(bytes.subarray(coreEnd, manifestEnd), "manifest"), local ? 0 : core.segments);
  const signatures = signaturesOf(parse(bytes.subarray(manifestEnd + MAC_SIZE), "signature block"));
  must(!local || signatures.length === 0, "file-format", "signature block", "a local file is not signed");
  const segments = placed(core, bytes.length);
  const last = segments[segments.length - 1];
  const size = last.offset + last.stored;
  must(preamble.total >= BigInt(size), "file-truncated", "total length");
  must(preamble.total === BigInt(size), "file-trailing", "total length");
  const covered = Buffer.concat([bytes.subarray(0, 20), bytes.subarray(PREAMBLE, manifestEnd)]);
  return {
    suite: preamble.suite,
    core,
    manifest,
    signatures,
    covered,
    digest: digest("sha512", covered),
    mac: bytes.subarray(manifestEnd, manifestEnd + MAC_SIZE),
    binding: digest("sha512", bytes.subarray(0, 12), bytes.subarray(PREAMBLE, coreEnd)),
    segments,
    size,
  };
}

/**
 * The C2SP context of a segment (section 8).
 *
 * @param {Head} head
 * @param {number} index from 0
 * @returns {Buffer}
 */
export function contextOf(head, index) {
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(index, 0);
  numbers.writeUInt32BE(head.segments.length, 4);
  return Buffer.concat([Buffer.from("strongroom/v1 segment", "latin1"), head.binding, numbers]);
}

function capped(length, least, most, where) {
  must(length >= least && length <= most, "file-limit", where, `${length} bytes, ${least} to ${most} are allowed`);
  return length;
}

function manifestOf(value, segments) {
  const where = "manifest";
  must(isRecord(value, ["segments"]) && Array.isArray(value.segments), "file-format", where);
  const digests = value.segments.map((text) => bytesOf(text, where, 32));
  must(digests.length === segments, "file-format", where, `${segments} segments expected`);
  return digests;
}

function signaturesOf(value) {
  const where = "signature block";
  must(Array.isArray(value), "file-format", where);
  must(value.length <= MAX_SIGNATURES, "file-format", where, `more than ${MAX_SIGNATURES} signatures`);
  const signatures = value.map((item) => {
    must(isRecord(item, ["alg", "key", "sig"]), "file-format", where);
    const size = typeof item.alg === "string" ? SIGNATURE_SIZES[item.alg] : undefined;
    must(size !== undefined, "file-format", where, "an algorithm that version 1 does not have");
    bytesOf(item.key, where, 32);
    return { alg: item.alg, key: item.key, sig: bytesOf(item.sig, where, size) };
  });
  must(new Set(signatures.map(({ key }) => key)).size === signatures.length, "file-format", where, "a key twice");
  return signatures;
}

function isRecord(value, fields) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return false;
  const keys = Object.keys(value); // in canonical order
  return keys.length === fields.length && keys.every((key, index) => key === fields[index]);
}

function placed(core, offset) {
  const segments = [];
  for (let index = 0, left = core.payloadLength; index < core.segments; index += 1) {
    const plain = index === 0 ? core.tocLength : Math.min(left, core.segmentSize);
    if (index > 0) left -= plain;
    segments.push({ offset, stored: storedLength(plain), plain });
    offset += storedLength(plain);
  }
  return segments;
}
