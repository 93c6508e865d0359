"""G06: what a proxy does to the HTTP around a message: headers, proofs in them, methods, status, objects."""

import json
import os
from collections import Counter
from dataclasses import replace

import pytest

from attacks.proxying import Scene, Sent, check_whole, close_jws, edits, flips, open_jws, remembered, render
from strongroom.canonical import from_base64url
from strongroom.edge import links
from strongroom.errors import Code, StrongroomError, UnreachableError
from strongroom.transport import Response
from strongroom_in_memory import Street

POSTS = ("/v1/challenges", "/v1/releases")
HARMLESS = {"Accept", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "Host", "Accept-Language", "Cookie"}


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(links, "PAUSE", 0)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nobody cuts the power here
    with Street(tmp_path, patient=True) as street:
        scene = Scene(street)
        scene.phone.pull("digits")
        scene.publish("digits", "1.1")
        scene.tablet.pull("digits")
        scene.save()
        yield scene


def tried(scene, kind, edit):
    """Pull with one thing done to the messages of a kind; say what came of it, and see that nothing is wrong."""
    scene.back()
    scene.honest()
    books, before = scene.books(), remembered(scene.phone)
    edit(scene.proxy, kind)
    code = None
    try:
        scene.phone.pull("digits")
    except StrongroomError as error:
        code = error.code
        assert code not in {Code.INTERNAL, Code.STORE_DAMAGED}
    scene.honest()
    now = scene.books()
    if code is None:
        assert [one.version for one in scene.phone.store.need().installs] == ["1.1"]
        assert len(now["leases"]) == len(books["leases"]) + 1
        check_whole(scene.phone, scene.street.folder / "phone")
        return "no effect"
    assert remembered(scene.phone) == before
    return "refused"


def on_requests(change):
    def edit(proxy, kind):
        proxy.on_request = lambda sent: change(sent) if sent.kind == kind else sent

    return edit


def on_answers(change):
    def edit(proxy, kind):
        proxy.on_answer = lambda sent, answer: change(answer) if sent.kind == kind else answer

    return edit


def with_header(name, value):
    def change(sent: Sent) -> Sent:
        headers = {key: one for key, one in sent.headers.items() if key != name}
        return replace(sent, headers=headers if value is None else headers | {name: value(sent)})

    return on_requests(change)


def headers_of(scene):
    """Every edit of a request's headers: which header, and the edit."""
    theirs = next(sent for sent, _ in scene.other.seen if sent.kind == "/v1/releases").headers
    mine = next(sent for sent, _ in scene.proxy.seen if sent.kind == "/v1/releases").headers
    for name in ("Authorization", "DPoP"):
        yield name, with_header(name, None)
        yield name, with_header(name, lambda _: "")
        yield name, with_header(name, lambda _, name=name: theirs[name])
        yield name, with_header(name, lambda sent, name=name: f"{sent.headers[name]}, {sent.headers[name]}")
        for index in range(3):
            yield name, with_header(name, lambda sent, name=name, at=index: [*flips(sent.headers[name], (0, 2, 4))][at])
    yield "DPoP", with_header("DPoP", lambda _: mine["DPoP"])  # of another time, which was used
    yield (
        "Authorization",
        with_header("Authorization", lambda sent: sent.headers["Authorization"].replace("DPoP", "Bearer")),
    )
    yield "Content-Type", with_header("Content-Type", None)
    yield "Content-Type", with_header("Content-Type", lambda _: "text/plain")
    yield "Content-Encoding", with_header("Content-Encoding", lambda _: "gzip")
    for name in sorted(HARMLESS):
        yield name, with_header(name, lambda _: "elsewhere.example")


@pytest.mark.slow
@pytest.mark.parametrize("kind", POSTS)
def test_every_header_of_a_request(scene, kind):
    """G06, B03, B13, E19: credentials and proofs are refused; what is not looked at changes nothing."""
    outcomes: Counter[str] = Counter()
    for name, edit in headers_of(scene):
        outcome = tried(scene, kind, edit)
        assert (outcome == "no effect") == (name in HARMLESS), name
        outcomes[outcome] += 1
    assert outcomes["no effect"] == len(HARMLESS)
    assert outcomes["refused"] >= 18


@pytest.mark.slow
def test_every_field_of_a_proof_of_possession(scene):
    """G06, B12, B13: header and payload of the DPoP proof, each field in turn; none is taken."""
    theirs = [open_dpop(sent.headers["DPoP"]) for sent, _ in scene.other.seen if sent.kind == "/v1/releases"]
    mine = next(sent.headers["DPoP"] for sent, _ in scene.proxy.seen if sent.kind == "/v1/releases")
    count = sum(1 for _ in edits(open_dpop(mine), theirs[:1]))
    outcomes: Counter[str] = Counter()
    for index in range(count):

        def change(sent, index=index):
            parts = open_dpop(sent.headers["DPoP"])
            _, _, make = [*edits(parts, theirs[:1])][index]
            made = make()
            if len(made) != 3 or not isinstance(made[2], str):
                return "not.a.proof"
            return close_jws(made)

        outcomes[tried(scene, "/v1/releases", with_header("DPoP", change))] += 1
    assert outcomes["no effect"] == 0
    assert outcomes["refused"] == count > 3 * 8  # alg, jwk, typ, ath, htm, htu, iat, jti


def open_dpop(text):
    return open_jws(text) or [json.loads(from_base64url(part)) for part in text.split(".")[:2]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["/v1/trust", *POSTS, "/o"])
def test_other_methods_and_statuses(scene, kind):
    """G06: a method or a status that the message does not have, with everything else as it was."""
    for method in ("PUT", "DELETE", "PATCH", "HEAD"):
        assert tried(scene, kind, on_requests(lambda sent, method=method: replace(sent, method=method))) == "refused"
    for status in (204, 301, 307, 400, 401, 403, 404, 409, 416, 429, 500, 503):
        edit = on_answers(lambda answer, status=status: replace(answer, status=status))
        assert tried(scene, kind, edit) == "refused", status


PROBLEM = ("type", "title", "status", "code", "instance")


@pytest.mark.slow
def test_every_field_of_a_refusal(scene):
    """G06, B10: a problem may say anything: it stays a refusal, with one of the codes there are and no strange sign."""
    seen: list[Response] = []
    scene.proxy.on_answer = lambda sent, answer: seen.append(answer) or answer
    with pytest.raises(StrongroomError):
        scene.phone.pull("nothing")
    (refusal,) = [answer for answer in seen if answer.status == 404]
    value, others = json.loads(refusal.body), [json.loads(b'{"code":"internal","instance":"ref_1","status":500}')]
    assert set(value) == set(PROBLEM)
    bodies = [render(make()) for _, _, make in edits(value, others)]
    bodies += [b"", b"{", b"null", b"[]", b"\xff" * 100, b"[" * 50_000, refusal.body[:-1], b"<Error/>"]
    assert len(bodies) > 3 * len(PROBLEM)
    before = remembered(scene.phone)
    for body in bodies:
        edit = on_answers(lambda answer, body=body: replace(answer, body=body) if answer.status == 404 else answer)
        edit(scene.proxy, "/v1/releases")
        with pytest.raises(StrongroomError) as caught:
            scene.phone.pull("nothing")
        assert caught.value.code in set(Code) - {Code.INTERNAL}
        assert str(caught.value).isprintable()
        assert remembered(scene.phone) == before


@pytest.mark.slow
def test_every_range_of_an_object(scene):
    """G06, B20, B22, C18: preamble, head part and segments, each altered, cut, lengthened, doubled, or another's."""
    theirs = [answer.body for sent, answer in scene.other.seen if sent.kind == "/o"]
    ranges: list[bytes] = []
    scene.proxy.on_answer = lambda sent, answer: (ranges.append(answer.body) if sent.kind == "/o" else None) or answer
    scene.phone.pull("digits")
    assert len(ranges) >= 3
    outcomes: Counter[str] = Counter()
    for index, data in enumerate(ranges):
        changed = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in {0, len(data) // 2, len(data) - 1}]
        changed += [data[:-1], data[1:], data + b"\0", data * 2, b"", bytes(len(data))]
        changed += [one for one in theirs[:3] if one != data]  # the version before, at the same places
        for body in changed:
            passed: list[int] = []

            def change(answer, index=index, body=body, passed=passed):
                passed.append(1)
                return replace(answer, body=body) if len(passed) > index else answer

            outcomes[tried(scene, "/o", on_answers(change))] += 1
    assert outcomes["no effect"] == 0
    assert outcomes["refused"] >= 9 * len(ranges)


def test_a_line_that_is_cut_is_no_answer(scene):
    """G06, B21: every message lost, the first time: nothing is left, and the next pull has all of it."""
    for kind in ("/v1/trust", *POSTS, "/o"):

        def cut(sent, on, kind=kind):
            if sent.kind == kind:
                raise UnreachableError(Code.UNREACHABLE, "the connection broke")
            return on(sent)

        def edit(proxy, _, cut=cut):
            proxy.carry = cut

        assert tried(scene, kind, edit) == "refused"
    assert scene.phone.pull("digits").version == "1.1"
