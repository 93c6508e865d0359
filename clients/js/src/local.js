/** What a local file must prove about the file it was made from (docs/spec/sealed-file.md, section 12). */

import { must } from "./errors.js";
import { readHeadPart } from "./header.js";
import { blindContent, blindSubject, same } from "./keys.js";

const SHARED = ["segmentSize", "payloadLength", "segments", "epoch", "counter"];

/**
 * The checks that a reader of a local file makes every time, before the payload, in the order of section 12.
 *
 * @param {import("./header.js").Head} head of the local file; its MAC, subject and content are proven
 * @param {import("./toc.js").Toc} toc of the local file
 * @param {object} expected
 * @param {"model" | "overlay" | "delta"} expected.kind of the origin
 * @param {import("./keys.js").Subject} expected.subject what was asked for
 * @param {import("./owners.js").Owners} expected.owners
 * @param {Uint8Array} expected.originHead the SHA-512 that the device recorded, 64 bytes
 * @throws {SealedFileError} every code of steps 1 and 2, `file-kind`, `file-mismatch`, `file-signature`,
 *   `file-subject`, `file-content`
 */
export function requireOrigin(head, toc, { kind, subject, owners, originHead }) {
  const { blind, headPart } = toc.origin;
  const origin = readHeadPart(headPart);
  must(origin.core.kind === kind && kind !== "local", "file-kind", "origin", `it is of kind ${origin.core.kind}`);
  const named = head.core.origin;
  must(origin.core.fileId.equals(named.fileId) && origin.digest.equals(named.head), "file-mismatch", "origin");
  must(same(origin.digest, originHead), "file-mismatch", "origin", "another one than the device recorded");
  owners.require(origin);
  for (const field of SHARED) must(origin.core[field] === head.core[field], "file-mismatch", "origin", field);
  must(same(blindSubject(blind, subject), origin.core.subject), "file-subject", "origin");
  must(same(blindContent(blind, toc.unlocal), origin.core.content), "file-content", "origin");
}
