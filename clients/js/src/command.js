/**
 * What the two commands have in common: their words, their exit codes, and how a failure becomes text.
 *
 *     error: what happened (where) [code]
 *     next: what to do
 *
 * Exit codes are those of `strongroom`: 0 done, 1 failed (the disk, or the command itself), 2 usage (an argument, a path),
 * 5 integrity (altered, cut, of another key, not signed), 128 and its number after a signal.
 */

import { constants } from "node:os";
import { parseArgs } from "node:util";

import { notRead } from "./disk.js";

const INTEGRITY = 5;
const BROKEN_PIPE = 141; // 128 + SIGPIPE, as shells report it
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];
const TRACE = "STRONGROOM_TRACE"; // set to anything: the trace of an internal error goes to stderr
const HELP = { help: { type: "boolean", short: "h", default: false } };
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A mistake in the words of a command. */
export class UsageError extends Error {}

class Stopped extends Error {
  constructor(name) {
    super("interrupted");
    this.exit = 128 + constants.signals[name];
  }
}

/**
 * @typedef {object} Command
 * @property {import("node:util").ParseArgsConfig["options"]} options
 * @property {(path: string, values: Record<string, any>) => Promise<void>} act
 */

/**
 * Do what the words say. Sets the exit code of the process; throws nothing.
 *
 * @param {string} program
 * @param {string} usage
 * @param {Record<string, Command>} commands
 * @param {string[]} words
 * @returns {Promise<void>}
 */
export async function run(program, usage, commands, words) {
  process.stdout.on("error", ({ code }) => process.exit(code === "EPIPE" ? BROKEN_PIPE : 1));
  try {
    const [name, ...rest] = words;
    if (name === undefined) {
      process.stderr.write(`${usage}\n`);
      process.exitCode = 2;
      return;
    }
    const known = Object.hasOwn(commands, name);
    if (!known && !["-h", "--help", "help"].includes(name)) throw new UsageError(`there is no command ${name}`);
    const { values, positionals } = known ? parsed(commands[name].options, rest) : { values: { help: true } };
    if (values.help) process.stdout.write(`${usage}\n`);
    else await commands[name].act(onlyPath(name, positionals), values);
  } catch (error) {
    process.exitCode = report(program, error);
  }
}

/**
 * Run something that must clean up when it is told to stop: SIGINT, SIGTERM and SIGHUP abort its signal, once. Whoever
 * insists, and sends a second one, ends the process there and then.
 *
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} act
 * @returns {Promise<T>}
 */
export async function stoppable(act) {
  const controller = new AbortController();
  const handlers = SIGNALS.map((name) => [name, () => controller.abort(new Stopped(name))]);
  for (const [name, stop] of handlers) process.once(name, stop);
  try {
    return await act(controller.signal);
  } finally {
    for (const [name, stop] of handlers) process.off(name, stop);
  }
}

/**
 * @param {unknown} value shown as JSON on stdout
 */
export function show(value) {
  process.stdout.write(`${JSON.stringify(value, null, 1)}\n`);
}

function parsed(options, words) {
  const found = parseArgs({ args: words, options: { ...options, ...HELP }, allowPositionals: true });
  for (const [name, value] of Object.entries(found.values)) {
    if ([value].flat().includes("")) throw new UsageError(`--${name} is empty`);
  }
  return found;
}

function onlyPath(name, positionals) {
  if (positionals.length === 1 && positionals[0] !== "") return positionals[0];
  throw new UsageError(`${name} takes one path, not ${positionals.length === 1 ? "an empty one" : positionals.length}`);
}

function report(program, error) {
  const say = (text, code, next) => process.stderr.write(`error: ${printable(text)} [${code}]\nnext: ${printable(next)}\n`);
  if (error instanceof Stopped) {
    process.stderr.write("interrupted\n");
    return error.exit;
  }
  if (error instanceof UsageError || error.code?.startsWith?.("ERR_PARSE_ARGS")) {
    const dash = /is ambiguous/.test(error.message) ? "; a value that begins with - is written --option=VALUE" : "";
    say(error.message.split(/\.?\s*\n|\. /)[0] + dash, "usage", `see: ${program} --help`);
    return 2;
  }
  if (error.next !== undefined) {
    say(error.message.slice(`${error.code}: `.length), error.code, error.next);
    return error.exit ?? INTEGRITY;
  }
  if (error.syscall !== undefined) return report(program, notRead(error, error.path ?? "", "file or directory"));
  const next = `run it again with ${TRACE}=1 in the environment and report the trace`;
  say(`${program} itself failed: ${error.name}`, "internal", next);
  if (process.env[TRACE]) process.stderr.write(`${error.stack}\n`);
  return 1;
}

function printable(text) {
  return text.replace(UNPRINTABLE, (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);
}
