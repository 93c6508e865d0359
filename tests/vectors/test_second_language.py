"""File and protocol in a second language: clients/js says what this one says.

Two readers that agree on every vector, and on what may be given out before a refusal, are what makes the specification
the contract and not one of the programs (docs/spec/sealed-file.md, section 14; docs/spec/protocol.md, section 15).
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from strongroom.errors import StrongroomError
from strongroom.operator.keys import write_owner_key
from strongroom.signing import ED25519, Principal, Role, SigningKey
from strongroom.wire import hpke, trust
from vectors import make_sealed, make_transcripts
from vectors.test_sealed_vectors import FILES, WITHOUT_KEY, Vector, segment_by_segment

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "js"
FOLDS = """
import { fold } from "./src/paths.js";
for (let point = 0; point < 0x110000; point += 1) {
  const letter = String.fromCodePoint(point);
  if (!/[\\p{Cn}\\p{Cs}]/u.test(letter)) console.log(point, JSON.stringify(fold(letter).normalize("NFC")));
}
"""

EXAMPLE = re.compile(r"^## From `strongroom file seal`.*?```console\n(.*?)```", re.MULTILINE | re.DOTALL)
COMMANDS = """
set -eu
strongroom() { "$PYTHON" -m strongroom "$@"; }
strongroom-file() { node "$CLIENT/bin/strongroom-file.js" "$@"; }
"""

PARSE = """
for (const text of JSON.parse(process.argv[1])) {
  try {
    console.log(JSON.stringify(JSON.parse(Buffer.from(text, "base64").toString("utf8"))));
  } catch {
    console.log("refused");
  }
}
"""


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Node.js in the client's folder."""
    command = shutil.which("node")
    if command is None:
        pytest.skip("Node.js 18 or newer is not there: apt-get install nodejs")
    run = [command, *arguments]
    return subprocess.run(run, cwd=CLIENT, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines of a console in a folder, both commands being this tree's."""
    environment = {**os.environ, "PYTHON": sys.executable, "CLIENT": str(CLIENT)}
    run = ["bash", "-c", COMMANDS + script]
    return subprocess.run(
        run, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )


def write_trust(path: Path, owner: SigningKey) -> None:
    """Write a trust.json of one owner that allows suite 1 alone."""
    others = [Role(1, (Principal((SigningKey.generate(ED25519).public,)),)) for _ in range(2)]
    pins = (trust.Pin("desk", None, (bytes(32),)),)
    roles = [Role(1, (Principal((owner.public,)),)), *others]
    document = trust.Trust(1, 2_000_000_000, "https://desk", pins, *roles, (), (1,), tuple(hpke.KEMS))
    path.write_bytes(trust.encode(document, (owner,)))


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, str]]:
    """What the second reader says, by name of the vector."""
    done = node("bin/strongroom-file.js", "vectors", str(make_sealed.FOLDER), "--json")
    assert done.stdout, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)}


def ours(vector: Vector) -> tuple[str, bytes]:
    """Return what this reader says, and what it gave out."""
    released = bytearray()
    try:
        segment_by_segment(vector, released)
    except StrongroomError as refusal:
        return refusal.code, bytes(released)
    return "success", bytes(released)


def test_the_client_passes_its_own_tests():
    done = node("--test")
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_both_readers_agree(path, verdicts):
    """A31, R28, R56: the same verdict and the same bytes given out, in two languages, for each vector."""
    vector = Vector.read(path)
    theirs = verdicts[path.stem]
    if theirs["verdict"] == "not-supported":  # node:crypto before Node.js 24.6 has no ML-DSA-65
        assert "ML-DSA-65:" in vector.fields["owners"]
        assert theirs["released"] == 0
        return
    assert theirs["keyless"] == WITHOUT_KEY[path.stem]
    code, released = ours(vector)
    assert theirs["verdict"] == code == vector.fields["expect"]
    assert theirs["payload"] == vector.fields["payload"] == hashlib.sha256(released).hexdigest()
    assert theirs["released"] == int(vector.fields["released"]) == len(released)
    assert theirs["segments"] == int(vector.fields["segments"])


def test_the_worked_example_of_the_client(tmp_path):
    """What `strongroom file seal` writes, key and all, `strongroom-file open` reads: the lines of its README."""
    node("--version")  # or skip
    found = EXAMPLE.search((CLIENT / "README.md").read_text("utf-8"))
    lines = [line.removeprefix("$ ") for line in found[1].splitlines()]
    (tmp_path / "digits.onnx").write_bytes(b"graph" * 1000)
    done = shell("\n".join(lines), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "digits" / "digits.onnx").read_bytes() == b"graph" * 1000


@pytest.mark.slow
def test_both_commands_take_the_same_trust_file_and_give_the_same_exit_codes(tmp_path):
    """One trust.json, one key file: opened, or refused for the same reason, with the same code, on both sides."""
    node("--version")  # or skip
    owner = SigningKey.generate(ED25519)
    write_owner_key(tmp_path / "owner.key", (owner,))
    write_owner_key(tmp_path / "stranger.key", (SigningKey.generate(ED25519),))
    write_trust(tmp_path / "trust.json", owner)
    (tmp_path / "m.bin").write_bytes(b"weights")
    (tmp_path / "m.bin").chmod(0o644)
    for name, more in {"m": "", "chacha": "--suite 2", "strange": "--sign-with stranger.key"}.items():
        signer = "" if name == "strange" else "--sign-with owner.key"
        seal = f"strongroom file seal m.bin -o {name}.srm --mek {name}.mek --name m --version 1 {signer} {more}"
        assert shell(seal, tmp_path).returncode == 0
    opened = {  # arguments: exit code and code
        "m.srm --mek m.mek --name m --version 1": (0, ""),
        "m.srm --mek chacha.mek --name m --version 1": (5, "file-wrong-key"),
        "m.srm --mek m.mek --name m --version 2": (5, "file-subject"),
        "strange.srm --mek strange.mek --name m --version 1": (5, "file-signature"),
        "chacha.srm --mek chacha.mek --name m --version 1": (5, "file-mismatch"),
        "none.srm --mek m.mek --name m --version 1": (2, "path"),
        "m.srm --mek m.bin --name m --version 1": (1, "permissions"),
        "m.srm --mek owner.key --name m --version 1": (2, "argument"),
    }
    for number, (arguments, wanted) in enumerate(opened.items()):
        for command in ("strongroom file", "strongroom-file"):
            folder = f"{command.replace(' ', '')}-{number}"
            done = shell(f"{command} open {arguments} -o {folder} --trust trust.json", tmp_path)
            code = re.search(r"^error: .* \[([a-z-]+)\]$", done.stderr, re.MULTILINE)
            assert (done.returncode, "" if code is None else code[1]) == wanted, (command, arguments, done.stderr)
            assert (tmp_path / folder).exists() == (wanted[0] == 0)


def test_both_readers_say_the_same_of_the_protocol():
    """R56: each check of each transcript gives the same values, each wrong twin the same code, in two languages."""
    done = node("bin/strongroom-release.js", "vectors", str(make_transcripts.FOLDER), "--json")
    assert done.stdout, done.stderr
    theirs = json.loads(done.stdout)
    wanted, hybrid = [], set()
    for path in sorted(make_transcripts.FOLDER.glob("*.json")):
        transcript = json.loads(path.read_bytes())
        rows = [(one, one["gives"]) for one in transcript["checks"]] + [(one, None) for one in transcript["twins"]]
        wanted += [(f"{transcript['name']}: {one['name']}", one["expect"], gives) for one, gives in rows]
        hybrid |= {transcript["name"]} if re.search(r"MLKEM768_X25519|ML-DSA-65", str(transcript["keys"])) else set()
    found = [(one["name"], one["verdict"], one["gives"]) for one in theirs]
    unsupported = {name for name, verdict, _ in found if verdict == "unsupported"}
    assert {name.split(":")[0] for name in unsupported} <= hybrid  # what node:crypto before Node.js 24.7 cannot tell
    assert len(unsupported) <= 25
    assert [name for name, _, _ in found] == [name for name, _, _ in wanted]
    assert [one for one in found if one[0] not in unsupported] == [one for one in wanted if one[0] not in unsupported]


def test_both_readers_judged_the_same_vectors(verdicts):
    assert sorted(verdicts) == sorted(path.stem for path in FILES)
    unsupported = sum(one["verdict"] == "not-supported" for one in verdicts.values())
    assert unsupported <= 5  # those in which the signature of ML-DSA-65 decides


def test_both_readers_fold_every_letter_into_the_same_class():
    """R28: two paths are twins for one reader if they are for the other (section 9), for every letter both know."""
    done = node("--input-type=module", "--eval", FOLDS)
    assert done.returncode == 0, done.stderr
    pairs = set()
    for line in done.stdout.rstrip("\n").split("\n"):  # splitlines would also split at U+0085 and U+2028
        point, folded = line.split(" ", 1)
        letter = chr(int(point))
        if unicodedata.category(letter) != "Cn":
            pairs.add((unicodedata.normalize("NFC", letter.casefold()), json.loads(folded)))
    assert len({left for left, _ in pairs}) == len({right for _, right in pairs}) == len(pairs)


def test_the_parsers_of_the_two_languages_disagree_on_these_files():
    """Why section 3 is as strict as it is: what one language reads the other refuses, or reads as another value."""
    vectors = {path.stem: Vector.read(path).data for path in FILES if path.stem.startswith("json-")}
    cores = {name: data[32 : 32 + int.from_bytes(data[12:16], "big")] for name, data in vectors.items()}
    short = {name: core for name, core in cores.items() if len(core) < 10_000}
    done = node("--eval", PARSE, json.dumps([base64.b64encode(core).decode() for core in short.values()]))
    assert done.returncode == 0, done.stderr
    found = {name: set() for name in ("python alone", "node alone", "other value")}
    for name, theirs in zip(short, done.stdout.rstrip("\n").split("\n"), strict=True):
        try:
            mine = json.dumps(json.loads(short[name]), separators=(",", ":"), ensure_ascii=False)
        except ValueError:
            mine = "refused"
        if mine != theirs:
            found["node alone" if mine == "refused" else "python alone" if theirs == "refused" else "other value"].add(
                name
            )
    assert found["python alone"] >= {"json-nan", "json-infinity", "json-minus-infinity"}
    assert found["node alone"] >= {"json-5000-digits"}
    assert found["other value"] >= {"json-2-to-53-and-1", "json-integer-like-keys", "json-fraction", "json-surrogate"}
    assert len(set().union(*found.values())) >= 12
