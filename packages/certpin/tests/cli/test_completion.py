"""``certpin completion``: real shells complete commands, options, values, files and hosts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from certpin.cli import candidates
from certpin.cli.choices import COMPLETION_VARIABLE, SHELLS
from certpin.cli.main import COMMANDS, cli
from certpin.cli.shells import glued, respond
from tests.cli import _documented, _shells
from tests.cli._registry import GROUPS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

_HOSTS = """\
schema = 1
[[host]]
name = "api.bank.example"
[[host]]
name = "*.shop.example"
"""
# What an attacker could write into a pin file in order to run a command of the user's shell.
_HOSTILE = ("$(touch x)", "`touch x`", "a;touch x", "a\ntouch x", "a b", "-rf", "~root", "a'b", "é")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two pin files, and a file that has the name of a host."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "pins.toml").write_text(_HOSTS)
    (inside / "other.toml").write_text(_HOSTS.replace("api.bank", "second"))
    (inside / "x.shop.example").write_text("")
    return inside


@pytest.fixture
def asked(folder: Path) -> Ask:
    return Ask(folder)


class Ask:
    """Callable that runs certpin with the environment that bash sets when the user presses TAB.

    A call takes the words of the command line and returns the printed completions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, program: str = "import certpin.cli.main as m; m.main()") -> str:
        line = "\n".join(("certpin", *words))
        variables = {
            COMPLETION_VARIABLE: "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words)),
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout


# The text that the user types, and the command line after TAB. The last word is unambiguous.
_TYPED = [
    ("certpin expl", "certpin explain"),
    ("certpin help rotate sw", "certpin help rotate switch"),
    ("certpin rotate simu", "certpin rotate simulate"),
    ("certpin check --day", "certpin check --days"),
    ("certpin lint --format sar", "certpin lint --format sarif"),
    ("certpin lint --format=sar", "certpin lint --format=sarif"),
    ("certpin export env", "certpin export envoy"),
    ("certpin explain no-back", "certpin explain no-backup"),
    ("certpin lab attacks rogue-ca-in-s", "certpin lab attacks rogue-ca-in-store"),
    ("certpin check --host api", "certpin check --host api.bank.example"),
    ("certpin check -f other.toml --host sec", "certpin check -f other.toml --host second.example"),
    ("certpin rotate status ap", "certpin rotate status api.bank.example"),
    ("certpin pin api", "certpin pin api.bank.example"),
    ("certpin pin oth", "certpin pin other.toml"),
    ("certpin check --file oth", "certpin check --file other.toml"),
    ("certpin no-such-comm", "certpin no-such-comm"),
    ("certpin no-such-command x", "certpin no-such-command x"),
]


@pytest.mark.medium
@pytest.mark.parametrize("name", ["bash", pytest.param("zsh", marks=pytest.mark.peer("zsh"))])
def test_a_shell_completes_what_the_user_types(folder: Path, name: str) -> None:
    with _shells.shell(name, folder) as shell:
        for typed, expected in _TYPED:
            assert shell.tab(typed) == expected


@pytest.mark.peer("fish")
def test_fish_completes_what_the_user_types(folder: Path) -> None:
    typed = [typed for typed, _ in _TYPED]
    expected = [[after.rpartition(" ")[2]] if after != before else [] for before, after in _TYPED]
    found = _shells.fish(folder, typed)
    names = [[line.partition("\t")[0] for line in lines] for lines in found]
    assert dict(zip(typed, names, strict=True)) == dict(zip(typed, expected, strict=True))


@pytest.mark.peer("fish")
def test_fish_shows_a_description_with_a_comma(folder: Path) -> None:
    assert _shells.fish(folder, ["certpin lab"]) == [[f"lab\t{COMMANDS['lab']}"]]
    assert "," in COMMANDS["lab"]


@pytest.mark.parametrize("name", ["bash", pytest.param("zsh", marks=pytest.mark.peer("zsh"))])
def test_a_wildcard_does_not_become_a_file_name(folder: Path, name: str) -> None:
    with _shells.shell(name, folder) as shell:
        assert shell.tab("certpin check --host \\*") == "certpin check --host \\*.shop.example"


@pytest.mark.parametrize("name", ["bash", pytest.param("zsh", marks=pytest.mark.peer("zsh"))])
def test_the_script_can_be_a_file_that_the_shell_reads(run: Run, folder: Path, name: str) -> None:
    script = folder / "script"
    script.write_text(run("completion", name).out)
    with _shells.shell(name, folder, load=". ./script") as shell:
        assert shell.tab("certpin expl") == "certpin explain"


@pytest.mark.peer("zsh")
def test_zsh_completes_at_each_tab_from_a_file_in_its_fpath(run: Run, folder: Path) -> None:
    functions = folder / "functions"
    functions.mkdir()
    (functions / "_certpin").write_text(run("completion", "zsh").out)
    load = "fpath=($PWD/functions $fpath); compinit -D"
    with _shells.shell("zsh", folder, load=load) as shell:
        for typed, expected in _TYPED[:3]:
            assert shell.tab(typed) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed_as_text_and_as_json(run: Run, shell: str) -> None:
    text = run("completion", shell)
    assert text.code == 0
    assert f"{COMPLETION_VARIABLE}={shell}_complete" in text.out
    document = run("completion", shell, "--json").json
    _documented.check("completion", document)
    assert document == {"shell": shell, "script": text.out}


def test_an_unknown_shell_is_an_error_of_usage(run: Run) -> None:
    assert run("completion", "tcsh").code == 2


def _hosts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the completions of ``--host`` in a folder with a pin file."""
    monkeypatch.chdir(folder)
    context, option = click.Context(click.Command("x")), click.Option(["--host"])
    return [item.value for item in candidates.complete_hosts(context, option, "")]


def test_a_hostile_pin_file_completes_nothing_that_a_shell_could_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = "".join(f"[[host]]\nname = {ascii_toml(name)}\n" for name in _HOSTILE)
    (folder / "pins.toml").write_text(tables + _HOSTS.replace("schema = 1\n", ""))
    assert _hosts(folder, monkeypatch) == ["*.shop.example", "api.bank.example"]


def ascii_toml(text: str) -> str:
    """Return ``text`` as a TOML string in which every character is escaped."""
    inside = "".join(f"\\u{ord(letter):04x}" for letter in text)
    return f'"{inside}"'


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"host = 1",
        b"host = [1]",
        b"[[host]]\nname = 1",
        b"x = " + b"[" * 100_000,
        b'[[host]]\nname = "api.bank.example"\n' + b"#" * candidates._MAX_COMPLETED_FILE,
    ],
    ids=("encoding", "number", "list", "name", "depth", "size"),
)
def test_an_invalid_pin_file_completes_no_hosts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (folder / "pins.toml").write_bytes(content)
    assert _hosts(folder, monkeypatch) == []


def test_a_pipe_in_the_place_of_the_pin_file_does_not_block_the_shell(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pins.toml").unlink()
    os.mkfifo(folder / "pins.toml")
    assert _hosts(folder, monkeypatch) == []


def test_at_most_a_thousand_hosts_are_completed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = (f'[[host]]\nname = "h{number}.example"\n' for number in range(1500))
    (folder / "pins.toml").write_text("".join(tables))
    assert len(_hosts(folder, monkeypatch)) == 1000


def test_bash_gets_a_wildcard_that_it_does_not_expand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert _respond(monkeypatch, "check", "--host", "") == 0
    assert capsys.readouterr().out == "plain,\\*.shop.example\nplain,api.bank.example\n"


def _respond(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Complete these words as for bash, in this process. Return the exit code."""
    monkeypatch.setenv(COMPLETION_VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "\n".join(("certpin", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    return respond(cli)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ModuleNotFoundError])
def test_a_failure_at_a_tab_prints_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[BaseException],
) -> None:
    def fail(*_: object) -> None:
        sys.stderr.write("not shown")
        raise error

    monkeypatch.setattr(cli, "get_command", fail)
    assert _respond(monkeypatch, "check", "--host", "") == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.medium
def test_a_package_that_fails_at_import_prints_nothing(asked: Ask) -> None:
    program = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'certpin.lint':\n"
        "            raise RuntimeError(name)\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from certpin.cli.main import main\n"
        "main()\n"
    )
    assert asked("explain", "no-", program=program) == ""
    assert "plain,lint\n" in asked("", program=program)


@pytest.mark.medium
@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_each_group_completes_its_commands(asked: Ask, path: tuple[str, ...]) -> None:
    names = GROUPS[path].list_commands(click.Context(GROUPS[path]))
    lines = asked(*path, "").splitlines()
    assert [
        line.removeprefix("plain,") for line in lines if line in map("plain,{}".format, names)
    ] == (names)


@pytest.mark.medium
def test_the_names_of_commands_are_completed_without_the_library(asked: Ask) -> None:
    program = (
        "import sys\n"
        "from certpin.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(*sys.modules, sep=chr(10))\n"
    )
    for words in ([""], ["ro"], ["rotate", ""], ["check", "--"]):
        modules = set(asked(*words, program=program).splitlines())
        heavy = {
            "cryptography",
            "rich",
            "ssl",
            "asyncio",
            "tomli",
            "certpin.pins",
            "certpin.errors",
        }
        assert "click" in modules
        assert modules & heavy == set()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--format", "=", "json"], ["--format=json"]),
        (["--format", "="], ["--format="]),
        (["a.example", ":", "443", "b"], ["a.example:443", "b"]),
        (["=", "a"], ["=a"]),
        ([], []),
    ],
)
def test_words_that_bash_split_are_joined(words: list[str], expected: list[str]) -> None:
    assert glued(words) == expected


def test_the_help_names_the_line_that_installs_each_script(run: Run) -> None:
    text = run("completion", "--help").out
    assert all(f"certpin completion {shell}" in text for shell in SHELLS)
