/** Where the bytes of a sealed file come from. Anything with `size` and `read` will do, a range request too. */

import { notRead, openRegular, readFully } from "./disk.js";

/**
 * @typedef {object} Source
 * @property {number} size bytes the file really has
 * @property {(offset: number, length: number) => Promise<Buffer>} read exactly those bytes, or fewer at the end; the
 *   caller owns the buffer and the source does not touch it again
 */

/**
 * @param {Uint8Array} bytes a whole sealed file
 * @returns {Source}
 */
export function fromBytes(bytes) {
  return {
    size: bytes.length,
    read: async (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
  };
}

/**
 * A regular file. A link is not followed, a FIFO not waited for.
 *
 * @param {string} path
 * @returns {Promise<Source & { close: () => Promise<void> }>}
 * @throws {import("./disk.js").PlaceError} where the file cannot be opened; `read` too, where the disk fails
 */
export async function fromFile(path) {
  const { handle, status } = await openRegular(path, "sealed file");
  const read = async (offset, length) => {
    try {
      return await readFully(handle, offset, length);
    } catch (error) {
      throw notRead(error, path, "sealed file");
    }
  };
  return { size: status.size, read, close: () => handle.close() };
}
