"""``certpin calendar``: its three forms of output, its exit codes, and its servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, LabServer
from certpin.pins import Pin
from certpin.x509.keys import new_private_key
from tests import kit
from tests.cli._pinfiles import write
from tests.cli.conftest import HOST, Run

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Identity

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LEFT = Pin.parse("sha256/r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E=")  # DigiCert Global Root CA
ENDS = datetime(2027, 9, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certpin.pins.utc_now", lambda: NOW)


def _write(*pins: Pin) -> None:
    write(kit.policy(HOST, *(pins or (kit.NOBODY, kit.NOBODY_ELSE)), expires=ENDS))


def test_text_lists_each_event_with_its_fix_and_source(run: Run) -> None:
    _write(LEFT)
    done = run("calendar", "--offline")
    first, fix, source = done.out.splitlines()[:3]
    assert first == (
        f"2026-04-22  220 days ago  {HOST}: the pinned root DigiCert Global Root CA left "
        "Mozilla's root store on 2026-04-22, and Debian's ca-certificates 20250419+deb13u1 still "
        "has it"
    )
    assert fix.startswith("    fix: ask the authority")
    assert source == "    source: certifi 2026.4.22"
    assert done.code == 1
    assert "2027-03-15  in 107 days  public certificates" in done.out


def test_json_has_the_same_events(run: Run) -> None:
    _write(LEFT)
    data = run("calendar", "--offline", "--json").json
    assert (data["pin_set"], data["version"], data["unanswered"]) == ("bank", 3, [])
    event = data["events"][0]
    assert (event["date"], event["days_left"], event["kind"]) == ("2026-04-22", -220, "root")
    assert [each["date"] for each in data["events"]] == sorted(
        each["date"] for each in data["events"]
    )


def test_ics_is_icalendar_with_crlf(run: Run) -> None:
    _write()
    done = run("calendar", "--offline", "--ics")
    assert done.raw.startswith(b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
    assert b"SUMMARY:api.bank.example: the pins expire" in done.raw
    assert done.raw.endswith(b"END:VCALENDAR\r\n")


@pytest.mark.parametrize(("days", "code"), [("106", 0), ("107", 1)])
def test_the_exit_code_is_1_if_an_event_is_at_most_days_ahead(
    run: Run, days: str, code: int
) -> None:
    _write()  # the limit of 100 days begins in 107 days
    assert run("calendar", "--offline", "--days", days).code == code


@pytest.mark.parametrize(
    ("host", "listed", "code"),
    [
        ("other.bank.example", {"other.bank.example"}, 0),
        (HOST, {HOST}, 1),
        ("*.private.example", {"*.private.example"}, 0),
        (None, {HOST, "other.bank.example", "*.private.example"}, 1),
    ],
)
@pytest.mark.parametrize("offline", [True, pytest.param(False, marks=pytest.mark.medium)])
def test_only_the_events_of_the_chosen_hosts_are_listed_and_counted(
    run: Run, host: str | None, listed: set[str], code: int, offline: bool
) -> None:
    soon = NOW + timedelta(days=5)
    write(
        kit.policy(HOST, expires=soon),
        kit.policy("other.bank.example", expires=ENDS),
        kit.policy("*.private.example", expires=ENDS),
    )
    words = [*(["--offline"] if offline else ["--connect", "127.0.0.1:1"]), "--days", "9"]
    done = run("calendar", "--json", *words, *(["--host", host] if host else []))
    assert {event["host"] for event in done.json["events"]} - {None} == listed
    assert done.code == (code if offline else code or 3)


@pytest.mark.medium
def test_a_backup_that_no_authority_certifies_is_listed(run: Run, tmp_path: Path) -> None:
    pem, key = new_private_key("ed25519", None)
    path = tmp_path / "backup.key"
    path.write_bytes(pem)
    _write(kit.NOBODY, Pin.of_key(key.spki_sha256))
    done = run("calendar", "--offline", "--key", path)
    assert "no date  api.bank.example: no public authority issues a certificate" in done.out
    assert "no public authority" not in run("calendar", "--offline").out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--offline", "--ics", "--json"), "choose one"),
        (("--offline", "--connect", "127.0.0.1:1"), "connects to no server"),
        (("--offline", "--starttls", "smtp"), "connects to no server"),
        (("--offline", "--host", "other.example"), "no policy of the pin file covers it"),
        (("--offline", "--key", str(LEFT)), "a pin is a digest"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    run: Run, words: tuple[str, ...], problem: str
) -> None:
    _write()
    done = run("calendar", *words)
    assert done.code == 2
    assert problem in done.out + done.err


def test_a_private_host_has_only_its_own_dates(run: Run, ca: Path) -> None:
    write(kit.policy(HOST), trust=ca)
    done = run("calendar", "--offline")
    assert "the trust anchor expires" in done.out
    assert "public certificates" not in done.out


@pytest.mark.medium
def test_a_host_without_an_answer_is_inconclusive(run: Run) -> None:
    _write()
    done = run("calendar", "--connect", "127.0.0.1:1")
    assert done.code == 3
    assert "the certificates of this host are missing: api.bank.example" in done.err


@pytest.mark.peer("nginx")
def test_the_chains_of_the_servers_are_listed(
    run: Run,
    connect_args: tuple[str, ...],
    ca: Path,
    identity: Identity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = identity.certificate.not_after
    monkeypatch.setattr("certpin.pins.utc_now", lambda: end - timedelta(days=5))
    write(kit.policy(HOST, identity.pin), trust=ca)
    done = run("calendar", "--json", *connect_args)
    kinds = {each["kind"]: each["date"] for each in done.json["events"]}
    assert kinds["certificate"] == f"{end:%Y-%m-%d}"
    assert {"authority", "anchor"} < kinds.keys()


def test_an_expired_certificate_of_a_server_is_an_event_that_is_past(
    run: Run, root: Authority, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin.pins.utc_now", lambda: datetime.now(UTC))
    expired = root.issue(HOST, days=-0.01)
    write(kit.policy(HOST, expired.pin), trust=ca)
    with LabServer(expired) as server:
        done = run("calendar", "--json", "--connect", f"127.0.0.1:{server.port}")
    assert done.code == 1
    assert len(done.json["unanswered"]) == 1
    (event,) = [each for each in done.json["events"] if each["kind"] == "certificate"]
    assert event["date"] == f"{expired.certificate.not_after:%Y-%m-%d}"
    assert event["text"].startswith("the certificate of the server expired")


def test_a_chain_that_does_not_verify_is_not_a_missing_answer(
    run: Run, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin.pins.utc_now", lambda: datetime.now(UTC))
    other = Authority("Another Root").issue(HOST)
    write(kit.policy(HOST, other.pin), trust=ca)
    with LabServer(other) as server:
        done = run("calendar", "--json", "--connect", f"127.0.0.1:{server.port}")
    assert done.code == 1
    assert {each["kind"] for each in done.json["events"]} == {"anchor"}
