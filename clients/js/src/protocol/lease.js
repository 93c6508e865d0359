/** Leases and their renewal (docs/spec/protocol.md, section 9). */

import { same } from "../keys.js";
import { verifyRole } from "./jws.js";
import { read } from "./messages.js";
import { demand } from "./refusal.js";
import { requireFresh } from "./trust.js";

/**
 * @typedef {object} Held what a device knows of itself and of the files it wants to open
 * @property {Buffer} deviceKey SHA-256 of the device key's SPKI
 * @property {string} account
 * @property {string} model
 * @property {string} version
 * @property {Buffer[]} files SHA-512 of each file's head, in order
 */

/**
 * Check a lease. That trust.json has expired does not end it.
 *
 * @param {string[]} signed one JWS a key
 * @param {import("./trust.js").Trust} trust
 * @param {Held} held
 * @param {number | null} at the device's time; `null` leaves that for later
 * @returns {object}
 * @throws {ProtocolError} `signature`, `json-not-canonical`, `shape`, `lease-mismatch`, `lease-expired`
 */
export function readLease(signed, trust, held, at) {
  const lease = readSigned(signed, trust);
  const fits =
    same(lease.device, held.deviceKey) && lease.account === held.account && lease.model === held.model &&
    lease.version === held.version && sameList(lease.files, held.files);
  demand(fits, "lease-mismatch", "lease", "not for this device and these files");
  if (at !== null) demand(at < runsUntil(lease), "lease-expired", "lease");
  return lease;
}

/**
 * The signatures and shape of a lease, and nothing of whom it is for.
 *
 * @param {string[]} signed
 * @param {import("./trust.js").Trust} trust
 * @returns {object}
 * @throws {ProtocolError} `signature`, `json-not-canonical`, `shape`, `lease-mismatch`
 */
export function readSigned(signed, trust) {
  const lease = read("Lease", verifyRole(signed, "sr-lease", trust.roles.release, "lease"));
  demand(lease.expires >= lease.issued, "lease-mismatch", "lease", "it ends before it begins");
  return lease;
}

/**
 * @param {object} lease
 * @returns {number} the first second at which it does not open any more
 */
export function runsUntil({ issued, expires, max_offline: offline }) {
  return Math.min(expires, issued + offline);
}

/**
 * Check a renewal against the request it answers.
 *
 * @param {Uint8Array | string} answer a RenewAnswer
 * @param {import("./trust.js").Trust} trust
 * @param {object} asked
 * @param {Buffer} asked.request SHA-256 of the request as sent
 * @param {Buffer} asked.challenge
 * @param {string} asked.account
 * @param {string} asked.device
 * @param {Buffer} asked.deviceKey
 * @param {object} asked.lease the one to be renewed, as `readSigned` or `readLease` gave it
 * @param {number} at the device's time
 * @returns {{ renewal: object, lease: object | null }} orders in it are for `readOrder`
 * @throws {ProtocolError} `signature`, `json-not-canonical`, `shape`, `grant-mismatch`, `trust-expired`, `lease-mismatch`
 */
export function readRenewal(answer, trust, asked, at) {
  const { renewal: signed } = read("RenewAnswer", answer);
  const renewal = read("Renewal", verifyRole(signed, "sr-renewal", trust.roles.release, "renewal"));
  const held = asked.lease;
  const own = same(renewal.request, asked.request) && same(renewal.challenge, asked.challenge);
  demand(own, "grant-mismatch", "renewal", "it answers another request");
  const mine = renewal.account === asked.account && renewal.device === asked.device && renewal.lease_id === held.lease_id;
  demand(mine, "grant-mismatch", "renewal", "for another account, device or lease");
  const what = renewal.model === held.model && renewal.version === held.version;
  demand(what, "grant-mismatch", "renewal", "for another model or version");
  if (renewal.lease === undefined) return { renewal, lease: null };
  requireFresh(trust, at);
  const { account, deviceKey } = asked;
  const { model, version, files } = held;
  const lease = readLease(renewal.lease, trust, { deviceKey, account, model, version, files }, null);
  const answers = same(lease.request, renewal.request) && same(lease.challenge, renewal.challenge);
  demand(answers && lease.lease_id === held.lease_id, "lease-mismatch", "renewal", "a lease for something else");
  return { renewal, lease };
}

/**
 * @param {Buffer[]} one
 * @param {Buffer[]} other
 * @returns {boolean}
 */
export function sameList(one, other) {
  return one.length === other.length && one.every((item, index) => same(item, other[index]));
}
