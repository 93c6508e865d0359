/** Paths that may be unpacked anywhere (section 9). */

import assert from "node:assert/strict";
import test from "node:test";

import { areDistinct, fold, isPath } from "../src/paths.js";

const GOOD = [
  "a", "a/b/c.onnx", ".hidden", "a b", "é", "con1", "com", "com10", "xcon", "a".repeat(1_024), "conın$", "comⅷ",
];
const BAD = [
  "", "/a", "a/", "a//b", ".", "a/..", "a/./b", "a\\b", "c:a", "a*", "a?", 'a"', "a<", "a>", "a|", "a\0", "a\x1f",
  "a\x7f", "a\x85", "a.", "a ", "a /b", "e\u0301", "CON", "con.txt", "x/Nul .a.b", "aux ", "COM1", "lpt0.x", "com¹",
  "LPT³", "conin$", "a".repeat(1_025), "é".repeat(513),
];

for (const path of GOOD) test(`is a path: ${JSON.stringify(path).slice(0, 30)}`, () => assert.ok(isPath(path)));
for (const path of BAD) test(`is no path: ${JSON.stringify(path).slice(0, 30)}`, () => assert.ok(!isPath(path)));

test("twins and directories are found whatever their case", () => {
  const distinct = [["a", "b"], ["a/b", "a/c"], ["ab", "a/b"], ["ı", "i"], ["a", "a.b/c"]];
  for (const paths of distinct) assert.ok(areDistinct(paths), paths.join(" "));
  const twins = [
    ["a", "a"], ["A", "a"], ["a", "a/b"], ["a/B/c", "A/b"], ["straße", "STRASSE"], ["ẞ", "ss"], ["ſ", "s"], ["ς", "σ"],
    ["ﬁ", "FI"], ["K", "k"], ["Ꭰ", "ꭰ"], ["İ", "i\u0307"], ["ŉ", "ʼn"],
  ];
  for (const paths of twins) assert.ok(!areDistinct(paths), paths.join(" "));
});

test("folding has no rule of context", () => assert.equal(fold("ΑΣ"), fold("ας")));
