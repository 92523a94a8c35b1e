"""The boundaries of the rules for intermediates and root sets."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from certpin import providers
from certpin.lint import lint, read_document
from certpin.lint.rule import (
    AUTHORITY,
    BACKUP,
    FIRST,
    HEAD,
    HOST,
    NOW,
    ROOT_SET,
    SERVED,
)
from certpin.providers import load_providers
from tests.lint import _examples

if TYPE_CHECKING:
    from pathlib import Path

CA = 'match = "ca"\n'


def found(text: str, folder: Path, now: datetime = NOW) -> list[str]:
    """Return the rules that find something in a pin file."""
    filled, _ = _examples.fill_example(text)
    _examples.anchors(folder)
    document = read_document(filled, folder / "pins.toml")
    return [each.rule for each in lint(document, now).findings]


@pytest.mark.parametrize(
    ("hosts", "rules"),
    [
        (f"{HOST}{CA}{AUTHORITY}{BACKUP}", ["lone-intermediate"]),
        # The structure of Expensify: the leaf and the intermediate of a provider.
        (f"{HOST}{FIRST}{AUTHORITY}", ["lone-intermediate", "roles-of-one-chain"]),
        (f"{HOST}{AUTHORITY}{BACKUP}", ["lone-intermediate"]),
        (f"{HOST}{SERVED}{AUTHORITY}{BACKUP}", []),  # the user controls the key
        (f"{HOST}{CA}{AUTHORITY}{ROOT_SET}", []),  # every alternative is pinned
        (f'{HOST}{CA}trust = "bank-root.pem"\n{AUTHORITY}{BACKUP}', []),  # a private authority
        (f"{HOST}{CA}{ROOT_SET}", []),
    ],
)
def test_lone_intermediate(hosts: str, rules: list[str], tmp_path: Path) -> None:
    assert sorted(found(HEAD + hosts, tmp_path)) == rules


def test_an_intermediate_beside_an_incomplete_set_is_alone(tmp_path: Path) -> None:
    part = ROOT_SET.rpartition("\n[[host.pin]]")[0] + "\n"
    rules = found(f"{HEAD}{HOST}{CA}{AUTHORITY}{part}", tmp_path)
    assert sorted(rules) == ["lone-intermediate", "provider-set-changed"]


def test_lone_intermediate_is_allowed_with_a_reason(tmp_path: Path) -> None:
    line = 'pin = "sha256/INTERMEDIATE"\n'
    allow = "# certpin: allow lone-intermediate because a contract names it\n"
    text = f"{HEAD}{HOST}{CA}{AUTHORITY}{BACKUP}".replace(line, f"{allow}{line}")
    assert found(text, tmp_path) == []


def test_a_root_set_needs_no_spare_key(tmp_path: Path) -> None:
    roots = 'pin = "sha256/{}"\nrole = "root"\n'
    plain = "".join(f"\n[[host.pin]]\n{roots.format(word)}" for word in ("ONE", "TWO"))
    assert found(f"{HEAD}{HOST}{CA}{plain}", tmp_path) == ["no-spare"]
    assert found(f"{HEAD}{HOST}{CA}{ROOT_SET}", tmp_path) == []


def test_a_lost_root_set_is_no_backup(tmp_path: Path) -> None:
    lost = ROOT_SET.replace('role = "root"\n', 'role = "root"\nstate = "lost"\n', 3)
    assert "no-spare" in found(f"{HEAD}{HOST}{CA}{lost}", tmp_path)


def test_a_distrusted_root_of_a_set_is_no_finding(tmp_path: Path) -> None:
    pins = "".join(
        f'\n[[host.pin]]\npin = "{root.pin}"\nrole = "root"\nprovider = "digicert"\n'
        for root in load_providers().providers["digicert"].roots_at(NOW.date())
    )
    assert found(f"{HEAD}{HOST}{CA}{pins}", tmp_path) == []
    lone = pins.replace('provider = "digicert"\n', "")
    assert "distrusted-root" in found(f"{HEAD}{HOST}{CA}{lone}", tmp_path)


def test_unknown_provider_names_each_name_once(tmp_path: Path) -> None:
    more = '\n[[host.pin]]\npin = "sha256/THREE"\nprovider = ["letsencript", "gogle"]\n'
    rules = found(f"{HEAD}{HOST}{ROOT_SET}{more}", tmp_path)
    assert rules.count("unknown-provider") == 2


def test_provider_set_changed_is_silent_with_outdated_data(tmp_path: Path) -> None:
    part = ROOT_SET.rpartition("\n[[host.pin]]")[0] + "\n"
    later = "provider_edition = 2099-01-01\n"
    assert found(f"{HEAD}{HOST}{CA}{part}", tmp_path) == ["provider-set-changed"]
    assert found(f"{HEAD}{HOST}{CA}{later}{part}", tmp_path) == ["provider-data-outdated"]


def test_an_expired_root_needs_no_pin(tmp_path: Path) -> None:
    google = load_providers().providers["google"]
    old = [root for root in google.roots if root.not_after < date(2022, 1, 1)]
    assert [root.name for root in old] == ["GlobalSign Root CA - R2"]
    pins = "".join(
        f'\n[[host.pin]]\npin = "{root.pin}"\nrole = "root"\nprovider = "google"\n'
        for root in google.roots
        if root not in old
    )
    assert found(f"{HEAD}{HOST}{CA}{pins}", tmp_path) == []
    before = datetime(2021, 1, 1, tzinfo=UTC)
    assert "provider-set-changed" in found(f"{HEAD}{HOST}{CA}{pins}", tmp_path, before)


def test_the_rules_take_the_data_of_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.providers._data import data

    monkeypatch.setattr(providers, "load_providers", data)
    assert set(found(f"{HEAD}{HOST}{CA}{ROOT_SET}", tmp_path)) == {"unknown-provider"}
