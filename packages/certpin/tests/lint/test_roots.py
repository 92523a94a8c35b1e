"""The lint rules about public roots: removal from trust stores, its date, and cross-signs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.lint import lint
from certpin.lint.document import EXPIRES_SOON
from certpin.lint.rule import BACKUP, EXPIRES, HEAD, HOST, NOW, PINS, SERVED
from certpin.pins import pins_of
from certpin.roots import PublicRoot, RootData, load_data
from tests.lint import _examples

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lint import LintDocument

TODAY = NOW.date()
DAY = timedelta(days=1)


def _removed(day: date) -> RootData:
    """Return data in which the root of the examples left certifi on a day."""
    key, whole = pins_of(_examples.chain()[2].certificate)
    dates = {whole: (date(2024, 1, 1), date(2040, 1, 1))}
    root = PublicRoot(key, "Bank Root CA", dates, ((date(2020, 1, 1), day),), "2027.1.1")
    return RootData({key: root})


def _rules(document: LintDocument, data: RootData, now: datetime = NOW) -> list[str]:
    return [each.rule for each in lint(replace(document, roots=data), now).findings]


def test_a_removed_root_is_found_in_a_trust_file_and_on_a_path(tmp_path: Path) -> None:
    trusted, _ = _examples.document(f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}', tmp_path)
    assert _rules(trusted, _removed(TODAY)) == ["distrusted-root"]
    served, _ = _examples.document(f"{HEAD}{HOST}{SERVED}{BACKUP}", tmp_path, "live")
    assert _rules(served, _removed(TODAY)) == ["distrusted-root"]


def test_a_removed_root_that_is_pinned_and_served_is_reported_once(tmp_path: Path) -> None:
    text = f'{HEAD}{HOST}{SERVED}{BACKUP}\n[[host.pin]]\npin = "sha256/ROOT"\nrole = "root"\n'
    served, _ = _examples.document(text, tmp_path, "live")
    assert _rules(served, _removed(TODAY)) == ["distrusted-root"]


def test_a_removal_is_not_known_before_its_day(tmp_path: Path) -> None:
    trusted, _ = _examples.document(f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}', tmp_path)
    assert _rules(trusted, _removed(TODAY + DAY)) == []


def test_a_public_root_in_a_trust_file_is_no_private_authority(tmp_path: Path) -> None:
    text = f'{HEAD}ct_logs = "logs.json"\n{HOST}trust = "bank-root.pem"\nrequire_ct = true\n{PINS}'
    trusted, _ = _examples.document(text, tmp_path)
    assert _rules(trusted, RootData({})) == ["ct-private-authority"]
    assert _rules(trusted, _removed(TODAY + DAY)) == []


LEAVES = datetime(2027, 4, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "rules"),
    [
        (LEAVES - EXPIRES_SOON, set()),
        (LEAVES - EXPIRES_SOON + DAY, {"root-leaves-soon"}),
        (LEAVES - DAY, {"root-leaves-soon"}),
        (LEAVES, {"distrusted-root"}),
    ],
)
def test_a_root_leaves_soon_for_half_a_year_before_its_day(
    now: datetime, rules: set[str], tmp_path: Path
) -> None:
    text = f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/LEAVING"\nrole = "root"\n'
    document, _ = _examples.document(text.replace("2027-09-01", "2028-01-01"), tmp_path)
    found = lint(document, now).findings
    assert {each.rule for each in found if "root" in each.rule} == rules
    assert all("2027-04-15" in each.message for each in found if "root" in each.rule)


def test_the_message_names_the_root_the_day_and_the_release(tmp_path: Path) -> None:
    text = f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/DISTRUSTED"\nrole = "root"\n'
    document, _ = _examples.document(text, tmp_path)
    (finding,) = lint(document, NOW).findings
    assert finding.message == (
        "api.bank.example pins DigiCert Global Root CA, which left Mozilla's root store "
        "on 2026-04-22, and Debian's ca-certificates 20250419+deb13u1 still has it "
        "(certifi 2026.4.22)"
    )


def test_the_removal_of_a_root_says_more_than_its_earlier_distrust(tmp_path: Path) -> None:
    name = "Entrust Root Certification Authority - G2"
    (root,) = (root for root in load_data().roots.values() if root.name == name)
    kinds = [each.kind for each in load_data().facts(root.pin, TODAY) if each.day <= TODAY]
    assert kinds == ["distrusted", "distrusted", "removed"]
    document, _ = _examples.document(
        f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "{root.pin}"\nrole = "root"\n', tmp_path
    )
    (finding,) = (each for each in lint(document, NOW).findings if each.rule == "distrusted-root")
    assert f"{name}, which left Mozilla's root store on 2026-01-04" in finding.message


def test_a_pin_of_a_removed_certificate_is_found_too(tmp_path: Path) -> None:
    (whole, _) = next(
        (pin, root)
        for root in load_data().roots.values()
        if root.name == "XRamp Global Certification Authority"
        for pin in root.certificates
    )
    document, _ = _examples.document(
        f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "{whole}"\nrole = "root"\n', tmp_path
    )
    assert {each.rule for each in lint(document, NOW).findings} == {
        "distrusted-root",
        "whole-certificate-pin",
    }


@pytest.mark.parametrize(
    ("end", "found"),
    [(EXPIRES_SOON, False), (EXPIRES_SOON - DAY, True), (-DAY, True)],
)
def test_a_cross_sign_is_reported_if_it_expires_soon(
    end: timedelta, found: bool, tmp_path: Path
) -> None:
    text = f'{HEAD}\n[[host]]\nname = "crossed.bank.example"\n{EXPIRES}{SERVED}{BACKUP}'
    document, _ = _examples.document(text, tmp_path, "live")
    (result,) = document.live or ()
    crossed = _examples.renewed(_examples.chain()[2], NOW - 900 * DAY, NOW + end)
    changed = replace(result, served=(*result.served[:2], crossed))
    rules = [each.rule for each in lint(replace(document, live=(changed,)), NOW).findings]
    assert rules == (["expired-cross-sign"] if found else [])


def test_a_stranger_that_the_server_sends_is_no_cross_sign(tmp_path: Path) -> None:
    """An expired certificate beside the chain gives no finding: its key is on no path."""
    document, _ = _examples.document(f"{HEAD}{HOST}{SERVED}{BACKUP}", tmp_path, "live")
    (result,) = document.live or ()
    stranger = _examples.make("Stranger", NOW - 900 * DAY, NOW - DAY).certificate
    changed = replace(result, served=(*result.served, stranger))
    assert lint(replace(document, live=(changed,)), NOW).findings == ()
