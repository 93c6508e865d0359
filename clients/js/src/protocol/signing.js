/** Public keys, signatures and roles (docs/spec/protocol.md, section 2). */

import { createHash, createPublicKey, verify } from "node:crypto";

import { known, signedBy } from "../owners.js";
import { demand } from "./refusal.js";
import { array, bytes, choice, integer, object } from "./shapes.js";

const SIZES = Object.assign(Object.create(null), { "Ed25519": 32, "ML-DSA-65": 1_952, "ES256": 65 }); // bytes
const SPKI_PREFIX = Object.assign(Object.create(null), {
  "Ed25519": Buffer.from("302a300506032b6570032100", "hex"), // RFC 8410
  "ES256": Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex"), // RFC 5480
});

/** @typedef {{ alg: "Ed25519" | "ML-DSA-65" | "ES256", raw: Buffer, id: string }} PublicKey */
/** @typedef {{ threshold: number, principals: PublicKey[][] }} Role */

const fields = object({ alg: choice("Ed25519", "ML-DSA-65", "ES256"), key: bytes(1_952, 32) });

/** The shape of a public key. Its identifier is recomputed. @type {import("./shapes.js").Shape} */
export function publicKey(value, where) {
  const { alg, key: raw } = fields(value, where);
  demand(raw.length === SIZES[alg], "public-key", where, `not a key of ${alg}`);
  const id = createHash("sha256").update(`${alg}\0`, "latin1").update(raw).digest("base64url");
  return { alg, raw, id };
}

const members = object({ threshold: integer(1, 16), principals: array(array(publicKey, 2, 1), 16, 1) });

/** The shape of a role: no key twice, no principal with two keys of one algorithm, a threshold within reach. */
export function role(value, where) {
  const found = members(value, where);
  const ids = found.principals.flat().map(({ id }) => id);
  demand(new Set(ids).size === ids.length, "shape", where, "a key twice");
  const mixed = found.principals.every((keys) => new Set(keys.map(({ alg }) => alg)).size === keys.length);
  demand(mixed, "shape", where, "two keys of one algorithm");
  demand(found.threshold <= found.principals.length, "shape", where, "a threshold beyond reach");
  return found;
}

/**
 * Verify one signature.
 *
 * @param {PublicKey} key
 * @param {Buffer} signature
 * @param {Buffer} data
 * @returns {boolean | null} `null` where this Node.js cannot tell: it has no ML-DSA-65
 */
export function verified({ alg, raw }, signature, data) {
  if (signature.length !== { "Ed25519": 64, "ML-DSA-65": 3_309, "ES256": 64 }[alg]) return false;
  try {
    if (alg === "ES256") {
      const key = createPublicKey({ key: spki({ alg, raw }), format: "der", type: "spki" });
      return verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature);
    }
    return signedBy(known({ alg, raw }), { alg, sig: signature }, data);
  } catch {
    return false; // no point of the curve, or one of small order: nobody's key
  }
}

/**
 * SHA-256 of a device key's SubjectPublicKeyInfo, by which bindings and leases name it (section 5).
 *
 * @param {PublicKey} key
 * @returns {Buffer}
 */
export function thumbprint(key) {
  return createHash("sha256").update(spki(key)).digest();
}

function spki({ alg, raw }) {
  return Buffer.concat([SPKI_PREFIX[alg], raw]);
}
