/** What a device proves with each request: DPoP (docs/spec/protocol.md, section 2) and `sr-proof` (section 8). */

import { createHash } from "node:crypto";

import { encode, parse } from "../canonical.js";
import { bindingOf } from "./binding.js";
import { verifyKey } from "./jws.js";
import { read } from "./messages.js";
import { demand, ProtocolError } from "./refusal.js";
import { bytes, bytesOf, choice, decode, integer, object, text } from "./shapes.js";
import { publicKey, thumbprint, verified } from "./signing.js";

const LEEWAY = 60; // seconds, both ways
const MAX_PROOF = 4_096; // characters
const REQUESTS = { enrol: "EnrolRequest", release: "ReleaseRequest", urls: "UrlsRequest", renew: "RenewRequest" };

const p256 = object({ crv: choice("P-256"), kty: choice("EC"), x: bytes(32), y: bytes(32) });
const ed25519 = object({ crv: choice("Ed25519"), kty: choice("OKP"), x: bytes(32) });
const jwk = (value, where) => (value?.kty === "EC" ? p256(value, where) : ed25519(value, where));
const header = object({ alg: choice("ES256", "Ed25519"), jwk, typ: choice("dpop+jwt") });
const claims = object({
  ath: bytes(32),
  htm: text(16, /^[A-Z]+$/),
  htu: text(2_048),
  iat: integer(),
  jti: text(86, /^[A-Za-z0-9_-]{22,86}$/),
});

/**
 * Check a DPoP proof against the request it came with.
 *
 * @param {string} proof the header's text
 * @param {{ method: string, url: string, token: string }} request
 * @param {number} now seconds since 1970
 * @param {{ seen: string[], jkt: string | null }} known `jti`s that were here, and the token's `cnf.jkt`, if it has one
 * @returns {{ jti: string, jkt: string }}
 * @throws {ProtocolError} `proof`, `token`
 */
export function verifyDpop(proof, { method, url, token }, now, { seen, jkt }) {
  const [said, thumb] = asProof(() => signedClaims(proof));
  const must = (condition, why) => demand(condition, "proof", "DPoP", why);
  must(said.htm === method && said.htu === url.split("#")[0].split("?")[0], "made for another request");
  must(Math.abs(now - said.iat) <= LEEWAY, "too old, or from the future");
  must(said.ath.equals(sha256(token)), "made for another token");
  must(!seen.includes(said.jti), "used before");
  demand(jkt === null || jkt === thumb, "token", "DPoP", "bound to another key");
  return { jti: said.jti, jkt: thumb };
}

/**
 * Check the `sr-proof` of a request: build what it must say from one's own knowledge, and compare.
 *
 * @param {Uint8Array | string} body the request as received
 * @param {object} known
 * @param {"enrol" | "release" | "urls" | "renew"} known.purpose
 * @param {import("./signing.js").PublicKey} known.key the device's, from one's own record
 * @param {string} known.url
 * @param {string} known.token
 * @param {string} known.account these four are empty while enrolling
 * @param {string} known.device
 * @param {string} known.model
 * @param {string} known.version
 * @returns {Buffer} the binding
 * @throws {ProtocolError} `json-not-canonical`, `shape`, `public-key`; `proof`
 */
export function verifyProof(body, { purpose, key, url, token, account, device, model, version }) {
  const request = read(REQUESTS[purpose], body);
  const asked = purpose === "release" ? { kem: request.kem, publicKey: request.public_key } : {};
  const platform = request.device?.platform;
  const deviceKey = thumbprint(key);
  const bound = { purpose, challenge: request.challenge, deviceKey, account, device, platform, model, version, ...asked };
  const binding = bindingOf(bound);
  const { proof, ...rest } = parse(Buffer.from(body), "request");
  const said = {
    binding: binding.toString("base64url"),
    body: sha256(encode(rest)).toString("base64url"),
    method: "POST",
    token: sha256(token).toString("base64url"),
    url,
  };
  const payload = asProof(() => verifyKey(proof, "sr-proof", key, "proof"));
  demand(payload.equals(encode(said)), "proof", "proof", "made for another request");
  return binding;
}

function signedClaims(proof) {
  const parts = proof.length <= MAX_PROOF ? proof.split(".") : [];
  demand(parts.length === 3, "proof", "DPoP", "no JWS");
  const [head, payload, signature] = parts.map((part) => bytesOf(part, "proof", "DPoP"));
  const { alg, jwk: { kty, crv, x, y } } = decode(head, header, MAX_PROOF, "DPoP");
  const said = decode(payload, claims, MAX_PROOF, "DPoP");
  demand((alg === "ES256") === (kty === "EC"), "proof", "DPoP", "a key of another algorithm");
  const raw = alg === "ES256" ? Buffer.concat([Buffer.from([4]), x, y]) : x;
  const key = publicKey({ alg, key: raw.toString("base64url") }, "DPoP");
  const good = verified(key, signature, Buffer.from(`${parts[0]}.${parts[1]}`, "latin1"));
  demand(good === true, "proof", "DPoP", "a signature that does not verify");
  const point = { crv, kty, x: x.toString("base64url"), ...(y && { y: y.toString("base64url") }) };
  return [said, sha256(encode(point)).toString("base64url")]; // RFC 7638
}

function asProof(check) {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError("proof", error.where, error.code);
  }
}

function sha256(data) {
  return createHash("sha256").update(data).digest();
}
