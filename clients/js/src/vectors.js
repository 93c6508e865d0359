/** The vectors of section 14 of docs/spec/sealed-file.md: reading a `.case`, and what this reader makes of it. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { bytesOf, parse } from "./canonical.js";
import { fromBytes, open, openLocal, Owners, SealedFileError } from "./reader.js";

/**
 * @typedef {object} Verdict
 * @property {string} name of the case, without its ending
 * @property {string} verdict `success`, or a code of section 13
 * @property {string} payload SHA-256 of what was given out, in hexadecimal
 */

/**
 * Every case of a folder, by name.
 *
 * @param {string} folder
 * @returns {Promise<{ name: string, fields: Map<string, string>, data: Buffer }[]>}
 */
export async function readCases(folder) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".case")).sort();
  return Promise.all(names.map(async (name) => caseOf(name, await readFile(join(folder, name)))));
}

/**
 * Open one case, segment by segment.
 *
 * @param {{ name: string, fields: Map<string, string>, data: Buffer }} vector
 * @returns {Promise<Verdict>}
 * @throws {Error} for what is no refusal: a defect of this reader
 */
export async function judge({ name, fields, data }) {
  const released = createHash("sha256");
  let verdict = "success";
  try {
    const file = await opened(fields, data);
    for await (const bytes of file.segments()) released.update(bytes);
    file.close();
  } catch (error) {
    if (!(error instanceof SealedFileError)) throw error;
    verdict = error.code;
  }
  return { name, verdict, payload: released.digest("hex") };
}

function opened(fields, data) {
  const source = fromBytes(data);
  const mek = Buffer.from(fields.get("mek"), "hex");
  const [account, model, version, user] = parse(Buffer.from(fields.get("subject"), "latin1"), "subject");
  const subject = { account, model, version, user };
  const keys = fields.get("owners").split(" ").map((text) => bytesOf(text, "owners"));
  const owners = Owners.ofEd25519(Number(fields.get("threshold")), keys);
  if (fields.has("origin-head")) {
    return openLocal(source, mek, { subject, owners, originHead: Buffer.from(fields.get("origin-head"), "hex") });
  }
  return open(source, mek, { kind: fields.get("kind"), subject, owners });
}

function caseOf(file, bytes) {
  const end = bytes.indexOf("\n\n");
  const lines = bytes.toString("utf8", 0, end).split("\n");
  const fields = new Map(lines.map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
  return { name: file.replace(/\.case$/, ""), fields, data: bytes.subarray(end + 2) };
}
