/**
 * Owners and their signatures (docs/spec/sealed-file.md, section 7). The owners, their keys and the threshold come from
 * elsewhere, never from the file. Ed25519 is always verified. ML-DSA-65 is verified where `node:crypto` can (Node.js
 * 24.6 and newer can); elsewhere its owner counts as not signed, and the refusal says so.
 */

import { createPublicKey, verify } from "node:crypto";

import { bytesOf } from "./canonical.js";
import { SealedFileError } from "./errors.js";
import { digest } from "./keys.js";

const SIGNED = Buffer.from("strongroom/v1 file\0", "latin1");
const ML_DSA_65_PREFIX = Buffer.from("308207b2300b0609608648016503040312038207a100", "hex"); // of a key in DER (RFC 9881)
const PUBLIC_SIZES = Object.assign(Object.create(null), { "Ed25519": 32, "ML-DSA-65": 1_952 }); // bytes
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n; // of the group of Ed25519 (RFC 8032)
const FIELD = 2n ** 255n - 19n; // RFC 8032
const EIGHTH_Y = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n; // of a point of order 8
const SMALL_ORDER_Y = [0n, 1n, FIELD - 1n, EIGHTH_Y, FIELD - EIGHTH_Y]; // order 1, 2, 4 or 8: a key that signs anything

/** @typedef {{ alg: "Ed25519" | "ML-DSA-65", raw: Uint8Array }} PublicKey 32 or 1,952 bytes */

/** Who owns a model, and how many of them must have signed. */
export class Owners {
  #owners;
  #threshold;

  /**
   * @param {number} threshold k, from 1 to the number of owners
   * @param {PublicKey[][]} owners the keys of each owner; with several keys all must verify
   * @throws {TypeError} for a mistake of the caller: no key, a key twice, a threshold nobody can reach
   */
  constructor(threshold, owners) {
    this.#owners = owners.map((keys) => keys.map(known));
    this.#threshold = threshold;
    const ids = this.#owners.flatMap((keys) => keys.map(({ id }) => id));
    const fits = Number.isInteger(threshold) && threshold >= 1 && threshold <= owners.length;
    if (!fits) throw new TypeError(`a threshold of ${threshold}, with ${owners.length} owners`);
    if (owners.some((keys) => keys.length === 0)) throw new TypeError("an owner without a key");
    if (new Set(ids).size !== ids.length) throw new TypeError("one key twice");
  }

  /**
   * One Ed25519 key for each owner.
   *
   * @param {number} threshold
   * @param {Uint8Array[]} keys raw, 32 bytes each
   * @returns {Owners}
   */
  static ofEd25519(threshold, keys) {
    return new Owners(threshold, keys.map((raw) => [{ alg: "Ed25519", raw }]));
  }

  /**
   * Owners in text: the keys of an owner joined by `+`, each base64url, ML-DSA-65 with its name and a colon before it.
   *
   * @param {number} threshold
   * @param {string[]} texts one for each owner
   * @returns {Owners}
   * @throws {TypeError} as the constructor, and for what is no public key in the one spelling of base64url
   */
  static ofText(threshold, texts) {
    return new Owners(threshold, texts.map((text) => text.split("+").map(keyOf)));
  }

  /**
   * Step 3: enough distinct owners signed this head.
   *
   * @param {import("./header.js").Head} head
   * @throws {SealedFileError} `file-signature`; `unsupported` is true where signatures of ML-DSA-65, which could not be
   *   verified here, would make the difference
   */
  require(head) {
    const message = Buffer.concat([SIGNED, head.digest]);
    const signatures = new Map(head.signatures.map((signature) => [signature.key, signature]));
    const count = (judged) => this.#owners.filter((keys) => keys.every(judged)).length;
    const signed = count((key) => signedBy(key, signatures.get(key.id), message));
    if (signed >= this.#threshold) return;
    const possible = count((key) => signedBy(key, signatures.get(key.id), message) ?? true);
    const note = possible >= this.#threshold ? "; the others need ML-DSA-65, which this Node.js cannot verify" : "";
    const detail = `${signed} of ${this.#threshold} owners${note}`;
    const refusal = new SealedFileError("file-signature", "signature block", detail);
    refusal.unsupported = possible >= this.#threshold;
    if (refusal.unsupported) refusal.next = "use Node.js 24.6 or newer";
    throw refusal;
  }
}

function keyOf(text) {
  const [raw, alg = "Ed25519", ...more] = text.split(":").reverse();
  if (more.length > 0 || !(alg in PUBLIC_SIZES)) throw new TypeError("a key of another algorithm than Ed25519 and ML-DSA-65");
  try {
    return { alg, raw: bytesOf(raw, "owner", PUBLIC_SIZES[alg]) };
  } catch {
    const characters = Math.ceil((PUBLIC_SIZES[alg] * 4) / 3);
    throw new TypeError(`not a public key of ${alg}, which has ${characters} characters of base64url`);
  }
}

/**
 * @param {PublicKey} key
 * @returns {{ alg: string, id: string, key: import("node:crypto").KeyObject | null }} `null`: not supported here
 * @throws {TypeError} for a key that must not be anybody's: another length, a point of small order, y above the field
 */
export function known({ alg, raw }) {
  if (!(raw instanceof Uint8Array) || raw.length !== PUBLIC_SIZES[alg]) throw new TypeError("not a public key");
  const id = digest("sha256", Buffer.from(`${alg}\0`, "latin1"), raw).toString("base64url");
  if (alg !== "Ed25519") return { alg, id, key: latticeKey(raw) };
  const y = littleEndian(raw) & (2n ** 255n - 1n);
  if (y >= FIELD || SMALL_ORDER_Y.includes(y)) throw new TypeError("not a public key of Ed25519");
  const x = Buffer.from(raw).toString("base64url");
  return { alg, id, key: createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }) };
}

function latticeKey(raw) {
  try {
    return createPublicKey({ key: Buffer.concat([ML_DSA_65_PREFIX, raw]), format: "der", type: "spki" });
  } catch {
    return null; // an algorithm that this Node.js does not have
  }
}

/**
 * Verify one signature (section 7). Signatures of Ed25519 are verified without the cofactor, as OpenSSL does.
 *
 * @param {ReturnType<typeof known>} key
 * @param {import("./header.js").Signature | undefined} signature
 * @param {Uint8Array} message
 * @returns {boolean | null} `null` where there is a signature and nobody here can tell
 */
export function signedBy({ alg, key }, signature, message) {
  if (signature === undefined || signature.alg !== alg) return false; // the algorithm is that of the key we know
  if (key === null) return null;
  // OpenSSL refuses a large scalar too, but the rule is ours (section 7).
  if (alg === "Ed25519" && (signature.sig.length !== 64 || littleEndian(signature.sig.subarray(32)) >= ORDER)) return false;
  return verify(null, message, key, signature.sig);
}

function littleEndian(bytes) {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}
