"""``certpin diff``: two pin files, or one and standard input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli import _documented
from tests.pinfile._files import GOOD, THREE, TWO

if TYPE_CHECKING:
    from certpin.lab import Authority
    from tests.cli.conftest import Run

NEXT = GOOD.replace("version = 12", "version = 13")
LATER = NEXT.replace("[[host.pin]]", "expires = 2999-01-01\n[[host.pin]]", 1)
BROKEN = NEXT.replace(str(TWO), str(THREE)).replace('role = "backup"', 'state = "active"')


def _write(old: str, new: str) -> None:
    Path("old.toml").write_text(old)
    Path("new.toml").write_text(new)


def test_the_same_file_changes_nothing(run: Run) -> None:
    _write(GOOD, GOOD)
    done = run("diff", "old.toml", "new.toml")
    assert (done.code, done.out.splitlines()[-1]) == (0, "No change that clients notice.")


def test_a_change_is_listed_under_its_host_with_its_weight(run: Run) -> None:
    _write(GOOD, LATER)
    done = run("diff", "old.toml", "new.toml")
    assert done.code == 0
    assert done.out.splitlines() == [
        "bank-app: version 12 to 13",
        "",
        "api.bank.example",
        "  careful  the pins expire on 2999-01-01, earlier than before",
        "",
        "0 breaks, 1 careful, 0 safe",
    ]


def test_a_breaking_change_is_a_finding(run: Run) -> None:
    _write(GOOD, BROKEN)
    done = run("diff", "old.toml", "new.toml", "--json")
    assert done.code == 1
    _documented.check("diff", done.json)
    assert {change["weight"] for change in done.json["changes"]} == {"careful", "breaks"}
    assert [change["host"] for change in done.json["changes"]] == ["api.bank.example"] * 2


def test_a_version_that_was_not_raised_breaks(run: Run) -> None:
    _write(NEXT, LATER)
    done = run("diff", "old.toml", "new.toml", "--json")
    assert done.code == 1
    assert done.json["changes"][0]["host"] is None


def test_one_of_the_two_may_come_from_standard_input(run: Run, root: Authority) -> None:
    Path("sub").mkdir()
    Path("sub/root.pem").write_bytes(root.pem)
    trusting = LATER.replace("[[host.pin]]", 'trust = "root.pem"\n[[host.pin]]', 1)
    Path("sub/new.toml").write_text(trusting)
    assert run("diff", "-", "sub/new.toml", typed=trusting).code == 0
    assert run("diff", "sub/new.toml", "-", typed=trusting).code == 0
    assert run("diff", "-", "-", typed=trusting).code == 2


def test_an_invalid_file_is_refused(run: Run) -> None:
    _write(GOOD, "name = ")
    done = run("diff", "old.toml", "new.toml")
    assert (done.code, done.out) == (2, "")
    assert "it is not TOML" in done.err
    assert "<stdin>" in run("diff", "-", "old.toml", typed="x").err
    assert run("diff", "no-such-file", "old.toml").code == 2


def test_printed_commands_name_the_file_that_they_are_about(run: Run) -> None:
    _write(GOOD, "name = ")
    missing = run("diff", "no.toml", "old.toml", CERTPIN_PINS="other.toml")
    assert "certpin add --file no.toml HOST" in missing.err
    assert "other.toml" not in missing.err
    broken = run("diff", "old.toml", "new.toml", "--json")
    assert "certpin add" not in broken.error["fix"]
    assert "certpin explain refused" in broken.error["fix"]


def test_a_pipe_is_refused_and_the_other_file_is_named(run: Run) -> None:
    _write(GOOD, NEXT)
    os.mkfifo("pipe")
    for words, expected in (
        (("pipe", "new.toml"), "certpin diff - new.toml"),
        (("old.toml", "pipe"), "certpin diff old.toml -"),
        (("pipe", "-"), "write its text into a file, and name that"),
    ):
        done = run("diff", *words)
        assert (done.code, "pipe: it is not a regular file" in done.err) == (2, True)
        assert done.err.endswith(f"{expected}\n")


def test_a_path_that_ends_with_the_command_is_not_named(run: Run, ca: Path) -> None:
    old, new = (
        text.replace("[[host.pin]]", f'trust = "{ca.resolve()}"\n{more}[[host.pin]]', 1)
        for text, more in ((GOOD, ""), (NEXT, "strict_x509 = true\n"))
    )
    _write(old, new)
    expected = "certpin check --file {} shows if a server presents one"
    with Path("old.toml").open() as first, Path("new.toml").open() as second:
        paths = [f"/proc/self/fd/{each.fileno()}" for each in (first, second)]
        assert expected.format("new.toml") in run("diff", paths[0], "new.toml").out
        assert expected.format("old.toml") in run("diff", "old.toml", paths[1]).out
        assert "certpin check shows if a server" in run("diff", *paths).out


def test_file_content_is_escaped_for_the_terminal(run: Run) -> None:
    _write(GOOD, NEXT.replace("bank-app", "\\u001b[31m"))
    assert "\x1b" not in run("diff", "old.toml", "new.toml").out
