from __future__ import annotations

from pathlib import Path

import pytest

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.file import Table
from certpin_watch.rules.engine import check_rule
from certpin_watch.secret import Secret, look_up_all, read_secret, resolve
from certpin_watch.settings import ServiceSettings, load, parse_listen


def _load(folder: Path, text: str) -> ServiceSettings:
    path = folder / "watch.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, check_rule)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    settings = _load(tmp_path, "")
    assert settings.listen == ("127.0.0.1", 8460)
    assert settings.pins == (Path("pins.toml"),)
    assert settings.store.reveal() == ServiceSettings().store.reveal() == "sqlite:///watch.db"
    assert settings.folder == tmp_path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = 'pins = ["a.toml", "b/c.toml"]\ntls_certificate = "chain.pem"\ntls_key = "key.pem"\n'
    text += """[access.oidc]
    issuer = "https://id.bank.example"
    client_id = "certpin"
    client_secret = "env:SECRET"
    roles = { staff = "viewer" }
    ca_file = "id.pem"
    """
    settings = _load(tmp_path, text)
    assert settings.pins == (tmp_path / "a.toml", tmp_path / "b" / "c.toml")
    assert settings.tls == (tmp_path / "chain.pem", tmp_path / "key.pem")
    assert settings.access.oidc
    assert settings.access.oidc.ca_file == tmp_path / "id.pem"


def test_each_table_is_read(tmp_path: Path) -> None:
    text = """
    [monitor]
    vantage = "zurich"
    [[alerts.tell]]
    url = "json://127.0.0.1"
    [collector]
    rate = 7
    [access]
    behind_proxy = true
    """
    settings = _load(tmp_path, text)
    assert settings.monitor.location == "zurich"
    assert settings.alerts.tell[0].url.reveal() == "json://127.0.0.1"
    assert settings.collector.rate == 7
    assert settings.access.behind_proxy


@pytest.mark.parametrize(
    ("text", "believed"),
    [
        ("[access]\nbehind_proxy = true\ntrusted_proxies = ['10.0.0.5']", ["10.0.0.5/32"]),
        ("[access]\ntrusted_proxies = ['10.0.0.5']", []),
    ],
)
def test_proxies_are_trusted_only_with_behind_proxy(
    tmp_path: Path, text: str, believed: list[str]
) -> None:
    settings = _load(tmp_path, text)
    assert [str(network) for network in settings.access.believed] == believed


def test_an_empty_public_url_means_that_there_is_none(tmp_path: Path) -> None:
    assert not _load(tmp_path, 'public_url = ""').public_url


def test_the_pages_need_a_separate_host_name(tmp_path: Path) -> None:
    assert _load(tmp_path, 'public_url = "https://watch.bank.example/"').public_url
    with pytest.raises(PinFileError, match="under no path") as caught:
        _load(tmp_path, 'public_url = "https://bank.example/watch"')
    assert "a separate host name" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('listne = "127.0.0.1"', "listne"),
        ("[monitor]\nintervall = '1h'", "monitor.intervall"),
        ("[surprise]\na = 1", "surprise"),
        ("tls_key = 'key.pem'", "tls_key"),
        ("listen = 'a b'", "listen"),
        ("public_url = 'watch.bank.example'", "public_url"),
        ("public_url = 'ftp://watch.bank.example'", "public_url"),
        ("public_url = 'https:///pages'", "public_url"),
        ("public_url = 'https://watch.bank.example:port'", "public_url"),
        ("public_url = 'https://bank.example/watch'", "public_url"),
        ("public_url = 'https://bank.example//watch/'", "public_url"),
        ("public_url = 'https://anna:secret@watch.bank.example'", "public_url"),
        ("store = 5", "store"),
    ],
)
def test_an_error_names_the_key_and_the_line(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(PinFileError) as caught:
        _load(tmp_path, text)
    assert caught.value.key == key
    assert caught.value.line


def test_an_unreadable_or_too_long_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PinFileError, match="cannot be read"):
        load(tmp_path / "watch.toml", check_rule)
    with pytest.raises(PinFileError, match="more than"):
        _load(tmp_path, "#" * (1024 * 1024 + 1))


def test_an_address_without_a_port_gets_the_default_port() -> None:
    assert parse_listen("::1") == ("::1", 8460)
    assert parse_listen("0.0.0.0:80") == ("0.0.0.0", 80)


def test_a_secret_is_not_in_its_text_or_repr() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"


def test_a_secret_is_looked_up_at_its_first_use_and_then_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _load(tmp_path, 'nats = "env:NATS"\n[[alerts.tell]]\nurl = "env:CHAT"\n')
    with pytest.raises(ConfigError) as caught:
        look_up_all(settings)
    assert (caught.value.key, caught.value.fix) == ("nats", "set NATS")
    monkeypatch.setenv("NATS", "nats://127.0.0.1")
    with pytest.raises(ConfigError, match=r"alerts\.tell\[0\]\.url: the environment has no CHAT"):
        look_up_all(settings)
    monkeypatch.setenv("CHAT", "json://127.0.0.1")
    look_up_all(settings)
    monkeypatch.delenv("CHAT")
    assert settings.alerts.tell[0].url.reveal() == "json://127.0.0.1"


def test_a_secret_comes_from_the_environment_a_file_or_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCH_SECRET", "of the environment")
    (tmp_path / "secret").write_text("of a file\n", encoding="utf-8")
    assert resolve("env:WATCH_SECRET", "nats").reveal() == "of the environment"
    assert resolve(f"file:{tmp_path / 'secret'}", "nats").reveal() == "of a file"
    assert read_secret(Table({"nats": "nats://127.0.0.1"}), "nats").reveal() == "nats://127.0.0.1"


@pytest.mark.parametrize(("mode", "is_open"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_secret_in_a_file_that_every_user_can_read_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_open: bool
) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\n", encoding="utf-8")
    file.chmod(mode)
    for _ in range(2):
        assert resolve(f"file:{file}", "nats").reveal() == "hunter2"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == is_open
    assert "hunter2" not in caplog.text
    assert not is_open or f"fix: chmod 600 {file}" in lines[0]


def test_a_settings_file_that_cannot_be_used_has_its_fix(tmp_path: Path) -> None:
    file = tmp_path / "watch.toml"
    with pytest.raises(PinFileError, match="check the path in --config") as caught:
        load(file, check_rule)
    assert "No such file" in caught.value.problem
    file.write_text("[monitor", encoding="utf-8")
    with pytest.raises(PinFileError, match=r'page "Settings of watch\.toml"'):
        load(file, check_rule)


def test_two_services_with_one_name_are_reported_at_the_second(tmp_path: Path) -> None:
    file = tmp_path / "watch.toml"
    table = '[[alerts.tell]]\nname = "chat"\nurl = "json://x"\n'
    file.write_text(table * 2, encoding="utf-8")
    with pytest.raises(PinFileError, match="two services are called chat") as caught:
        load(file, check_rule)
    assert caught.value.line == 5


@pytest.mark.parametrize("written", ["env:NOT_THERE", "file:not-there", "file:empty"])
def test_a_missing_secret_is_an_error_that_names_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    with pytest.raises(ConfigError) as caught:
        resolve(written, "alerts.tell[0].url")
    assert caught.value.key == "alerts.tell[0].url"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "key", "fix"),
    [
        ('[monitor]\nintervall = "1h"', "monitor.intervall", "write 'interval'"),
        ("[collector]\nsurprise = 1", "collector.surprise", "the settings here are at_once, body_"),
        ('[monitor]\ninterval = "1s"', "monitor.interval", "write 10s or more"),
        ('[alerts]\nevery = "2h"', "alerts.every", "write 1s to 1h"),
        ("[retention]\ngroups = 0", "retention.groups", "write 1 to 36500"),
        ("[log]\nformat = 5", "log.format", 'it must be one of "text", "json"'),
        ("[[alerts.tell]]\nname = 'a'", "alerts.tell[0].url", "it must be a string in quotes"),
        (
            "[[alerts.tell]]\nurl = 'json://x'\nrules = ['pin-mismach']",
            "alerts.tell[0].rules",
            "did you mean pin-mismatch?",
        ),
    ],
)
def test_an_error_in_a_table_names_key_line_and_fix(
    tmp_path: Path, text: str, key: str, fix: str
) -> None:
    with pytest.raises(PinFileError) as caught:
        _load(tmp_path, text)
    assert caught.value.key == key
    assert caught.value.line
    assert caught.value.fix.startswith(fix)
