/**
 * Reading a sealed file: the checks of section 10 of docs/spec/sealed-file.md, in their order. Each function below is a
 * whole check; no step is left to the caller.
 */

import { openSegment, SUITES } from "./chunks.js";
import { must } from "./errors.js";
import { requireAskedFor } from "./expected.js";
import { contextOf, headPartLength, PREAMBLE, readHeadPart, readPreamble, requireSize } from "./header.js";
import { blindContent, blindSubject, derive, digest, macOf, MEK_SIZE, same } from "./keys.js";
import { requireOrigin } from "./local.js";
import { Checksums, tocOf } from "./toc.js";

export { SealedFileError } from "./errors.js";
export { PlaceError } from "./disk.js";
export { Owners } from "./owners.js";
export { fromBytes, fromFile } from "./source.js";

/** @typedef {import("./expected.js").Expected} Expected */

/**
 * Steps 1 and 2: read what anybody can read. Nothing of it is proven.
 *
 * @param {import("./source.js").Source} source
 * @returns {Promise<import("./header.js").Head>}
 * @throws {SealedFileError} the codes of steps 1 and 2
 */
export async function inspect(source) {
  const preamble = readPreamble(await source.read(0, Math.min(PREAMBLE, source.size)));
  requireSize(preamble, source.size);
  return readHeadPart(await source.read(0, headPartLength(preamble)));
}

/**
 * Everything that can be checked without a key: steps 1 to 3, and the digests of step 7. A file of any kind but local,
 * unless one was asked for; the head that comes back says which it is.
 *
 * @param {import("./source.js").Source} source
 * @param {Omit<Expected, "subject" | "kind"> & { kind?: Expected["kind"] }} expected
 * @returns {Promise<import("./header.js").Head>}
 * @throws {SealedFileError} the codes of steps 1 to 3, `file-truncated`, `file-digest`
 */
export async function verify(source, expected) {
  const head = await inspect(source);
  requireAskedFor(head, { ...expected, kind: expected.kind ?? head.core.kind });
  for (let index = 0; index < head.segments.length; index += 1) await readStored(source, head, index);
  return head;
}

/**
 * Open a file that came from anywhere: steps 1 to 8. Step 9 belongs to `SealedFile.segments`.
 *
 * @param {import("./source.js").Source} source
 * @param {Uint8Array} mek the model key, 32 bytes
 * @param {Expected} expected
 * @returns {Promise<SealedFile>}
 * @throws {SealedFileError} the first check that fails
 */
export async function open(source, mek, expected) {
  must(mek.length === MEK_SIZE, "file-key-size", "model key");
  const head = await inspect(source);
  requireAskedFor(head, expected);
  return SealedFile.unlock(source, head, mek, expected.subject, () => {});
}

/**
 * Open a file from a device's own store (section 12). Never for a file that came from a network.
 *
 * @param {import("./source.js").Source} source
 * @param {Uint8Array} mek the local key, 32 bytes
 * @param {object} expected
 * @param {"model" | "overlay" | "delta"} expected.kind of the origin
 * @param {import("./keys.js").Subject} expected.subject
 * @param {import("./owners.js").Owners} expected.owners of the origin
 * @param {Uint8Array} expected.originHead the SHA-512 of the origin's head that the device recorded, 64 bytes
 * @returns {Promise<SealedFile>}
 * @throws {SealedFileError} the first check that fails
 */
export async function openLocal(source, mek, expected) {
  must(mek.length === MEK_SIZE, "file-key-size", "local key");
  const head = await inspect(source);
  must(head.core.kind === "local", "file-kind", "core header", "a local file expected");
  return SealedFile.unlock(source, head, mek, expected.subject, (toc) => requireOrigin(head, toc, expected));
}

/** A file whose steps 1 to 8 are over. Made by `open` and `openLocal` alone. */
export class SealedFile {
  #source;
  #keys;
  #usable = true;

  /**
   * Steps 4 to 6, and 7 and 8 for the table of contents.
   *
   * @param {import("./source.js").Source} source
   * @param {import("./header.js").Head} head that was asked for
   * @param {Uint8Array} mek
   * @param {import("./keys.js").Subject} subject
   * @param {(toc: import("./toc.js").Toc) => void} more what else must hold before the payload
   * @returns {Promise<SealedFile>}
   */
  static async unlock(source, head, mek, subject, more) {
    const file = new SealedFile(source, head, derive(mek, head.core.fileId, head.suite));
    await file.#guard(async () => {
      const { core } = head;
      must(same(file.#keys.commitment, core.commitment), "file-wrong-key", "commitment");
      must(same(macOf(file.#keys.mac, head.covered), head.mac), "file-header-mac", "head");
      must(same(blindSubject(file.#keys.blind, subject), core.subject), "file-subject", "subject");
      const bytes = await file.#segment(0);
      must(same(blindContent(file.#keys.blind, bytes), core.content), "file-content", "table of contents");
      file.toc = tocOf(bytes, core);
      more(file.toc);
    });
    return file;
  }

  constructor(source, head, keys) {
    this.#source = source;
    this.#keys = keys;
    /** @type {import("./header.js").Head} */
    this.head = head;
    /** @type {import("./toc.js").Toc} */
    this.toc = undefined;
  }

  /**
   * The payload, segment by segment: steps 7 and 9. A segment in which a file ends is given out only after the SHA-256
   * of that file fitted. The caller owns each buffer, and MUST drop everything if a later segment is refused.
   *
   * @returns {AsyncGenerator<Buffer, void, void>} at most `segmentSize` bytes each
   * @throws {SealedFileError} `file-truncated`, `file-digest`, `file-segment`, `file-checksum`, `file-refused`
   */
  async *segments() {
    must(this.#usable, "file-refused", "file");
    const checksums = new Checksums(this.toc.files);
    for (let index = 1; index < this.head.segments.length; index += 1) {
      yield await this.#guard(async () => {
        const bytes = await this.#segment(index);
        try {
          checksums.update(bytes);
        } catch (error) {
          bytes.fill(0);
          throw error;
        }
        return bytes;
      });
    }
    await this.#guard(async () => checksums.finish());
  }

  /** Overwrite the keys. Everything after it is refused. */
  close() {
    this.#usable = false;
    for (const key of Object.values(this.#keys)) key.fill(0);
  }

  async #segment(index) {
    const { head } = this;
    const stored = await readStored(this.#source, head, index);
    const suite = SUITES.get(head.suite);
    const { plain } = head.segments[index];
    return openSegment(suite, this.#keys.payload, contextOf(head, index), stored, plain, `segment ${index}`);
  }

  // After a failure nothing else is said about this file (section 10).
  async #guard(step) {
    must(this.#usable, "file-refused", "file");
    try {
      return await step();
    } catch (error) {
      this.close();
      throw error;
    }
  }
}

// Step 7 up to the digest. The manifest of a local file lists nothing (section 12).
async function readStored(source, head, index) {
  const { offset, stored } = head.segments[index];
  const bytes = await source.read(offset, stored);
  must(bytes.length === stored, "file-truncated", `segment ${index}`);
  if (head.core.kind !== "local") {
    must(digest("sha256", bytes).equals(head.manifest[index]), "file-digest", `segment ${index}`);
  }
  return bytes;
}
