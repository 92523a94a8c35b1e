"""Boundary cases of the rules about served chains and exported files."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.lint import ExportedFile, LintDocument, lint
from certpin.lint.document import EXPIRES_SOON
from certpin.lint.rule import (
    AUTHORITY,
    BACKUP,
    FIRST,
    GOOD,
    HEAD,
    HOST,
    NAME,
    NOW,
    PINS,
    SERVED,
)
from certpin.x509 import Certificate
from tests.lint import _examples
from tests.lint.test_boundaries import REPORT, TO, host

if TYPE_CHECKING:
    from pathlib import Path


def _live(text: str, folder: Path) -> tuple[LintDocument, set[str]]:
    document, _ = _examples.document(text, folder, "live")
    return document, {each.rule for each in lint(document, NOW).findings}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            {"live-mismatch"},
            f'{HEAD}{HOST}match = "ca"\n{SERVED}{AUTHORITY}'.replace("INTERM", "X"),
        ),
        ({"live-unverified"}, f"{host('unverified.bank.example')}{SERVED}{BACKUP}"),
        ({"not-asked"}, f"{host('silent.bank.example')}{SERVED}{BACKUP}"),
        ({"no-starttls"}, f"{host('stripped.bank.example')}{SERVED}{BACKUP}"),
        ({"renewal-overdue"}, f"{host('late.bank.example')}{SERVED}{BACKUP}"),
        ({"leaf-only-short-lived"}, f"{host('short.bank.example')}{SERVED}{BACKUP}"),
        (
            {"dead-pin-in-service", "live-mismatch"},
            f'{HEAD}{HOST}{SERVED}state = "removed"\n{PINS}',
        ),
        ({"one-chain", "authority-expires-soon"}, f"{host('old.bank.example')}{SERVED}{AUTHORITY}"),
        (
            {"one-chain"},
            f"{HEAD}{HOST}{SERVED}{BACKUP}".replace('"published"', '"lost"'),
        ),
        ({"backup-in-chain"}, f'{HEAD}{HOST}{FIRST}{SERVED}role = "backup"\n'),
    ],
)
def test_live_rules_judge_the_served_chain(names: set[str], text: str, tmp_path: Path) -> None:
    text = text.replace('role = "leaf"\nrole', "role")
    assert names <= _live(text, tmp_path)[1]


def test_certificates_outside_the_verified_path_match_nothing(tmp_path: Path) -> None:
    document, _ = _live(f"{HEAD}{HOST}{SERVED}{BACKUP}", tmp_path)
    other = _examples.make("another", NOW, NOW + 200 * _examples.DAY).certificate
    (asked,) = document.live or ()
    sent = replace(document, live=(replace(asked, path=(other,)),))
    assert "live-mismatch" in {each.rule for each in lint(sent, NOW).findings}


def test_match_ca_ignores_the_leaf(tmp_path: Path) -> None:
    assert "live-mismatch" in _live(f'{HEAD}{HOST}match = "ca"\n{SERVED}{BACKUP}', tmp_path)[1]


def test_rules_without_their_data_do_not_run(tmp_path: Path) -> None:
    document, _ = _live(f"{host('silent.bank.example')}{SERVED}{BACKUP}", tmp_path)
    assert lint(replace(document, live=None), NOW).findings == ()


def test_an_unreadable_export_is_drift(tmp_path: Path) -> None:
    document, _ = _examples.document(GOOD, tmp_path)
    files = (
        ExportedFile("okhttp", "a.kt", "it is no such file"),
        ExportedFile("nginx", "b", "", ("one pin less", "another mode")),
        ExportedFile("curl", "c"),
    )
    found = lint(replace(document, exported=files), NOW).findings
    assert [(each.rule, each.line) for each in found] == [("drift", 1)] * 3
    assert "a.kt (okhttp) cannot be compared: it is no such file" in found[0].message


def test_an_anchor_is_valid_until_its_last_second(tmp_path: Path) -> None:
    document, _ = _examples.document(f'{HEAD}{HOST}trust = "old-root.pem"\n{PINS}', tmp_path)
    end, second = NOW - _examples.DAY, timedelta(seconds=1)
    judged = {
        moment: {each.rule for each in lint(document, moment).findings}
        for moment in (end - EXPIRES_SOON, end - EXPIRES_SOON + second, end, end + second)
    }
    assert list(judged.values()) == [
        set(),
        {"anchor-expires-soon"},
        {"anchor-expires-soon"},
        {"anchor-expired"},
    ]


def _with_leaf(folder: Path, days_before: int, days_left: int, text: str = "") -> set[str]:
    document, _ = _live(text or f"{HEAD}{HOST}{SERVED}{BACKUP}", folder)
    (asked,) = document.live or ()
    day = _examples.DAY
    leaf = _examples.renewed(_examples.chain()[0], NOW - days_before * day, NOW + days_left * day)
    changed = replace(asked, path=(leaf, *(asked.path or ())[1:]))
    return {each.rule for each in lint(replace(document, live=(changed,)), NOW).findings}


def test_a_short_life_is_at_most_a_hundred_days(tmp_path: Path) -> None:
    assert _with_leaf(tmp_path, 30, 70) == {"leaf-only-short-lived"}
    assert _with_leaf(tmp_path, 30, 71) == set()
    assert _with_leaf(tmp_path, 30, 70, f"{HEAD}{HOST}{PINS}") == {"live-mismatch"}


def test_a_renewal_is_overdue_when_less_than_a_sixth_is_left(tmp_path: Path) -> None:
    assert _with_leaf(tmp_path, 150, 30) == set()
    assert _with_leaf(tmp_path, 151, 29) == {"renewal-overdue"}


def test_an_authority_that_is_not_pinned_may_expire(tmp_path: Path) -> None:
    assert _live(f"{host('old.bank.example')}{SERVED}{BACKUP}", tmp_path)[1] == set()


def test_report_mode_has_no_chain_rule_and_its_own_message(tmp_path: Path) -> None:
    document, found = _live(f"{HEAD}{REPORT}{TO}{SERVED}", tmp_path)
    assert found == set()
    document, found = _live(f"{HEAD}{REPORT}{TO}{FIRST}", tmp_path)
    assert found == {"live-mismatch"}
    (mismatch,) = lint(document, NOW).findings
    assert mismatch.message.endswith("in mode enforce clients would be locked out")
    document, _ = _live(f"{HEAD}{HOST}{PINS}", tmp_path)
    assert lint(document, NOW).findings[0].message.endswith("serves: clients are locked out")


@pytest.mark.parametrize("what", ["fail-closed", "fail-open", "report"])
def test_expired_pins_that_are_not_enforced_lock_no_client_out(tmp_path: Path, what: str) -> None:
    expiry = f'expires = 2020-01-01\non_expiry = "{what}"\n'
    document, _ = _live(f"{HEAD}{NAME}{expiry}{PINS}", tmp_path)
    [message] = [
        each.message for each in lint(document, NOW).findings if each.rule == "live-mismatch"
    ]
    assert message.endswith("clients are locked out") == (what == "fail-closed")
    assert message.endswith("because the pins have expired") == (what != "fail-closed")


def test_hosts_with_only_dead_pins_have_no_one_chain_finding(tmp_path: Path) -> None:
    text = f'{HEAD}{HOST}{SERVED}state = "removed"\n'
    assert "one-chain" not in _live(text, tmp_path)[1]


def test_adoption_days_come_from_the_user(tmp_path: Path) -> None:
    document, _ = _examples.document(f"{HEAD}{NAME}expires = 2027-04-01\n{PINS}", tmp_path)
    found = lint(replace(document, adoption_days=31), NOW).findings
    assert [each.rule for each in found] == ["expires-too-soon"]


def test_unreadable_dates_cause_no_finding_and_no_crash(tmp_path: Path) -> None:
    document, _ = _live(f"{HEAD}{HOST}{SERVED}{BACKUP}", tmp_path)
    (asked,) = document.live or ()
    spki = _examples.chain()[0].certificate.spki
    unread = Certificate(b"0", spki)
    odd = replace(document, live=(replace(asked, path=(unread, unread)),))
    assert lint(odd, NOW).findings == ()
