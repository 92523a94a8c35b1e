"""``ct_logs`` and ``require_ct`` in the pin file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.errors import PinFileError
from certpin.lab.ct_log import LabLog, log_list
from certpin.pinfile import PinSet
from certpin.pinfile.editor import PinFileEditor
from certpin.pins.policy import meaning
from tests.kit import NOBODY, NOBODY_ELSE

if TYPE_CHECKING:
    from pathlib import Path

LOGS = log_list([LabLog.make("Log A")], datetime(2027, 1, 1, tzinfo=UTC))
FILE = {"logs.json": json.dumps(LOGS.to_json()).encode()}
HEAD = 'schema = 1\nname = "bank-app"\nversion = 12\n'
NAMED = f'{HEAD}ct_logs = "logs.json"\n'
PINS = f'\n[[host.pin]]\npin = "{NOBODY}"\n\n[[host.pin]]\npin = "{NOBODY_ELSE}"\nrole = "backup"\n'
HOST = '\n[[host]]\nname = "{}.example"\n'


def host(name: str, more: str = "") -> str:
    return HOST.format(name) + more + PINS


def test_the_list_is_that_of_each_host_that_requires_it() -> None:
    text = NAMED + host("a", "require_ct = true\n") + host("b", "require_ct = false\n") + host("c")
    pins = PinSet.parse(text, files=FILE)
    assert [policy.ct_logs for policy in pins.policies] == [LOGS, None, None]
    assert pins.ct_logs is not None
    assert pins.ct_logs.source == "logs.json"


def test_it_is_read_from_the_folder_of_the_pin_file(tmp_path: Path) -> None:
    (tmp_path / "logs.json").write_bytes(FILE["logs.json"])
    file = tmp_path / "pins.toml"
    file.write_text(NAMED + host("a", "require_ct = true\n"), encoding="utf-8")
    assert PinSet.load(file).ct_logs == LOGS


def test_another_list_is_another_meaning() -> None:
    other = log_list([LabLog.make("Log B")], datetime(2027, 1, 1, tzinfo=UTC))
    text = NAMED + host("a", "require_ct = true\n")
    second = {"logs.json": json.dumps(other.to_json()).encode()}
    assert meaning(PinSet.parse(text, files=FILE)) != meaning(PinSet.parse(text, files=second))


def test_require_ct_needs_a_list() -> None:
    with pytest.raises(PinFileError, match="names no list of the logs") as caught:
        PinSet.parse(HEAD + host("a", "require_ct = true\n"))
    assert (caught.value.key, caught.value.line) == ("host[0].require_ct", 7)
    assert 'ct_logs = "log_list.json"' in caught.value.fix


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "did not come with"), (b"{}", "operators is missing"), (b"\xff", "it is not JSON")],
)
def test_a_list_that_cannot_be_read_is_refused(content: bytes | None, problem: str) -> None:
    files = {} if content is None else {"logs.json": content}
    with pytest.raises(PinFileError, match=f"'logs.json' holds no list of logs: .*{problem}") as at:
        PinSet.parse(NAMED + host("a"), files=files)
    assert (at.value.key, at.value.line) == ("ct_logs", 4)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (NAMED + host("a", 'require_ct = "yes"\n'), "host[0].require_ct"),
        (HEAD + "ct_logs = 1\n" + host("a"), "ct_logs"),
        (NAMED + host("a", "requires_ct = true\n"), "host[0].requires_ct"),
        (NAMED + host("a") + "require_ct = true\n", "host[0].pin[1].require_ct"),
    ],
)
def test_wrong_values_and_keys_are_refused(text: str, key: str) -> None:
    with pytest.raises(PinFileError) as caught:
        PinSet.parse(text, files=FILE)
    assert caught.value.key == key


def test_the_editor_names_the_list_below_the_version(tmp_path: Path) -> None:
    (tmp_path / "logs.json").write_bytes(FILE["logs.json"])
    path = tmp_path / "pins.toml"
    policy = PinSet.parse(NAMED + host("a", "require_ct = true\n"), files=FILE).policies[0]
    editor = PinFileEditor.new(path, "bank-app", version=3)
    editor.add_log_list("logs.json")
    editor.add_host(policy)
    editor.save()
    assert 'version = 3\nct_logs = "logs.json"\n' in path.read_text(encoding="utf-8")
    assert PinSet.load(path).policies == (policy,)


def test_the_editor_names_no_second_list(tmp_path: Path) -> None:
    (tmp_path / "logs.json").write_bytes(FILE["logs.json"])
    path = tmp_path / "pins.toml"
    path.write_text(NAMED + host("a"), encoding="utf-8")
    with pytest.raises(PinFileError, match="cannot be edited"):
        PinFileEditor.open(path).add_log_list("other.json")
