/** The binding: what one request is for (docs/spec/protocol.md, section 5). */

import { createHash } from "node:crypto";

/**
 * @typedef {object} Bound
 * @property {"enrol" | "release" | "urls" | "renew"} purpose
 * @property {Buffer} challenge 32 bytes
 * @property {Buffer} deviceKey SHA-256 of the device key's SPKI
 * @property {number} [kem]
 * @property {Buffer} [publicKey] the ephemeral one
 * @property {string} [account]
 * @property {string} [device]
 * @property {string} [platform]
 * @property {string} [model]
 * @property {string} [version] what was asked for: a version or `@channel`
 */

/**
 * @param {...(Buffer | string)} parts
 * @returns {Buffer} each part behind its length as four bytes
 */
export function lengthPrefixed(...parts) {
  return Buffer.concat(
    parts.flatMap((part) => {
      const data = Buffer.from(part);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(data.length);
      return [length, data];
    }),
  );
}

/**
 * @param {Bound} bound what a purpose does not have stays empty
 * @returns {Buffer} 32 bytes
 */
export function bindingOf(bound) {
  const { purpose, challenge, deviceKey, kem = 0, publicKey = Buffer.alloc(0) } = bound;
  const { account = "", device = "", platform = "", model = "", version = "" } = bound;
  const number = Buffer.from([kem >> 8, kem & 0xff]);
  const fields = [purpose, challenge, number, publicKey, account, device, deviceKey, platform, model, version];
  if (fields.some((one) => typeof one === "string" && one.normalize("NFC") !== one)) throw new TypeError("a name not in NFC");
  return createHash("sha256").update("strongroom/binding/v1\0").update(lengthPrefixed(...fields)).digest();
}
