"""``certpin rotate shipped``: records versions that go out in app releases or in another way.

Also tests when no client uses a version any more, so that it no longer blocks a rotation.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import Pin, utc_now
from certpin.rotation import AdoptionDelays, Event, Version, format_journal
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    JOURNAL,
    all_events,
    days_pass,
    history,
    invariants,
    journal,
    stepped,
)
from tests.cli.conftest import HOST, Run

OFFLINE = ("--offline",)
LEAF, BACKUP = Pin("sha256", bytes(range(7, 39))), kit.NOBODY
APP = ("--app", "com.bank.app", "--release")
DAY = timedelta(days=1)


def day(days: int) -> str:
    """Return the date a number of days from today, as YYYY-MM-DD."""
    return f"{datetime.now(UTC) + days * DAY:%Y-%m-%d}"


@pytest.fixture
def drafted(run: Run) -> Run:
    """Write an unpublished pin file of version 3. Return the function that runs commands."""
    write(kit.policy(HOST, LEAF, BACKUP))
    return run


@pytest.fixture
def with_apps(drafted: Run) -> tuple[Run, Pin]:
    """Record version 3 in app release 4.1 a hundred days ago, and now version 4 in release 4.2.

    Return the function that runs commands, and the pin of the new key in version 4.
    """
    assert drafted("rotate", "shipped", "3", *APP, "4.1", "--clients", "900", *OFFLINE).code == 0
    days_pass(100)
    drafted("rotate", "start", "--new", "new.key")
    assert drafted("rotate", "shipped", "4", *APP, "4.2", *OFFLINE).code == 0
    return drafted, PinSet.load("pins.toml").policies[0].pins[-1].pin


def alive() -> tuple[Version, ...]:
    """Return the versions that some client may hold now."""
    known = history()
    return known.deployed.alive(utc_now(), known.timing or AdoptionDelays())


def activated(run: Run, pin: Pin) -> tuple[int, list[str], str | None]:
    done, facts = stepped(run, "switch", str(pin), *OFFLINE)
    safe = [each["safe_from"] for each in facts["breaches"]]
    return done.code, invariants(facts), safe[0] if safe else None


def test_a_version_that_goes_out_another_way_has_delays(drafted: Run) -> None:
    done, facts = stepped(drafted, "shipped", "3", "--opened", "9d", "--clients", "50", *OFFLINE)
    assert (done.code, facts["step"], facts["version"]) == (0, "shipped", 3)
    (version,) = history().deployed.versions
    assert (version.fetched, version.bundled, version.clients) == (journal()[0].time, None, 50)
    timing = history().timing
    assert timing
    assert timing.opened == 9 * DAY
    again = drafted("rotate", "shipped", "3", *OFFLINE)
    assert (again.code, "recorded already" in again.err) == (2, True)


def test_the_first_version_counts_as_held_by_every_client(drafted: Run) -> None:
    """No date may contradict `switch`, which allows its backup in the same minute."""
    held, date = "It counts as held by every client already", "Every client has it from "
    first = drafted("rotate", "shipped", "3", *OFFLINE)
    assert (first.code, held in first.out, date in first.out) == (0, True, False)
    assert drafted("rotate", "start", "--new", "new.key").code == 0
    new = PinSet.load("pins.toml").policies[0].pins[-1].pin
    second = drafted("rotate", "shipped", "4", *OFFLINE)
    assert (second.code, held in second.out, date in second.out) == (0, False, True)
    assert activated(drafted, new)[:2] == (1, ["adopted"])
    assert activated(drafted, BACKUP)[0] == 0


def test_a_fetched_version_after_one_in_a_binary_has_a_date(with_apps: tuple[Run, Pin]) -> None:
    done = with_apps[0]("rotate", "shipped", "4", *OFFLINE)
    assert (done.code, "Every client has it from " in done.out) == (0, True)


def test_a_binary_blocks_a_key_until_a_forced_update_has_passed(
    with_apps: tuple[Run, Pin],
) -> None:
    run, pin = with_apps
    assert activated(run, pin) == (1, ["adopted"], None)
    forced = run("rotate", "shipped", "4", *APP, "4.2", "--force-update", day(20), *OFFLINE)
    assert forced.code == 0
    code, found, safe = activated(run, pin)
    assert (code, found) == (1, ["adopted"])
    assert safe
    assert safe.startswith(day(21))
    days_pass(22)
    assert activated(run, pin)[0] == 1  # the date of the update was not moved
    planned = run("rotate", "shipped", "4", *APP, "4.2", "--force-update", day(-1), *OFFLINE)
    assert planned.code == 0
    assert activated(run, pin)[0] == 0


def test_the_end_of_support_of_a_release_ends_its_version(with_apps: tuple[Run, Pin]) -> None:
    run, pin = with_apps
    assert run("rotate", "shipped", "3", *APP, "4.1", "--end", day(5), *OFFLINE).code == 0
    code, _, safe = activated(run, pin)
    assert safe
    assert (code, safe[:10]) == (1, day(6))


@pytest.mark.parametrize(("last", "safe"), [("100%", True), ("99.9%", False)])
def test_a_curve_ends_earlier_releases_only_if_it_reaches_all(
    with_apps: tuple[Run, Pin], last: str, safe: bool
) -> None:
    run, pin = with_apps
    Path("curve.csv").write_text(f"day,share\n7,50%\n30,{last}\n", encoding="utf-8")
    done = run("rotate", "shipped", "4", *APP, "4.2", "--curve", "curve.csv", *OFFLINE)
    assert done.code == 0
    assert (activated(run, pin)[2] is not None) == safe


def test_a_record_without_a_release_says_nothing_about_the_app(
    with_apps: tuple[Run, Pin],
) -> None:
    run, pin = with_apps
    stepped(run, "shipped", "4", *OFFLINE)
    days_pass(90)
    assert activated(run, pin) == (1, ["adopted"], None)


@pytest.mark.medium
def test_the_next_version_of_an_app_is_recorded_as_a_release(drafted: Run) -> None:
    assert drafted("rotate", "shipped", "3", *APP, "4.1", *OFFLINE).code == 0
    printed = drafted("rotate", "start", "--new", "new.key", "--json").json["next"]
    assert printed == "certpin rotate shipped 4 --app com.bank.app --release RELEASE"
    assert f"    {printed}\n" in drafted("rotate", "status", *OFFLINE).out
    planned = drafted("rotate", "plan", "--to", "new.key", *OFFLINE)
    assert f"       {printed}\n" in planned.out
    before = JOURNAL.read_bytes()
    pasted = drafted(*shlex.split(printed)[1:])
    assert (pasted.code, "RELEASE is a placeholder" in pasted.err) == (2, True)
    assert JOURNAL.read_bytes() == before
    lost = drafted("rotate", "emergency", "new.key", "--lost", *OFFLINE)
    assert "out (RELEASE is the name of the app's release).\n" in lost.out
    assert "shipped 4 --app com.bank.app --release RELEASE\n" in lost.out
    assert drafted("rotate", "shipped", "3", *OFFLINE).code == 0  # clients fetch it, too
    printed = drafted("rotate", "start", "--new", "other.key", "--json").json["next"]
    assert printed == "certpin rotate shipped 4"


def test_the_owner_may_declare_the_end(with_apps: tuple[Run, Pin]) -> None:
    run, pin = with_apps
    done, facts = stepped(run, "shipped", "3", "--ended")
    assert (done.code, facts["step"]) == (0, "ended")
    assert activated(run, pin)[0] == 0


def test_a_mistaken_updates_is_corrected_by_another_name_of_the_release(drafted: Run) -> None:
    record = ("rotate", "shipped", "3", *APP)
    assert drafted(*record, "4.1", "--updates", *OFFLINE).code == 0
    days_pass(100)
    drafted("rotate", "start", "--new", "new.key")
    assert drafted("rotate", "shipped", "4", *OFFLINE).code == 0
    assert drafted("rotate", "shipped", "4", *APP, "4.2", "--updates", *OFFLINE).code == 0
    days_pass(100)
    assert [each.number for each in alive()] == [4]
    assert drafted(*record, "4.1", *OFFLINE).code == 0  # takes nothing back
    assert [each.number for each in alive()] == [4]
    forced = ("--force", "--reason", "release 4.1 fetches no signed sets")
    assert drafted(*record, "4.1-bundled", *OFFLINE, *forced).code == 0
    assert [each.number for each in alive()] == [3, 4]


@pytest.mark.parametrize("release", ["4.1", "4.9"])
def test_a_record_after_the_end_of_a_version_says_that_it_is_alive_again(
    with_apps: tuple[Run, Pin], release: str
) -> None:
    """An old version in a new release must not be forgotten; nor a fact about an old release.

    The gate refuses the new release, because it lacks a backup that every client accepts.
    """
    run, pin = with_apps
    assert run("rotate", "shipped", "3", "--ended").code == 0
    words = ("rotate", "shipped", "3", *APP, release, "--clients", "3", *OFFLINE)
    assert run(*words).code == (0 if release == "4.1" else 1)
    if release == "4.1":
        assert run("rotate", "shipped", "3", "--ended").code == 0
    again = run(*words, "--force", "--reason", "a rollback of the app")
    said = " ".join(again.out.split())
    assert (again.code, "is alive again with this record" in said) == (0, True)
    assert "record that again: certpin rotate shipped 3 --ended" in said
    assert activated(run, pin)[0] == 1
    assert run("rotate", "shipped", "3", "--ended").code == 0
    over = run("rotate", "shipped", "3", *APP, release, "--end", day(-1), *OFFLINE)
    is_alive = release == "4.9"  # in release 4.1, which has no date
    assert (over.code, "is alive again" in over.out) == (0, is_alive)
    assert activated(run, pin)[0] == is_alive


def test_a_version_that_clients_fetch_now_has_not_ended(drafted: Run) -> None:
    """A later version in an app replaces it for no client that fetches versions."""
    assert drafted("rotate", "shipped", "3", *OFFLINE).code == 0
    days_pass(100)
    drafted("rotate", "start", "--new", "new.key")
    assert drafted("rotate", "shipped", "4", *APP, "4.2", *OFFLINE).code == 0
    before = JOURNAL.read_bytes()
    refused = drafted("rotate", "shipped", "3", "--ended")
    assert (refused.code, JOURNAL.read_bytes()) == (2, before)
    assert "clients fetch version 3 now: no later one has gone out to them" in refused.err
    assert "certpin rotate shipped 4," in refused.err
    pin = PinSet.load("pins.toml").policies[0].pins[-1].pin
    switch = drafted("rotate", "switch", str(pin), *OFFLINE)
    assert "clients fetch version 3, and only apps have version 4" in switch.err
    assert "record that: certpin rotate shipped 4" in " ".join(switch.err.split())
    assert drafted("rotate", "shipped", "4", *OFFLINE).code == 0
    assert drafted("rotate", "shipped", "3", "--ended").code == 0
    assert activated(drafted, pin)[0] == 0


def test_a_release_whose_pins_expire_before_its_end_is_refused(run: Run) -> None:
    """Its clients would refuse every server until they have another release."""
    soon = kit.policy(HOST, LEAF, BACKUP, expires=datetime.now(UTC) + 60 * DAY)
    write(soon)
    words = ("shipped", "3", *APP, "4.1", *OFFLINE)
    refused, facts = stepped(run, *words, "--end", day(300))
    assert (refused.code, invariants(facts)) == (1, ["expiry"])
    fix = facts["breaches"][0]["fix"]
    assert fix.startswith("write another `expires` into the pin file, not before the end of the")
    assert stepped(run, *words, "--end", day(50))[0].code == 0
    assert run("rotate", "status", *OFFLINE).code == 0, "the pins outlive the release"
    JOURNAL.unlink()
    write(soon)
    assert stepped(run, *words, "--end", day(300), "--updates")[0].code == 0, "it fetches others"
    assert run("rotate", "status", *OFFLINE).code == 0


def test_a_release_without_a_known_end_says_until_when_its_pins_are_valid(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP, expires=datetime.now(UTC) + 60 * DAY))
    words = ("shipped", "3", *APP, "4.1", *OFFLINE)
    said = " ".join(run("rotate", *words).out.split())
    assert "clients with com.bank.app 4.1 refuse every server: its pins expire then" in said
    assert "refuse every server" in run("rotate", *words, "--end", day(300)).out
    assert "refuse every server" not in run("rotate", *words, "--end", day(50)).out
    for policy in (
        kit.policy(HOST, LEAF, BACKUP),
        kit.policy(HOST, LEAF, BACKUP, expires=datetime.now(UTC) + DAY, on_expiry="fail-open"),
    ):
        JOURNAL.unlink()
        write(policy)
        assert "refuse every server" not in run("rotate", *words).out


def test_early_pins_of_a_release_are_replaced_by_a_forced_update(run: Run) -> None:
    """No version that is published helps its clients. The printed command ends the release."""
    write(kit.policy(HOST, LEAF, BACKUP, expires=datetime.now(UTC) + 60 * DAY))
    assert run("rotate", "shipped", "3", *APP, "4.1", "--end", day(55), *OFFLINE).code == 0
    assert run("rotate", "shipped", "3", *APP, "4.1", "--end", day(300), *OFFLINE).code == 0
    warned = run("rotate", "status", *OFFLINE)
    assert warned.code == 1
    said = " ".join(warned.out.split())
    command = "certpin rotate shipped 4 --app com.bank.app --release RELEASE --force-update DATE"
    assert "only a release of the app replaces pins in a binary" in said
    assert f"({command})" in said
    write(kit.policy(HOST, LEAF, BACKUP, expires=datetime.now(UTC) + 400 * DAY))
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace("version = 3", "version = 4"), encoding="utf-8")
    pasted = command.replace("RELEASE", "4.2").replace("DATE", day(40))
    assert run(*shlex.split(pasted)[1:], *OFFLINE).code == 0
    assert run("rotate", "status", *OFFLINE).code == 0


@pytest.mark.usefixtures("unconfirmed_clock")
def test_a_version_of_an_unconfirmed_clock_is_recorded_with_a_warning(drafted: Run) -> None:
    """If the clock is behind, the previous version seems to end too early."""
    first, facts = stepped(drafted, "shipped", "3", *OFFLINE)
    assert (first.code, "clock" in " ".join(facts["unknown"])) == (0, False), "no other is held"
    days_pass(100)
    drafted("rotate", "start", "--new", "new.key")
    done, facts = stepped(drafted, "shipped", "4", *OFFLINE)
    assert done.code == 0
    (doubt,) = (each for each in facts["unknown"] if "clock" in each)
    date = f"{journal()[-1].time:%Y-%m-%d %H:%M} UTC"
    assert doubt.startswith(f"whether version 4 goes out on {date}, from which its adoption counts")
    assert "leave out --offline; if there is none, compare the clock yourself" in doubt
    assert "--force" not in doubt
    again, facts = stepped(drafted, "shipped", "4", *APP, "4.2", "--clients", "3", *OFFLINE)
    assert (again.code, sum("adoption counts" in each for each in facts["unknown"])) == (0, 1)
    amended, facts = stepped(drafted, "shipped", "4", *APP, "4.2", "--clients", "9")
    assert (amended.code, facts["unknown"]) == (0, [])


def test_a_version_of_a_confirmed_clock_is_recorded_without_a_warning(drafted: Run) -> None:
    assert drafted("rotate", "shipped", "3", *OFFLINE).code == 0
    days_pass(100)
    drafted("rotate", "start", "--new", "new.key")
    assert "adoption counts" not in drafted("rotate", "shipped", "4", *OFFLINE).out


def test_a_signed_version_that_waits_for_its_push_ends_no_other(drafted: Run) -> None:
    assert drafted("rotate", "shipped", "3", *OFFLINE).code == 0
    days_pass(100)
    drafted("rotate", "start", "--new", "new.key")
    assert drafted("rotate", "shipped", "4", *OFFLINE).code == 0
    *others, last = all_events()
    waiting = replace(last, signed=True)
    JOURNAL.write_text(format_journal([*others, waiting]), encoding="utf-8")
    for number in ("3", "4"):
        refused = drafted("rotate", "shipped", number, "--ended")
        assert (refused.code, "or certpin publish push for a signed set" in refused.err) == (
            2,
            True,
        )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("9", "--ended"), "version 9 is not recorded"),
        (("9",), "version 9 is not recorded, and pins.toml has version 3"),
        (("3", "--app", "a"), "--app and --release go together"),
        (("3", "--end", "2027-01-15"), "are about a release"),
        (("3", "--updates"), "are about a release"),
        (("3", *APP, "1", "--end", "soon"), "is not a date"),
        (("3", *APP, "1", "--end", "2027-01-15T10:00:00"), "is not a date"),
        (("3", *APP, "1", "--end", "9999-01-15"), "too far away"),
        (("3", *APP, "1", "--end", "9999-12-31"), "too far away"),
        (("3", "--ended", "--clients", "3"), "--ended takes no other fact"),
        (("3", *APP, "\x1b[31m"), "is no name of a release"),
    ],
)
def test_an_invalid_record_is_refused(drafted: Run, words: tuple[str, ...], problem: str) -> None:
    offline = () if "--ended" in words else OFFLINE
    done = drafted("rotate", "shipped", *words, *offline)
    assert (done.code, problem in " ".join(done.err.split())) == (2, True), done.err
    assert not Path("pins.journal.jsonl").exists()


def test_a_release_has_one_version(with_apps: tuple[Run, Pin]) -> None:
    run, _ = with_apps
    done = run("rotate", "shipped", "4", *APP, "4.1", *OFFLINE)
    assert (done.code, "recorded with version 3" in done.err) == (2, True)


def test_a_changed_file_is_not_recorded_under_an_old_number(with_apps: tuple[Run, Pin]) -> None:
    run, _ = with_apps
    assert run("rotate", "start", "--new", "other.key").code == 0
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace("version = 5", "version = 4"), encoding="utf-8")
    done = run("rotate", "shipped", "4", *APP, "4.3", *OFFLINE)
    assert (done.code, "differs from version 4" in done.err) == (2, True)
    assert run("rotate", "shipped", "5", *APP, "4.3", *OFFLINE).code == 0
    assert PinSet.load("pins.toml").version == 5


def test_the_gate_checks_the_pins_that_go_out(drafted: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP, expires=datetime.now(UTC) + DAY))
    done, facts = stepped(drafted, "shipped", "3", *APP, "4.1", *OFFLINE)
    assert (done.code, "expiry" in invariants(facts)) == (1, True)
    assert not Path("pins.journal.jsonl").exists()
    reason = ("--force", "--reason", "a test")
    assert stepped(drafted, "shipped", "3", *APP, "4.1", *OFFLINE, *reason)[0].code == 0
    assert journal()[0].reason == "a test"


def test_facts_are_added_without_contacting_a_server(with_apps: tuple[Run, Pin]) -> None:
    """A number of clients is added to a recorded release. Its pins were checked at that time."""
    run, _ = with_apps
    words: tuple[Any, ...] = ("shipped", "4", *APP, "4.2", "--clients", "1000", "--timeout", "1")
    done, facts = stepped(run, *words)
    assert (done.code, facts["unknown"]) == (0, [])
    (release,) = history().deployed.versions[1].releases
    assert release.clients == 1000


def test_bad_curve_files_are_refused(drafted: Run) -> None:
    for content in (b"", b"\xff\xfe\xff", b"day;share\n1;2\n", b"day,share\n" + b"1,1%\n" * 20000):
        Path("curve.csv").write_bytes(content)
        done = drafted("rotate", "shipped", "3", *APP, "1", "--curve", "curve.csv", *OFFLINE)
        assert (done.code, "curve.csv" in done.err) == (2, True)


def test_statistics_of_a_store_replace_the_guess(with_apps: tuple[Run, Pin]) -> None:
    run, pin = with_apps
    guessed = stepped(run, "switch", str(pin), *OFFLINE)[1]["breaches"][0]["clients"]
    assert guessed == 900  # version 4 is out since a moment
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    header = "Date,Package Name,App Version Code,Active Device Installs\n"
    rows = f"{today},com.bank.app,4.1,300\n{today},com.bank.app,4.2,600\n"
    Path("play.csv").write_bytes((header + rows).encode("utf-16"))
    facts = stepped(run, "switch", str(pin), "--measured", "play.csv", *OFFLINE)[1]
    assert facts["breaches"][0]["clients"] == 300
    Path("play.csv").write_text(header + rows.replace("com.bank.app", "other"), encoding="utf-8")
    done = run("rotate", "switch", str(pin), "--measured", "play.csv", *OFFLINE)
    assert (done.code, "play.csv is about other" in done.err) == (2, True)
    Path("play.csv").write_bytes(b"\xff")
    done = run("rotate", "switch", str(pin), "--measured", "play.csv", *OFFLINE)
    assert (done.code, "play.csv" in done.err) == (2, True)


def test_a_host_that_the_pin_file_lost_is_not_dropped_unseen(run: Run) -> None:
    """Strict clients with the next version would refuse it."""
    other = "pay.bank.example"
    write(kit.policy(HOST, LEAF, BACKUP), kit.policy(other, LEAF, BACKUP))
    assert run("rotate", "shipped", "3", "--clients", "900", *OFFLINE).code == 0
    days_pass(60)
    write(kit.policy(HOST, LEAF, BACKUP))
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace("version = 3", "version = 4"), encoding="utf-8")
    status = run("rotate", "status", *OFFLINE, "--json").json["hosts"][0]["next"]
    assert [each["invariant"] for each in status["breaches"]] == ["dropped-host"]
    done, facts = stepped(run, "shipped", "4", *OFFLINE)
    assert (done.code, invariants(facts)) == (1, ["dropped-host"])
    assert (facts["breaches"][0]["host"], facts["breaches"][0]["clients"]) == (other, 900)
    assert f"{other}: version 3 has a policy for it, and the pin file has none: " in done.err
    forced = ("--force", "--reason", "no client connects to it")
    assert run("rotate", "shipped", "4", *OFFLINE, *forced).code == 0
    # The next version has every host of the latest one.
    Path("pins.toml").write_text(text.replace("version = 3", "version = 5"), encoding="utf-8")
    assert stepped(run, "shipped", "5", *OFFLINE)[0].code == 0


def test_a_host_of_a_wildcard_gets_its_own_policy_and_then_its_own_key(run: Run) -> None:
    """Its server was seen under the wildcard, which does not list it any more."""
    root = Authority("Root")
    shared, own = root.issue("*.bank.example"), root.issue(HOST)
    trust, server = Path("root.pem"), f"{HOST}:8443"
    trust.write_bytes(root.pem)
    Path("own.pem").write_bytes(own.chain_pem + root.pem)
    wild = kit.policy("*.bank.example", shared.pin, BACKUP)
    write(wild, trust=trust)
    assert run("rotate", "shipped", "3", *OFFLINE).code == 0
    now = datetime.now(UTC)
    seen = Event(now, "ada", "observe", "*.bank.example", shared.pin, server=server)
    JOURNAL.write_text(format_journal([*journal(), seen]), encoding="utf-8")
    days_pass(60)
    write(wild, kit.policy(HOST, shared.pin, BACKUP, own.pin), trust=trust)
    text = Path("pins.toml").read_text(encoding="utf-8").replace("version = 3", "version = 4")
    text += f'[[host.server]]\naddress = "{server}"\n'
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert run("rotate", "shipped", "4", *OFFLINE).err == ""
    words = ("--host", HOST, *OFFLINE, "--force", "--reason", "no server confirms the time here")
    days_pass(60)
    assert run("rotate", "switch", "own.pem", *words).code == 0
    assert run("rotate", "start", "--new", "new.key", "--host", HOST).code == 0
    done = run("rotate", "shipped", "5", *OFFLINE, "--served", f"{HOST}=own.pem")
    assert (done.code, done.err) == (0, "")


def test_a_pin_file_under_two_names_has_one_journal(drafted: Run) -> None:
    Path("app").mkdir()
    Path("app/pins.toml").symlink_to("../pins.toml")
    link = ("--file", "app/pins.toml")
    assert drafted("rotate", "shipped", "3", *APP, "4.1", *link, *OFFLINE).code == 0
    assert [event.step for event in journal()] == ["publish"]
    assert not Path("app", JOURNAL).exists()
    Path("app", JOURNAL).symlink_to(f"../{JOURNAL}")  # as in a mounted ConfigMap
    assert drafted("rotate", "status", *link, *OFFLINE).code == 0
    Path("app", JOURNAL).unlink()
    Path("app", JOURNAL).write_text(JOURNAL.read_text(encoding="utf-8"), encoding="utf-8")
    for words in (("status", *OFFLINE), ("history",)):
        done = drafted("rotate", *words, *link)
        assert (done.code, f"app/{JOURNAL}" in done.err) == (2, True)
        assert "append its lines to that journal, and remove it" in done.err
    assert drafted("rotate", "status", *OFFLINE).code == 0
