/** The vectors of section 14 of docs/spec/sealed-file.md: reading a `.case`, and what this reader makes of it. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { parse } from "./canonical.js";
import { fromBytes, open, openLocal, Owners, SealedFileError, verify } from "./reader.js";

/**
 * @typedef {object} Verdict
 * @property {string} name of the case, without its ending
 * @property {string} verdict `success`, a code of section 13, or `not-supported`: it needs a signature of ML-DSA-65,
 *   which this Node.js cannot verify
 * @property {string} payload SHA-256 of what was given out, in hexadecimal
 * @property {number} released bytes of the payload given out
 * @property {number} segments of the payload given out
 * @property {string} keyless the verdict of a reader that has the owners and not the key, whatever the kind
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
  const hash = createHash("sha256");
  let verdict = "success";
  let released = 0;
  let segments = 0;
  try {
    const file = await opened(fields, data);
    for await (const bytes of file.segments()) {
      hash.update(bytes);
      released += bytes.length;
      segments += 1;
    }
    file.close();
  } catch (error) {
    verdict = refusalOf(error);
  }
  const keyless = await verify(fromBytes(data), { owners: ownersOf(fields) }).then(() => "success", refusalOf);
  return { name, verdict, payload: hash.digest("hex"), released, segments, keyless };
}

/**
 * Whether a verdict is what the vector wants. Where this Node.js cannot verify, the only other right answer is to say
 * so and to give out nothing.
 *
 * @param {Verdict} verdict
 * @param {{ fields: Map<string, string> }} vector
 * @returns {boolean}
 */
export function fits({ verdict, payload, released, segments }, { fields }) {
  if (verdict === "not-supported") return fields.get("owners").includes("ML-DSA-65:") && released === 0;
  return (
    verdict === fields.get("expect") &&
    payload === fields.get("payload") &&
    released === Number(fields.get("released")) &&
    segments === Number(fields.get("segments"))
  );
}

function refusalOf(error) {
  if (!(error instanceof SealedFileError)) throw error;
  return error.unsupported ? "not-supported" : error.code;
}

function ownersOf(fields) {
  return Owners.ofText(Number(fields.get("threshold")), fields.get("owners").split(" "));
}

function opened(fields, data) {
  const source = fromBytes(data);
  const mek = Buffer.from(fields.get("mek"), "hex");
  const [account, model, version, user] = parse(Buffer.from(fields.get("subject"), "latin1"), "subject");
  const subject = { account, model, version, user };
  const owners = ownersOf(fields);
  if (fields.has("origin-head")) {
    const originHead = Buffer.from(fields.get("origin-head"), "hex");
    return openLocal(source, mek, { kind: fields.get("kind"), subject, owners, originHead });
  }
  return open(source, mek, { kind: fields.get("kind"), subject, owners });
}

function caseOf(file, bytes) {
  const end = bytes.indexOf("\n\n");
  const lines = bytes.toString("utf8", 0, end).split("\n");
  const fields = new Map(lines.map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
  return { name: file.replace(/\.case$/, ""), fields, data: bytes.subarray(end + 2) };
}
