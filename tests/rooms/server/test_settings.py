"""Settings: where each comes from, and that every mistake is named with its place."""

import pytest

from strongroom.errors import Code, SetupError
from strongroom.server.policy import Policy
from strongroom.server.settings import Settings, load


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STRONGROOM_{name.upper()}", raising=False)
    monkeypatch.delenv("STRONGROOM_CONFIG", raising=False)

    def write(text=""):
        (tmp_path / "strongroom.toml").write_text(text)
        return tmp_path

    return write


def _refused(*args, **flags):
    with pytest.raises(SetupError) as caught:
        load(*args, **flags)
    assert caught.value.next_step
    return caught.value


def test_flag_over_environment_over_file_over_default(room, monkeypatch):
    folder = room('device_port = 1\nadmin_port = 1\nurl_seconds = 1\n# a comment\nlog_level = "error"\n')
    monkeypatch.setenv("STRONGROOM_DEVICE_PORT", "2")
    monkeypatch.setenv("STRONGROOM_ADMIN_PORT", "2")
    settings = load(folder, device_port=3, admin_port=None)
    assert (settings.device_port, settings.admin_port, settings.url_seconds) == (3, 2, 1)
    assert settings.challenge_seconds == 60
    origins = settings.origins()
    assert origins["device_port"].origin == "flag"
    assert origins["admin_port"].origin == "STRONGROOM_ADMIN_PORT"
    assert origins["url_seconds"].origin == f"{folder}/strongroom.toml line 3"
    assert origins["log_level"].origin == f"{folder}/strongroom.toml line 5"
    assert origins["challenge_seconds"].origin == "default"
    assert origins["url_seconds"].value == "1"
    assert origins.keys() == Settings.model_fields.keys()


def test_the_file_is_found_by_directory_by_name_by_variable_and_here(room, monkeypatch):
    folder = room("device_port = 7\n")
    monkeypatch.setenv("STRONGROOM_CONFIG", str(folder))
    assert load(folder).device_port == load(folder / "strongroom.toml").device_port == load().device_port == 7
    monkeypatch.delenv("STRONGROOM_CONFIG")
    monkeypatch.chdir(folder)
    settings = load()
    assert settings.directory == folder
    assert settings.resolve(settings.trust) == folder / "trust.json"


def test_defaults_are_the_policys(room):
    assert load(room()).policy() == Policy()


def test_an_unknown_setting_is_named_with_its_line(room):
    error = _refused(room("device_port = 1\n\nverify_signatures = false\n"))
    assert error.code == Code.CONFIG
    assert error.where.endswith("strongroom.toml line 3")
    assert "verify_signatures" in error.what


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("device_port = 70000", 1),
        ('\nurl_seconds = "many"', 2),
        ("url_seconds = 301", 1),
        ("url_seconds = 0", 1),
        ("user_token_seconds = 604801", 1),
        ('log_level = "loud"', 1),
        ('public_url = "http://h"', 1),
        ('public_url = "https://h/path"', 1),
        ('public_url = "https://H"', 1),
        ("device_port = ", 1),
        ("a = 1\na = 2", 2),
        ("[device]\nport = 1", 1),
        ("\x00", 1),
    ],
)
def test_every_wrong_value_is_named_with_its_line(room, text, line):
    """R71: more than 300 seconds cannot be set."""
    error = _refused(room(text))
    assert error.code == Code.CONFIG
    assert error.where.endswith(f"strongroom.toml line {line}")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("lease_seconds = true", "lease_seconds is not a whole number from 1 to 31622400"),
        ("lease_seconds = 60.0", "lease_seconds is not a whole number from 1 to 31622400"),
        ('lease_seconds = "60"', "lease_seconds is not a whole number from 1 to 31622400"),
        ("url_seconds = 301", "url_seconds is not a whole number from 1 to 300"),
        ("device_port = -1", "device_port is not a whole number from 0 to 65535"),
        ("objects = 5", "objects is not text in quotation marks"),
        ('key_file = ["a"]', "key_file is not text in quotation marks"),
        ("device_host = 1979-05-27", "device_host is not text in quotation marks"),
        ('log_level = "loud"', "log_level is not one of debug, info, warning, error"),
        ('admin_url = "http://h"', "admin_url is not https://HOST or https://HOST:PORT in lower case, without a path"),
        ("port = 1\nport = 2", "'port' is set twice"),
    ],
)
def test_a_mistake_is_told_in_plain_words(room, text, what):
    assert _refused(room(text)).what == what


def test_every_setting_has_a_rule_in_words(room):
    for name in Settings.model_fields:
        error = _refused(room(f"{name} = [1]"))
        assert error.what.startswith(f"{name} is not ")
        assert error.where.endswith("strongroom.toml line 1")


def test_a_misspelt_variable_is_told(room, monkeypatch):
    """A shorter lease that is never in force would only be found out when it is needed."""
    folder = room()
    assert load(folder).unknown_variables() == ()
    for name in ("HOME", "TOKEN", "TOKEN_FILE", "TRACE", "DIR", "CONFIG", "ADMIN_TOKEN", "ADMIN_URL", "TRUST"):
        monkeypatch.setenv(f"STRONGROOM_{name}", "https://h" if name == "ADMIN_URL" else "x")
    assert load(folder).unknown_variables() == ()
    monkeypatch.setenv("STRONGROOM_LEASE_SECOND", "60")
    monkeypatch.setenv("STRONGROOM_PORT_8443_TCP", "tcp://10.0.0.1:8443")
    assert load(folder).unknown_variables() == (
        "STRONGROOM_LEASE_SECOND has no effect: no setting has this name; is STRONGROOM_LEASE_SECONDS meant?",
        "STRONGROOM_PORT_8443_TCP has no effect: no setting has this name",
    )


def test_a_wrong_variable_is_named(room, monkeypatch):
    monkeypatch.setenv("STRONGROOM_URL_SECONDS", "86400")
    error = _refused(room())
    assert (error.code, error.where) == (Code.CONFIG, "STRONGROOM_URL_SECONDS")


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"#" * 70_000, b"x = " + b"[" * 10_000], ids=["no text", "large", "deep"]
)
def test_a_file_that_is_none_is_refused(room, data):
    folder = room()
    (folder / "strongroom.toml").write_bytes(data)
    assert _refused(folder).code == Code.CONFIG


def test_no_file_no_strongroom(tmp_path):
    for path in (tmp_path, tmp_path / "gone", tmp_path / "gone" / "strongroom.toml"):
        error = _refused(path)
        assert error.code == Code.NOT_INITIALISED
        assert "strongroom init" in error.next_step


def test_settings_are_frozen_and_show_no_password(room):
    settings = load(room('database = "postgresql+psycopg://strongroom:hunter2@db/strongroom"\n'))
    with pytest.raises(ValueError, match="frozen"):
        settings.url_seconds = 1
    assert "hunter2" not in settings.origins()["database"].value


def test_no_setting_turns_a_check_off():
    """Every boolean would be a switch; there is none."""
    assert not [name for name, one in Settings.model_fields.items() if one.annotation is bool]
    words = ("verify", "check", "skip", "insecure", "disable", "allow", "debug_")
    assert not [name for name in Settings.model_fields if name.startswith(words)]
