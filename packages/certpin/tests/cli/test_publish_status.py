"""``certpin publish status``: compares the signed files with those at the destination."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli import _documented
from tests.cli._signed_sets import KEYS, documented
from tests.updates._server import FolderServer
from tests.updates.conftest import served

if TYPE_CHECKING:
    from certpin.lab import Identity
    from tests.cli.conftest import Run

__all__ = ["served"]

SETTINGS = Path("publish/publish.toml")
WWW = Path("www")


@pytest.fixture
def delivered(begun: Run) -> Run:
    """Return the function that runs commands, after version 3 was signed and pushed to ``www``."""
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    return begun


def status(run: Run, *words: str) -> tuple[int, bool | None, str]:
    """Return the exit code, whether the signed files were delivered, and the problem."""
    done = run("publish", "status", *words, "--json")
    _documented.check("publish status", done.json)
    return done.code, done.json["delivered"], done.json["delivery_problem"] or ""


def _set(old: str, new: str) -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    assert old in text
    SETTINGS.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.medium
def test_a_timestamp_that_was_not_pushed_is_pending(delivered: Run) -> None:
    """A daily job may sign, and never push: clients then have metadata that expires."""
    assert status(delivered) == (0, True, "")
    assert "It is at www." in delivered("publish", "status").out
    documented(delivered, "sign", "online.key")
    assert status(delivered) == (1, False, "timestamp 1 is there, and timestamp 2 is signed")
    assert "certpin publish push" in delivered("publish", "status").out
    documented(delivered, "push")
    assert status(delivered) == (0, True, "")


def test_a_push_that_the_journal_lacks_is_pending(begun: Run) -> None:
    documented(begun, "sign", *KEYS)
    assert status(begun, "--offline")[0] == 1
    shutil.copytree("publish/site", WWW)
    assert status(begun) == (1, True, "")
    assert "not pushed yet" in begun("publish", "status").out
    _set('url = "www"', "")  # the files are copied in another way
    assert status(begun)[0] == 0
    shown = " ".join(begun("publish", "status").out.split())
    assert "not pushed yet: certpin publish push, once publish.toml has a url" in shown


def test_a_root_that_is_not_there_is_pending(delivered: Run) -> None:
    (WWW / "metadata/1.root.json").unlink()
    assert status(delivered) == (1, False, "root 1 is not there")


def test_a_timestamp_of_another_key_is_pending(delivered: Run) -> None:
    timestamp = WWW / "metadata/timestamp.json"
    timestamp.write_text("{}")
    assert status(delivered) == (1, False, "another timestamp is there, and timestamp 1 is signed")
    timestamp.unlink()
    assert status(delivered) == (1, False, "no timestamp is there")


@pytest.mark.parametrize("role", ["timestamp", "root"])
def test_newer_metadata_at_the_destination_is_a_problem(delivered: Run, role: str) -> None:
    """In a clone that is up to date, an attacker has signed them with a stolen key."""
    shutil.copytree("publish", "older")
    documented(delivered, "sign", *KEYS, "--renew", role)
    documented(delivered, "push")
    shutil.rmtree("publish")
    Path("older").rename("publish")
    if role == "root":  # the thief of a root key needs no online key
        shutil.copy("publish/site/metadata/timestamp.json", WWW / "metadata/timestamp.json")
    code, found, problem = status(delivered)
    assert (code, found, f"{role} 2 is there, which is newer" in problem) == (1, False, True)
    said = " ".join(delivered("publish", "status").out.split())
    assert "if no signer did, a key is stolen" in said
    assert "certpin publish push" not in said


def test_a_missing_timestamp_is_a_problem_if_the_destination_has_one(delivered: Run) -> None:
    Path("publish/site/metadata/timestamp.json").unlink()
    code, found, problem = status(delivered)
    said = "timestamp 1 is there, and publish/site has none: restore the committed files"
    assert (code, found, said in problem) == (1, False, True)
    shown = " ".join(delivered("publish", "status").out.split())
    assert f"No version is signed yet. At www, {said}" in shown
    assert "certpin publish push" not in shown
    assert status(delivered, "--offline") == (0, None, "")
    (WWW / "metadata/timestamp.json").write_text("{}")
    assert status(delivered)[:2] == (1, False)
    shutil.rmtree(WWW)
    assert status(delivered) == (0, None, "")
    WWW.write_text("a file")
    code, found, problem = status(delivered)
    assert (code, found, "www can't be read" in problem) == (3, None, True)


def test_a_missing_root_is_named(delivered: Run) -> None:
    Path("publish/site/metadata/1.root.json").unlink()
    done = delivered("publish", "status")
    said = " ".join(done.err.split())
    assert (done.code, "1.root.json" in said, "git checkout" in said) == (2, True, True)


def test_a_signed_version_that_the_journal_lacks_is_a_problem(delivered: Run) -> None:
    """`push` refuses it: a rotation would not count the clients that have it."""
    Path("pins.journal.jsonl").unlink()
    assert status(delivered) == (1, True, "")
    shown = " ".join(delivered("publish", "status").out.split())
    assert "version 3 is signed, but the journal has no such version: get the journal" in shown


def test_without_a_destination_it_is_not_known(delivered: Run) -> None:
    _set('url = "www"', "")
    assert status(delivered) == (0, None, "publish.toml has neither url nor fetch_url")
    assert "Not known: whether the timestamp was pushed" in delivered("publish", "status").out


def test_the_destination_is_not_read_offline(delivered: Run) -> None:
    shutil.rmtree(WWW)
    assert status(delivered)[:2] == (1, False)
    code, found, problem = status(delivered, "--offline")
    assert (code, found, "--offline" in problem) == (0, None, True)


def test_an_unreadable_destination_is_inconclusive(delivered: Run) -> None:
    shutil.rmtree(WWW)
    WWW.write_text("a file")
    code, found, problem = status(delivered)
    assert (code, found, "www can't be read" in problem) == (3, None, True)


@pytest.mark.parametrize("name", ["url", "fetch_url"])
def test_a_password_in_a_url_is_refused_and_not_printed(delivered: Run, name: str) -> None:
    _set('url = "www"', f'{name} = "https://u:hunter2@pins.bank.example/"')
    for words in (["status"], ["status", "--json"], ["push"], ["sign", "online.key"]):
        done = delivered("publish", *words)
        assert (done.code, "publish.toml" in done.err + done.out) == (2, True)
        assert "hunter2" not in done.out + done.err


@pytest.mark.medium
def test_the_server_of_clients_is_read_without_credentials_for_the_storage(
    delivered: Run, trusted_root: Path, served: Identity
) -> None:
    documented(delivered, "sign", "online.key")
    with FolderServer(WWW.absolute(), served) as server:
        _set('url = "www"', f'fetch_url = "{server.url}"')
        assert status(delivered) == (1, False, "timestamp 1 is there, and timestamp 2 is signed")
        shutil.copytree("publish/site", WWW, dirs_exist_ok=True)
        assert status(delivered) == (0, True, "")
        (WWW / "metadata/timestamp.json").unlink()
        assert status(delivered) == (1, False, "no timestamp is there")
    code, found, problem = status(delivered)
    assert (code, found, "can't be read" in problem) == (3, None, True)
