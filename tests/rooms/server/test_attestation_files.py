"""From attestation.toml and what it names to an office's attestation, and every way that can go wrong."""

import dataclasses
import hashlib
import json
import os
import shutil

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from stand_ins import AT, kits
from strongroom.attest.claims import Kind, Known, Level, TpmClock
from strongroom.errors import Code, SetupError
from strongroom.server.attestation import remembered
from strongroom.server.attestation.opening import LOOK_AGAIN
from strongroom.server.initialise import init
from strongroom.server.settings import load
from strongroom.server.wiring import open_attestation, open_office

DAY = 86_400
POLICY = """version = 3
[authorities]
tpm_roots = ["maker.pem"]
revocation_list = "status.json"
[default]
kinds = ["tpm"]
[default.tpm.pcrs.sha256]
7 = ["{}"]
""".format("00" * 32)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return init(tmp_path_factory.mktemp("attestation") / "room", now=AT).directory


@pytest.fixture
def room(original, tmp_path):
    made = shutil.copytree(original, tmp_path / "room")
    (made / "maker.pem").write_bytes(kits().tpm.roots.stand_ins[0].public_bytes(Encoding.PEM))
    (made / "status.json").write_text(json.dumps({"entries": {}}))
    os.utime(made / "status.json", (AT, AT))
    (made / "attestation.toml").write_text(POLICY)
    return made


def opened(room, now=AT):
    return open_attestation(load(room), now=lambda: now)


def test_what_is_named_is_read(room):
    attestation = opened(room)
    assert attestation.policies.default.kinds == {Kind.TPM}
    assert len(attestation.authorities.tpm.genuine) == 1
    assert attestation.decoder is None
    assert open_office(load(room), now=lambda: AT).attestation.policies == attestation.policies


def test_a_fresh_strongroom_asks_for_nothing_and_says_so(original):
    with structlog.testing.capture_logs() as lines:
        office = open_office(load(original), now=lambda: AT)
    assert office.attestation.policies.default.unattested
    (said,) = [line for line in lines if "attestation.toml" in line.get("where", "")]
    assert (said["log_level"], "unattested" in said["event"]) == ("warning", True)


def _write(name, text, mode=0o600):
    def spoil(room):
        (room / name).write_text(text)
        (room / name).chmod(mode)

    return spoil


def _fifo(name):
    def spoil(room):
        (room / name).unlink()
        os.mkfifo(room / name)

    return spoil


KEYS = POLICY.replace(
    "[default]",
    '[authorities.play."com.example.app"]\ndecryption_key_file = "aes"\nverification_key_file = "pub"\n[default]',
    1,
)

ACCOUNT = POLICY.replace("[default]", 'play_service_account = "google.json"\n[default]', 1)

MISSPELT = POLICY.replace("[default]", "[default]\nunatested = true", 1)


@pytest.mark.parametrize(
    ("spoil", "code", "where"),
    [
        (lambda room: (room / "attestation.toml").unlink(), Code.NOT_INITIALISED, "attestation.toml"),
        (lambda room: (room / "maker.pem").unlink(), Code.CONFIG, "attestation.toml line 3"),
        (_fifo("maker.pem"), Code.CONFIG, "attestation.toml line 3"),
        (_fifo("attestation.toml"), Code.CONFIG, "attestation.toml"),
        (_write("maker.pem", "nonsense"), Code.CONFIG, "attestation.toml line 3"),
        (_write("status.json", "{}"), Code.CONFIG, "attestation.toml line 4"),
        (lambda room: os.utime(room / "status.json", (1, AT - 8 * DAY)), Code.CONFIG, "attestation.toml line 4"),
        (lambda room: os.utime(room / "status.json", (1, AT + 2 * DAY)), Code.CONFIG, "attestation.toml line 4"),
        (_write("attestation.toml", MISSPELT), Code.CONFIG, "attestation.toml line 6"),
        (_write("attestation.toml", "version = "), Code.CONFIG, "attestation.toml line 1"),
        (lambda room: (room / "attestation.toml").write_bytes(b"\xff"), Code.CONFIG, "attestation.toml"),
        (lambda room: (room / "attestation.toml").write_bytes(bytes(2**20 + 1)), Code.CONFIG, "attestation.toml"),
        (
            lambda room: (_write("attestation.toml", KEYS)(room), _write("aes", "x", 0o644)(room)),
            Code.PERMISSIONS,
            "attestation.toml line 5",
        ),
        (
            lambda room: (_write("attestation.toml", ACCOUNT)(room), _write("google.json", "{}", 0o640)(room)),
            Code.PERMISSIONS,
            "attestation.toml line 5",
        ),
    ],
    ids=["no policy", "no root", "root is a pipe", "policy is a pipe", "root is none",
         "list is none", "old list", "list of the future", "unknown field",
         "no TOML", "no text", "too large", "open secret", "open account"],
)  # fmt: skip
def test_what_cannot_be_judged_by_does_not_start(room, spoil, code, where):
    """A missing root, an old revocation list, a misspelt field: told with file and line, and nothing is served."""
    spoil(room)
    with pytest.raises(SetupError) as caught:
        open_office(load(room), now=lambda: AT)
    assert caught.value.code == code
    assert where in caught.value.where
    assert caught.value.next_step


def test_a_missing_policy_says_where_to_read_and_the_shortest_one(room):
    (room / "attestation.toml").unlink()
    with pytest.raises(SetupError) as caught:
        opened(room)
    assert "docs/how-to/attestation.md" in caught.value.next_step
    lines = ("version = 1", "[default]", "unattested = true")
    assert all(line in caught.value.next_step for line in lines)
    (room / "attestation.toml").write_text("\n".join(lines))
    assert opened(room).policies.default.unattested


@pytest.mark.parametrize("name", ["attestation.toml", "maker.pem", "status.json"])
def test_what_others_may_write_is_said_at_the_start(room, name):
    """Whoever writes a root or the rules says which devices are genuine."""

    def said():
        with structlog.testing.capture_logs() as lines:
            open_office(load(room), now=lambda: AT)
        return [line["where"] for line in lines if "others may write this" in line["event"]]

    for mode in (0o600, 0o644):
        (room / name).chmod(mode)
        assert said() == []
    for mode in (0o620, 0o646):
        (room / name).chmod(mode)
        assert said() == [str(room / name)]


def test_the_revocation_list_is_read_again_while_the_server_runs(room):
    attestation = opened(room)
    listed = room / "status.json"
    listed.write_text(json.dumps({"entries": {"abc": {"status": "REVOKED"}}}))
    os.utime(listed, (AT, AT + 5))
    assert attestation.believed(AT + LOOK_AGAIN - 1).revoked.serials == {}
    assert attestation.believed(AT + LOOK_AGAIN).revoked.serials == {"abc": "REVOKED"}
    listed.write_text(json.dumps({"entries": {}, "fetched": AT + 9 * DAY}))
    os.utime(listed, (AT, AT + 90))
    with structlog.testing.capture_logs() as lines:
        assert attestation.believed(AT + 2 * LOOK_AGAIN).revoked.serials == {"abc": "REVOKED"}
    assert [line["log_level"] for line in lines] == ["warning"]  # of the future: it would never grow old
    listed.write_text("half a li")
    os.utime(listed, (AT, AT + 500))
    with structlog.testing.capture_logs() as lines:
        kept = attestation.believed(AT + 3 * LOOK_AGAIN).revoked
    assert kept.serials == {"abc": "REVOKED"}
    assert [line["log_level"] for line in lines] == ["warning"]
    listed.unlink()
    assert attestation.believed(AT + 5 * LOOK_AGAIN).revoked.fetched == AT + 5  # and grows too old to count


class Vault:
    """A vault whose MACs depend on everything."""

    def mac(self, data):
        return hashlib.sha256(b"key" + data).digest()


# TPMT_PUBLIC of an ECC key whose point is the generator of P-256
EK = bytes.fromhex(
    "0023000b000300b200000006008000430010000300100020"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2960020"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
KNOWN = Known(
    kind=Kind.TPM,
    key=b"ak",
    ek=EK,
    counter=7,
    clock=TpmClock(clock=2**63 + 1, reset_count=4, restart_count=5, safe=True),
    level=Level.HARDWARE,
    environment="production",
    app_ids=("a", "b"),
    category=4,
    stand_in=True,
)


def test_what_is_remembered_comes_back_whole():
    row = remembered.first(Vault(), "dev_1", KNOWN, at=AT, policy="aa", revision=3)
    assert remembered.read(Vault(), row) == KNOWN
    bare = Known(Kind.APP_ATTEST, b"key")
    moved = remembered.later(Vault(), row, bare, at=AT + 9, policy="bb")
    assert (moved.revision, moved.attested, moved.verified, moved.policy) == (4, AT, AT + 9, "bb")
    assert remembered.read(Vault(), moved) == bare


@pytest.mark.parametrize(
    "change",
    [{"device": "dev_2"}, {"kind": "app-attest"}, {"known": "{}"}, {"revision": 9}, {"attested": 1}, {"verified": 1},
     {"policy": "bb"}, {"hardware": bytes(32)}, {"mac": bytes(32)}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_no_field_of_what_is_remembered_can_be_written_without_the_vault(change):
    row = remembered.first(Vault(), "dev_1", KNOWN, at=AT, policy="aa", revision=3)
    assert remembered.read(Vault(), dataclasses.replace(row, **change)) is None
