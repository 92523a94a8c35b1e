"""A compromised key of a pin file is exported to Dart, and the Dart code refuses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from certpin.formats.flutter import FLUTTER
from certpin.formats.flutter.published import published
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests.formats._sets import KEYS
from tests.formats.flutter._bridge import call
from tests.formats.flutter.test_compiles import dumped
from tests.kit import pin_set

if TYPE_CHECKING:
    from pathlib import Path

GOOD, BACKUP, STOLEN, STOLEN_ROOT = KEYS[:4]
PINS = pin_set(
    HostPolicy(
        HostPattern.parse("a.example"),
        (
            HostPin(GOOD),
            HostPin(BACKUP, "backup"),
            HostPin(STOLEN, state="compromised"),
            HostPin(STOLEN_ROOT, "root", state="compromised"),
        ),
        match="leaf",
    )
)


def test_compromised_authorities_are_reported_as_not_refused() -> None:
    [omission] = FLUTTER.export(PINS).omissions
    assert f"{STOLEN_ROOT} (root) is compromised, and is not refused" in omission.problem
    assert "no chain is exposed by dart:io" in omission.problem


@pytest.mark.peer("dart")
def test_compromised_server_keys_are_in_exports_and_signed_sets(tmp_path: Path) -> None:
    [exported] = dumped(tmp_path, [PINS])
    signed = call("readPins", published(PINS)[0])
    both: list[Any] = [exported, signed]
    for found in both:
        [policy] = found["policies"]
        assert policy["pins"] == [str(GOOD), str(BACKUP)]
        assert policy["compromised"] == [str(STOLEN)]
        whole = [str(GOOD), str(STOLEN)]  # another live pin is on it, too
        assert call("judge", policy, whole, "2027-01-01") == ["refuse", "compromised-key"]
