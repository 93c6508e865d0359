/** Canonical JSON: one spelling is read, every other is refused (section 3). */

import assert from "node:assert/strict";
import test from "node:test";

import { bytesOf, encode, parse } from "../src/canonical.js";

const LEGAL = [
  "null", "true", "false", "0", "-1", "9007199254740991", "-9007199254740991", '""', "[]", "{}", "[[[[[[[[]]]]]]]]",
  '{"a":1,"a0":2,"a_":3,"b":[null,{"c":"/"}]}', '"\\"\\\\\\b\\f\\n\\r\\t"', '"\\u0000\\u001f\\u007f\\u00e9\\u20ac"',
  '"\\ud83d\\ude00"', '{"constructor":1,"hasownproperty":2}',
];

const ILLEGAL = {
  nothing: "", "a space before": " 1", "a line end behind": "1\n", "two values": "1 2", "a comma too many": "[1,]",
  "a missing comma": "[1 2]", "open array": "[1", "open object": '{"a":1', "open string": '"a', "no colon": '{"a"1}',
  "a space inside": "[1, 2]", "a tab": "[\t1]", "byte order mark": "\xef\xbb\xbf1", capitals: "True", nan: "NaN",
  plus: "+1", "leading zero": "01", "minus zero": "-0", "minus alone": "-", fraction: "1.0", exponent: "1e3",
  "2^53": "9007199254740992", "-2^53": "-9007199254740992", "a very long number": "1".repeat(400_000),
  "single quotes": "'a'", "raw control": '"\x01"', "raw U+007F": '"\x7f"', "raw UTF-8": '"\xc3\xa9"',
  "escaped slash": '"\\/"', "capital hex": '"\\u00E9"', "short hex": '"\\ue9"', "escaped letter": '"\\u0061"',
  "escaped quote as hex": '"\\u0022"', "line end as hex": '"\\u000a"', "first half": '"\\ud83d"',
  "first half, then a letter": '"\\ud83da"', "second half": '"\\ude00"', "two first halves": '"\\ud83d\\ud83d"',
  "two second halves": '"\\ude00\\ude00"',
  "an escape that does not exist": '"\\x41"', "an escape at the end": '"\\', "unsorted keys": '{"b":1,"a":2}',
  "a key twice": '{"a":1,"a":2}', "an empty key": '{"":1}', "a capital key": '{"A":1}', "a digit first": '{"0":1}',
  "a prototype": '{"__proto__":1}', "a long key": `{"${"a".repeat(65)}":1}`, "no string as key": "{1:1}",
  "nine levels": "[[[[[[[[[]]]]]]]]]", "a million levels": "[".repeat(1_000_000),
};

for (const text of LEGAL) {
  test(`is read and written again: ${text}`, () => {
    assert.equal(encode(parse(Buffer.from(text), "x")).toString(), text);
  });
}

for (const [name, text] of Object.entries(ILLEGAL)) {
  test(`is refused: ${name}`, () => {
    assert.throws(() => parse(Buffer.from(text, "latin1"), "x"), { code: "json-not-canonical" });
  });
}

test("objects have no prototype, so that a field is there only if the file says so", () => {
  assert.equal("constructor" in parse(Buffer.from("{}"), "x"), false);
});

test("an error quotes nothing of what it read", () => {
  assert.throws(() => parse(Buffer.from('{"secret":"name" }'), "x"), (error) => !/secret|name"/.test(error.message));
});

test("what has no canonical spelling is not written", () => {
  for (const value of [1.5, -0, 2 ** 53, undefined, { A: 1 }, Infinity, 1n]) {
    assert.throws(() => encode(value), TypeError);
  }
});

test("base64url has one spelling", () => {
  assert.deepEqual(bytesOf("_-8", "x", 2), Buffer.from([0xff, 0xef]));
  assert.deepEqual(bytesOf("", "x"), Buffer.alloc(0));
  for (const text of ["_-9", "_-8=", "/+8", "_-8\n", "A", "_ -8"]) {
    assert.throws(() => bytesOf(text, "x"), { code: "json-not-canonical" }, text);
  }
  for (const value of ["_w", "_-8=", "____", null, 7, ["_-8"]]) {
    assert.throws(() => bytesOf(value, "x", 2), { code: "file-format" });
  }
});
