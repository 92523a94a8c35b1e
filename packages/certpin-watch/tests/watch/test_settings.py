from __future__ import annotations

from pathlib import Path

import pytest

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.fields import Table
from certpin_watch.secret import Secret, look_up_all, read_secret, resolve
from certpin_watch.settings import ServiceSettings, load, parse_listen


def _write(folder: Path, text: str) -> Path:
    path = folder / "watch.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    found = load(_write(tmp_path, ""))
    assert found.listen == ("127.0.0.1", 8460)
    assert found.pins == (Path("pins.toml"),)
    assert found.store.reveal() == ServiceSettings().store.reveal() == "sqlite:///watch.db"
    assert found.folder == tmp_path


def test_files_are_found_beside_the_settings(tmp_path: Path) -> None:
    text = 'pins = ["a.toml", "b/c.toml"]\ntls_certificate = "chain.pem"\ntls_key = "key.pem"\n'
    text += """[access.oidc]
    issuer = "https://id.bank.example"
    client_id = "certpin"
    client_secret = "env:SECRET"
    roles = { staff = "viewer" }
    ca_file = "id.pem"
    """
    found = load(_write(tmp_path, text))
    assert found.pins == (tmp_path / "a.toml", tmp_path / "b" / "c.toml")
    assert found.tls == (tmp_path / "chain.pem", tmp_path / "key.pem")
    assert found.access.oidc
    assert found.access.oidc.ca_file == tmp_path / "id.pem"


def test_every_part_reads_its_own_table(tmp_path: Path) -> None:
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
    found = load(_write(tmp_path, text))
    assert found.monitor.vantage == "zurich"
    assert found.alerts.tell[0].url.reveal() == "json://127.0.0.1"
    assert found.collector.rate == 7
    assert found.access.behind_proxy


@pytest.mark.parametrize(
    ("text", "believed"),
    [
        ("[access]\nbehind_proxy = true\ntrusted_proxies = ['10.0.0.5']", ["10.0.0.5/32"]),
        ("[access]\ntrusted_proxies = ['10.0.0.5']", []),
    ],
)
def test_the_proxy_in_front_tells_where_reports_come_from(
    tmp_path: Path, text: str, believed: list[str]
) -> None:
    found = load(_write(tmp_path, text))
    assert [str(each) for each in found.access.believed] == believed


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('listne = "127.0.0.1"', "listne"),
        ("[monitor]\nintervall = '1h'", "monitor.intervall"),
        ("[surprise]\na = 1", "surprise"),
        ("tls_key = 'key.pem'", "tls_key"),
        ("listen = 'a b'", "listen"),
        ("store = 5", "store"),
    ],
)
def test_what_is_misspelt_is_an_error_with_its_line(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(PinFileError) as caught:
        load(_write(tmp_path, text))
    assert caught.value.key == key
    assert caught.value.line


def test_a_file_that_cannot_be_read_or_is_too_long_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PinFileError, match="cannot be read"):
        load(tmp_path / "watch.toml")
    with pytest.raises(PinFileError, match="more than"):
        load(_write(tmp_path, "#" * (1024 * 1024 + 1)))


def test_an_address_without_a_port_has_the_usual_one() -> None:
    assert parse_listen("::1") == ("::1", 8460)
    assert parse_listen("0.0.0.0:80") == ("0.0.0.0", 80)


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"


def test_a_secret_is_looked_for_when_it_is_asked_for_and_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(_write(tmp_path, 'nats = "env:NATS"\n[[alerts.tell]]\nurl = "env:CHAT"\n'))
    with pytest.raises(ConfigError) as caught:
        look_up_all(found)
    assert (caught.value.key, caught.value.fix) == ("nats", "set NATS")
    monkeypatch.setenv("NATS", "nats://127.0.0.1")
    with pytest.raises(ConfigError, match=r"alerts\.tell\[0\]\.url: the environment has no CHAT"):
        look_up_all(found)
    monkeypatch.setenv("CHAT", "json://127.0.0.1")
    look_up_all(found)
    monkeypatch.delenv("CHAT")
    assert found.alerts.tell[0].url.reveal() == "json://127.0.0.1"


def test_a_secret_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCH_SECRET", "of the environment")
    (tmp_path / "secret").write_text("of a file\n", encoding="utf-8")
    assert resolve("env:WATCH_SECRET", "nats").reveal() == "of the environment"
    assert resolve(f"file:{tmp_path / 'secret'}", "nats").reveal() == "of a file"
    assert read_secret(Table({"nats": "nats://127.0.0.1"}), "nats").reveal() == "nats://127.0.0.1"


@pytest.mark.parametrize("written", ["env:NOT_THERE", "file:not-there", "file:empty"])
def test_a_secret_that_is_not_there_is_an_error_that_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    with pytest.raises(ConfigError) as caught:
        resolve(written, "alerts.tell[0].url")
    assert caught.value.key == "alerts.tell[0].url"
    assert caught.value.fix
