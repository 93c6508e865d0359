/** The files of an opened model, in a new directory that appears whole or not at all. */

import { lstat, mkdir, mkdtemp, open, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { alreadyThere, notWritten } from "./disk.js";

const SHOWN = 40; // characters of a name that its draft repeats: file names end at 255 bytes

/**
 * @param {string} folder
 * @returns {Promise<void>}
 * @throws {import("./disk.js").PlaceError} `already-there`
 */
export async function notThere(folder) {
  const found = await lstat(folder).catch(() => null); // what else is wrong shows where it is written
  if (found !== null) throw alreadyThere(folder);
}

/**
 * Write a model into a new directory, under a draft name until everything was checked. On any failure, and when
 * `signal` is aborted before the directory got its name, nothing is left behind.
 *
 * @param {string} folder absolute
 * @param {AbortSignal} signal
 * @param {() => Promise<import("./reader.js").SealedFile>} opened
 * @returns {Promise<void>}
 * @throws {import("./disk.js").PlaceError} `already-there`, `argument`, `permissions`, `disk-full`, `store-io`
 * @throws {import("./errors.js").SealedFileError} as `SealedFile.segments`
 */
export async function intoFolder(folder, signal, opened) {
  const above = dirname(folder);
  const name = Array.from(basename(folder)).slice(0, SHOWN).join("");
  let draft = null;
  try {
    draft = await mkdtemp(join(above, `.${name}.part-`));
    await unpack(await opened(), draft, signal);
    signal.throwIfAborted();
    await giveName(draft, folder);
  } catch (error) {
    throw error.syscall === undefined ? error : notWritten(error, folder, above);
  } finally {
    if (draft !== null) await rm(draft, { recursive: true, force: true });
  }
}

// A directory is made first because that refuses what is there; a rename alone would replace an empty directory.
async function giveName(draft, folder) {
  await mkdir(folder, 0o700);
  try {
    await rename(draft, folder);
  } catch (error) {
    await rmdir(folder).catch(() => {}); // not empty: then it is somebody else's by now
    throw error;
  }
}

async function unpack(file, folder, signal) {
  const pending = file.toc.files.map(({ path, size }) => ({ path: join(folder, ...path.split("/")), left: size }));
  let handle = null;
  const next = async () => {
    await handle?.close();
    handle = null;
    if (pending.length === 0) return;
    signal.throwIfAborted();
    await mkdir(dirname(pending[0].path), { recursive: true, mode: 0o700 });
    handle = await open(pending[0].path, "wx", 0o600);
  };
  const finishEnded = async () => {
    while (pending.length > 0 && pending[0].left === 0) {
      pending.shift();
      await next();
    }
  };
  try {
    await next();
    await finishEnded();
    await readThrough(file, async (segment) => {
      for (let at = 0; at < segment.length; ) {
        signal.throwIfAborted();
        const part = segment.subarray(at, at + pending[0].left);
        await handle.writeFile(part);
        at += part.length;
        pending[0].left -= part.length;
        await finishEnded();
      }
    });
  } finally {
    file.close();
    await handle?.close();
  }
}

/**
 * Read a whole payload. The file is closed afterwards, whatever happens.
 *
 * @param {import("./reader.js").SealedFile} file
 * @param {(segment: Buffer) => Promise<void>} take
 * @returns {Promise<void>}
 * @throws {import("./errors.js").SealedFileError} as `SealedFile.segments`
 */
export async function readThrough(file, take) {
  try {
    for await (const bytes of file.segments()) await take(bytes);
  } finally {
    file.close();
  }
}
