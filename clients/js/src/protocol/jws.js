/** Signed values: JWS in compact form over canonical JSON (docs/spec/protocol.md, section 2). */

import { encode } from "../canonical.js";
import { demand, ProtocolError } from "./refusal.js";
import { bytesOf, decode, object, text } from "./shapes.js";
import { verified } from "./signing.js";

const MAX_SIGNERS = 32;
const MAX_TEXT = 400_000; // characters of one JWS
const header = object({ alg: text(20), kid: text(43), typ: text(40) });

/**
 * Verify that enough principals of a role signed, in the order of section 2.
 *
 * @param {string[]} texts one JWS a key
 * @param {string} typ
 * @param {import("./signing.js").Role} role
 * @param {string} where
 * @param {string} [code] what too few signers are refused with
 * @returns {Buffer} the payload
 * @throws {ProtocolError} `signature`, or `code`
 */
export function verifyRole(texts, typ, role, where, code = "signature") {
  demand(texts.length >= 1 && texts.length <= MAX_SIGNERS, "signature", where, "no signature, or too many");
  const keys = new Map(role.principals.flat().map((key) => [key.id, key]));
  const parts = texts.map((one) => partsOf(one, typ, where));
  demand(new Set(parts.map(({ kid }) => kid)).size === parts.length, "signature", where, "one key signed twice");
  const good = new Set();
  const open = new Set(); // signatures that this Node.js cannot verify
  for (const one of parts) {
    const key = keys.get(one.kid);
    if (key === undefined) continue;
    (verifyOne(one, typ, key, where) === null ? open : good).add(one.kid);
  }
  demand(new Set(parts.map(({ payload }) => payload)).size === 1, "signature", where, "different payloads");
  const counted = (judged) => role.principals.filter((principal) => principal.every(({ id }) => judged(id))).length;
  demand(counted((id) => good.has(id) || open.has(id)) >= role.threshold, code, where, "too few signers");
  if (open.size > 0) throw ProtocolError.lacking(code, where, "ML-DSA-65");
  return bytesOf(parts[0].payload, "signature", where);
}

/**
 * Verify that one key signed.
 *
 * @param {string} text
 * @param {string} typ
 * @param {import("./signing.js").PublicKey} key
 * @param {string} where
 * @returns {Buffer} the payload
 * @throws {ProtocolError} `signature`
 */
export function verifyKey(text, typ, key, where) {
  const parts = partsOf(text, typ, where);
  if (verifyOne(parts, typ, key, where) === null) throw ProtocolError.lacking("signature", where, key.alg);
  return bytesOf(parts.payload, "signature", where);
}

/**
 * The payload without any check, to learn which keys a self-signed document names.
 *
 * @param {string} text
 * @param {string} where
 * @returns {Buffer}
 * @throws {ProtocolError} `signature` when it is no JWS
 */
export function unverifiedPayload(text, where) {
  return bytesOf(split(text, where)[1], "signature", where);
}

function split(text, where) {
  const parts = text.length <= MAX_TEXT ? text.split(".") : [];
  demand(parts.length === 3, "signature", where, "no compact JWS");
  for (const part of parts) bytesOf(part, "signature", where); // of keys that nobody knows as well
  return parts;
}

function partsOf(text, typ, where) {
  const [head, payload, signature] = split(text, where);
  let fields;
  try {
    fields = decode(bytesOf(head, "signature", where), header, 256, where);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError("signature", where, "a header other than alg, kid and typ");
  }
  demand(fields.typ === typ, "signature", where, `not of type ${typ}`);
  return { head, payload, signature, kid: fields.kid };
}

/** @returns {true | null} */
function verifyOne({ head, payload, signature }, typ, key, where) {
  // The header is compared, not read: the algorithm is that of the key we know (section 2, step 4).
  const only = encode({ alg: key.alg, kid: key.id, typ }).toString("base64url");
  demand(head === only, "signature", where, "not the header that its key makes");
  const good = verified(key, bytesOf(signature, "signature", where), Buffer.from(`${head}.${payload}`, "latin1"));
  demand(good !== false, "signature", where, "a signature that does not verify");
  return good;
}
