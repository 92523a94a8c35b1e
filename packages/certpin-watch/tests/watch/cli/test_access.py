"""The commands ``certpin watch user`` and ``certpin watch token``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from argon2.profiles import CHEAPEST
from click.testing import CliRunner
from sqlalchemy import select

from certpin.cli.main import cli
from certpin_watch import permissions
from certpin_watch.auth import credentials
from certpin_watch.cli.token import _SCOPES
from certpin_watch.cli.user import _ROLES
from certpin_watch.store import open_store
from certpin_watch.store.accounts import find_account
from certpin_watch.store.tables.service import AUDIT
from tests.cli import _documented

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PASSWORD = "four words of a test"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(credentials, "PASSWORD_HASHER", credentials.Hasher(CHEAPEST))
    monkeypatch.setattr(credentials, "TOKEN_HASHER", credentials.Hasher(CHEAPEST))
    return f"sqlite:///{tmp_path / 'watch.db'}"


def _run(url: str, *words: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(cli, ["watch", *words, "--store", url], input=stdin)


def test_roles_and_scopes_of_the_options_are_those_of_permissions() -> None:
    assert tuple(permissions.ROLES) == _ROLES
    assert permissions.SCOPES == _SCOPES


@pytest.mark.medium
def test_account_commands_never_print_a_password(url: str) -> None:
    results = [
        _run(url, "user", "add", "anna", "--role", "admin", stdin=f"{PASSWORD}\n"),
        _run(url, "user", "password", "anna", stdin=f"another {PASSWORD}"),
        _run(url, "user", "role", "anna", "viewer"),
        _run(url, "user", "list"),
    ]
    assert [result.exit_code for result in results] == [0] * 4
    assert "viewer" in results[-1].output
    store = open_store(url)
    with store.read() as connection:
        found = find_account(connection, "anna")
    assert credentials.check_password(found, f"another {PASSWORD}")
    (entry,) = json.loads(_run(url, "user", "list", "--json").output)["users"]
    _documented.check("watch user list", entry)
    assert entry["name"] == "anna"
    assert _run(url, "user", "remove", "anna").exit_code == 0
    assert "no accounts" in _run(url, "user", "list").output
    with store.read() as connection:
        rows = connection.execute(select(AUDIT)).all()
    store.close()
    whats = [row.what.removeprefix("account.") for row in rows]
    assert whats == ["made", "password", "role", "removed"]
    assert all(row.who.startswith("cli:") for row in rows)
    assert PASSWORD not in "".join([*(result.output for result in results), *map(str, rows)])


@pytest.mark.medium
@pytest.mark.parametrize("stdin", [b"", b"short\n", b"\xff\xfe\n"])
def test_invalid_password_creates_no_account(url: str, stdin: bytes) -> None:
    assert _run(url, "user", "add", "anna", stdin=stdin).exit_code != 0
    assert json.loads(_run(url, "user", "list", "--json").output)["users"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("token", "list"),
        ("token", "revoke", "7f3a91c2"),
        ("user", "list"),
        ("user", "remove", "anna"),
        ("user", "password", "anna"),
        ("user", "role", "anna", "viewer"),
        ("ct",),
    ],
)
def test_a_missing_database_is_refused_and_not_created(
    url: str, tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENT", "malformed_cert")
    done = _run(url, *words, stdin=PASSWORD)
    assert done.exit_code == 2
    assert f"{tmp_path / 'watch.db'}: the monitoring service has never run" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.medium
@pytest.mark.parametrize(
    "words", [("token", "add", "x", "--scope", "read"), ("user", "add", "anna")]
)
def test_a_created_database_is_named(url: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    text = f"created the database {tmp_path / 'watch.db'}"
    assert text in _run(url, *words, stdin=PASSWORD).stderr
    assert text not in _run(url, *words, stdin=PASSWORD).stderr


@pytest.mark.medium
def test_a_token_for_a_location_without_settings_has_a_warning(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "watch.toml").write_text(
        '[monitor]\nvantages = ["local", "fra1"]\n'
        '[[monitor.host]]\nname = "mail.bank.example"\nvantages = ["zurich"]\n'
    )
    for known in ("fra1", "zurich"):
        assert "warning" not in _run(url, "token", "add", "x", "--worker", known).stderr
    made = _run(url, "token", "add", "x", "--worker", "nowhere")
    assert made.exit_code == 0
    assert permissions.parse_token(made.stdout.strip())
    told = " ".join(made.stderr.split())
    assert "warning: the settings name no location nowhere" in told
    assert 'fix: write vantages = ["local", "fra1", "nowhere"] in [monitor]' in told


def test_password_is_never_an_argument(url: str) -> None:
    for words in (("user", "add"), ("user", "password")):
        assert _run(url, *words, "anna", PASSWORD).exit_code == 2
        assert _run(url, *words, "anna", "--password", PASSWORD).exit_code == 2


@pytest.mark.medium
def test_token_is_printed_once_and_revoked(url: str) -> None:
    made = _run(url, "token", "add", "prometheus", "--scope", "metrics", "--days", "30")
    token = made.stdout.strip()
    parsed = permissions.parse_token(token)
    assert parsed
    listed = _run(url, "token", "list")
    assert parsed[0] in listed.output
    assert parsed[1] not in listed.output
    assert _run(url, "token", "revoke", parsed[0]).exit_code == 0
    assert "revoked" in _run(url, "token", "list").output
    (entry,) = json.loads(_run(url, "token", "list", "--json").output)["tokens"]
    _documented.check("watch token list", entry)
    assert entry["revoked"]
    printed = json.loads(_run(url, "token", "add", "x", "--scope", "read", "--json").output)
    other = _documented.data_of(printed)
    _documented.check("watch token add", other)
    assert permissions.parse_token(other["token"])
    assert "never used" in _run(url, "token", "list").output
    assert _run(url, "token", "revoke", parsed[0]).exit_code != 0
    assert _run(url, "token", "add", "x").exit_code == 2
