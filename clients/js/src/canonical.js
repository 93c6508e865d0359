/**
 * Canonical JSON (docs/spec/sealed-file.md, section 3): a scanner that accepts the one legal spelling and nothing else,
 * and the writer of that spelling. `JSON.parse` decides nothing here: it takes spaces, duplicate keys, `1e3`, `-0`.
 */

import { must, SealedFileError } from "./errors.js";

/** Nested arrays and objects, at most (section 3). */
export const MAX_DEPTH = 8;

/** @typedef {null | boolean | number | string | Value[] | { [key: string]: Value }} Value objects have no prototype */

const KEY = /^[a-z][a-z0-9_]{0,63}$/;
const LONGEST_INTEGER = 17; // bytes: a minus and the 16 digits of 2^53 - 1
const SHORT = new Map([["b", "\b"], ["f", "\f"], ["n", "\n"], ["r", "\r"], ["t", "\t"], ['"', '"'], ["\\", "\\"]]);
const SHORT_OF = new Map([...SHORT].map(([letter, character]) => [character, `\\${letter}`]));

/**
 * Parse canonical JSON.
 *
 * @param {Buffer} bytes the value and nothing else; the caller has compared its length with the cap of the field
 * @param {string} where what to call it in an error
 * @returns {Value}
 * @throws {SealedFileError} `json-not-canonical` (section 3)
 */
export function parse(bytes, where) {
  const scanner = new Scanner(bytes, where);
  const value = scanner.value(0);
  scanner.end();
  return value;
}

/**
 * Write canonical JSON.
 *
 * @param {Value} value integers, strings without half a surrogate pair, `null`, booleans, arrays, plain objects
 * @returns {Buffer} ASCII
 * @throws {TypeError} for what has no canonical spelling: a mistake of the caller, not of a file
 */
export function encode(value) {
  return Buffer.from(spell(value, 0), "latin1");
}

/**
 * Read base64url without padding (section 3, RFC 4648 section 5).
 *
 * @param {Value} text
 * @param {string} where
 * @param {number} [length] in bytes, where the field has a fixed one
 * @returns {Buffer}
 * @throws {SealedFileError} `file-format` for no string or other bytes, `json-not-canonical` for another spelling
 */
export function bytesOf(text, where, length) {
  must(typeof text === "string", "file-format", where, "base64url expected");
  must(length === undefined || text.length <= Math.ceil((length * 4) / 3), "file-format", where, "too long");
  const bytes = Buffer.from(text, "base64url");
  must(bytes.toString("base64url") === text, "json-not-canonical", where, "base64url has one spelling");
  must(length === undefined || bytes.length === length, "file-format", where, `${length} bytes expected`);
  return bytes;
}

class Scanner {
  #bytes;
  #where;
  #at = 0;

  constructor(bytes, where) {
    this.#bytes = bytes;
    this.#where = where;
  }

  value(depth) {
    const byte = this.#bytes[this.#at];
    if (byte === 0x22) return this.#string();
    if (byte === 0x7b || byte === 0x5b) {
      if (depth === MAX_DEPTH) this.#refuse(`more than ${MAX_DEPTH} levels`);
      return byte === 0x7b ? this.#object(depth + 1) : this.#array(depth + 1);
    }
    if (this.#take("null")) return null;
    if (this.#take("true")) return true;
    if (this.#take("false")) return false;
    return this.#integer();
  }

  end() {
    if (this.#at !== this.#bytes.length) this.#refuse("something behind the value");
  }

  #object(depth) {
    const object = Object.create(null);
    this.#expect("{");
    if (this.#take("}")) return object;
    let last = "";
    do {
      const key = this.#string();
      if (!KEY.test(key)) this.#refuse("a key of other letters");
      if (key <= last) this.#refuse("keys out of order, or twice"); // ASCII: order of UTF-16 is order of bytes
      this.#expect(":");
      object[key] = this.value(depth);
      last = key;
    } while (this.#take(","));
    this.#expect("}");
    return object;
  }

  #array(depth) {
    const array = [];
    this.#expect("[");
    if (this.#take("]")) return array;
    do array.push(this.value(depth));
    while (this.#take(","));
    this.#expect("]");
    return array;
  }

  #integer() {
    let end = this.#at;
    while (end - this.#at <= LONGEST_INTEGER && /[-0-9]/.test(String.fromCharCode(this.#bytes[end]))) end += 1;
    const text = this.#bytes.toString("latin1", this.#at, end);
    if (!/^(0|-?[1-9][0-9]*)$/.test(text)) this.#refuse("neither a value nor an integer in its one spelling");
    if (!Number.isSafeInteger(Number(text))) this.#refuse("an integer beyond 2^53 - 1");
    this.#at = end; // what follows a legal integer is for the caller to judge: a point or an exponent is no comma
    return Number(text);
  }

  #string() {
    this.#expect('"');
    let text = "";
    for (;;) {
      let end = this.#at;
      while (isPlain(this.#bytes[end])) end += 1;
      text += this.#bytes.toString("latin1", this.#at, end);
      this.#at = end;
      if (this.#take('"')) return text;
      if (!this.#take("\\")) this.#refuse("a character that must be escaped, or an end inside a string");
      text += this.#escape();
    }
  }

  #escape() {
    const letter = String.fromCharCode(this.#bytes[this.#at]);
    if (letter === "u") return this.#unicode();
    const character = SHORT.get(letter);
    if (character === undefined) this.#refuse("an escape that does not exist");
    this.#at += 1;
    return character;
  }

  #unicode() {
    const first = this.#unit();
    const character = String.fromCharCode(first);
    if ((first >= 0x20 && first <= 0x7e) || SHORT_OF.has(character)) this.#refuse("an escape that is not needed");
    if (first < 0xd800 || first > 0xdfff) return character;
    if (first > 0xdbff || !this.#take("\\")) this.#refuse("half a surrogate pair");
    const second = this.#unit();
    if (second < 0xdc00 || second > 0xdfff) this.#refuse("half a surrogate pair");
    return character + String.fromCharCode(second);
  }

  #unit() {
    const text = this.#bytes.toString("latin1", this.#at, this.#at + 5);
    if (!/^u[0-9a-f]{4}$/.test(text)) this.#refuse("\\u and four lowercase digits expected");
    this.#at += 5;
    return Number.parseInt(text.slice(1), 16);
  }

  #take(token) {
    const end = this.#at + token.length;
    if (this.#bytes.toString("latin1", this.#at, end) !== token) return false;
    this.#at = end;
    return true;
  }

  #expect(token) {
    if (!this.#take(token)) this.#refuse(`${token} expected`);
  }

  #refuse(detail) {
    throw new SealedFileError("json-not-canonical", this.#where, `byte ${this.#at}: ${detail}`);
  }
}

function isPlain(byte) {
  return byte >= 0x20 && byte <= 0x7e && byte !== 0x22 && byte !== 0x5c;
}

function spell(value, depth) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return `"${value.replace(/[^ -~]|["\\]/g, escaped)}"`;
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value);
  if (typeof value !== "object" || depth === MAX_DEPTH) throw new TypeError("this value has no canonical JSON");
  if (Array.isArray(value)) return `[${value.map((item) => spell(item, depth + 1)).join(",")}]`;
  const keys = Object.keys(value).sort();
  if (!keys.every((key) => KEY.test(key))) throw new TypeError("a key that canonical JSON does not allow");
  return `{${keys.map((key) => `"${key}":${spell(value[key], depth + 1)}`).join(",")}}`;
}

function escaped(unit) {
  return SHORT_OF.get(unit) ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
