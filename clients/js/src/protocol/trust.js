/** trust.json: who may sign what (docs/spec/protocol.md, section 3). */

import { encode } from "../canonical.js";
import { KEMS, requirePublicKey } from "./hpke.js";
import { unverifiedPayload, verifyRole } from "./jws.js";
import { long, model, read } from "./messages.js";
import { demand } from "./refusal.js";
import { array, bytes, choice, decode, integer, nullable, object, text } from "./shapes.js";
import { role } from "./signing.js";

const WHERE = "trust.json";
const TYP = "sr-trust";
const MAX_FILE = 1_048_576; // bytes
const MAX_PAYLOAD = 262_144; // bytes
const MAX_STEPS = 256;
const FIRST_EPOCH = 1;

const file = array(long, 32, 1);
const document = object({
  version: integer(1),
  expires: integer(1),
  server: text(300, /^https:\/\/(?:[a-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])(?::[0-9]{1,5})?$/),
  pins: array(
    object({
      host: text(253, /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]{2,45})$/),
      ca: nullable(text(32_768)),
      spki: array(bytes(32), 8, 1),
    }),
    16,
    1,
  ),
  roles: object({ owner: role, release: role, order: role }),
  deposit: array(object({ kem: choice(...KEMS), key: bytes(2_048, 32), expires: integer(1) }), 8),
  suites: array(integer(1, 255), 8, 1),
  kems: array(choice(...KEMS), 8, 1),
  epochs: array(object({ model, epoch: integer(1) }), 1_024),
});

/**
 * @typedef {object} Trust a document that its own owners signed
 * @property {number} version
 * @property {number} expires seconds since 1970
 * @property {{ owner: Role, release: Role, order: Role }} roles
 * @property {number[]} suites
 * @property {{ model: string, epoch: number }[]} epochs
 * @typedef {import("./signing.js").Role} Role
 */

/**
 * Read a document that k of its own owners signed. Whether they are the right owners, whoever gave it must know.
 *
 * @param {Uint8Array | string} data the file
 * @returns {Trust}
 * @throws {ProtocolError} `json-too-large`, `json-not-canonical`, `shape`, `public-key`, `signature`, `trust-threshold`
 */
export function verifyTrust(data) {
  const signatures = decode(data, file, MAX_FILE, WHERE);
  const trust = documentOf(unverifiedPayload(signatures[0], WHERE));
  verifyRole(signatures, TYP, trust.roles.owner, WHERE, "trust-threshold");
  return trust;
}

/**
 * Follow a chain from a document that is believed.
 *
 * @param {Trust} trust
 * @param {Uint8Array | string} answer a TrustAnswer
 * @returns {Trust} the newest
 * @throws {ProtocolError} as `verifyTrust`, and `trust-version`
 */
export function followTrust(trust, answer) {
  const { trust: documents } = read("TrustAnswer", answer);
  demand(documents.length <= MAX_STEPS, "trust-version", WHERE, "too many steps");
  return documents.reduce(advance, trust);
}

/**
 * @param {Trust} trust
 * @param {number} at seconds since 1970
 * @throws {ProtocolError} `trust-expired`
 */
export function requireFresh(trust, at) {
  demand(at < trust.expires, "trust-expired", WHERE);
}

/**
 * @param {Trust} trust
 * @param {string} name of a model
 * @returns {number} the epoch its owners have set
 */
export function epochOf(trust, name) {
  return trust.epochs.find(({ model: named }) => named === name)?.epoch ?? FIRST_EPOCH;
}

function advance(old, signatures) {
  const next = verifyTrust(encode(signatures));
  demand(next.version === old.version + 1, "trust-version", WHERE, `${next.version} does not follow ${old.version}`);
  verifyRole(signatures, TYP, old.roles.owner, WHERE, "trust-threshold");
  const kept = old.epochs.every(({ model: name, epoch }) => epochOf(next, name) >= epoch);
  demand(kept, "trust-version", WHERE, "an epoch goes back");
  return next;
}

function documentOf(payload) {
  const trust = decode(payload, document, MAX_PAYLOAD, WHERE);
  for (const names of [trust.pins.map(({ host }) => host), trust.epochs.map(({ model: name }) => name)]) {
    const rising = names.every((name, index) => index === 0 || names[index - 1] < name);
    demand(rising, "shape", WHERE, "pins and epochs are sorted, each once");
  }
  for (const { kem, key } of trust.deposit) requirePublicKey(kem, key, WHERE);
  return trust;
}
