/**
 * Owners and their signatures (docs/spec/sealed-file.md, section 7). The owners, their keys and the threshold come from
 * elsewhere, never from the file. Ed25519 is verified; ML-DSA-65 is known by name, and its owner counts as not signed,
 * because the `node:crypto` of Node.js 20 cannot verify it.
 */

import { createPublicKey, verify } from "node:crypto";

import { must } from "./errors.js";
import { digest } from "./keys.js";

const SIGNED = Buffer.from("strongroom/v1 file\0", "latin1");
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
    if (!fits || owners.some((keys) => keys.length === 0)) throw new TypeError("a threshold that no owners can reach");
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
   * Step 3: enough distinct owners signed this head.
   *
   * @param {import("./header.js").Head} head
   * @throws {SealedFileError} `file-signature`
   */
  require(head) {
    const message = Buffer.concat([SIGNED, head.digest]);
    const signatures = new Map(head.signatures.map((signature) => [signature.key, signature]));
    const signed = this.#owners.filter((keys) => keys.every((key) => signedBy(key, signatures.get(key.id), message)));
    const blind = this.#owners.filter((keys) => keys.some(({ alg }) => alg !== "Ed25519"));
    const note = blind.length > 0 ? `; ${blind.length} need ML-DSA-65, which this reader does not verify` : "";
    const detail = `${signed.length} of ${this.#threshold} owners${note}`;
    must(signed.length >= this.#threshold, "file-signature", "signature block", detail);
  }
}

function known({ alg, raw }) {
  if (!(raw instanceof Uint8Array) || raw.length !== PUBLIC_SIZES[alg]) throw new TypeError("not a public key");
  const id = digest("sha256", Buffer.from(`${alg}\0`, "latin1"), raw).toString("base64url");
  if (alg !== "Ed25519") return { alg, id };
  const y = littleEndian(raw) & (2n ** 255n - 1n);
  if (y >= FIELD || SMALL_ORDER_Y.includes(y)) throw new TypeError("not a public key of Ed25519");
  const x = Buffer.from(raw).toString("base64url");
  return { alg, id, key: createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }) };
}

// The algorithm is that of the key we know; OpenSSL refuses a large scalar too, but the rule is ours (section 7).
function signedBy({ alg, key }, signature, message) {
  if (signature === undefined || signature.alg !== alg || alg !== "Ed25519") return false;
  if (littleEndian(signature.sig.subarray(32)) >= ORDER) return false;
  return verify(null, message, key, signature.sig);
}

function littleEndian(bytes) {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}
