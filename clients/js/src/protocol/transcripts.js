/** The transcripts of section 15 of docs/spec/protocol.md: reading them, and what this reader says of each check and twin. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { parse } from "../canonical.js";
import { lengthPrefixed } from "./binding.js";
import { open } from "./hpke.js";
import {
  bindingOf, followTrust, openGrant, ProtocolError, publicKey, read, readGrant, readLease, readLinks, readOrder, readProblem,
  readRenewal, readSigned, releaseInfo, runsUntil, thumbprint, verifyDpop, verifyProof, verifyReceipt, verifyTrust,
} from "./release.js";
import { signed } from "./messages.js";
import { unverifiedPayload } from "./jws.js";
import { decode } from "./shapes.js";

/** @typedef {{ name: string, verdict: string, gives: object | null }} Verdict `unsupported`: this Node.js cannot tell */

/**
 * Every transcript of a folder, by name.
 *
 * @param {string} folder
 * @returns {Promise<object[]>}
 */
export async function readTranscripts(folder) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).sort();
  return Promise.all(names.map(async (name) => parse(await readFile(join(folder, name)), name)));
}

/**
 * Judge every check of a transcript, and every twin.
 *
 * @param {object} transcript
 * @returns {(Verdict & { fits: boolean })[]} in the order of the file
 */
export function judgeAll({ name, checks, twins }) {
  const genuine = checks.map((check) => {
    const found = judge(check.check, check.inputs);
    return { name: `${name}: ${check.name}`, ...found, fits: fits(found, check) };
  });
  const bent = twins.map((twin) => {
    const { check, inputs } = checks.find((one) => one.name === twin.of);
    const { verdict } = judge(check, changed(inputs, twin.change));
    const right = verdict === twin.expect || verdict === "unsupported";
    return { name: `${name}: ${twin.name}`, verdict, gives: null, fits: right };
  });
  return [...genuine, ...bent];
}

/**
 * @param {string} check
 * @param {object} inputs
 * @returns {{ verdict: string, gives: object | null }}
 * @throws {Error} for what is no refusal: a defect of this reader
 */
export function judge(check, inputs) {
  try {
    const { code = "success", ...gives } = CHECKS[check](inputs);
    return { verdict: code, gives };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { verdict: error.unsupported ? "unsupported" : error.code, gives: null };
  }
}

function fits({ verdict, gives }, check) {
  if (verdict === "unsupported") return true;
  return verdict === check.expect && JSON.stringify(sorted(gives)) === JSON.stringify(check.gives);
}

function sorted(value) {
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}

function changed(inputs, { input, value, at, was, now }) {
  const before = inputs[input];
  if (was === undefined) return { ...inputs, [input]: value };
  if (before.slice(at, at + was.length) !== was) throw new TypeError("a twin of something else");
  return { ...inputs, [input]: before.slice(0, at) + now + before.slice(at + was.length) };
}

const raw = (value) => Buffer.from(value, "base64url");
const text = (value) => value.toString("base64url");
const digest = (value) => createHash("sha256").update(value).digest();
const jws = (value) => decode(value, signed, 1_048_576, "JWS");
const keyOf = ({ device_key: key }) => publicKey(key, "device key");

const CHECKS = {
  trust: ({ trust }) => ({ version: verifyTrust(trust).version }),
  follow: ({ trust, answer }) => ({ version: followTrust(verifyTrust(trust), answer).version }),
  message({ message, body }) {
    read(message, body);
    return {};
  },
  dpop: ({ proof, now, seen, jkt, ...request }) => verifyDpop(proof, request, now, { seen, jkt }),
  proof: (given) => ({ binding: text(verifyProof(given.body, { ...given, key: keyOf(given) })) }),
  grant: grantOf,
  urls({ grant, challenge, answer }) {
    read("ChallengeAnswer", challenge);
    const [first] = read("ReleaseAnswer", grant).grant;
    return { urls: readLinks(answer, read("Grant", unverifiedPayload(first, "grant"))) };
  },
  lease(given) {
    const { account, model, version, at } = given;
    const held = { deviceKey: thumbprint(keyOf(given)), account, model, version, files: given.files.map(raw) };
    const lease = readLease(jws(given.lease), verifyTrust(given.trust), held, at);
    return { lease: lease.lease_id, until: runsUntil(lease) };
  },
  renewal(given) {
    const trust = verifyTrust(given.trust);
    const lease = readSigned(jws(given.held), trust);
    const { challenge } = read("RenewRequest", given.request);
    const { account, device, at } = given;
    const asked = { request: digest(given.request), challenge, account, device, deviceKey: thumbprint(keyOf(given)), lease };
    const found = readRenewal(given.answer, trust, asked, at);
    const until = found.lease && runsUntil(found.lease);
    return { until, orders: found.renewal.orders.length, latest: found.renewal.latest.version };
  },
  order(given) {
    const found = readOrder(jws(given.order), verifyTrust(given.trust), thumbprint(keyOf(given)), given.at);
    return { order: found.order.order_id, digest: text(found.digest) };
  },
  receipt: (given) => ({ outcome: verifyReceipt(given.body, keyOf(given), given.order).outcome }),
  deposit({ deposit, sealed, account, publisher, model, version, file_id: id, head }) {
    const label = Buffer.from("strongroom/deposit/v1\0", "latin1");
    const info = Buffer.concat([label, lengthPrefixed(account, publisher, model, version, raw(id), raw(head))]);
    return { info: text(info), meks: [text(open(deposit.kem, raw(deposit.seed), raw(sealed), info, "deposit"))] };
  },
  problem: ({ status, body }) => readProblem(status, body),
};

function grantOf(given) {
  const request = read("ReleaseRequest", given.request);
  const { challenge, kem, public_key: ephemeral, model, version: selector, have } = request;
  const { account, device } = given;
  const deviceKey = thumbprint(keyOf(given));
  const known = { account, device, deviceKey, model, selector, highWater: given.high_water, have };
  const asked = { request: digest(given.request), challenge, ...known };
  const found = readGrant(given.answer, verifyTrust(given.trust), asked, given.at);
  const { platform } = request.device;
  const bound = { purpose: "release", challenge, kem, publicKey: ephemeral, account, device, deviceKey, platform, model };
  const binding = bindingOf({ ...bound, version: selector });
  const meks = openGrant(found, { kem: given.ephemeral.kem, seed: raw(given.ephemeral.seed) }, binding);
  return {
    version: found.grant.version,
    lease: found.lease.lease_id,
    binding: text(binding),
    info: meks.length > 0 ? text(releaseInfo(binding, found.payload)) : null,
    meks: meks.map(text),
  };
}
