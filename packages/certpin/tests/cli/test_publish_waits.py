"""While a signature of the journal's newest version is missing, no command says that all is well.

Clients can't fetch the version then, and a push uploads nothing: the next command signs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import kit
from tests.cli._rotating import days_pass, next_action
from tests.cli._signed_sets import KEYS, NEW, documented, out

if TYPE_CHECKING:
    from tests.cli.conftest import Run

SIGN, PUSH = "certpin publish sign KEY…", "certpin publish push"
ONLINE = {"CERTPIN_SIGNING_KEYS": "online.key"}

pytestmark = pytest.mark.medium


@pytest.fixture
def waiting(begun: Run) -> Run:
    """Publish version 3; record a version with another backup, which only ``targets.key`` signs."""
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    days_pass(100)
    out(begun, kit.NOBODY, kit.NOBODY_ELSE, NEW)
    documented(begun, "sign", "targets.key")
    return begun


def test_status_prints_the_command_that_signs_and_the_missing_keys(waiting: Run) -> None:
    found = next_action(waiting)
    assert (found["act"], found["commands"]) == ("push", [SIGN, PUSH])
    assert re.search(
        r"^sign version 4, .*: timestamp 2 waits for the key .*: \w{12}…", found["text"]
    )
    assert next_action(waiting, **ONLINE)["commands"][0] == "certpin publish sign"
    assert f"version 4, not signed yet ({SIGN})" in waiting("rotate", "status", "--offline").out
    documented(waiting, "sign", "online.key")
    found = next_action(waiting)
    assert found["commands"] == [PUSH]
    assert found["text"] == "push version 4, so that clients can fetch it"
    assert f"version 4, not pushed yet ({PUSH})" in waiting("rotate", "status", "--offline").out


def test_the_missing_signatures_need_no_valid_folder(waiting: Run) -> None:
    Path("publish/publish.toml").write_text("no TOML")
    found = next_action(waiting)
    assert found["text"] == "sign version 4, and push it, so that clients can fetch it"


def test_an_emergency_prints_the_version_that_waits_for_a_signature(begun: Run) -> None:
    """The version without the lost key is recorded, and not signed by all who have to."""
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    days_pass(100)
    out(begun, kit.NOBODY, kit.NOBODY_ELSE, NEW)
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    days_pass(100)
    stolen = ("rotate", "emergency", str(NEW), "--stolen", "--offline")
    force = ("--offline", "--force", "--reason", "the servers use another key")
    assert "if version 5 goes out at once" in begun(*stolen).out
    assert begun("publish", "sign", "targets.key", *force).code == 0
    text = begun(*stolen).out
    assert "if version 6 goes out at once" in text  # the first step changes the pin file
    assert f"ive version 6 to the clients.\n       {SIGN}\n       {PUSH}\n" in text
    assert begun("rotate", "start", "--new", "next.key").code == 0
    assert begun("publish", "sign", "targets.key", *force).code == 0
    text = begun(*stolen).out
    assert "if version 6 goes out at once" in text
    assert "  1. Sign version 6, and push it, so that clients can fetch it: timestamp " in text
    assert f"       {SIGN}\n       {PUSH}\n" in text
    assert "Commit the pin file, its journal and publish/, and push them." in text


def test_a_push_that_has_nothing_to_upload_ends_with_1(waiting: Run) -> None:
    done = waiting("publish", "push", "--json")
    assert (done.code, done.json["done"], done.json["reason"]) == (1, False, "unsigned")
    assert done.json["problem"] == (
        "nothing was pushed: the journal has version 4, which lacks signatures"
    )
    assert done.json["fix"] == f"sign it, then push: {SIGN}"
    assert [wait["role"] for wait in done.json["waits"]] == ["timestamp"]
    documented(waiting, "sign", "online.key")
    documented(waiting, "push")


def test_a_push_of_another_signature_is_a_push(waiting: Run) -> None:
    """The daily job pushes a timestamp while a person's signature is missing."""
    Path("publish/drafts").rename("drafts")  # the signature is in another clone
    documented(waiting, "sign", "online.key", "--renew", "timestamp")
    pushed = documented(waiting, "push")
    assert pushed["uploads"] == ["metadata/timestamp.json"]
    assert [wait["role"] for wait in pushed["waits"]] == ["targets"]
    assert waiting("publish", "push").code == 1


def test_the_status_of_the_signatures_ends_with_1(waiting: Run) -> None:
    done = waiting("publish", "status", "--offline")
    assert done.code == 1
    assert f"Clients can't fetch version 4 before it is signed: {SIGN}" in done.out
    documented(waiting, "sign", "online.key")
    documented(waiting, "push")
    assert waiting("publish", "status").code == 0


def test_a_push_and_other_keys_name_a_draft_that_is_not_signed(begun: Run) -> None:
    documented(begun, "sign", *KEYS)
    assert "not signed" not in begun("publish", "push").out
    days_pass(100)
    assert begun("rotate", "start", "--new", "next.key").code == 0
    done = begun("publish", "push")
    assert (done.code, f"pins.toml has other pins, which are not signed: {SIGN}" in done.out) == (
        0,
        True,
    )
    done = begun("publish", "sign", "root.key")
    assert done.code == 0
    first, last = done.out.splitlines()
    assert first == "Nothing needs a signature of these keys now."
    assert last.startswith("Version 4 of the pin file is not signed yet: ")
    assert last.endswith(SIGN)


def test_a_pasted_placeholder_is_not_taken_for_a_file(begun: Run) -> None:
    done = begun("publish", "sign", "KEY…")
    assert done.code == 2
    assert "give the keys that sign: certpin publish sign KEY…, or their files in" in done.err
