"""``certpin`` itself: help, hints for mistyped names, imported modules, and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from certpin._version import __version__
from certpin.cli.main import COMMAND_GROUPS, COMMANDS, cli
from certpin.lab import Authority
from tests import kit
from tests.cli.conftest import Run, program

CLIENTS_AND_MORE = {
    *("aiohttp", "certifi", "cryptography", "httpx", "httpx2", "idna", "requests", "rich"),
    *("tomlkit", "urllib3"),
}
FULL = (
    "certpin: standard output cannot be written: No space left on device\n"
    "  fix: make space for the output; files that the command changes are changed already: "
    "look at them before you repeat it\n"
)
PINS = f"""\
schema = 1
name = "shop"
version = 1
colour = "blue"
[[host]]
name = "shop.invalid"
[[host.pin]]
pin = "{kit.NOBODY}"
[[host.pin]]
pin = "{kit.NOBODY_ELSE}"
"""


def test_the_version_of_the_package_is_printed(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"certpin, version {__version__}\n")


def test_the_short_option_prints_the_version_too(run: Run) -> None:
    assert run("-V") == run("--version")


@pytest.mark.medium
def test_python_m_certpin_is_the_same_program() -> None:
    process = program("-V", start=("-m", "certpin"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, f"certpin, version {__version__}\n", "")
    process = program("no-such-command", start=("-m", "certpin"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("Usage: certpin ")


def test_no_other_package_replaces_a_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "other-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[certpin.commands]\nserve = other:serve\n")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = [each for each in entry_points(group="certpin.commands") if each.module == "other"]
    assert found.name == "serve"
    done = run("serve", "--help")
    assert (done.code, done.err) == (0, "")
    assert "Monitor your servers" in done.out


@pytest.mark.parametrize("words", [[], ["pin"], ["rotate"], ["rotate", "status"]])
def test_help_of_a_command_can_be_asked_for_in_two_ways(run: Run, words: list[str]) -> None:
    done = run("help", *words)
    assert (done.code, done.err) == (0, "")
    assert done.out == run(*words, "--help").out


def test_help_of_an_unknown_command_gets_a_hint(run: Run) -> None:
    done = run("help", "pni")
    assert (done.code, done.out) == (2, "")
    assert "Did you mean 'pin'?" in done.err


def test_the_help_lists_every_command_in_the_order_of_the_registry(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    section, listed = "", dict[str, list[str]]()
    for line in done.out.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            section = line[:-1]
        elif section in COMMAND_GROUPS and (name := line.split()[:1]) and line[2:3] != " ":
            listed.setdefault(section, []).extend(name)
    assert {title: names[: len(COMMAND_GROUPS[title])] for title, names in listed.items()} == {
        title: list(commands) for title, commands in COMMAND_GROUPS.items()
    }
    assert "3 inconclusive" in done.out


def test_shell_completion_lists_the_commands() -> None:
    context = click.Context(cli, **cli.context_settings)
    assert cli.list_commands(context) == list(COMMANDS)
    assert cli.get_command(context, "nonsense") is None


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run: Run, name: str, words: list[str]) -> None:
    done = run(name, *words)
    assert (done.code, done.err) == (0, "")
    assert COMMANDS[name] in done.out


def test_without_a_command_the_help_is_shown_and_it_is_a_usage_error(run: Run) -> None:
    done = run()
    assert (done.code, done.out) == (2, "")
    assert "Begin with:\n    certpin demo" in done.err


@pytest.mark.parametrize(("typed", "meant"), [("pni", "pin"), ("chekc", "check"), ("adds", "add")])
def test_a_misspelt_command_gets_a_hint(run: Run, typed: str, meant: str) -> None:
    done = run(typed)
    assert (done.code, done.out) == (2, "")
    assert f"there is no command {typed!r}. Did you mean {meant!r}?" in done.err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("lab", "list"), "attacks"),  # no command is similar, but the help of one contains it
        (("lab", "attack"), "attacks"),
        (("rotate", "plna"), "plan"),
        (("publish", "sing"), "sign"),
        (("watch", "tokens"), "token"),
        (("watch", "user", "lst"), "list"),
        (("export", "fluter"), "flutter"),
        (("import", "androd", "-"), "android"),
        (("lint", "--exported", "androd=pins.xml"), "android"),
        (("prove", "--", "client", "{export:androd}"), "android"),
        (("explain", "no-bakup"), "no-backup"),
        (("lab", "attacks", "rouge-ca-in-store"), "rogue-ca-in-store"),
        (("prove", "--case", "rouge-ca-in-store", "--", "client"), "rogue-ca-in-store"),
        (("lab", "serve", "--host", "a.example", "--case", "contrl-good"), "control-good"),
    ],
)
def test_every_misspelt_name_gets_a_hint(run: Run, words: tuple[str, ...], meant: str) -> None:
    Path("pins.toml").write_text(PINS.replace('colour = "blue"\n', ""))
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert f"Did you mean {meant!r}?" in done.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("plan", "'rotate plan'"),  # and not 'explain', which is spelt alike
        ("shipped", "'rotate shipped'"),
        ("status", "'rotate status' or 'publish status'"),
        ("sign", "'publish sign'"),
        ("attacks", "'lab attacks'"),
    ],
)
def test_a_command_of_a_group_is_found_by_its_name(run: Run, typed: str, meant: str) -> None:
    done = run(typed)
    assert (done.code, done.out) == (2, "")
    assert f"there is no command {typed!r}. Did you mean {meant}?" in done.err


def test_an_unknown_command_without_a_similar_one_gets_the_list(run: Run) -> None:
    done = run("zzzzzz")
    assert done.code == 2
    assert f"There are: {', '.join(COMMANDS)}." in done.err


@pytest.mark.parametrize("words", [["--nonsense"], ["pin", "--nonsense"], ["pin"], ["get"]])
def test_wrong_usage_is_a_usage_error(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert "Error: " in done.err


@pytest.mark.medium
@pytest.mark.parametrize("word", ["--version", "--help"])
def test_help_and_version_load_neither_a_client_nor_cryptography(word: str) -> None:
    code = (
        "import json, sys\n"
        "from certpin.cli.main import cli\n"
        "try:\n"
        f"    cli(['{word}'])\n"
        "except SystemExit:\n"
        "    print(json.dumps(list(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert not loaded & CLIENTS_AND_MORE


@pytest.mark.filterwarnings("default::certpin.pinfile.PinFileWarning")
def test_a_warning_is_printed_like_an_error(run: Run) -> None:
    Path("pins.toml").write_text(PINS)
    done = run("check")
    assert done.code == 3
    assert done.err.startswith("certpin: warning: pins.toml:")
    assert ": colour is not known here" in done.err
    assert ".py" not in done.err


@pytest.mark.medium
def test_ctrl_c_ends_with_130_and_does_not_wait_for_a_silent_server(run: Run) -> None:
    Path("pins.toml").write_text(PINS)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = program("check", "--connect", address, "--timeout", "600")
        called, _ = silent.accept()
        assert called.recv(1)  # during the handshake
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        called.close()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "certpin: stopped"
    assert "Traceback" not in err


@pytest.fixture
def many_certificates(tmp_path: Path, root: Authority) -> Path:
    """Write a file of 400 certificates, for which certpin prints more than a pipe can buffer."""
    path = tmp_path / "many.pem"
    path.write_bytes(root.pem * 400)
    return path


@pytest.mark.medium
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_closed_pipe_prints_no_error(many_certificates: Path, words: list[str]) -> None:
    reading, writing = os.pipe()
    process = program("pin", many_certificates, *words, stdout=writing)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


@pytest.mark.medium
@pytest.mark.parametrize("words", ["--help", "lab attacks", "explain --json", "lab --help"])
def test_a_closed_pipe_ends_with_141(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = program(*words.split(), stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


@pytest.mark.medium
@pytest.mark.usefixtures("run")
def test_a_pipe_that_is_closed_before_a_table_is_printed_ends_with_141() -> None:
    """rich prints the table of ``check`` before the command prints anything else."""
    Path("pins.toml").write_text(PINS.replace('colour = "blue"\n', ""))
    reading, writing = os.pipe()
    os.close(reading)
    with socket.socket() as unused:  # bound, and refuses connections
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        process = program("check", "--connect", address, stdout=writing)
        os.close(writing)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


@pytest.mark.medium
def test_a_full_disk_is_reported(many_certificates: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = program("pin", many_certificates, stdout=full)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (3, FULL)


@pytest.mark.medium
def test_a_full_disk_does_not_hide_that_the_file_was_written(run: Run) -> None:
    pins = ("--pin", str(kit.NOBODY), "--backup-pin", str(kit.NOBODY_ELSE))
    with Path("/dev/full").open("w") as full:
        process = program("add", "api.bank.example", *pins, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.endswith(FULL)
    assert run("lint").code in {0, 1}, "the pin file is written"


@pytest.mark.medium
def test_without_a_folder_for_temporary_files_the_fix_names_the_variable(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with a read-only file system."""

    def missing(*args: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile._get_default_tempdir", missing)
    monkeypatch.setattr("tempfile.tempdir", None)
    done = run("demo", "--json")
    assert (done.code, done.error["key"]) == (2, "TMPDIR")
    assert "set TMPDIR" in done.error["fix"]


def in_shell(*words: str, redirected: str) -> subprocess.CompletedProcess[str]:
    """Run Python with ``words`` from a shell that closes or redirects its standard streams."""
    script = f'"$@" {redirected}'
    return subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.medium
@pytest.mark.parametrize("redirected", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("words", "code"),
    [("pin root.pem", 0), ("lint bad.toml --json", 1), ("pin missing.pem", 2), ("get", 2)],
)
def test_streams_that_cannot_be_written_to_keep_the_exit_code(
    run: Run, root: Authority, words: str, code: int, redirected: str
) -> None:
    """A job of cron may run without standard streams; an error has the exit code of the error."""
    Path("root.pem").write_bytes(root.pem)
    Path("bad.toml").write_text("schema = 1\n")
    done = in_shell("-m", "certpin", *words.split(), redirected=redirected)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert (done.stdout == "") == (">&-" in redirected.split() or code == 2)


@pytest.mark.medium
@pytest.mark.parametrize("redirected", [">/dev/full", ">/dev/full 2>/dev/full"])
def test_a_full_disk_is_inconclusive_with_or_without_its_message(redirected: str) -> None:
    done = in_shell("-m", "certpin", "explain", "--json", redirected=redirected)
    message = "" if "2>" in redirected else FULL
    assert (done.returncode, done.stderr) == (3, message)


@pytest.mark.medium
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.usefixtures("run")
def test_no_file_gets_the_number_of_a_closed_stream(closed: str) -> None:
    """Otherwise the output of another program, which inherits that number, goes into the file."""
    code = (
        "from certpin.cli.reply import open_missing_streams\n"
        "open_missing_streams()\n"
        "import os, sys\n"
        "with open('used', 'w') as file:\n"
        "    ours = [s.fileno() for s in (sys.stdin, sys.stdout, sys.stderr)]\n"
        "    inherited = [os.get_inheritable(number) for number in range(3)]\n"
        "    print(ours, inherited, file.fileno() > 2, file=file)\n"
    )
    assert in_shell("-c", code, redirected=closed).returncode == 0
    assert Path("used").read_text() == "[0, 1, 2] [True, True, True] True\n"


@pytest.mark.medium
def test_a_character_outside_the_encoding_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "root.pem"
    path.write_bytes(Authority("Łódź").pem)
    process = program("pin", path, env={"PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert r"CN=\u0141ód\u017a" in out
