/** Names of files that are safe on every system a model is unpacked on (docs/spec/sealed-file.md, section 9). */

const MAX_PATH = 1_024; // bytes of UTF-8
const FORBIDDEN = /[\p{Cc}\\:*?"<>|]/u;
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])$/i; // no u flag: `ſ` and `ı` are other letters

/**
 * Whether one path keeps the rules of section 9.
 *
 * @param {string} path without half a surrogate pair
 * @returns {boolean}
 */
export function isPath(path) {
  const length = Buffer.byteLength(path, "utf8");
  if (length < 1 || length > MAX_PATH || path.normalize("NFC") !== path || FORBIDDEN.test(path)) return false;
  return path.split("/").every((part) => part !== "" && !/[. ]$/.test(part) && !isDevice(part)); // `.`, `..` end so too
}

/**
 * Whether no path equals another, and none is a directory of another, for a file system that ignores case.
 *
 * @param {string[]} paths
 * @returns {boolean}
 */
export function areDistinct(paths) {
  const folded = new Set(paths.map((path) => fold(path).normalize("NFC")));
  if (folded.size !== paths.length) return false;
  for (const path of folded) {
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      if (folded.has(path.slice(0, slash))) return false;
    }
  }
  return true;
}

/**
 * Unicode full case folding, up to the choice of the letter that stands for its class: Cherokee becomes small here.
 * JavaScript has no folding of its own; letter by letter, small, capital and small again is the same relation, but for
 * the dotless i, which folds to itself.
 *
 * @param {string} text
 * @returns {string}
 */
export function fold(text) {
  let folded = "";
  for (const letter of text) folded += letter === "ı" ? letter : small(capital(small(letter)));
  return folded;
}

// Letter by letter, so that no rule of context (the final sigma) applies.
function small(text) {
  return Array.from(text, (letter) => letter.toLowerCase()).join("");
}

function capital(text) {
  return Array.from(text, (letter) => letter.toUpperCase()).join("");
}

function isDevice(part) {
  return DEVICE.test(part.split(".", 1)[0].replace(/ +$/, ""));
}
