/** Wipe orders and their receipts (docs/spec/protocol.md, section 14). */

import { createHash } from "node:crypto";

import { same } from "../keys.js";
import { verifyKey, verifyRole } from "./jws.js";
import { read } from "./messages.js";
import { demand, ProtocolError } from "./refusal.js";

/**
 * Check an order. Whether it was carried out before, the store must know; an expired trust.json keeps none back.
 *
 * @param {string[]} signed one JWS a key
 * @param {import("./trust.js").Trust} trust
 * @param {Buffer} deviceKey SHA-256 of this device key's SPKI
 * @param {number} at `server_time` of the answer that brought it
 * @returns {{ order: object, digest: Buffer }} the digest is what a receipt names it by
 * @throws {ProtocolError} `signature`, `json-not-canonical`, `shape`, `order-mismatch`, `order-expired`
 */
export function readOrder(signed, trust, deviceKey, at) {
  const payload = verifyRole(signed, "sr-order", trust.roles.order, "order");
  const order = read("Order", payload);
  demand(same(order.device, deviceKey), "order-mismatch", "order");
  demand(at < order.expires, "order-expired", "order");
  return { order, digest: digestOf(payload) };
}

/**
 * Check a receipt, as the office does.
 *
 * @param {Uint8Array | string} body a ReceiptRequest
 * @param {import("./signing.js").PublicKey} key the device's, from the office's own record
 * @param {Buffer | string} payload of the order
 * @returns {object}
 * @throws {ProtocolError} `json-not-canonical`, `shape` for the body; `receipt` for everything in it
 */
export function verifyReceipt(body, key, payload) {
  const { receipt: text } = read("ReceiptRequest", body);
  const order = read("Order", payload);
  let receipt;
  try {
    receipt = read("Receipt", verifyKey(text, "sr-receipt", key, "receipt"));
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError("receipt", "receipt", error.code);
  }
  const names = receipt.order_id === order.order_id && same(receipt.device, order.device);
  demand(names && same(receipt.order, digestOf(Buffer.from(payload))), "receipt", "receipt", "of another order");
  return receipt;
}

function digestOf(payload) {
  return createHash("sha256").update(payload).digest();
}
