/** Every vector of tests/vectors/sealed-v1: the same verdict, and the same bytes given out before it. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { SUITES } from "../src/chunks.js";
import { contextOf } from "../src/header.js";
import { blindContent, blindSubject, derive, macOf } from "../src/keys.js";
import { fromBytes, inspect } from "../src/reader.js";
import { fits, judge, readCases } from "../src/vectors.js";

const FOLDER = fileURLToPath(new URL("../../../tests/vectors/sealed-v1/", import.meta.url));
const CASES = await readCases(FOLDER);
const WITHOUT_KEY = JSON.parse(await readFile(`${FOLDER}without-key.json`, "utf8"));

test("the vectors are there", () => assert.ok(CASES.length >= 400));

for (const vector of CASES) {
  test(`${vector.name}: ${vector.fields.get("comment")}`, async () => {
    const verdict = await judge(vector);
    assert.ok(fits(verdict, vector), JSON.stringify(verdict));
    const lacking = verdict.keyless === "not-supported" && vector.fields.get("owners").includes("ML-DSA-65:");
    if (!lacking) assert.equal(verdict.keyless, WITHOUT_KEY[vector.name]);
  });
}

for (const [suite, name] of [[1, "key-schedule.json"], [2, "key-schedule-2.json"], [1, "key-schedule-local.json"]]) {
  test(`every key and digest of ${name}`, async () => {
    const wanted = JSON.parse(await readFile(FOLDER + name, "utf8"));
    const raw = (field) => Buffer.from(wanted[field], "hex");
    assert.ok(SUITES.has(suite) && wanted.suite === suite);
    const keys = derive(raw("mek"), raw("file_id"), suite);
    assert.deepEqual(keys.commitment, raw("commitment"));
    assert.deepEqual(keys.mac, raw("mac_key"));
    assert.deepEqual(keys.payload, raw("payload_key"));
    assert.deepEqual(keys.blind, raw("blind_key"));
    const head = await inspect(fromBytes(raw("file")));
    assert.deepEqual(head.covered, raw("head"));
    assert.deepEqual(head.digest, raw("head_digest"));
    assert.deepEqual(head.mac, macOf(keys.mac, raw("head")));
    for (const index of [0, 1]) assert.deepEqual(contextOf(head, index), raw(`context_${index}`));
    const [account, model, version, user] = JSON.parse(wanted.subject_input);
    assert.deepEqual(blindSubject(keys.blind, { account, model, version, user }), head.core.subject);
    assert.deepEqual(blindContent(keys.blind, raw("toc")), head.core.content);
  });
}
