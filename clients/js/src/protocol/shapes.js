/**
 * Closed shapes of values (docs/spec/protocol.md, section 4). A shape takes a decoded value and gives it back, base64url
 * as bytes; whatever else it may not hold is `shape`.
 */

import { parse } from "../canonical.js";
import { SealedFileError } from "../errors.js";
import { demand, ProtocolError } from "./refusal.js";

/** @typedef {(value: any, where: string) => any} Shape */

/** @returns {Shape} text of at most `most` characters that fits the whole pattern */
export const text = (most, pattern) => (value, where) => {
  demand(typeof value === "string" && value.length > 0, "shape", where, "text expected");
  demand(value.length <= 2 * most && Array.from(value).length <= most, "shape", where, `more than ${most} characters`);
  demand(pattern === undefined || pattern.test(value), "shape", where, "text of another form");
  return value;
};

/** @returns {Shape} */
export const integer = (least = 0, most = Number.MAX_SAFE_INTEGER) => (value, where) => {
  demand(typeof value === "number" && value >= least && value <= most, "shape", where, `${least} to ${most} expected`);
  return value;
};

/** @returns {Shape} base64url without padding, in its one spelling */
export const bytes = (most, least = most) => (value, where) => {
  demand(typeof value === "string" && value.length <= Math.ceil((most * 4) / 3), "shape", where, "bytes expected");
  const found = bytesOf(value, "json-not-canonical", where);
  demand(found.length >= least && found.length <= most, "shape", where, `${least} to ${most} bytes expected`);
  return found;
};

/** @returns {Shape} */
export const choice = (...values) => (value, where) => {
  demand(values.includes(value), "shape", where, `one of ${values.join(", ")} expected`);
  return value;
};

/** @returns {Shape} */
export const array = (of, most, least = 0) => (value, where) => {
  demand(Array.isArray(value) && value.length >= least && value.length <= most, "shape", where, `${least} to ${most} items`);
  return value.map((item, index) => of(item, `${where}[${index}]`));
};

/** @returns {Shape} */
export const nullable = (of) => (value, where) => (value === null ? null : of(value, where));

/**
 * @param {Record<string, Shape>} fields
 * @param {string[]} optional those that may be absent; none is ever null instead
 * @returns {Shape}
 */
export const object = (fields, optional = []) => (value, where) => {
  demand(isObject(value), "shape", where, "an object expected");
  for (const name of Object.keys(value)) demand(Object.hasOwn(fields, name), "shape", where, "a field that is not known");
  const found = {};
  for (const [name, of] of Object.entries(fields)) {
    const there = name in value;
    demand(there || optional.includes(name), "shape", where, `${name} is missing`);
    if (there) found[name] = of(value[name], `${where}.${name}`);
  }
  return found;
};

/** @returns {Shape} texts and integers under any names */
export const free = (most, length) => (value, where) => {
  demand(isObject(value) && Object.keys(value).length <= most, "shape", where, `more than ${most} fields`);
  for (const item of Object.values(value)) {
    const fits = typeof item === "number" || (typeof item === "string" && Array.from(item).length <= length);
    demand(fits, "shape", where, "an integer or a short text expected");
  }
  return value;
};

/**
 * Decode the bytes of a message (section 4: size, then spelling, then shape).
 *
 * @param {Uint8Array | string} data
 * @param {Shape} shape
 * @param {number} limit bytes
 * @param {string} where
 * @throws {ProtocolError} `json-too-large`, `json-not-canonical`, `shape` and what a shape adds
 */
export function decode(data, shape, limit, where) {
  const raw = Buffer.from(data);
  demand(raw.length <= limit, "json-too-large", where, `more than ${limit} bytes`);
  return shape(spelled(raw, where), where);
}

/**
 * Read base64url in its one spelling.
 *
 * @param {string} value
 * @param {string} code what another spelling is refused with
 * @param {string} where
 * @returns {Buffer}
 * @throws {ProtocolError} with `code`
 */
export function bytesOf(value, code, where) {
  const found = Buffer.from(value, "base64url");
  demand(found.toString("base64url") === value, code, where, "base64url has one spelling");
  return found;
}

function spelled(raw, where) {
  try {
    return parse(raw, where);
  } catch (error) {
    if (!(error instanceof SealedFileError)) throw error;
    throw new ProtocolError("json-not-canonical", where, error.message);
  }
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
