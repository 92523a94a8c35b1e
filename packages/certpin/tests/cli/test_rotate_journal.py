"""A journal that is missing, empty or outdated: the draft is not taken for what clients have."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import Pin
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import JOURNAL, SERVED, Bank, history, journal, next_action, states
from tests.cli._signed_sets import SIGN, sign_long_ago
from tests.cli.conftest import HOST

if TYPE_CHECKING:
    from tests.cli.conftest import Run

RESTORE = "git checkout pins.journal.jsonl, or git pull"


def edit(**values: str) -> None:
    """Give the pin file other values of top-level keys, such as ``version``."""
    lines = Path("pins.toml").read_text(encoding="utf-8").splitlines()
    known = [f"{key} = {value}" for key, value in values.items()]
    others = [line for line in lines if line.partition(" =")[0] not in values]
    at = others.index("[[host]]")
    Path("pins.toml").write_text("\n".join([*others[:at], *known, *others[at:]]) + "\n")


def said(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("content", [None, ""])
def test_without_the_journal_a_draft_is_not_offered_as_the_version_of_clients(
    run: Run, content: str | None
) -> None:
    """The draft has a key that no client has: recorded first, it would count as accepted."""
    bank = Bank(run)
    assert bank("start", "--new", "next.key").code == 0
    JOURNAL.unlink()
    if content is not None:
        JOURNAL.write_text(content)
    found = next_action(run)
    assert (found["act"], found["commands"]) == ("journal", [])
    assert RESTORE in found["text"]
    assert "shipped 4" not in found["text"]
    shown = bank("status").out
    assert "No version is recorded, although pins.toml has version 4." in said(shown)
    for words in (("switch", "next.key"), ("finish",), ("start", "--new", "other.key")):
        refused = bank(*words)
        assert (refused.code, RESTORE in said(refused.err)) == (2, True)
        assert "shipped 4" not in refused.err
    done = bank("emergency", "a.key", "--stolen")
    text = said(done.out)
    assert done.code == 1
    assert "The journal seems to be missing, because pins.toml has version 4: " + RESTORE in text
    assert "certpin rotate shipped VERSION --force" in text
    assert "shipped 4 --force" not in text


def test_the_first_record_of_a_file_that_went_out_before_warns_and_is_taken(run: Run) -> None:
    """Who begins with certpin has no journal either."""
    write(kit.policy(HOST))
    done = run("rotate", "shipped", "3", "--offline")
    assert (done.code, RESTORE in said(done.err)) == (0, True)
    assert [version.number for version in history().deployed.versions] == [3]
    edit(version="4")
    assert RESTORE not in said(run("rotate", "shipped", "4", "--offline").err)


@pytest.mark.parametrize("states", [("active", "staged"), ("active", "published")])
def test_a_new_file_needs_no_journal(run: Run, states: tuple[str, str]) -> None:
    """As ``certpin add`` and ``certpin import`` write it; ``add`` counts one version for a host."""
    policies = [kit.policy(HOST), kit.policy("other.example")]
    write(*policies)
    edit(version="2")
    for policy in policies:
        editor = PinFileEditor.open(Path("pins.toml"))
        for entry, state in zip(policy.pins, states, strict=True):
            editor.change_pin(str(policy.pattern), entry.pin, state=state)
        editor.save()
    found = next_action(run)
    assert (found["act"], found["commands"]) == ("publish", ["certpin rotate shipped 2"])
    done = run("rotate", "shipped", "2", "--offline")
    assert (done.code, RESTORE in said(done.err)) == (0, False)


@pytest.mark.parametrize(
    "states", [("active", "published", "staged"), ("retiring", "active", "published")]
)
def test_the_states_of_pins_show_that_a_version_went_out(
    run: Run, states: tuple[str, str, str]
) -> None:
    """Also if the number of the file could be that of its first version."""
    policy = kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE, Pin("sha256", bytes(range(7, 39))))
    write(policy)
    edit(version="1")
    editor = PinFileEditor.open(Path("pins.toml"))
    for entry, state in zip(policy.pins, states, strict=True):
        editor.change_pin(HOST, entry.pin, state=state)
    editor.save()
    found = next_action(run)
    assert (found["act"], f"pins of {HOST} from a later step" in found["text"]) == ("journal", True)


@pytest.fixture
def sixth(run: Run) -> Run:
    """Sign and push version 5, and start the draft of version 6. Return the function to run."""
    sign_long_ago(run)
    assert run("rotate", "start", "--new", "d.key").code == 0
    assert run(*SIGN).code == run("publish", "push").code == 0
    assert run("rotate", "start", "--new", "e.key").code == 0
    assert PinSet.load("pins.toml").version == 6
    return run


@pytest.mark.medium
def test_a_signed_version_that_the_journal_lacks_stops_the_next_steps(sixth: Run) -> None:
    """The journal is deleted, or of another branch."""
    whole = JOURNAL.read_bytes()
    outdated = b"".join(line for line in whole.splitlines(True) if b'"version": 5' not in line)
    for content, numbers in ((b"", "versions 4 and 5"), (outdated, "version 5")):
        JOURNAL.write_bytes(content)
        for words in (
            SIGN,
            ("rotate", "shipped", "6", *SERVED, "--force", "--reason", "x"),
            ("rotate", "switch", "d.key", *SERVED, "--force", "--reason", "x"),
            ("rotate", "finish", *SERVED),
            ("rotate", "start", "--new", "f.key"),
        ):
            refused = sixth(*words)
            text = said(refused.err)
            assert (refused.code, f"lacks {numbers}, which publish/site has" in text) == (2, True)
            assert RESTORE in text
            assert JOURNAL.read_bytes() == content
        found = next_action(sixth)
        assert (found["act"], f"publish/site has {numbers}" in found["text"]) == ("journal", True)
    assert sixth("publish", "sign", "online.key").code == 0  # the daily job goes on
    done = sixth("rotate", "emergency", "c.key", "--stolen", *SERVED)
    assert (done.code, journal()[-1].step) == (1, "compromise")
    assert "publish/site has: clients may hold it" in said(done.err)
    assert "rotate switch" not in done.out
    JOURNAL.write_bytes(whole)
    assert sixth(*SIGN).code == 0


@pytest.mark.medium
def test_a_signed_version_that_the_journal_lacks_in_its_middle_stops_the_next_steps(
    sixth: Run,
) -> None:
    """Such as after a merge of two branches. Clients may hold it as any other one."""
    assert sixth(*SIGN).code == sixth("publish", "push").code == 0
    lines = JOURNAL.read_bytes().splitlines(True)
    JOURNAL.write_bytes(b"".join(line for line in lines if b'"version": 5' not in line))
    refused = sixth("rotate", "switch", "d.key", *SERVED)
    problem = "lacks version 5, which publish/site has"
    assert (refused.code, problem in said(refused.err)) == (2, True)


@pytest.mark.medium
def test_a_lost_journal_is_made_again_from_the_signed_files(sixth: Run) -> None:
    """The lowest version first, each from its own file."""
    draft = Path("pins.toml").read_bytes()
    JOURNAL.unlink()
    files = {tomllib.loads(path.read_text())["version"]: path for path in _targets()}
    forced = ("--force", "--reason", "lost")
    for number in (5, 4):
        shutil.copy(files[number], "pins.toml")
        done = sixth("rotate", "shipped", f"{number}", *SERVED, *forced)
        assert done.code == (0 if number == 4 else 2)
    shutil.copy(files[5], "pins.toml")
    assert sixth(*SIGN).code == 0
    Path("pins.toml").write_bytes(draft)
    assert [version.number for version in history().deployed.versions] == [4, 5]
    assert sixth(*SIGN).code == 0


@pytest.mark.medium
def test_a_signed_version_is_recorded_with_its_own_pins_only(sixth: Run) -> None:
    """The file was changed under its number, or its trust anchors: clients hold the signed ones."""
    lines = JOURNAL.read_bytes().splitlines(True)
    JOURNAL.write_bytes(b"".join(line for line in lines if b'"version": 5' not in line))
    [signed] = [path for path in _targets() if b"version = 5" in path.read_bytes()]
    pins = PinSet.load("pins.toml").policies[0].pins
    text = signed.read_text(encoding="utf-8").replace(str(pins[2].pin), str(kit.NOBODY))
    Path("pins.toml").write_text(text, encoding="utf-8")
    before = JOURNAL.read_bytes()
    for words in (SIGN, ("rotate", "shipped", "5", *SERVED, "--force", "--reason", "x")):
        refused = sixth(*words)
        problem = "version 5 was signed with another content"
        assert (refused.code, problem in said(refused.err), JOURNAL.read_bytes()) == (
            2,
            True,
            before,
        )
        assert f"(cp {signed} pins.toml)" in said(refused.err)
    shutil.copy(signed, "pins.toml")
    anchors = Path("root.pem").read_bytes()
    Path("root.pem").write_bytes(anchors + Authority("Next root").pem)
    refused = sixth(*SIGN)
    [source] = Path("publish/site/targets").glob("*.root.pem")
    assert (refused.code, f"(cp {source} root.pem)" in said(refused.err)) == (2, True)
    Path("root.pem").write_bytes(anchors)
    assert sixth(*SIGN).code == 0
    assert [version.number for version in history().deployed.versions][-1] == 5


@pytest.mark.medium
def test_a_journal_that_is_made_again_after_a_theft_states_what_clients_accept(sixth: Run) -> None:
    """The printed fix is followed. The mark goes out with the next version."""
    stolen = PinSet.load("pins.toml").policies[0].pins[2].pin
    JOURNAL.unlink()
    words = ("rotate", "emergency", "c.key", "--stolen", *SERVED)
    done = sixth(*words)
    assert (done.code, RESTORE in said(done.err)) == (1, True)
    files = {tomllib.loads(path.read_text())["version"]: path for path in _targets()}
    for number in sorted(files):
        shutil.copy(files[number], "pins.toml")
        forced = ("--force", "--reason", "lost")
        done = sixth("rotate", "shipped", f"{number}", *SERVED, *forced)
        assert done.code == 0, done.err
    versions = {each.number: each.pins.policies[0] for each in history().deployed.versions}
    assert {number: stolen in policy.live_pins for number, policy in versions.items()} == {
        4: True,
        5: True,
    }
    assert sixth(*words).code == 0
    assert (PinSet.load("pins.toml").version, states()[2]) == (6, "compromised")
    done = sixth(*words, "--json")
    assert "publish" in [step["act"] for step in done.json["hosts"][0]["steps"]]


def _targets() -> list[Path]:
    return sorted(Path("publish/site/targets").glob("*.pins.toml"))


@pytest.mark.medium
def test_signed_files_that_cannot_be_read_stop_a_step(sixth: Run) -> None:
    """It is unknown which versions the journal lacks. A status, and an emergency, go on."""
    [damaged, *_] = _targets()
    damaged.write_bytes(b"\xff")
    refused = sixth("rotate", "switch", "d.key", *SERVED)
    problem = f"{damaged} can't be read: it is not UTF-8 text"
    assert (refused.code, problem in said(refused.err)) == (2, True)
    assert next_action(sixth)["act"] == "publish"
    done = sixth("rotate", "emergency", "c.key", "--stolen", *SERVED)
    assert (done.code, "Do now, in this order:" in done.out) == (0, True)
