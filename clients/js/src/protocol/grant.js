/** Grants: the answer to one request, and the keys sealed in it (docs/spec/protocol.md, section 8, "Device"). */

import { createHash } from "node:crypto";

import { encode, parse } from "../canonical.js";
import { MEK_SIZE, same } from "../keys.js";
import { open, sealedSize } from "./hpke.js";
import { verifyRole } from "./jws.js";
import { readLease, readSigned, runsUntil, sameList } from "./lease.js";
import { read } from "./messages.js";
import { demand } from "./refusal.js";
import { epochOf, requireFresh } from "./trust.js";

const LABEL = Buffer.from("strongroom/release/v1\0", "latin1");
const KINDS = ["model", "overlay", "delta"];

/**
 * @typedef {object} Asked what a device asked, and what it knows of itself
 * @property {Buffer} request SHA-256 of the request as sent
 * @property {Buffer} challenge
 * @property {string} account
 * @property {string} device
 * @property {Buffer} deviceKey SHA-256 of the device key's SPKI
 * @property {string} model
 * @property {string} selector the version or `@channel`
 * @property {[number, number] | null} highWater the newest (epoch, counter) ever active here
 * @property {{ version: string, file_id: Buffer }} [have] what the request said is here
 */

/**
 * Checks 1 to 10.
 *
 * @param {Uint8Array | string} answer a ReleaseAnswer
 * @param {import("./trust.js").Trust} trust the document in force
 * @param {Asked} asked
 * @param {number} at seconds since 1970: the later of wall clock and the challenge's `server_time`
 * @returns {{ grant: object, lease: object, payload: Buffer }}
 * @throws {ProtocolError} with the code of each check
 */
export function readGrant(answer, trust, asked, at) {
  requireFresh(trust, at); // 1
  const { grant: signed } = read("ReleaseAnswer", answer);
  const payload = verifyRole(signed, "sr-grant", trust.roles.release, "grant"); // 2
  const grant = read("Grant", payload); // 3
  const mine = (condition, why) => demand(condition, "grant-mismatch", "grant", why);
  mine(same(grant.request, asked.request) && same(grant.challenge, asked.challenge), "it answers another request"); // 4
  const whose = grant.account === asked.account && grant.device === asked.device && grant.model === asked.model; // 5
  mine(whose, "for another account, device or model");
  const channel = asked.selector.startsWith("@");
  mine(channel || grant.version === asked.selector, "for another version");
  requireFiles(grant, trust, mine); // 6
  requireOrder(grant, epochOf(trust, asked.model), asked.highWater, mine); // 7
  demand(at < grant.latest.expires, "grant-frozen", "grant"); // 8
  const newest = grant.latest.version === grant.version && grant.latest.counter === grant.counter;
  demand(!channel || newest, "grant-rollback", "grant", "not the newest of the channel");
  const lease = requireLease(grant, trust, asked); // 9
  if (grant.sealed === undefined) mine(isHere(grant, asked.have), "no keys, and not what is here"); // 10
  return { grant, lease, payload };
}

/**
 * Check 11: open the keys. The seed is overwritten, whatever comes of it.
 *
 * @param {{ grant: object, payload: Buffer }} read as `readGrant` gave it
 * @param {{ kem: number, seed: Buffer }} ephemeral the key of this one request
 * @param {Buffer} binding of this one request, made from the device's own values
 * @returns {Buffer[]} a MEK for each file; none for "you have the newest"
 * @throws {ProtocolError} `sealed-key`
 */
export function openGrant({ grant, payload }, { kem, seed }, binding) {
  try {
    if (grant.sealed === undefined) return [];
    const forTpm = grant.credential !== undefined; // section 17
    demand(!forTpm, "sealed-key", "grant", "its keys are wrapped for one TPM, and this reader uses none");
    const size = MEK_SIZE * grant.files.length;
    demand(grant.sealed.length === sealedSize(kem, size), "sealed-key", "grant", "another size");
    const plain = open(kem, seed, grant.sealed, releaseInfo(binding, payload), "grant");
    return grant.files.map((_, index) => plain.subarray(index * MEK_SIZE, (index + 1) * MEK_SIZE));
  } finally {
    seed.fill(0);
  }
}

/**
 * HPKE info of a release (section 6).
 *
 * @param {Buffer} binding
 * @param {Buffer} payload of the grant, canonical
 * @returns {Buffer}
 */
export function releaseInfo(binding, payload) {
  const { sealed: _, ...rest } = parse(payload, "grant");
  return Buffer.concat([LABEL, binding, createHash("sha256").update(encode(rest)).digest()]);
}

/**
 * Fresh links to the files of a grant (section 4, UrlsAnswer).
 *
 * @param {Uint8Array | string} answer
 * @param {object} grant
 * @returns {string[]}
 * @throws {ProtocolError} `json-not-canonical`, `shape`, `grant-mismatch`
 */
export function readLinks(answer, grant) {
  const { urls } = read("UrlsAnswer", answer);
  demand(urls.length === grant.files.length, "grant-mismatch", "links", "not one for each file");
  return urls;
}

function requireFiles(grant, trust, mine) {
  const ids = new Set(grant.files.map((file) => file.file_id.toString("latin1")));
  mine(ids.size === grant.files.length, "a file twice");
  const allowed = grant.files.every(({ kind, suite }) => KINDS.includes(kind) && trust.suites.includes(suite));
  mine(allowed, "a kind or suite that is not allowed");
}

function requireOrder({ epoch, counter }, inForce, highWater, mine) {
  mine(epoch <= inForce, "an epoch the owners have not set");
  demand(epoch === inForce, "grant-rollback", "grant", "an epoch the owners have ended");
  const [lastEpoch, lastCounter] = highWater ?? [0, 0];
  const newer = epoch > lastEpoch || (epoch === lastEpoch && counter >= lastCounter);
  demand(newer, "grant-rollback", "grant", "older than what was here");
}

function requireLease(grant, trust, { account, model, deviceKey }) {
  const heads = grant.files.map(({ head }) => head);
  const lease = readSigned(grant.lease, trust);
  const fits =
    same(lease.request, grant.request) && same(lease.challenge, grant.challenge) && lease.account === grant.account &&
    lease.model === grant.model && lease.version === grant.version && sameList(lease.files, heads);
  demand(fits, "lease-mismatch", "grant", "a lease for something else");
  readLease(grant.lease, trust, { deviceKey, account, model, version: grant.version, files: heads }, null);
  demand(grant.server_time < runsUntil(lease), "lease-expired", "grant");
  return lease;
}

function isHere({ version, files }, have) {
  return have !== undefined && have.version === version && files.some(({ file_id: id }) => same(id, have.file_id));
}
