/** The messages of the device API (docs/spec/protocol.md, section 4): their fields, in the order of the tables. */

import { array, bytes, choice, decode, free, integer, nullable, object, text } from "./shapes.js";
import { publicKey } from "./signing.js";

const MODEL = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const VERSION = /^v?[0-9][A-Za-z0-9._+-]{0,62}$/;
const CHANNEL = /^@[a-z][a-z-]{0,30}$/;

const id = text(64, /^[a-z]{2,4}_[A-Za-z0-9_-]{22}$/);
const time = integer();
const digest = bytes(32);
const heads = array(bytes(64), 16, 1);
export const model = text(64, MODEL);
const version = text(64, VERSION);
const selector = text(64, new RegExp(`${VERSION.source}|${CHANNEL.source}`));
const jws = text(16_384, /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/);
/** The JWS of one value as a field of a message has them. */
export const signed = array(jws, 32, 1);
/** The JWS of an answer: longer ones, and judged as JWS only when they are verified. */
export const long = text(400_000, /^[A-Za-z0-9_.-]+$/);
const suites = array(integer(1, 255), 8, 1);

const evidence = array(object({ kind: text(40, /^[a-z][a-z0-9-]*$/), data: bytes(65_536, 0) }), 8);
const device = object({
  id: nullable(id),
  platform: choice("linux", "windows", "macos", "android", "ios", "web", "other"),
  os: text(120),
  arch: text(40),
  client: text(60),
  fingerprint: digest,
});
const file = object({
  file_id: digest,
  key_id: bytes(16),
  kind: choice("model", "overlay", "delta", "local"),
  suite: integer(1, 255),
  head: bytes(64),
  size: integer(1),
  url: text(2_048),
});
const latest = object({ version, counter: integer(1), expires: time });
const answering = { request: digest, challenge: digest, account: id };
const common = { model, version, reactions: array(text(64), 16), server_time: time, latest };

const MESSAGES = {
  ChallengeAnswer: [
    { challenge: digest, expires_at: time, suites, kems: array(integer(1, 65_535), 8, 1), server_time: time },
  ],
  EnrolRequest: [{ challenge: digest, public_key: publicKey, device, evidence, proof: jws }, [], 1_048_576],
  EnrolAnswer: [{ device_id: id, account: id, token: jws, token_expires: time, server_time: time }],
  ReleaseRequest: [
    {
      model, version: selector, challenge: digest, kem: integer(1, 65_535), public_key: bytes(2_048, 32), device,
      evidence, signals: free(32, 200), proof: jws, have: object({ version, file_id: digest }),
    },
    ["have"],
    1_048_576,
  ],
  Lease: [
    {
      lease_id: id, device: digest, model, version, files: heads, issued: time, expires: time,
      max_offline: integer(0, 31_622_400), ...answering,
    },
  ],
  Grant: [
    {
      release_id: id, device: id, epoch: integer(1), counter: integer(1), files: array(file, 16, 1), urls_expire: time,
      lease: signed, sealed: bytes(4_096, 32), credential: bytes(1_024, 4), ...answering, ...common,
    },
    ["sealed", "credential"],
    262_144,
  ],
  ReleaseAnswer: [{ grant: array(long, 8, 1) }, [], 1_048_576],
  UrlsRequest: [{ challenge: digest, proof: jws, seconds: integer(1, 604_800) }, ["seconds"]],
  UrlsAnswer: [{ urls: array(text(2_048), 16, 1), urls_expire: time }],
  TrustAnswer: [{ trust: array(array(long, 32, 1), 256) }, [], 8_388_608],
  RenewRequest: [
    { challenge: digest, version: selector, device, evidence, signals: free(32, 200), proof: jws }, [], 1_048_576,
  ],
  Renewal: [
    { renewal_id: id, device: id, lease_id: id, orders: array(signed, 16), lease: signed, ...answering, ...common },
    ["lease"],
    262_144,
  ],
  RenewAnswer: [{ renewal: array(long, 8, 1) }, [], 1_048_576],
  Order: [{ order_id: id, device: digest, lease: id, model, version, file_id: digest, issued: time, expires: time }],
  Receipt: [{ order_id: id, order: digest, device: digest, outcome: choice("wiped", "absent"), at: time }],
  ReceiptRequest: [{ receipt: jws }],
  ReceiptAnswer: [{ order_id: id, server_time: time }],
};

/**
 * Read a message.
 *
 * @param {keyof typeof MESSAGES} name as section 4 calls it
 * @param {Uint8Array | string} data
 * @returns {any} its fields, bytes as `Buffer`
 * @throws {import("./refusal.js").ProtocolError} `json-too-large`, `json-not-canonical`, `shape`, `public-key`
 */
export function read(name, data) {
  const [fields, optional = [], limit = 65_536] = MESSAGES[name];
  return decode(data, object(fields, optional), limit, name);
}
