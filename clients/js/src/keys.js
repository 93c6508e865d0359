/**
 * Keys and what they authenticate (docs/spec/sealed-file.md, section 6). Everything secret that is compared is compared
 * by `same`, in constant time.
 */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";

import { encode } from "./canonical.js";
import { must } from "./errors.js";

/** Bytes of a model key (section 6). */
export const MEK_SIZE = 32;
const KEY_SIZE = 32; // bytes of every key, of COM and of MAC (section 6)
const HASH = "sha512";
const HASH_SIZE = 64; // bytes

/**
 * @typedef {object} Keys the keys of one file, 32 bytes each
 * @property {Buffer} commitment COM
 * @property {Buffer} mac K_mac
 * @property {Buffer} payload K_pay
 * @property {Buffer} blind K_blind
 */

/**
 * @typedef {object} Subject whom a file is sealed for
 * @property {string | null} account `null`: every entitled account
 * @property {string} model
 * @property {string} version
 * @property {string | null} user `null`: every user of the account
 */

/**
 * HKDF-Expand of RFC 5869 with SHA-512. Node's own `hkdf` always extracts first.
 *
 * @param {Buffer} prk
 * @param {Buffer} info
 * @param {number} length bytes wanted, at most 255 · 64
 * @returns {Buffer}
 */
export function expand(prk, info, length) {
  const blocks = [];
  let last = Buffer.alloc(0);
  for (let counter = 1; blocks.length * HASH_SIZE < length; counter += 1) {
    last = createHmac(HASH, prk).update(last).update(info).update(Buffer.from([counter])).digest();
    blocks.push(last);
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/**
 * Derive the keys of a file (section 6).
 *
 * @param {Uint8Array} mek the model key, 32 bytes
 * @param {Buffer} fileId 32 bytes
 * @param {number} suite the number of section 2
 * @returns {Keys}
 * @throws {SealedFileError} `file-key-size`
 */
export function derive(mek, fileId, suite) {
  must(mek instanceof Uint8Array && mek.length === MEK_SIZE, "file-key-size", "model key");
  const prk = createHmac(HASH, fileId).update(mek).digest();
  const key = (purpose) => {
    const info = Buffer.concat([Buffer.from(`strongroom/v1 ${purpose}`, "latin1"), Buffer.from([suite])]);
    return expand(prk, info, KEY_SIZE);
  };
  const keys = { commitment: key("commit"), mac: key("header"), payload: key("payload"), blind: key("blind") };
  prk.fill(0);
  return keys;
}

/**
 * MAC of the head (section 6).
 *
 * @param {Buffer} macKey K_mac
 * @param {Buffer} head `[0, 20) || core header || manifest`
 * @returns {Buffer} 32 bytes
 */
export function macOf(macKey, head) {
  return createHmac(HASH, macKey).update(head).digest().subarray(0, KEY_SIZE);
}

/**
 * `subject` of the core header (section 6).
 *
 * @param {Buffer} blindKey K_blind
 * @param {Subject} subject
 * @returns {Buffer} 32 bytes
 */
export function blindSubject(blindKey, { account, model, version, user }) {
  return blinded(blindKey, "subject", encode([account, model, version, user]));
}

/**
 * `content` of the core header (section 6).
 *
 * @param {Buffer} blindKey K_blind
 * @param {Buffer} toc the table of contents, its canonical bytes
 * @returns {Buffer} 32 bytes
 */
export function blindContent(blindKey, toc) {
  return blinded(blindKey, "content", toc);
}

/**
 * Compare in constant time. Lengths are no secret.
 *
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 * @returns {boolean}
 */
export function same(one, other) {
  return one.length === other.length && timingSafeEqual(one, other);
}

/**
 * @param {"sha256" | "sha512"} name
 * @param {...Uint8Array} parts
 * @returns {Buffer} the digest of all parts, joined
 */
export function digest(name, ...parts) {
  const hash = createHash(name);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function blinded(blindKey, label, bytes) {
  return createHmac(HASH, blindKey).update(`${label}\0`, "latin1").update(bytes).digest().subarray(0, KEY_SIZE);
}
