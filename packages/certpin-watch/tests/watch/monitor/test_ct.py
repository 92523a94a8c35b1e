"""Check how the events of certspotter, a monitor of Certificate Transparency logs, are handled.

They are parsed strictly, recorded once, and compared with the current pins.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from certpin.cli.main import cli
from certpin.errors import InputError
from certpin.lab import LabServer
from certpin.pins import pins_of
from certpin.x509.sct import precertificate_tbs
from certpin_watch.monitor.ct import read_event
from certpin_watch.store.probes import record_logged
from certpin_watch.store.tables.observations import LOGGED
from tests.watch.rules import _probes as scenes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Authority, Identity
    from certpin_watch.store import Store
    from tests.watch.monitor.conftest import Scene

TBS = "2388ee81c6f45cffc73e68a35fa8921e839e20acc9a98e8e6dcaea07cbfbdef8"


def event(folder: Path, identity: Identity, **more: str) -> dict[str, str]:
    """Return the environment variables that certspotter sets for its hook (certspotter-script(8)).

    The event reports that the certificate of ``identity`` is in a log. ``more`` adds variables.
    """
    chain = folder / "logged.pem"
    chain.write_bytes(identity.chain_pem)
    return {
        "EVENT": "discovered_cert",
        "SUMMARY": "certificate discovered for .bank.test",
        "WATCH_ITEM": ".bank.test",
        "LOG_URI": "https://log.example/2027/",
        "ENTRY_INDEX": "6464843",
        "TBS_SHA256": TBS,
        "CERT_SHA256": identity.certificate.sha256.hex(),
        "PUBKEY_SHA256": identity.certificate.spki_sha256.hex(),
        "CERT_FILENAME": str(chain),
        "NOT_AFTER_UNIXTIME": str(int(identity.certificate.not_after.timestamp())),
        "ISSUER_DN": "CN=Test Intermediate",
        **more,
    }


def note(store: Store, environment: dict[str, str]) -> bool:
    entry = read_event(environment, scenes.NOW)
    assert entry is not None
    with store.write() as connection:
        return record_logged(connection, entry, scenes.NOW)


def test_a_certificate_in_several_logs_is_recorded_once(
    sqlite_store: Store, tmp_path: Path
) -> None:
    environment = event(tmp_path, scenes.identity("stranger"))
    assert note(sqlite_store, environment)
    assert not note(sqlite_store, environment | {"LOG_URI": "https://other.example/"})
    with sqlite_store.read() as connection:
        (row,) = connection.execute(select(LOGGED))
    assert row.tbs.hex() == TBS
    assert (row.names, row.issuer) == ("api.bank.test", "CN=Below Watch Root")
    assert row.key == scenes.identity("stranger").certificate.spki_sha256


def test_without_a_file_the_watch_item_names_the_hosts(tmp_path: Path) -> None:
    environment = event(tmp_path, scenes.identity("stranger"))
    del environment["CERT_FILENAME"]
    entry = read_event(environment, scenes.NOW)
    assert entry is not None
    assert entry.names == "bank.test *.bank.test"
    assert entry.key == scenes.identity("stranger").certificate.spki_sha256


def test_invalid_names_are_dropped(tmp_path: Path) -> None:
    identity = scenes.authority().issue("api.bank.test", "*.bank.test", "*.*.bank.test", "x y")
    entry = read_event(event(tmp_path, identity), scenes.NOW)
    assert entry is not None
    assert entry.names == "api.bank.test *.bank.test"


def test_a_malformed_certificate_is_recorded_as_malformed(sqlite_store: Store) -> None:
    environment = {
        "EVENT": "malformed_cert",
        "SUMMARY": "malformed \x1b[2J entry",
        "LOG_URI": "https://log.example/",
        "LEAF_HASH": "c29tZSBsZWFm",
    }
    assert note(sqlite_store, environment)
    assert not note(sqlite_store, environment)
    with sqlite_store.read() as connection:
        (row,) = connection.execute(select(LOGGED))
    assert (row.kind, row.summary) == ("malformed", "malformed \\x1b[2J entry")


@pytest.mark.parametrize("name", ["error", "something_new"])
def test_other_events_are_ignored(name: str) -> None:
    assert read_event({"EVENT": name, "SUMMARY": "the log is down"}, scenes.NOW) is None


@pytest.mark.parametrize(
    "more",
    [
        {"EVENT": ""},
        {"TBS_SHA256": "2388"},
        {"CERT_FILENAME": "/no/such/file"},
        {"CERT_FILENAME": os.devnull},
        {"CERT_FILENAME": "a\0b"},
        {"CERT_FILENAME": "", "PUBKEY_SHA256": "x" * 64},
    ],
)
def test_values_of_no_certspotter_are_refused(tmp_path: Path, more: dict[str, str]) -> None:
    with pytest.raises(InputError):
        read_event(event(tmp_path, scenes.identity("stranger"), **more), scenes.NOW)


def test_a_logged_key_fires_an_alert_until_it_is_pinned(
    watch_over: Callable[..., Scene], intermediate: Authority, tmp_path: Path
) -> None:
    """The test runs ``certpin watch ct`` with the environment variables that certspotter sets."""
    own, strange = intermediate.issue("localhost"), intermediate.issue("localhost")
    scene = watch_over(own)
    settings = tmp_path / "watch.toml"
    settings.write_text(f'store = "sqlite:///{tmp_path}/watch.db"\n')
    words = ["watch", "ct", "--config", str(settings)]
    done = CliRunner().invoke(cli, words, env=event(tmp_path, strange))
    assert (done.exit_code, done.output) == (0, "")
    found: list[Any] = scene.found()
    assert [finding.rule for finding in found] == ["logged-key"]
    assert found[0].details["pin"] == str(strange.pin)
    scene.pin(own.pin, strange.pin, version=2)
    assert scene.found() == []


@pytest.mark.medium
def test_a_logged_certificate_that_is_pinned_as_a_whole_fires_no_alert(
    watch_over: Callable[..., Scene], intermediate: Authority
) -> None:
    own = intermediate.issue("localhost")
    renewed = intermediate.issue("localhost", key=own.key)
    others = intermediate.issue("localhost"), intermediate.issue("localhost")
    with LabServer(own) as server:
        scene = watch_over(own, host=[{"name": "localhost", "port": server.port}])
        scene.pin(pins_of(own.certificate)[1], *(each.pin for each in others))
        scene.confirm()
        for identity in others:
            server.use(identity)
            scene.pass_time(minutes=20)
            scene.confirm()
    digests = [
        hashlib.sha256(precertificate_tbs(identity.certificate)).hexdigest()
        for identity in (own, renewed)
    ]
    for identity, tbs in zip((own, renewed), digests, strict=True):
        note(scene.watch.store, event(scene.folder, identity, TBS_SHA256=tbs))
    (finding,) = scene.found()
    assert (finding.rule, finding.subject) == ("logged-key", digests[1])
    assert "with the key of a pinned certificate" in finding.summary
