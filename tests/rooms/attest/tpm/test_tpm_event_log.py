"""Event logs: replayed to the registers where they fit, and never more than an explanation (R82)."""

import hashlib

import pytest

from strongroom.attest.tpm import explain
from strongroom.attest.tpm.eventlog import MOST_EVENTS, parse, replay
from strongroom.errors import Code, IntegrityError

NO_ACTION, SEPARATOR, POST_CODE = 3, 4, 1


def n(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little")


def sized(data: bytes) -> bytes:
    return n(len(data)) + data


def start(*banks: tuple[int, int], first: bytes = b"") -> bytes:
    """The first event of a log with several banks: (algorithm, size of a digest)."""
    data = b"Spec ID Event03\0" + n(0) + bytes([0, 2, 0, 2]) + n(len(banks))
    data += b"".join(n(alg, 2) + n(size, 2) for alg, size in banks) + b"\0"
    return n(0) + n(NO_ACTION) + bytes(20) + sized(data) + first


def event(register: int, kind: int, digests: dict[int, bytes], data: bytes = b"") -> bytes:
    body = b"".join(n(alg, 2) + digest for alg, digest in digests.items())
    return n(register) + n(kind) + n(len(digests)) + body + sized(data)


def measured(register: int, kind: int, data: bytes) -> bytes:
    digests = {11: hashlib.sha256(data).digest(), 12: hashlib.sha384(data).digest()}
    return event(register, kind, digests, data)


def extended(name: str, *data: bytes, first: bytes = b"") -> bytes:
    size = hashlib.new(name).digest_size
    value = first.rjust(size, b"\0")
    for one in data:
        value = hashlib.new(name, value + hashlib.new(name, one).digest()).digest()
    return value


BANKS = start((11, 32), (12, 48))
LOG = BANKS + measured(0, POST_CODE, b"one") + measured(7, SEPARATOR, bytes(4)) + measured(0, SEPARATOR, bytes(4))


@pytest.mark.parametrize("bank", ["sha256", "sha384"])
def test_a_log_replays_to_the_registers(bank):
    registers = {0: extended(bank, b"one", bytes(4)), 7: extended(bank, bytes(4)), 9: extended(bank)}
    assert replay(parse(LOG), bank) == {0: registers[0], 7: registers[7]}
    explained = explain(LOG, {bank: registers})
    assert [(one.register, one.agrees, len(one.events)) for one in explained] == [
        (0, True, 2),
        (7, True, 1),
        (9, True, 0),
    ]
    assert [one.kind for one in explained[0].events] == ["EV_POST_CODE", "EV_SEPARATOR"]
    assert explained[0].events[0].data == b"one"


def test_what_a_log_does_not_account_for_is_said():
    wrong = explain(LOG, {"sha256": {7: bytes(32)}})[0]
    assert (wrong.agrees, wrong.replayed) == (False, extended("sha256", bytes(4)))
    no_bank = explain(LOG, {"sha512": {7: bytes(64)}})[0]
    assert (no_bank.agrees, no_bank.replayed) == (False, None)


def test_what_was_only_said_was_not_measured():
    said = event(0, NO_ACTION, {11: bytes(32), 12: bytes(48)}, b"something")
    assert replay(parse(BANKS + said + measured(0, POST_CODE, b"one")), "sha256") == {0: extended("sha256", b"one")}


@pytest.mark.parametrize("bank", ["sha256", "sha384"])
@pytest.mark.parametrize("locality", [3, 4])
def test_register_0_begins_with_the_locality_that_started_the_tpm(bank, locality):
    said = event(0, NO_ACTION, {11: bytes(32), 12: bytes(48)}, b"StartupLocality\0" + bytes([locality]))
    found = replay(parse(BANKS + said + measured(0, POST_CODE, b"one")), bank)
    assert found == {0: extended(bank, b"one", first=bytes([locality]))}


def test_a_locality_takes_away_nothing_that_was_measured():
    """I04: a log that shows events which no register holds must not agree with the registers."""
    said = event(0, NO_ACTION, {11: bytes(32), 12: bytes(48)}, b"StartupLocality\0\3")
    held = {0: extended("sha256", b"one", first=b"\3")}
    for shown in (
        measured(0, POST_CODE, b"never measured") + said,
        said + event(0, NO_ACTION, {}, b"StartupLocality\0\4"),
    ):
        log = BANKS + shown + measured(0, POST_CODE, b"one")
        assert explain(log, {"sha256": held})[0].agrees == (b"never" not in log)


def test_a_log_of_the_older_format_has_sha1_alone():
    old = n(4) + n(POST_CODE) + hashlib.sha1(b"x", usedforsecurity=False).digest() + sized(b"x")
    events = parse(old + old)
    assert [(one.register, one.data, set(one.digests)) for one in events] == [(4, b"x", {"sha1"})] * 2
    assert explain(old, {"sha256": {4: bytes(32)}})[0].replayed is None


@pytest.mark.parametrize(
    "log",
    [
        b"",
        start(),
        start((11, 20)),
        start((0x99, 65)),
        BANKS + event(0, POST_CODE, {13: bytes(64)}),
        BANKS + n(0) + n(POST_CODE) + n(3) + bytes(200),
        BANKS + measured(0, POST_CODE, b"")[:-4] + n(2**32 - 1),
        BANKS + event(0, POST_CODE, {}) * (MOST_EVENTS + 1),
        n(0) + n(1) + bytes(20) + n(0) + bytes(31),
    ],
)
def test_what_is_no_log_is_refused(log):
    with pytest.raises(IntegrityError) as caught:
        explain(log, {})
    assert caught.value.code == Code.SHAPE


def test_every_cut_is_refused_or_ends_between_two_events():
    ends = [len(BANKS), len(BANKS) + len(measured(0, POST_CODE, b"one"))]
    ends += [len(LOG) - len(measured(0, SEPARATOR, bytes(4))), len(LOG)]
    whole = 0
    for size in range(len(LOG) + 1):
        try:
            parse(LOG[:size])
        except IntegrityError:
            continue
        assert size in ends
        whole += 1
    assert whole == len(ends)
