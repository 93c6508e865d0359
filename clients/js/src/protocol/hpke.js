/**
 * HPKE, RFC 9180: base mode, single shot, HKDF-SHA256, AES-256-GCM (docs/spec/protocol.md, section 6). X25519 and P256
 * by `node:crypto` everywhere; X-Wing where it has ML-KEM-768 (Node.js 24.7 and newer).
 */

import * as crypto from "node:crypto";

import { demand, ProtocolError } from "./refusal.js";

export const X25519 = 0x0020;
export const P256 = 0x0010;
export const MLKEM768_X25519 = 0x647a;
export const KEMS = [MLKEM768_X25519, X25519, P256];

const PUBLIC_SIZES = new Map([[MLKEM768_X25519, 1_216], [X25519, 32], [P256, 65]]); // bytes
const ENC_SIZES = new Map([[MLKEM768_X25519, 1_120], [X25519, 32], [P256, 65]]); // bytes
const LATTICE_ENC = 1_088; // bytes of ML-KEM-768's part of enc
const LATTICE_KEY = 1_184; // bytes of ML-KEM-768's part of a public key
const MODULUS = 3_329; // FIPS 203
const TAG = 16; // bytes
const PRIME = 2n ** 255n - 19n; // RFC 7748
const X25519_PKCS8 = Buffer.from("302e020100300506032b656e04220420", "hex"); // RFC 8410
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
const LATTICE_PKCS8 = Buffer.from("3054020100300b060960864801650304040204428040", "hex"); // ML-KEM-768, seed form (RFC 9935)
const XWING_LABEL = Buffer.from("5c2e2f2f5e5c", "hex");

/** Whether this Node.js can open X-Wing. */
export const hasLattice = typeof crypto.decapsulate === "function";

/**
 * @param {number} kem
 * @param {number} length bytes of plaintext
 * @returns {number} bytes of `enc || ciphertext || tag`
 */
export function sealedSize(kem, length) {
  return ENC_SIZES.get(kem) + length + TAG;
}

/**
 * Judge a recipient's public key (section 6).
 *
 * @param {number} kem
 * @param {Buffer} raw
 * @param {string} where
 * @throws {ProtocolError} `public-key`
 */
export function requirePublicKey(kem, raw, where) {
  demand(raw.length === PUBLIC_SIZES.get(kem), "public-key", where, "another length");
  if (kem === P256) {
    demand(raw[0] === 4 && isPoint(raw), "public-key", where, "no point of P-256, or a compressed one");
    return;
  }
  if (kem === MLKEM768_X25519) demand(fitsModulus(raw), "public-key", where, "the modulus check of FIPS 203");
  const curve = raw.subarray(raw.length - 32);
  const number = BigInt(`0x${Buffer.from(curve).reverse().toString("hex")}`);
  demand(number < PRIME, "public-key", where, "a second spelling of another key");
  const { privateKey } = crypto.generateKeyPairSync("x25519");
  demand(shared(privateKey, curve) !== null, "public-key", where, "a point of low order");
}

/**
 * Open what was sealed to a key.
 *
 * @param {number} kem
 * @param {Buffer} seed 32 bytes: the scalar, or the X-Wing seed
 * @param {Buffer} sealed
 * @param {Buffer} info
 * @param {string} where
 * @returns {Buffer} the plaintext; the caller overwrites it
 * @throws {ProtocolError} `sealed-key`, whatever is wrong; `unsupported` is true for X-Wing without ML-KEM
 */
export function open(kem, seed, sealed, info, where) {
  demand(sealed.length >= sealedSize(kem, 0), "sealed-key", where);
  if (kem === MLKEM768_X25519 && !hasLattice) throw ProtocolError.lacking("sealed-key", where, "ML-KEM-768");
  const cut = ENC_SIZES.get(kem);
  const secret = decapsulated(kem, seed, sealed.subarray(0, cut));
  demand(secret !== null, "sealed-key", where);
  const suite = Buffer.concat([Buffer.from("HPKE"), u16(kem), u16(1), u16(2)]);
  const hashes = [extract("", suite, "psk_id_hash", ""), extract("", suite, "info_hash", info)];
  const context = Buffer.concat([Buffer.from([0]), ...hashes]);
  const prk = extract(secret, suite, "secret", "");
  const key = expand(prk, suite, "key", context, 32);
  const nonce = expand(prk, suite, "base_nonce", context, 12);
  try {
    const cipher = crypto.createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG });
    cipher.setAuthTag(sealed.subarray(sealed.length - TAG));
    const opened = cipher.update(sealed.subarray(cut, sealed.length - TAG));
    cipher.final();
    return opened;
  } catch {
    throw new ProtocolError("sealed-key", where);
  } finally {
    for (const one of [secret, prk, key, nonce]) one.fill(0);
  }
}

/** @returns {Buffer | null} the shared secret of the KEM */
function decapsulated(kem, seed, enc) {
  if (kem === MLKEM768_X25519) return xwing(seed, enc);
  const [secret, mine] = kem === X25519 ? onCurve(seed, enc) : onP256(seed, enc);
  if (secret === null) return null;
  const suite = Buffer.concat([Buffer.from("KEM"), u16(kem)]);
  const prk = extract("", suite, "eae_prk", secret);
  return expand(prk, suite, "shared_secret", Buffer.concat([enc, mine]), 32);
}

function onCurve(seed, enc) {
  const mine = privateX25519(seed);
  return [shared(mine, enc), publicOf(mine)];
}

function onP256(seed, enc) {
  const mine = crypto.createECDH("prime256v1");
  mine.setPrivateKey(seed);
  return [isPoint(enc) ? mine.computeSecret(enc) : null, mine.getPublicKey()];
}

function xwing(seed, enc) {
  const expanded = crypto.createHash("shake256", { outputLength: 96 }).update(seed).digest();
  const der = Buffer.concat([LATTICE_PKCS8, expanded.subarray(0, 64)]);
  const lattice = crypto.createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const curve = privateX25519(expanded.subarray(64));
  const theirs = enc.subarray(LATTICE_ENC);
  const second = shared(curve, theirs);
  if (second === null) return null;
  const first = crypto.decapsulate(lattice, enc.subarray(0, LATTICE_ENC));
  const hash = crypto.createHash("sha3-256").update(first).update(second).update(theirs).update(publicOf(curve));
  expanded.fill(0);
  return hash.update(XWING_LABEL).digest();
}

function privateX25519(seed) {
  return crypto.createPrivateKey({ key: Buffer.concat([X25519_PKCS8, seed]), format: "der", type: "pkcs8" });
}

function publicOf(privateKey) {
  return crypto.createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);
}

function shared(privateKey, raw) {
  try {
    const publicKey = crypto.createPublicKey({ key: Buffer.concat([X25519_SPKI, raw]), format: "der", type: "spki" });
    const secret = crypto.diffieHellman({ privateKey, publicKey });
    return secret.every((byte) => byte === 0) ? null : secret;
  } catch {
    return null; // OpenSSL refuses points of low order itself
  }
}

function isPoint(raw) {
  try {
    return raw.length === 65 && crypto.ECDH.convertKey(raw, "prime256v1", undefined, undefined, "uncompressed").equals(raw);
  } catch {
    return false;
  }
}

function fitsModulus(raw) {
  for (let at = 0; at < LATTICE_KEY - 32; at += 3) {
    const [a, b, c] = raw.subarray(at, at + 3);
    if ((a | ((b & 15) << 8)) >= MODULUS || ((b >> 4) | (c << 4)) >= MODULUS) return false;
  }
  return true;
}

function extract(salt, suite, label, secret) {
  const mac = crypto.createHmac("sha256", salt.length === 0 ? Buffer.alloc(32) : salt);
  return mac.update("HPKE-v1").update(suite).update(label).update(secret).digest();
}

// One block of 32 bytes is the most that is ever asked for.
function expand(prk, suite, label, info, size) {
  const mac = crypto.createHmac("sha256", prk).update(u16(size)).update("HPKE-v1").update(suite).update(label);
  return mac.update(info).update(Buffer.from([1])).digest().subarray(0, size);
}

function u16(number) {
  return Buffer.from([number >> 8, number & 0xff]);
}
