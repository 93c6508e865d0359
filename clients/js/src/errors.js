/**
 * The one error of this reader. Its codes are those of section 13 of docs/spec/sealed-file.md and never change their
 * meaning. A message says what and where, never a key, a name from inside the file or a byte of plaintext.
 */

/** What each code means, and what to do about it. @type {Readonly<Record<string, readonly [string, string]>>} */
export const CODES = Object.freeze({
  "file-format": ["not a sealed file, or a head that breaks a rule of form", "fetch the file again from its publisher"],
  "file-unsupported": ["a version, suite or critical field this reader does not know", "update this reader"],
  "file-limit": ["a length or number beyond its cap", "fetch the file again from its publisher"],
  "file-truncated": ["the file is shorter than it says", "fetch the file again; the transfer was cut"],
  "file-trailing": ["the file is longer than it says", "fetch the file again from its publisher"],
  "json-not-canonical": ["JSON in a spelling that is not the legal one", "fetch the file again from its publisher"],
  "file-kind": ["another kind of file than expected", "ask for the kind that the file has"],
  "file-mismatch": ["a genuine file, but not the one asked for", "fetch the file that was asked for"],
  "file-signature": ["not signed by enough owners", "compare the owners' keys and the threshold with the publisher's"],
  "file-key-size": ["a key that has not 32 bytes", "give the 32 bytes of the model key"],
  "file-wrong-key": ["another key than the one the file was sealed with", "ask for the key of this very file"],
  "file-header-mac": ["the head was altered by someone without the key", "fetch the file again from its publisher"],
  "file-subject": ["sealed for another account, model, version or user", "compare what was asked for with the grant"],
  "file-digest": ["a stored segment is not the one the manifest names", "fetch the file again; it was damaged"],
  "file-segment": ["the cipher refuses a segment", "fetch the file again; tell its publisher if that does not help"],
  "file-content": ["a table of contents that is another, or breaks a rule", "tell the publisher of the file"],
  "file-checksum": ["a file has another SHA-256 than the table of contents says", "tell the publisher of the file"],
  "file-refused": ["used after a failure, or after closing", "open the file anew"],
});

/**
 * A sealed file that was refused.
 *
 * `code` is one of section 13, `where` names the place in the file in the words of the specification, `next` is what
 * whoever sees this can do.
 */
export class SealedFileError extends Error {
  /**
   * @param {keyof typeof CODES} code
   * @param {string} where the part of the file, for instance `"core header"` or `"segment 3"`
   * @param {string} [detail] numbers and names of the format only; nothing that was sealed
   */
  constructor(code, where, detail) {
    const [what, next] = CODES[code];
    super(`${code}: ${what} (${where}${detail ? `: ${detail}` : ""})`);
    this.name = "SealedFileError";
    this.code = code;
    this.where = where;
    this.next = next;
    /** Whether more could be said by a reader that knows an algorithm which this one does not. */
    this.unsupported = false;
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
 * @throws {SealedFileError} with `code`
 */
export function must(condition, code, where, detail) {
  if (!condition) throw new SealedFileError(code, where, detail);
}
