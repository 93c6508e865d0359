/**
 * Files on this machine, read as what they are or refused in plain words: a sealed file, a model key, a trust file. A
 * FIFO is not waited for and, where the system can say so, a link is not followed (Windows cannot).
 */

import { constants } from "node:fs";
import { open } from "node:fs/promises";

import { bytesOf } from "./canonical.js";
import { MEK_SIZE } from "./keys.js";

const KEY_LINE = 43; // characters of base64url
const KEY_LIMIT = 64; // bytes
const FULL = ["ENOSPC", "EDQUOT", "EFBIG"];
const DENIED = ["EACCES", "EPERM", "EROFS"];
const MACHINE = ["permissions", "disk-full", "store-io"]; // what the operator of the machine must mend
const NOT_A_FILE = "name a file itself, not a directory, a pipe or a device";

/** A file or directory that was refused, or that the machine could not read or write. */
export class PlaceError extends Error {
  /**
   * @param {string} code `path`, `argument`, `already-there`, `permissions`, `disk-full` or `store-io`
   * @param {string} what happened
   * @param {string} where the path
   * @param {string} next what to do
   */
  constructor(code, what, where, next) {
    super(`${code}: ${what} (${where})`);
    this.name = "PlaceError";
    this.code = code;
    this.where = where;
    this.next = next;
    /** 1 where the machine must be looked at, 2 where another path or file is the answer. */
    this.exit = MACHINE.includes(code) ? 1 : 2;
  }
}

/**
 * Open a regular file for reading.
 *
 * @param {string} path
 * @param {string} what it is, for the error: "sealed file"
 * @param {{ links?: boolean }} [more] `links`: follow a link, as is right for what is public and small
 * @returns {Promise<{ handle: import("node:fs/promises").FileHandle, status: import("node:fs").Stats }>}
 * @throws {PlaceError} `path`, `permissions`, `store-io`
 */
export async function openRegular(path, what, { links = false } = {}) {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants; // without O_NONBLOCK a FIFO waits for its writer
  const handle = await open(path, O_RDONLY | O_NONBLOCK | (links ? 0 : O_NOFOLLOW)).catch((error) => {
    throw notRead(error, path, what);
  });
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new PlaceError("path", `the ${what} is not a regular file`, path, NOT_A_FILE);
    return { handle, status };
  } catch (error) {
    await handle.close();
    throw error instanceof PlaceError ? error : notRead(error, path, what);
  }
}

/**
 * The bytes of a small file that is no secret.
 *
 * @param {string} path
 * @param {string} what
 * @param {number} limit bytes
 * @returns {Promise<Buffer>}
 * @throws {PlaceError} as `openRegular`, and `argument` for an empty or a larger file
 */
export function readPublic(path, what, limit) {
  return readSmall(path, what, limit, { links: true });
}

/**
 * A model key: 32 raw bytes, or one line of 43 base64url characters, as `strongroom file seal` writes it.
 *
 * @param {string} path
 * @returns {Promise<Buffer>} 32 bytes; the caller overwrites them
 * @throws {PlaceError} as `openRegular`; `permissions` if others may read it; `argument` if it is no model key
 */
export async function readModelKey(path) {
  const bytes = await readSmall(path, "model key", KEY_LIMIT, { secret: true });
  if (bytes.length === MEK_SIZE) return bytes;
  try {
    const end = bytes.at(-1) === 0x0a ? -1 : undefined;
    return bytesOf(bytes.subarray(0, end).toString("latin1"), "model key", MEK_SIZE);
  } catch {
    const next = `a model key is ${MEK_SIZE} raw bytes, or one line of ${KEY_LINE} characters: A-Z a-z 0-9 - _`;
    throw new PlaceError("argument", "this file is not a model key", path, next);
  } finally {
    bytes.fill(0);
  }
}

async function readSmall(path, what, limit, { links = false, secret = false }) {
  const { handle, status } = await openRegular(path, what, { links });
  try {
    if (secret && process.platform !== "win32" && (status.mode & 0o077) !== 0) {
      throw new PlaceError("permissions", `the ${what} may be read by others`, path, `run: chmod 600 ${path}`);
    }
    if (status.size === 0 || status.size > limit) {
      const wrong = status.size === 0 ? "is empty" : `has ${status.size} bytes; at most ${limit} are read`;
      throw new PlaceError("argument", `the ${what} ${wrong}`, path, "is this the right file? name another");
    }
    return await readFully(handle, 0, status.size);
  } catch (error) {
    throw error instanceof PlaceError ? error : notRead(error, path, what);
  } finally {
    await handle.close();
  }
}

/**
 * @param {import("node:fs/promises").FileHandle} handle
 * @param {number} offset
 * @param {number} length
 * @returns {Promise<Buffer>} exactly those bytes, or fewer at the end of the file
 */
export async function readFully(handle, offset, length) {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/**
 * Why something could not be read.
 *
 * @param {NodeJS.ErrnoException} error the system's
 * @param {string} path
 * @param {string} what
 * @returns {PlaceError}
 */
export function notRead({ code }, path, what) {
  const refused = (word, text, next) => new PlaceError(word, text, path, next);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return refused("path", `there is no such ${what}`, "check the path; a relative one begins in the current directory");
  }
  const link = `the ${what} is a link, and links are not followed`;
  if (code === "ELOOP") return refused("path", link, "name the file it points to");
  if (code === "ENXIO" || code === "EISDIR") return refused("path", `the ${what} is not a regular file`, NOT_A_FILE);
  const denied = `the ${what} may not be read`;
  if (DENIED.includes(code)) return refused("permissions", denied, "run this as the user whose file it is");
  return refused("store-io", `the ${what} cannot be read: ${code}`, "look at the disk it is on");
}

/**
 * Why something could not be written.
 *
 * @param {NodeJS.ErrnoException} error the system's
 * @param {string} path
 * @param {string} above the directory it goes to
 * @returns {PlaceError}
 */
export function notWritten({ code }, path, above) {
  if (code === "EEXIST" || code === "ENOTEMPTY") return alreadyThere(path);
  const refused = (word, text, where, next) => new PlaceError(word, text, where, next);
  if (code === "ENOENT") {
    return refused("argument", "no such directory to write the model to", above, `make it: mkdir -p ${above}`);
  }
  if (code === "ENOTDIR") {
    return refused("argument", "the model cannot be written below a file", above, "name a directory that is one");
  }
  if (DENIED.includes(code)) {
    return refused("permissions", "the model may not be written here", above, "choose a directory that is yours");
  }
  const again = "free some space and try again; nothing was left behind";
  if (FULL.includes(code)) return refused("disk-full", "the disk is full; the model was not written", path, again);
  return refused("store-io", `the model could not be written: ${code}`, path, "look at the disk it is on");
}

/**
 * @param {string} path
 * @returns {PlaceError}
 */
export function alreadyThere(path) {
  return new PlaceError("already-there", "there is something here already", path, "choose a name that is free");
}
