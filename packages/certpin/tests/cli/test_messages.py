"""Error messages name the file, the host or the option, and end with one ``fix:`` line."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from certpin.cli.main import cli
from certpin.cli.reply import CommandReply
from tests.cli._pinfiles import write
from tests.kit import policy

if TYPE_CHECKING:
    from tests.cli.conftest import Run

LONG = "a" * 300  # no file system takes such a name
ELSEWHERE = "192.0.2.7"  # RFC 5737: no machine has this address


def refused(run: Run, *words: str) -> tuple[str, str]:
    """Run a command that must fail with exit code 2. Return the printed problem and the fix."""
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    problem, fix = done.err.splitlines()
    assert problem.startswith("certpin: ")
    assert fix.startswith("  fix: ")
    return problem.removeprefix("certpin: "), fix.removeprefix("  fix: ")


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        ("file/x.json", "--out: file/x.json cannot be read: Not a directory"),
        ("/proc/x/y.json", "--out: /proc/x cannot be made: No such file or directory"),
        ("/proc/x.json", "/proc/x.json: it cannot be written: No such file or directory"),
    ],
)
def test_an_export_to_an_unwritable_path(run: Run, out: str, problem: str) -> None:
    write(policy("api.bank.example", match="leaf"))
    Path("file").touch()
    assert refused(run, "export", "json", "--out", out)[0] == problem


def test_a_path_that_the_system_refuses_is_a_usage_error(run: Run) -> None:
    """Which call of pathlib raises the error depends on the version of Python."""
    write(policy("api.bank.example", match="leaf"))
    problem, _ = refused(run, "export", "json", "--out", f"{LONG}/x.json")
    assert f"{LONG}/x.json cannot be" in problem
    assert problem.endswith(": File name too long")


def test_a_file_where_an_export_needs_a_folder(run: Run) -> None:
    write(policy("api.bank.example", match="leaf"))
    Path("file").touch()
    problem, fix = refused(run, "export", "curl", "--out", "file")
    assert problem == "--out: file is a file, and curl goes into a folder"
    assert fix == "name a folder"


def test_a_folder_in_the_place_of_a_file(run: Run) -> None:
    write(policy("api.bank.example", match="leaf"))
    Path("out/pins.json").mkdir(parents=True)
    problem, _ = refused(run, "export", "json", "--out", "out")
    assert problem == "--out: out/pins.json cannot be read: it is not a regular file"


@pytest.mark.medium
def test_a_database_that_cannot_be_written_to(run: Run) -> None:
    problem, _ = refused(run, "serve", "--store", "sqlite:////proc/watch.db")
    assert problem == "/proc/watch.db: the database cannot be written to"


def test_a_service_on_an_address_of_another_machine(run: Run) -> None:
    problem, fix = refused(run, "serve", "--listen", f"{ELSEWHERE}:8460")
    assert problem.startswith(f"listen: {ELSEWHERE} port 8460 cannot be listened on: ")
    assert f"{ELSEWHERE} is no address of this machine" in fix


def test_a_service_on_a_port_that_is_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        problem, fix = refused(run, "serve", "--listen", f"127.0.0.1:{port}")
    assert problem.startswith(f"listen: 127.0.0.1 port {port} cannot be listened on: ")
    assert "choose another port" in fix


@pytest.mark.medium
def test_a_lab_on_an_address_of_another_machine(run: Run) -> None:
    words = ("--host", "api.bank.example", "--listen", ELSEWHERE, "--folder", "lab")
    problem, fix = refused(run, "lab", "serve", *words)
    assert problem == f"--listen: {ELSEWHERE} is not an address of this machine"
    assert "name one that it has" in fix


@pytest.mark.parametrize("name", ["missing.pem", "server.KEY", "bank.p12"])
def test_a_missing_file_is_not_treated_as_a_host(run: Run, name: str) -> None:
    problem, fix = refused(run, "pin", name)
    assert problem == f"there is no file {name}"
    assert fix == f"check its path; if it is a host, name its port: {name}:443"


@pytest.mark.parametrize("name", ["missing.pem:443", "missing.pem"])
def test_a_host_with_the_suffix_of_a_file_needs_a_port_or_an_address(run: Run, name: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        done = run("pin", name, "--connect", f"127.0.0.1:{closed.getsockname()[1]}")
    assert (done.code, "missing.pem:443: no connection" in done.err) == (3, True)


@pytest.mark.parametrize("address", ["http://api.bank.example", "http://api.bank.example:80/x?y"])
def test_an_address_without_tls(run: Run, address: str) -> None:
    problem, fix = refused(run, "pin", address)
    assert problem.startswith(f"'{address}' is an address without TLS")
    assert fix.endswith("api.bank.example:443")


def test_an_address_with_a_password_is_never_shown(run: Run) -> None:
    problem, fix = refused(run, "pin", "http://me:secret@api.bank.example")
    assert "secret" not in problem + fix


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("./missing", "there is no program ./missing"),
        ("no-such-program", "there is no program no-such-program in PATH"),
        ("script.py", "there is no program script.py in PATH"),
        ("./script.py", "./script.py is not executable"),
        ("./folder", "there is no program ./folder"),
    ],
)
def test_a_program_that_cannot_be_started_is_an_error_before_the_run(
    run: Run, name: str, problem: str
) -> None:
    Path("script.py").touch(mode=0o644)
    Path("folder").mkdir()
    assert refused(run, "prove", "--", name)[0] == f"COMMAND: {problem}"


@pytest.mark.parametrize("command", ["sh client.sh {url}", "sh client.sh", "/bin/sh -c\t{url}"])
def test_a_command_in_one_word_is_an_error_before_the_run(run: Run, command: str) -> None:
    problem, fix = refused(run, "prove", "--", command)
    assert problem.startswith("COMMAND: the command is one word: '")
    line = " ".join(command.split())
    assert fix == f"write its arguments as separate words, as in certpin prove -- {line}"


def test_a_program_with_a_space_in_its_name_is_one_word(run: Run) -> None:
    Path("sh client").write_text("#!/bin/sh\nexit 1\n")
    Path("sh client").chmod(0o755)
    done = run("prove", "--case", "untrusted-ca", "--", "./sh client")
    assert "one word" not in done.err
    assert done.code == 3


@pytest.mark.parametrize("words", [("pin", "./missing.pem"), ("import", "curl", "missing.conf")])
def test_a_file_that_cannot_be_read(run: Run, words: tuple[str, ...]) -> None:
    assert words[-1] in refused(run, *words)[0]


def commands_with_a_pin_file() -> set[str]:
    """Return the names of all commands with the option ``--file`` for the pin file."""
    found = set()
    groups: list[tuple[str, click.Group]] = [("", cli)]
    for prefix, group in groups:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                groups.append((f"{prefix}{name} ", command))
            elif command and any("--file" in each.opts for each in command.params):
                found.add(prefix + name)
    return found


def test_each_command_with_a_pin_file_is_printed_with_the_file_of_this_run() -> None:
    reply = CommandReply([])
    reply.file_option = " --file live.toml"
    known = commands_with_a_pin_file() - {"doctor", "export", "import"}  # no fix is about a file
    assert len(known) > 20
    for name in known:
        assert reply.with_file(f"run certpin {name} now") == (
            f"run certpin {name} --file live.toml now"
        )
    for name in ("pin", "publish", "rotate", "adders", "export --list", "rotate start-over"):
        assert reply.with_file(f"certpin {name}") == f"certpin {name}"
    named = "certpin rotate gone x --file live.toml, or certpin check"
    assert reply.with_file(named) == f"{named} --file live.toml"
    assert reply.with_file(reply.with_file(named)) == reply.with_file(named)
    for words in (
        *("a.example:8443 --file live.toml", "[2001:db8::1]:8443 --file live.toml"),
        *("'my,key.pem' --file live.toml", "--to='a;b (1): c.pem' --file live.toml"),
        *("x --file=live.toml", "x -f live.toml"),
    ):
        done = f"certpin add {words} --backup-key FILE"
        assert reply.with_file(done) == done
    for unnamed in (
        "certpin check for the host's chain; the user's x --file y",
        "certpin check or certpin add x --file y",
    ):
        assert reply.with_file(unnamed) == unnamed.replace("check", "check --file live.toml")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_fix_of_an_error_names_the_pin_file(run: Run, words: tuple[str, ...]) -> None:
    done = run("check", "--file", "a b.toml", *words)
    fix = done.error["fix"] if words else done.err
    assert "make one: certpin add --file 'a b.toml' HOST" in fix
    default = run("check", *words)
    assert "certpin add HOST" in (default.error["fix"] if words else default.err)
