/**
 * One segment: a complete message of C2SP chunked encryption (https://c2sp.org/chunked-encryption) over HKDF-SHA-512
 * (docs/spec/sealed-file.md, section 8).
 */

import { createDecipheriv } from "node:crypto";

import { must } from "./errors.js";
import { expand, same } from "./keys.js";

const CHUNK = 16_384; // bytes of plaintext in a full chunk (C2SP)
const TAG = 16; // bytes
const SALT = 24; // bytes (C2SP)
const COMMITMENT = 32; // bytes (C2SP)
const KEY = 32; // bytes: of the input key and of both ciphers
const NONCE = 12; // bytes: of both ciphers
const PREFIX = "c2sp.org/chunked-encryption@v1+";

/** @typedef {{ aead: string, cipher: string }} Suite the AEAD's name in the IANA registry, and in OpenSSL */

/**
 * The suites of section 2, by number. Another cipher is a line here and nothing elsewhere.
 *
 * @type {ReadonlyMap<number, Suite>}
 */
export const SUITES = new Map([
  [1, { aead: "AEAD_AES_256_GCM", cipher: "aes-256-gcm" }],
  [2, { aead: "AEAD_CHACHA20_POLY1305", cipher: "chacha20-poly1305" }],
]);

/**
 * Bytes that a segment is stored in (section 8).
 *
 * @param {number} plain bytes of plaintext
 * @returns {number}
 */
export function storedLength(plain) {
  return SALT + COMMITMENT + plain + TAG * (Math.floor(plain / CHUNK) + 1);
}

/**
 * Decrypt one stored segment. Nothing leaves before the last tag fitted; on failure what was decrypted is overwritten.
 *
 * @param {Suite} suite
 * @param {Buffer} key K_pay, 32 bytes
 * @param {Buffer} context of this segment (section 8)
 * @param {Buffer} stored the segment as stored
 * @param {number} length bytes of plaintext that must come out
 * @param {string} where what to call it in an error
 * @returns {Buffer} the plaintext
 * @throws {SealedFileError} `file-segment`, whatever the cipher disliked
 */
export function openSegment(suite, key, context, stored, length, where) {
  must(stored.length === storedLength(length), "file-segment", where);
  const salt = stored.subarray(0, SALT);
  const info = Buffer.concat([Buffer.from(`${PREFIX}${suite.aead}\0`, "latin1"), salt, context]);
  const derived = expand(key, info, KEY + NONCE + COMMITMENT);
  const fits = same(derived.subarray(KEY + NONCE), stored.subarray(SALT, SALT + COMMITMENT));
  must(fits, "file-segment", where);
  const plain = Buffer.alloc(length);
  try {
    for (let index = 0, from = SALT + COMMITMENT; from < stored.length; index += 1, from += CHUNK + TAG) {
      const nonce = nonceOf(derived.subarray(KEY, KEY + NONCE), index);
      const chunk = stored.subarray(from, Math.min(from + CHUNK + TAG, stored.length));
      openChunk(suite, derived.subarray(0, KEY), nonce, chunk, plain.subarray(index * CHUNK));
    }
  } catch {
    plain.fill(0);
    must(false, "file-segment", where);
  } finally {
    derived.fill(0);
  }
  return plain;
}

function openChunk({ cipher }, key, nonce, chunk, into) {
  const decipher = createDecipheriv(cipher, key, nonce, { authTagLength: TAG });
  decipher.setAuthTag(chunk.subarray(chunk.length - TAG));
  const unproven = decipher.update(chunk.subarray(0, chunk.length - TAG));
  try {
    decipher.final();
    unproven.copy(into);
  } finally {
    unproven.fill(0);
  }
}

// The counter is XORed into the last bytes, big-endian. A segment has at most 2^26 bytes: four bytes of counter do.
function nonceOf(base, index) {
  const nonce = Buffer.from(base);
  nonce.writeUInt32BE((nonce.readUInt32BE(NONCE - 4) ^ index) >>> 0, NONCE - 4);
  return nonce;
}
