/**
 * The one error of the protocol reader. Its codes are those of section 12 of docs/spec/protocol.md and never change
 * their meaning. A message says what and where, never a key or a token.
 */

/** What each code means, and what to do about it. @type {Readonly<Record<string, readonly [string, string]>>} */
export const CODES = Object.freeze({
  "json-not-canonical": ["JSON in a spelling that is not the legal one", "ask again; tell whoever runs the server"],
  "json-too-large": ["JSON beyond the size its place allows", "ask again; tell whoever runs the server"],
  "shape": ["a message with other fields or values than section 4 says", "update this reader"],
  "public-key": ["not a valid public key in its only spelling", "tell whoever made the document"],
  "signature": ["a signed value that its signers did not sign", "ask again; tell whoever runs the server"],
  "trust-expired": ["trust.json is over", "fetch a newer one, or ask the owners for one"],
  "trust-version": ["a trust document that does not follow, or takes an epoch back", "fetch the whole chain"],
  "trust-threshold": ["too few owners signed a trust document", "ask the owners"],
  "sealed-key": ["sealed keys that do not open", "ask again with a new key"],
  "grant-mismatch": ["a genuine answer to another request", "ask again; tell whoever runs the server"],
  "grant-rollback": ["older than what was here, or not the newest", "ask again; tell whoever runs the server"],
  "grant-frozen": ["what it says of the newest version has expired", "ask again; look at this machine's clock"],
  "lease-mismatch": ["a genuine lease for another device, account or file", "ask for a release on this device"],
  "lease-expired": ["the lease is over", "renew it"],
  "order-mismatch": ["a genuine wipe order, but for another device", "carry nothing out"],
  "order-expired": ["a wipe order whose time is over", "carry nothing out"],
  "receipt": ["a receipt that does not fit its order", "tell whoever runs the device"],
  "proof": ["a proof that does not hold", "make a fresh one"],
  "token": ["a token of another key", "enrol again"],
});

/** A value of the protocol that was refused. */
export class ProtocolError extends Error {
  /**
   * @param {keyof typeof CODES} code
   * @param {string} where the value it happened at, in the words of the specification
   * @param {string} [detail]
   */
  constructor(code, where, detail) {
    const [what, next] = CODES[code];
    super(`${code}: ${what} (${where}${detail ? `: ${detail}` : ""})`);
    this.name = "ProtocolError";
    this.code = code;
    this.where = where;
    this.next = next;
    /** Whether this Node.js lacks an algorithm without which nothing more can be said. */
    this.unsupported = false;
  }

  /**
   * Say that the answer would need an algorithm that this Node.js does not have. It is a refusal like any other.
   *
   * @param {keyof typeof CODES} code
   * @param {string} where
   * @param {string} algorithm
   * @returns {ProtocolError}
   */
  static lacking(code, where, algorithm) {
    const refusal = new ProtocolError(code, where, `this Node.js has no ${algorithm}`);
    refusal.unsupported = true;
    refusal.next = "use Node.js 24.7 or newer";
    return refusal;
  }
}

/**
 * Throw unless `condition` holds.
 *
 * @param {boolean} condition
 * @param {keyof typeof CODES} code
 * @param {string} where
 * @param {string} [detail]
 * @returns {asserts condition}
 * @throws {ProtocolError} with `code`
 */
export function demand(condition, code, where, detail) {
  if (!condition) throw new ProtocolError(code, where, detail);
}
