/**
 * A reader of the key release protocol, version 1: everything a device checks of what it is told, and what the office
 * checks of a device's proofs. It opens no connection and keeps nothing. Sections are those of docs/spec/protocol.md.
 */

export { bindingOf } from "./binding.js";
export { openGrant, readGrant, readLinks, releaseInfo } from "./grant.js";
export { hasLattice, KEMS, MLKEM768_X25519, P256, X25519 } from "./hpke.js";
export { readLease, readRenewal, readSigned, runsUntil } from "./lease.js";
export { read } from "./messages.js";
export { readOrder, verifyReceipt } from "./orders.js";
export { readProblem } from "./problem.js";
export { verifyDpop, verifyProof } from "./proofs.js";
export { ProtocolError } from "./refusal.js";
export { publicKey, thumbprint } from "./signing.js";
export { followTrust, verifyTrust } from "./trust.js";
