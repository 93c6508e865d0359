/** What somebody asked for, and whether a head is it: step 3 of section 10 (docs/spec/sealed-file.md). */

import { must } from "./errors.js";
import { same } from "./keys.js";

/**
 * @typedef {object} Expected what the caller asked for, known from elsewhere; only the first three are required
 * @property {"model" | "overlay" | "delta"} kind
 * @property {import("./keys.js").Subject} subject
 * @property {import("./owners.js").Owners} owners
 * @property {Uint8Array} [fileId] 32 bytes
 * @property {Uint8Array} [keyId] 16 bytes
 * @property {number} [suite]
 * @property {number[]} [suites] those that are allowed (section 2)
 * @property {Uint8Array} [head] SHA-512 of the head, 64 bytes
 * @property {number} [epoch]
 * @property {number} [counter]
 * @property {number} [size] bytes of the whole file
 * @property {{ fileId: Uint8Array, head: Uint8Array }} [base]
 */

/**
 * Step 3: the file is the one that was asked for, and its owners signed it. A local file is never what somebody asked a
 * network for.
 *
 * @param {import("./header.js").Head} head
 * @param {Omit<Expected, "subject">} expected
 * @throws {SealedFileError} `file-kind`, `file-mismatch`, `file-signature`
 */
export function requireAskedFor(head, expected) {
  const { core } = head;
  must(core.kind === expected.kind && core.kind !== "local", "file-kind", "core header", `it is of kind ${core.kind}`);
  const pairs = [
    ["file_id", core.fileId, expected.fileId],
    ["key_id", core.keyId, expected.keyId],
    ["suite", head.suite, expected.suite],
    ["suite", expected.suites?.includes(head.suite) ?? true, true],
    ["head", head.digest, expected.head],
    ["epoch", core.epoch, expected.epoch],
    ["counter", core.counter, expected.counter],
    ["size", head.size, expected.size],
    ["base", core.base?.fileId, expected.base?.fileId],
    ["base", core.base?.head, expected.base?.head],
  ];
  for (const [name, found, wanted] of pairs) {
    if (wanted === undefined) continue;
    const equal = wanted instanceof Uint8Array ? found !== undefined && same(found, wanted) : found === wanted;
    must(equal, "file-mismatch", "core header", name);
  }
  expected.owners.require(head);
}
