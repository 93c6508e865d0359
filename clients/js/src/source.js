/** Where the bytes of a sealed file come from. Anything with `size` and `read` will do, a range request too. */

import { open } from "node:fs/promises";

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
 * @param {string} path
 * @returns {Promise<Source & { close: () => Promise<void> }>}
 * @throws {Error} the system's, where the file cannot be opened
 */
export async function fromFile(path) {
  const handle = await open(path, "r");
  const { size } = await handle.stat();
  const read = async (offset, length) => {
    const bytes = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  };
  return { size, read, close: () => handle.close() };
}
