"""The device's story against an office in memory: enrol, pull, load, update, renew."""

import os
from types import SimpleNamespace

import pytest

from rooms.edge.memory_office import DAY, weights
from strongroom.edge.links import Links
from strongroom.errors import Code, DeniedError, InputError, RefusedError, SetupError, UnreachableError

WEIGHTS = weights(1)


def test_the_whole_story(device):
    """R36, R39, R45 to R49: enrol, ask, fetch, re-seal, open, and nothing left open afterwards."""
    room = device.room()
    with room.load("digits@stable") as model:
        assert model.files == ("weights.bin", "labels/names.txt")
        assert model.file("weights.bin") == WEIGHTS
        kept = model.file("labels/names.txt")
        assert bytes(kept) == b"one\ntwo"
        assert kept.readonly
        assert (model.name, model.version, model.format) == ("digits", "1.0", None)
    with pytest.raises(ValueError, match="released"):
        bytes(kept)
    with pytest.raises(InputError) as caught:
        model.file("weights.bin")
    assert caught.value.code == Code.CLOSED


def test_opens_offline_within_its_lease(device, office):
    """R24, R25: what is installed opens without a line until the lease is over."""
    device.room().pull("digits")
    office.down = True
    device.later(2 * DAY)
    with device.room().load("digits") as model:
        assert model.file("weights.bin") == WEIGHTS
    assert len(office.ephemerals) == 1


def test_a_lease_that_is_over_is_renewed_without_fetching(device, office):
    room = device.room()
    room.pull("digits")
    fetched = len(office.ranges)
    device.later(4 * DAY)
    with room.load("digits") as model:
        assert model.file("weights.bin") == WEIGHTS
        assert model.lease_expires == office.now + 7 * DAY
    assert len(office.ranges) == fetched
    assert len(office.ephemerals) == 2
    assert office.ephemerals[0] != office.ephemerals[1]


def test_a_lease_that_is_over_refuses_offline(device, office):
    """C19, A11: offline for the lease's length it runs, a second longer it does not."""
    room = device.room()
    room.pull("digits")
    office.down = True
    device.later(3 * DAY - 1)
    with room.load("digits"):
        pass
    device.later(1)
    with pytest.raises(RefusedError) as caught, room.load("digits"):
        pass
    assert caught.value.code == Code.LEASE_EXPIRED
    assert "strongroom pull digits@stable" in caught.value.next_step


def test_an_update_replaces_and_removes_the_old(device, office):
    room = device.room()
    first = room.pull("digits")
    assert first.fetched
    assert first.version == "1.0"
    new = os.urandom(100_000)
    office.publish("digits", "1.1", {"weights.bin": new}, counter=2)
    again = room.pull("digits")
    assert (again.version, again.fetched) == ("1.1", True)
    with room.load("digits", offline="only") as model:
        assert model.bytes() == new
    assert device.counts() == (1, 1, 0)


def test_two_channels_share_one_version(device, office):
    office.channels["digits", "beta"] = "1.0"
    room = device.room()
    room.pull("digits@stable")
    reads = len(office.ranges)
    assert not room.pull("digits@beta").fetched
    assert len(office.ranges) == reads
    office.down = True
    for reference in ("digits", "digits@beta", "digits@1.0"):
        with room.load(reference) as model:
            assert model.version == "1.0"


def test_several_files_become_active_together(device, office):
    office.publish("pair", "1.0", {"a.bin": b"A" * 10}, {"b.bin": b"B" * 2_000_000, "empty": b""}, counter=1)
    with device.room().load("pair") as model:
        assert model.files == ("a.bin", "b.bin", "empty")
        assert bytes(model.file("a.bin")) == b"A" * 10
        assert model.file("b.bin") == b"B" * 2_000_000
        assert model.file("empty") == b""
        with pytest.raises(InputError):
            model.bytes()


def test_links_that_are_over_are_renewed(device, office):
    """R70, R71: a download longer than its links asks for fresh ones, not for new keys."""
    office.link_reads = 3
    room = device.room()
    room.pull("digits")
    assert office.renewals >= 1
    assert len(office.ephemerals) == 1
    with room.load("digits") as model:
        assert model.file("weights.bin") == WEIGHTS


def test_a_broken_connection_is_tried_again(device, office):
    room = device.room()
    office.broken_reads = 2
    room.pull("digits")
    office.broken_reads = 1000
    with pytest.raises(UnreachableError):
        room.pull("digits", fresh=True)
    with room.load("digits") as model:
        assert model.version == "1.0"


def test_a_broken_connection_after_fresh_links_is_tried_again_too():
    """A renewal uses up no try: the network may break right after it."""
    over, broke = RefusedError(Code.URL_EXPIRED, "over"), UnreachableError(Code.UNREACHABLE, "the connection broke")
    answers: list[bytes | Exception] = [broke, over, broke, b"data"]

    def read_range(url: str, offset: int, length: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    links = Links(SimpleNamespace(read_range=read_range), ("old",), lambda: ("fresh",))
    assert links.read(0, 0, 4) == b"data"
    answers += [over, over]
    with pytest.raises(RefusedError):
        links.read(0, 0, 4)
    answers += [broke, broke, broke]
    with pytest.raises(UnreachableError):
        links.read(0, 0, 4)
    assert not answers


def test_an_office_that_serves_no_fresh_link_is_asked_once(device, office):
    """One renewal a range: an office that always says "over" does not keep a device busy for ever."""
    office.link_reads = 0
    with pytest.raises(RefusedError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.URL_EXPIRED
    assert office.renewals == 1


def test_progress_counts_every_byte(device, office):
    seen = []
    device.room().pull("digits", lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == office.models["digits"]["1.0"].heads[0].file_size


def test_not_enrolled_and_not_entitled(device, office):
    room = device.room(token=None)
    with pytest.raises(SetupError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.NOT_ENROLLED
    room.enrol("user.token.text")
    office.entitled = False
    with pytest.raises(DeniedError) as denied:
        room.pull("digits")
    assert denied.value.code == Code.NOT_FOUND
    assert device.counts() == (0, 0, 0)


def test_enrolling_again_keeps_the_identity(device):
    room = device.room()
    first = room.identity
    assert room.enrol("user.token.text").id == first.id
    assert "token" not in repr(first).replace("Identity", "")


def test_another_server_than_trust_names_is_refused(device):
    with pytest.raises(InputError) as caught:
        device.room(url="https://elsewhere.test")
    assert "https://office.test:8443" in caught.value.next_step


def test_no_trust_document(tmp_path):
    from strongroom import connect

    with pytest.raises(SetupError) as caught:
        connect(home=tmp_path / "device")
    assert caught.value.code == Code.CONFIG
    with pytest.raises(InputError):
        connect(home=tmp_path / "device", trust=tmp_path / "absent.json")


@pytest.mark.parametrize("text", ["../x", "digits@../../etc", "", "digits@", "DIGITS", "digits@stable/x", "a" * 99])
def test_a_bad_reference_touches_nothing(device, text):
    room = device.room()
    before = sorted(device.home.iterdir())
    for call in (lambda: room.pull(text), lambda: room.load(text).__enter__()):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == Code.NAME
    assert sorted(device.home.iterdir()) == before


def test_trust_is_followed_when_it_has_expired(device, office):
    """R21: expired trust takes no new grants; a newer document, signed by the owners, is followed by itself."""
    room = device.room()
    room.pull("digits")
    device.later(366 * DAY)
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.TRUST_EXPIRED
    office.new_trust(expires=office.now + 365 * DAY)
    office.new_trust(expires=office.now + 366 * DAY)
    room.pull("digits")
    assert room.trust.version == 3
    assert device.room().trust.version == 3
