#!/usr/bin/env node
/** The command line of the protocol reader. It shows what is public; keys stay where they are. */

import { run, show } from "../src/command.js";
import { PlaceError, readPublic } from "../src/disk.js";
import { followTrust, verifyTrust } from "../src/protocol/release.js";
import { judgeAll, readTranscripts } from "../src/protocol/transcripts.js";

const USAGE = `usage:
  strongroom-release trust FILE [--follow ANSWER]
  strongroom-release vectors DIR [--json]

  FILE    a trust.json; k of its own owners must have signed it
  ANSWER  the body of GET /v1/trust?from=N: the documents after it

exit codes: 0 done, 1 failed, 2 usage, 5 altered, or not signed by its owners`;

const COMMANDS = {
  trust: { options: { follow: { type: "string" } }, act: showTrust },
  vectors: { options: { json: { type: "boolean", default: false } }, act: judgeVectors },
};
const TRUST_LIMIT = 1_048_576; // bytes
const ANSWER_LIMIT = 8_388_608; // bytes

async function showTrust(path, { follow }) {
  const first = verifyTrust(await readPublic(path, "trust file", TRUST_LIMIT));
  const trust = follow === undefined ? first : followTrust(first, await readPublic(follow, "answer", ANSWER_LIMIT));
  const { version, expires, server, pins, roles, suites, kems, epochs } = trust;
  const principals = ({ threshold, principals: members }) => ({
    threshold,
    principals: members.map((keys) => keys.map(({ alg, id }) => ({ alg, key_id: id }))),
  });
  const named = Object.fromEntries(Object.entries(roles).map(([name, role]) => [name, principals(role)]));
  const hosts = pins.map(({ host }) => host);
  const proven = "signed by its own owners, who may be anybody";
  show({ proven, version, expires, server, hosts, roles: named, suites, kems, epochs });
}

async function judgeVectors(folder, { json }) {
  const verdicts = (await readTranscripts(folder)).flatMap(judgeAll);
  if (verdicts.length === 0) throw new PlaceError("argument", "no transcript is here", folder, "name a directory of them");
  const wrong = verdicts.filter(({ fits }) => !fits).map(({ name, verdict }) => `${name}: ${verdict}`);
  const unsupported = verdicts.filter(({ verdict }) => verdict === "unsupported").length;
  const summary = `${verdicts.length} checks, ${unsupported} unsupported, ${wrong.length} wrong`;
  if (json) show(verdicts);
  else process.stdout.write(`${[summary, ...wrong].join("\n")}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}

await run("strongroom-release", USAGE, COMMANDS, process.argv.slice(2));
