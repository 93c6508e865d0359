"""A real TPM (swtpm), a real server over TLS, and the commands: enrol, quote, release, open; and what is refused."""

import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from e2e.conftest import Office
from rooms.edge.tpm.needs import extend
from strongroom.edge.client import connect
from strongroom.edge.evidence.tpm import TpmAttestor
from strongroom.edge.tpm.chip import Tpm
from strongroom.errors import Code, RefusedError
from swtpm import running

CONTENT = os.urandom(300_000)
FRESH = "00" * 32  # of a register into which nothing was measured

pytestmark = pytest.mark.slow  # a server, two chips, and a process for each command


def policy(register: str = FRESH, again: str = "30d") -> str:
    return f"""version = 1
[authorities]
tpm_roots = ["maker.pem"]
[default]
kinds = ["tpm"]
key_binding = "hardware"
attest_again = "{again}"
[default.tpm.pcrs.sha256]
7 = ["{register}"]
"""


class Fleet:
    """An office that asks for a TPM, and machines of its customers."""

    def __init__(self, folder: Path, chip) -> None:
        self.office = Office(folder)
        self.room = Path(self.office.config).parent
        # swtpm's chips hold their own certificate alone: the operator pins whoever issued it
        (self.room / "maker.pem").write_bytes(chip.issuer.read_bytes())
        self.write(policy())
        self.office.server.start()
        self.office.publish(CONTENT, "digits")

    def write(self, text: str) -> None:
        (self.room / "attestation.toml").write_text(text)

    def restart(self, text: str) -> None:
        self.office.server.stop()
        self.write(text)
        self.office.server.start()

    def home(self, name: str) -> dict[str, str]:
        return {"STRONGROOM_HOME": str(self.office.folder / name)}

    def enrol(self, command, name: str, token, chip, *said: object, expect: int = 0) -> dict[str, str]:
        env = self.home(name)
        where = ("--server", self.office.url, "--trust", self.office.trust, "--token-file", token)
        more = () if chip is None else ("--tpm", chip.address)
        command("enrol", *where, *more, *said, env=env, expect=expect)
        return env

    def audit(self, name: str) -> list[dict]:
        with closing(sqlite3.connect(self.room / "database/strongroom.db")) as books:
            rows = books.execute("SELECT detail FROM audit WHERE event = ? ORDER BY seq", (name,)).fetchall()
        return [json.loads(row[0]) for row in rows]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, chip):
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), chip)
    yield fleet
    fleet.office.server.stop()


@pytest.fixture(scope="module")
def machine(fleet, chip):
    """A machine that is enrolled with its TPM, and the file of its customer's token."""
    from e2e.conftest import run

    token = fleet.office.customer("alice", "digits")
    return fleet.enrol(run, "machine", token, chip)


def digest_of(command, env) -> str:
    return command("run", "digits", "--json", env=env)["files"][0]["sha256"]


def test_enrol_quote_release_open(fleet, machine, command):
    """R94: two keys in one chip, a quote for the request, keys that open in this chip alone."""
    assert command("pull", "digits", "--json", env=machine)["fetched"] is True
    assert digest_of(command, machine) == hashlib.sha256(CONTENT).hexdigest()
    assert command("lease", "renew", "digits", "--json", env=machine)
    (attested,) = fleet.audit("device.attested")
    assert (attested["kind"], attested["level"], "stand_in" in attested) == ("tpm", "hardware", False)
    granted = fleet.audit("release.granted")[-1]
    assert (granted["evidence"], granted["key_binding"]) == ("tpm", "hardware")
    assert fleet.audit("lease.renewed")[-1]["evidence"] == "tpm"
    home = Path(machine["STRONGROOM_HOME"])
    assert not [*home.rglob("*.key")]  # no key of this device lies in a file


def test_a_cloned_directory_on_another_machine_is_refused(fleet, machine, command, other_chip, chip):
    """I04: everything that is on the disk, beside another chip."""
    command("pull", "digits", env=machine)
    clone = fleet.office.folder / "clone"
    shutil.copytree(machine["STRONGROOM_HOME"], clone)
    note = clone / "keystore" / "tpm.json"
    note.write_text(note.read_text().replace(chip.address, other_chip.address))
    env = {"STRONGROOM_HOME": str(clone)}
    before = len(fleet.audit("release.granted"))
    for words in (("run", "digits"), ("pull", "digits"), ("lease", "renew", "digits")):
        command(*words, env=env, expect=1)
    assert len(fleet.audit("release.granted")) == before
    assert digest_of(command, machine)


def test_another_chip_of_the_same_maker_is_another_device(fleet, command, other_chip):
    """B09: it enrols as itself; that is all it can do."""
    env = fleet.enrol(command, "other", fleet.office.customer("bob", "digits"), other_chip)
    command("pull", "digits", env=env)
    assert digest_of(command, env) == hashlib.sha256(CONTENT).hexdigest()


def test_a_chip_of_another_maker_is_refused(fleet, command):
    """B09: its certificate is genuine, and of a maker nobody pinned: it keeps keys, and vouches for nothing."""
    with running() as stranger:
        before = len(fleet.audit("device.attested"))
        env = fleet.enrol(command, "stranger", fleet.office.customer("carol", "digits"), stranger)
        refused = fleet.audit("activation.refused")[-1]
        assert (refused["kind"], refused["verdict"]) == ("tpm", "chain")
        assert len(fleet.audit("device.attested")) == before
        command("pull", "digits", env=env, expect=6)
    assert fleet.audit("attestation.needed")[-1]["verdict"] == "unavailable"


def test_a_chip_of_another_maker_keeps_keys_where_nobody_asks_for_evidence(tmp_path, command, chip):
    """R94: models that are served unattested reach such a machine too."""
    with running() as stranger:
        fleet = Fleet(tmp_path, chip)
        try:
            fleet.restart(policy().replace('kinds = ["tpm"]', 'kinds = ["tpm"]\nunattested = true'))
            env = fleet.enrol(command, "stranger", fleet.office.customer("carol", "digits"), stranger)
            command("pull", "digits", env=env)
            assert digest_of(command, env) == hashlib.sha256(CONTENT).hexdigest()
            home = Path(env["STRONGROOM_HOME"])
            assert not [*home.rglob("*.key"), *home.rglob("attestation*.tpmkey")]
        finally:
            fleet.office.server.stop()


def test_a_machine_without_a_chip_is_told_what_is_asked_of_it(fleet, command):
    env = fleet.enrol(command, "laptop", fleet.office.customer("dave", "digits"), None)
    command("pull", "digits", env=env, expect=6)
    assert fleet.audit("attestation.needed")[-1]["verdict"] == "unavailable"


class Again:
    """What a machine shows that lost its chip, and kept what the chip said before."""

    kind = "tpm"

    def __init__(self, attestor: TpmAttestor) -> None:
        self.attestor, self.kept = attestor, ()

    def request(self, expected):
        self.kept = self.kept or self.attestor.request(expected)
        return self.kept

    def open_credential(self, credential: bytes) -> bytearray:
        return self.attestor.open_credential(credential)


def test_a_quote_again_is_refused(fleet, machine):
    """B08: genuine, by this very chip, for the request before."""
    home = machine["STRONGROOM_HOME"]
    with connect(home=home) as room:
        again = Again(TpmAttestor(room.store.keystore))
    with connect(home=home, attestor=again) as room:
        room.pull("digits")
        with pytest.raises(RefusedError) as caught:
            room.pull("digits")
    assert caught.value.code == Code.EVIDENCE
    assert fleet.audit("attestation.refused")[-1]["verdict"] == "binding"


def test_other_software_is_refused_until_the_rules_name_it(tmp_path, command):
    """R94: a register that the rules name holds another value: something else has booted."""
    with running() as own:
        fleet = Fleet(tmp_path, own)
        try:
            env = fleet.enrol(command, "machine", fleet.office.customer("alice", "digits"), own)
            command("pull", "digits", env=env)
            with Tpm.open(own.address) as tpm:
                extend(tpm, 7, b"another boot loader")
            command("pull", "digits", env=env, expect=6)
            refused = fleet.audit("attestation.refused")[-1]
            assert (refused["verdict"], "sha256:7" in refused["step"]) == ("pcr", True)
            assert digest_of(command, env)  # within its lease it still opens
            found = refused["detail"].split()[-1]
            fleet.restart(policy(found))
            command("pull", "digits", env=env)
        finally:
            fleet.office.server.stop()


def test_a_chip_that_holds_its_own_certificate_alone(tmp_path, command):
    """R94: its issuer's comes from a file; the registers that are named once are those of every quote."""
    with running() as own:
        fleet = Fleet(tmp_path, own)
        try:
            fleet.office.server.stop()
            (fleet.room / "maker.pem").write_bytes(own.root.read_bytes())
            fleet.office.server.start()
            token = fleet.office.customer("alice", "digits")
            env = fleet.enrol(command, "machine", token, own)
            command("pull", "digits", env=env, expect=6)
            assert fleet.audit("activation.refused")[-1]["verdict"] == "chain"
            fleet.enrol(command, "machine", token, own, "--tpm-issuers", own.issuer, "--pcrs", "0,7,23,24", expect=2)
            fleet.enrol(command, "machine", token, own, "--tpm-issuers", own.issuer, "--pcrs", "0,2", expect=6)
            refused = fleet.audit("attestation.refused")[-1]
            assert (refused["verdict"], refused["detail"]) == ("pcr", "sha256:7 not quoted")
            env = fleet.enrol(command, "machine", token, own, "--tpm-issuers", own.issuer, "--pcrs", "7,4,2,0")
            command("pull", "digits", env=env)
            note = json.loads((Path(env["STRONGROOM_HOME"]) / "keystore" / "tpm.json").read_bytes())
            assert (note["quoted"], note["quoted_bank"]) == ([0, 2, 4, 7], "sha256")
        finally:
            fleet.office.server.stop()


def test_a_key_is_attested_anew_by_enrolling_again(fleet, command, chip):
    """R94: the same device, the same id; its chip is activated once more."""
    token = fleet.office.customer("erin", "digits")
    env = fleet.enrol(command, "again", token, chip)
    before = len(fleet.audit("device.attested"))
    assert fleet.enrol(command, "again", token, None) == env  # it finds its TPM by itself
    assert len(fleet.audit("device.attested")) == before + 1
    command("pull", "digits", env=env)


def test_a_server_that_asks_for_nothing_still_gets_keys_kept_in_the_chip(own_office, command, chip):
    """R94: the keystore is worth having where nobody asks for evidence."""
    own_office.publish(CONTENT, "digits")
    env = {"STRONGROOM_HOME": str(own_office.folder / "kept")}
    token = own_office.customer("alice", "digits")
    where = ("--server", own_office.url, "--trust", own_office.trust, "--token-file", token)
    command("enrol", *where, "--tpm", chip.address, env=env)
    command("pull", "digits", env=env)
    assert digest_of(command, env) == hashlib.sha256(CONTENT).hexdigest()
    found = {finding["subject"]: finding for finding in command("doctor", "--json", env=env)["findings"]}
    assert "keystore" not in found  # no key of this device lies in a file
    assert not [*Path(env["STRONGROOM_HOME"]).rglob("attestation.tpmkey")]


def test_a_policy_that_names_nothing_does_not_start(fleet, command):
    """Told with file and line."""
    fleet.office.server.stop()
    good = (fleet.room / "attestation.toml").read_text()
    fleet.write(good.replace("maker.pem", "nobody.pem"))
    command("serve", "--config", fleet.office.config, expect=1)
    fleet.restart(good)
