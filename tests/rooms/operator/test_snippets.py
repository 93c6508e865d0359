"""R96: code to plant can be read by the compiler it is for, names the decoy, and does nothing by itself."""

import json
import shutil
import subprocess

import pytest

from strongroom.errors import InputError
from strongroom.operator.snippets import ENDINGS, LANGUAGES, snippet

SHOWS = {
    "endpoint": {"method": "POST", "path": "/v1/models/{model}/export", "url": "https://a/v1"},
    "token": {"token": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3JfQSJ9.c2ln"},
    "key": {"lease_id": "lse_AAAAAAAAAAAAAAAAAAAAAA", "release_id": "rel_AAAAAAAAAAAAAAAAAAAAAA", "key": "0f" * 32},
    "model": {"model": "digits-full"},
    "canary": {"url": 'https://rooms.test/o/00ff?expires=1&signature=$a\\(b"c'},
    "field": {"field": "is_staff"},
}
NAMES = {"token": "device ci", "model": "digits-full", "field": "is_staff"}
EVERY = [(language, kind) for language in LANGUAGES for kind in SHOWS]


def _made(language: str, kind: str) -> str:
    return snippet(language, kind, NAMES.get(kind, "x"), SHOWS[kind])


@pytest.mark.parametrize(("language", "kind"), EVERY)
def test_brackets_and_quotes_are_whole(language, kind):
    """A reader of all five languages: texts in double quotes with backslashes, comments, brackets that match."""
    code, depth, at = _made(language, kind), [], 0
    pairs = {")": "(", "]": "[", "}": "{"}
    while at < len(code):
        sign = code[at]
        if code.startswith('"""', at):
            at = code.index('"""', at + 3) + 3
            continue
        if code.startswith("//", at):
            at = code.index("\n", at)
            continue
        if sign == '"':
            at += 1
            while code[at] != '"':
                assert code[at] != "\n"
                at += 2 if code[at] == "\\" else 1
        elif sign in "([{":
            depth.append(sign)
        elif sign in pairs:
            assert depth.pop() == pairs[sign]
        at += 1
    assert not depth
    assert "$" not in code.replace("\\$", "") or kind == "canary"


@pytest.mark.parametrize("kind", SHOWS)
def test_python_compiles_and_asks_for_the_decoy(kind):
    names: dict = {}
    exec(compile(_made("python", kind), "planted.py", "exec"), names)  # noqa: S102 - it is our own, and does nothing
    (function,) = (one for name, one in names.items() if callable(one) and not name.startswith("_"))
    sent: list = []
    function(lambda method, target, headers, body: sent.append((method, target, headers, body)))
    ((method, target, headers, body),) = sent
    thing = {"endpoint": "/export", "token": "eyJ", "key": "rel_A", "canary": SHOWS["canary"]["url"]}
    assert thing.get(kind, NAMES.get(kind, "")) in f"{target} {headers} {body}"
    assert method in {"GET", "POST"}
    assert not body or json.loads(body) is not None


@pytest.mark.parametrize("kind", SHOWS)
def test_javascript_parses(kind, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not there: apt-get install nodejs")
    (tmp_path / "planted.mjs").write_text(_made("javascript", kind), encoding="utf-8")
    assert subprocess.run([node, "--check", str(tmp_path / "planted.mjs")], check=False).returncode == 0


def test_a_dollar_is_no_template_in_kotlin():
    assert "=\\$a" in _made("kotlin", "canary")


def test_what_cannot_be_written_is_refused():
    with pytest.raises(InputError):
        snippet("cobol", "token", "device ci", SHOWS["token"])
    with pytest.raises(InputError):
        snippet("python", "folder", "x", {})
    with pytest.raises(InputError):
        snippet("python", "canary", "x", {"url": "https://a/\n"})
    assert set(ENDINGS) == set(LANGUAGES)
