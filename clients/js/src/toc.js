/** The table of contents (docs/spec/sealed-file.md, sections 9 and 12), and the checksums of the files it lists. */

import { createHash } from "node:crypto";

import { bytesOf, encode, parse } from "./canonical.js";
import { must, SealedFileError } from "./errors.js";
import { MAX_HEAD_PART } from "./header.js";
import { areDistinct, isPath } from "./paths.js";

const WHERE = "table of contents";
const FIELDS = "files,format,licence,metadata,origin,overlayable,runtimes";
const NAME = /^[a-z0-9][a-z0-9._-]{0,39}$/;
const MAX_FILES = 65_536;
const MAX_RUNTIMES = 16;
const MAX_METADATA = 64;
const MAX_OVERLAYABLE = 65_536;

/** @typedef {{ path: string, size: number, sha256: Buffer }} Entry `size` in bytes, `sha256` of the file's bytes */

/**
 * @typedef {object} Toc
 * @property {Entry[]} files in the order of their bytes in the payload
 * @property {string | null} format
 * @property {string[]} runtimes
 * @property {Record<string, number | string>} metadata
 * @property {string | null} licence
 * @property {string[]} overlayable
 * @property {{ blind: Buffer, headPart: Buffer } | null} origin of a local file (section 12)
 * @property {Buffer} unlocal the bytes with `origin` set back to null, for `content` of the origin
 */

/**
 * Judge a table of contents whose `content` is right.
 *
 * @param {Buffer} bytes
 * @param {import("./schema.js").Core} core
 * @returns {Toc}
 * @throws {SealedFileError} `file-content`, whatever the rule
 */
export function tocOf(bytes, core) {
  try {
    return judged(parse(bytes, WHERE), core);
  } catch (error) {
    if (error instanceof SealedFileError) throw new SealedFileError("file-content", WHERE);
    throw error;
  }
}

function judged(value, { kind, payloadLength }) {
  check(isObject(value) && Object.keys(value).join() === FIELDS);
  check(Array.isArray(value.files) && value.files.length >= 1 && value.files.length <= MAX_FILES);
  const files = value.files.map(entryOf);
  check(files.reduce((sum, { size }) => sum + size, 0) === payloadLength); // a sum beyond 2^53 cannot come back below
  check(areDistinct(files.map(({ path }) => path)));
  check(value.format === null || isName(value.format));
  check(Array.isArray(value.runtimes) && value.runtimes.length <= MAX_RUNTIMES && value.runtimes.every(isName));
  check(isObject(value.metadata) && Object.keys(value.metadata).length <= MAX_METADATA);
  check(Object.values(value.metadata).every((item) => typeof item === "number" || isText(item, 0, 1_024)));
  check(value.licence === null || isText(value.licence, 1, 200));
  check(Array.isArray(value.overlayable) && value.overlayable.length <= MAX_OVERLAYABLE);
  check(value.overlayable.every((name) => isText(name, 1, 256)));
  check((value.origin !== null) === (kind === "local"));
  const { format, runtimes, metadata, licence, overlayable } = value;
  const unlocal = encode({ ...value, origin: null });
  return { files, format, runtimes, metadata, licence, overlayable, origin: originOf(value.origin), unlocal };
}

function entryOf(value) {
  check(isObject(value) && Object.keys(value).join() === "path,sha256,size");
  check(typeof value.path === "string" && isPath(value.path));
  check(typeof value.size === "number" && value.size >= 0);
  return { path: value.path, size: value.size, sha256: bytesOf(value.sha256, WHERE, 32) };
}

function originOf(value) {
  if (value === null) return null;
  check(isObject(value) && Object.keys(value).join() === "blind,head_part");
  const headPart = bytesOf(value.head_part, WHERE);
  check(headPart.length >= 1 && headPart.length <= MAX_HEAD_PART);
  return { blind: bytesOf(value.blind, WHERE, 32), headPart };
}

function check(condition) {
  must(condition, "file-content", WHERE);
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isName(value) {
  return typeof value === "string" && NAME.test(value);
}

function isText(value, least, most) {
  if (typeof value !== "string" || value.length > 2 * most) return false;
  const { length } = Array.from(value); // characters are Unicode code points
  return length >= least && length <= most;
}

/** Step 9: takes the payload in order, and compares each file that ends. */
export class Checksums {
  #files;
  #hash = createHash("sha256");
  #index = 0;
  #seen = 0;

  /** @param {Entry[]} files */
  constructor(files) {
    this.#files = files;
  }

  /**
   * @param {Buffer} bytes the next bytes of the payload
   * @throws {SealedFileError} `file-checksum`
   */
  update(bytes) {
    this.#settle(); // files of no bytes before these
    while (bytes.length > 0) {
      const { size } = this.#files[this.#index];
      const part = bytes.subarray(0, size - this.#seen);
      this.#hash.update(part);
      this.#seen += part.length;
      bytes = bytes.subarray(part.length);
      this.#settle();
    }
  }

  /** @throws {SealedFileError} `file-checksum` unless every file ended and fitted */
  finish() {
    this.#settle();
    must(this.#index === this.#files.length, "file-checksum", "payload");
  }

  #settle() {
    while (this.#index < this.#files.length && this.#seen === this.#files[this.#index].size) {
      const fits = this.#hash.digest().equals(this.#files[this.#index].sha256);
      must(fits, "file-checksum", `file ${this.#index}`);
      this.#hash = createHash("sha256");
      this.#index += 1;
      this.#seen = 0;
    }
  }
}
