"""The way to the office: its address, the token, and what answers there."""

import pytest

from strongroom.errors import Code, InputError, UnreachableError
from strongroom.operator import OfficeClient
from strongroom.operator.office import check_address
from strongroom.transport import Response


@pytest.mark.parametrize("token", ["token", "token\n", " token\r\n", "\ttoken "])
def test_white_space_around_a_token_is_dropped(make_trust, token):
    assert OfficeClient.connect("https://desk", token=token, trust=make_trust()).token == "token"


@pytest.mark.parametrize(
    "token", ["", "\n", "s3cret token", "s3cret\r\nX: y", "s3cret\x00", "s3cr\u00e9t", "s" * 20_000]
)
def test_what_is_no_token_is_refused_without_quoting_it(make_trust, token):
    with pytest.raises(InputError) as caught:
        OfficeClient.connect("https://desk", token=token, trust=make_trust())
    assert caught.value.code == Code.ARGUMENT
    assert "s3c" not in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize("url", ["https://ada:s3cret@desk", "https://s3cret@desk:1", "http://s3cret@desk", "s3cret@"])
def test_names_and_passwords_in_an_address_are_refused_and_not_repeated(make_trust, url):
    with pytest.raises(InputError) as caught:
        OfficeClient.connect(url, token="t", trust=make_trust())
    assert "s3cret" not in str(caught.value)
    assert "https://host:port" in caught.value.next_step


@pytest.mark.parametrize(
    "url",
    ["", "desk", "http://desk", "https://", "https://desk:0", "https://desk:65536", "https://desk:x", "https://d k"],
)
def test_bad_addresses(url):
    with pytest.raises(InputError) as caught:
        check_address(url)
    assert caught.value.code == Code.ARGUMENT
    assert "https://host:port" in caught.value.next_step


def test_good_addresses():
    for url in ("https://desk", "https://desk:8444", "https://[::1]:8444", "https://127.0.0.1:1/prefix"):
        assert check_address(url) == url


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"code":"not-found","status":404}'], ids=["none", "html", "device"])
def test_something_else_answers(office, desk, status, body):
    """The device API, or anything else under a pinned name: it does not explain itself as an office does."""
    desk.refusals["GET /v1/deposit-context"] = Response(status, {}, body)
    with pytest.raises(UnreachableError) as caught:
        office.get("deposit-context")
    assert "not the admin API of a strongroom" in caught.value.what
    assert "--admin-url" in caught.value.next_step
