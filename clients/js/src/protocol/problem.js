/** Refusals as they travel (docs/spec/protocol.md, section 12). What a server says never makes a device accept anything. */

const PROBLEMS = new Map(
  Object.entries({
    400: "json-not-canonical shape name path argument kem-unsupported public-key",
    401: "unauthenticated token proof",
    403: "challenge forbidden url-invalid url-expired evidence attestation-needed key-reused order-pending restricted step-up",
    404: "not-found", 405: "method", 408: "timeout", 409: "conflict", 413: "json-too-large too-large", 415: "content-type",
    416: "range", 422: "deposit receipt file-key-size url-lifetime", 429: "rate-limited", 500: "internal",
    503: "database store-io store-damaged vault-sealed vault-refused trust-expired unreachable",
  }).flatMap(([status, codes]) => codes.split(" ").map((code) => [code, Number(status)])),
);
const DENIED = ["unauthenticated", "token", "proof", "challenge", "forbidden", "url-invalid", "not-found"];
const REFUSED = ["url-expired", "evidence", "attestation-needed", "key-reused", "order-pending", "restricted", "step-up", "rate-limited"];
const BY_STATUS = new Map([
  [401, "unauthenticated"], [403, "forbidden"], [404, "not-found"], [409, "conflict"], [413, "too-large"],
  [414, "too-large"], [431, "too-large"], [416, "range"], [429, "rate-limited"],
]);
const EXITS = { InputError: 2, DeniedError: 4, RefusedError: 6, UnreachableError: 7 };
const MAX_BODY = 65_536; // bytes

/**
 * What a refusing answer means to a device.
 *
 * @param {number} status of HTTP
 * @param {Uint8Array | string} body a problem (RFC 9457), or anything else
 * @returns {{ code: string, family: keyof typeof EXITS, exit: number }}
 */
export function readProblem(status, body) {
  const code = codeOf(status, said(body));
  const family = familyOf(status, code);
  return { code, family, exit: EXITS[family] };
}

function codeOf(status, word) {
  if (status < 400 || status > 599) return "answer";
  const usual = PROBLEMS.get(word);
  if (status >= 500) return usual >= 500 ? word : "unreachable";
  return usual < 500 ? word : BY_STATUS.get(status) ?? "argument";
}

function familyOf(status, code) {
  if (code === "answer" || status >= 500) return "UnreachableError";
  if (DENIED.includes(code)) return "DeniedError";
  if (REFUSED.includes(code)) return "RefusedError";
  return code === "timeout" ? "UnreachableError" : "InputError";
}

// General JSON on purpose: object stores of other makes answer with XML, and that is an ordinary refusal too.
function said(body) {
  try {
    return JSON.parse(Buffer.from(body).subarray(0, MAX_BODY).toString("utf8"))?.code;
  } catch {
    return undefined;
  }
}
