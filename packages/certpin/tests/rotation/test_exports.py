"""App stores' statistics of installed releases: strictly parsed, and used as adoption curves."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.rotation import AppRelease, DeployedVersions, Version
from certpin.rotation import exports as limits
from certpin.rotation.exports import ReleaseUsage, read_export
from certpin.rotation.fleet import clients_at_risk, deployed_sizes
from certpin.rotation.measured import measured_releases
from tests.rotation._situations import DAY, NOW, TIMING, pin_set, situation

GOOGLE = (
    "Date,Package Name,App Version Code,Daily Device Installs,Daily Device Uninstalls,"
    "Daily Device Upgrades,Total User Installs,Daily User Installs,Daily User Uninstalls,"
    "Active Device Installs,Install events,Update events,Uninstall events\n"
)
APPLE = (
    "Date\tApp Name\tApp Apple Identifier\tApp Version\tDevice\tPlatform Version\tSource Type\t"
    "Source Info\tCampaign\tPage Type\tPage Title\tApp Download Date\tTerritory\tSessions\t"
    "Total Session Duration\tUnique Devices\n"
)
MARCH = datetime(2027, 3, 1, tzinfo=UTC)


def google(code: str, devices: Any, day: str = "2027-03-01") -> str:
    return f"{day},com.bank,{code},1,2,3,4,5,6,{devices},7,8,9\n"


def apple(version: str, devices: int, device: str = "iPhone") -> str:
    return (
        f"2027-03-01\tBank\t1\t{version}\t{device}\tiOS 18\tApp Store search\t\t\t\t\t\tDE\t9\t99\t"
        f"{devices}\n"
    )


def test_a_report_of_google_play_is_read() -> None:
    text = GOOGLE + google("401", 30) + google("402", 70)
    found = (
        ReleaseUsage(MARCH, "com.bank", "401", 30, whole=True),
        ReleaseUsage(MARCH, "com.bank", "402", 70, whole=True),
    )
    assert read_export(text.encode("utf-16")) == found
    assert read_export(text.encode()) == found
    assert read_export(text.replace("\n", "\r\n").encode("utf-8-sig")) == found


def test_a_report_of_app_store_connect_is_added_up() -> None:
    text = APPLE + apple("4.1", 30) + apple("4.2", 60) + apple("4.2", 10, "iPad")
    assert read_export(text.encode()) == (
        ReleaseUsage(MARCH, "Bank", "4.1", 30, whole=False),
        ReleaseUsage(MARCH, "Bank", "4.2", 70, whole=False),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "neither the columns"),
        ("Date,App Version Code\n", "neither the columns"),
        (GOOGLE.replace("Install events", "Date"), "one of them twice"),
        (",".join(f"c{number}" for number in range(65)), "too many columns"),
        (GOOGLE + "2027-03-01,com.bank\n", "line 2 has 2 values"),
        (GOOGLE + google("401", 30, "01/03/2027"), "is not a date"),
        (GOOGLE + google("401", 30, "2027-02-30"), "is not a date"),
        (GOOGLE + google("401", 30, "9999-01-01"), "is not a date"),
        (GOOGLE + google("401", "-1"), "is not a number of devices"),
        (GOOGLE + google("401", "1e9"), "is not a number of devices"),
        (GOOGLE + google("401", "٣"), "is not a number of devices"),
        (GOOGLE + google("401", "99999999999"), "is not a number of devices"),
        (GOOGLE + google("", 5), "is no name of a release"),
        (GOOGLE + google("\x1b[2J", 5), "is no name of a release"),
        (GOOGLE + google("9" * 201, 5), "too long"),
        (GOOGLE + 'x"y","\n', "is not CSV|has 2 values"),
    ],
)
def test_other_text_is_refused(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as refused:
        read_export(text.encode())
    assert "\x1b" not in str(refused.value)


def test_a_report_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="more than 16777216 bytes"):
        read_export(b" " * (limits.MAX_EXPORT_BYTES + 1))
    monkeypatch.setattr(limits, "MAX_ROWS", 2)
    assert len(read_export((GOOGLE + google("1", 1) + google("2", 1)).encode())) == 2
    with pytest.raises(FormatError, match="more than 2 lines"):
        read_export((GOOGLE + google("1", 1) * 3).encode())
    with pytest.raises(FormatError, match="not text in UTF-8"):
        read_export(b"Date,\xff")


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_any_bytes_are_a_report_or_a_format_error(data: bytes) -> None:
    for each in (data, GOOGLE.encode() + data, APPLE.encode() + data, b"\xff\xfe" + data):
        try:
            found = read_export(each)
        except FormatError:
            continue
        assert all(usage.devices >= 0 for usage in found)


def shipped(number: int, name: str, ago: int, **facts: Any) -> Version:
    release = AppRelease("com.bank", name, NOW - ago * DAY, **facts)
    pins = pin_set({"a": "active", "b": "published"}, number)
    return Version(pins, bundled=release.shipped, releases=(release,))


def usage(name: str, devices: int, ago: int, **fields: Any) -> ReleaseUsage:
    day = (NOW - ago * DAY).replace(hour=0)
    return ReleaseUsage(day, "com.bank", name, devices, **{"whole": True, **fields})


DEPLOYED = DeployedVersions((shipped(1, "401", 100), shipped(2, "402", 20)))
WEEK = [usage("401", 600, 6), usage("402", 400, 6), usage("401", 200, 1), usage("402", 800, 1)]


def test_measured_curves_replace_guesses() -> None:
    found = measured_releases(DEPLOYED, WEEK)
    old, new = found.versions
    assert new.releases[0].curve == ((14, Fraction(2, 5)), (19, Fraction(4, 5)))
    assert deployed_sizes(found).total == 1000
    now = situation(new.pins, old, new)
    assert clients_at_risk(now, [old]) == 200
    assert clients_at_risk(now, [old], NOW - 6 * DAY) == 600
    assert clients_at_risk(now, [old], NOW + 90 * DAY) == 200


def test_a_measured_curve_ends_no_version() -> None:
    """A store omits small numbers, so a share of 100 % is no proof that an old version is gone."""
    all_new = [usage("402", 1000, 1)]
    found = measured_releases(DEPLOYED, all_new)
    assert found.versions[1].releases[0].curve == ((19, Fraction(1)),)
    assert found.end_of_life(found.versions[0], TIMING) is None


def test_unknown_releases_count_as_older() -> None:
    found = measured_releases(DEPLOYED, [usage("402", 500, 1), usage("399", 500, 1)])
    assert found.versions[1].releases[0].curve == ((19, Fraction(1, 2)),)


def test_lower_shares_of_later_days_count() -> None:
    noisy = [*WEEK, usage("401", 500, 0), usage("402", 500, 0)]
    curve = measured_releases(DEPLOYED, noisy).versions[1].releases[0].curve
    assert curve == ((14, Fraction(2, 5)), (19, Fraction(1, 2)), (20, Fraction(1, 2)))


def test_a_recorded_number_of_clients_stays_and_a_part_is_no_number() -> None:
    known = DeployedVersions((shipped(1, "401", 100, clients=5000),))
    assert deployed_sizes(measured_releases(known, WEEK)).total == 5000
    some = [usage("402", 500, 1, whole=False)]
    assert deployed_sizes(measured_releases(DEPLOYED, some)).total is None


def test_other_apps_and_earlier_days_change_nothing() -> None:
    assert measured_releases(DEPLOYED, []) == DEPLOYED
    other = [ReleaseUsage(MARCH, "com.other", "402", 5, whole=True)]
    assert measured_releases(DEPLOYED, other) == DEPLOYED
    (_, new) = measured_releases(DEPLOYED, [usage("401", 1000, 50)]).versions
    assert new.releases[0].curve == ()
