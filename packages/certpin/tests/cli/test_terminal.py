"""Output on a terminal has folded lines, colours and a progress bar; output in a pipe has none.

Also tests that a typed passphrase is not shown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.cli.reply import fold
from certpin.lab import LabServer
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._terminal import Terminal, on_terminal
from tests.cli.conftest import HOST, Run, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity

ESCAPE = "\x1b["
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def connect_args(identity: Identity) -> Iterator[tuple[str, ...]]:
    with LabServer(identity) as server:
        yield ("--connect", f"127.0.0.1:{server.port}")


@pytest.fixture
def mismatch(run: Run, ca: Path) -> None:
    """Write a pin file with pins that the server's chain does not match."""
    Path("root.pem").write_bytes(ca.read_bytes())
    write(kit.policy(HOST), trust=Path("root.pem"))


def lines(text: str) -> list[str]:
    return _SEQUENCE.sub("", text).splitlines()


@pytest.mark.medium
@pytest.mark.usefixtures("mismatch")
@pytest.mark.parametrize("columns", [60, 80, 132])
def test_a_refusal_is_folded_and_pins_and_commands_are_not_split(
    connect_args: tuple[str, ...], columns: int
) -> None:
    code, text = on_terminal("get", f"https://{HOST}/", *connect_args, columns=columns)
    assert code == 1
    address, _, port = connect_args[1].partition(":")
    command = f"certpin pin {HOST}:{port} --connect {address} --ca-file root.pem"
    *others, last = lines(text)
    assert last.endswith(command)
    assert last.strip() == command or len(last) <= columns
    assert max(map(len, others)) <= columns
    assert str(kit.NOBODY) in text
    assert " ".join(text.split()).endswith(f"Compare from another network: {command}")


QUOTED = "certpin rotate gone '*.a, b; c' --reason 'it is gone. (Really)'"
SEVERAL = (
    "clients have no version: certpin publish sign KEY…, then certpin publish push; or get the "
    "files of the other clone (git pull), and run certpin rotate status --host a.example again"
)
NAMED = "certpin rotate switch keys/next --host api.bank.example --file 'my pins.toml'"


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (f"List it, or record that it is switched off: {QUOTED}; then go on", [QUOTED]),
        (f"repeat it when the servers present that key ({NAMED}).", [NAMED]),
        (
            SEVERAL,
            ["certpin publish sign KEY…,", "certpin publish push;", "git pull"],
        ),
        (f"       {NAMED} a b c d e f", [f"{NAMED} a b c d e f"]),
    ],
)
def test_a_command_in_a_text_is_never_folded(
    monkeypatch: pytest.MonkeyPatch, columns: int, text: str, commands: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    folded = fold(text, Terminal())
    assert [command in folded for command in commands] == [True] * len(commands)
    assert " ".join(folded.split()) == " ".join(text.split())
    is_short = [len(line) <= columns or "certpin" in line for line in folded.splitlines()]
    assert all(is_short)


@pytest.mark.medium
@pytest.mark.usefixtures("mismatch")
def test_a_table_is_as_wide_as_the_terminal_at_most(connect_args: tuple[str, ...]) -> None:
    code, text = on_terminal("check", *connect_args, columns=60)
    assert code == 1
    assert max(len(line) for line in lines(text) if "certpin pin " not in line) <= 60


@pytest.mark.medium
@pytest.mark.usefixtures("mismatch")
def test_the_environment_may_name_another_width(connect_args: tuple[str, ...]) -> None:
    _, text = on_terminal("get", f"https://{HOST}/", *connect_args, columns=200, COLUMNS="60")
    assert max(len(line) for line in lines(text) if "certpin pin " not in line) <= 60


@pytest.mark.medium
@pytest.mark.usefixtures("mismatch")
@pytest.mark.parametrize("words", [["get", f"https://{HOST}/"], ["check"]])
def test_a_pipe_gets_no_folding_colour_or_progress_bar(
    connect_args: tuple[str, ...], words: list[str]
) -> None:
    out, err = program(*words, *connect_args).communicate(timeout=60)
    assert ESCAPE not in out + err
    assert "connecting" not in out + err
    (advice,) = [line for line in (out + err).splitlines() if "fix:" in line]
    address, _, port = connect_args[1].partition(":")
    contacted = f"{HOST}:{port} --connect {address}"
    assert advice.endswith(f"certpin pin {contacted} --ca-file root.pem")


@pytest.mark.medium
@pytest.mark.usefixtures("mismatch")
def test_a_progress_bar_is_shown_on_a_terminal_and_gone_at_the_end(
    connect_args: tuple[str, ...],
) -> None:
    _, text = on_terminal("check", *connect_args)
    assert "connecting" in text
    assert f"{ESCAPE}2K" in text.rpartition("connecting")[2]


@pytest.mark.medium
@pytest.mark.usefixtures("mismatch")
def test_json_output_is_valid_while_a_progress_bar_is_shown(connect_args: tuple[str, ...]) -> None:
    out, err = program("check", *connect_args, "--json").communicate(timeout=60)
    assert (out[0], err) == ("{", "")


@pytest.mark.medium
@pytest.mark.usefixtures("mismatch")
@pytest.mark.parametrize(
    "words",
    [
        ["get", f"https://{HOST}/"],
        ["check"],
        ["pin", HOST],
        pytest.param(["demo"], marks=pytest.mark.slow),
    ],
)
def test_colours_can_be_turned_off(connect_args: tuple[str, ...], words: list[str]) -> None:
    options = () if words == ["demo"] else connect_args
    typing = (
        [("[y/N]: ", "n")] if words == ["demo"] else []
    )  # the question about the monitoring service
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]m|\x1b\[1m")
    assert colour.search(on_terminal(*words, *options, typing=typing)[1])
    plain = on_terminal(*words, *options, typing=typing, NO_COLOR="1")[1]
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    if words not in (
        ["check"],
        ["demo"],
    ):  # rich keeps bold type and its bar, which are not colours
        assert ESCAPE not in plain


@pytest.mark.medium
def test_a_typed_passphrase_is_not_shown(run: Run) -> None:
    secret = "correct horse"
    words = ("add", "shop.example", "--pin", str(kit.NOBODY), "--backup-key", "backup.key")
    typing = [("Passphrase for the backup key: ", secret), ("Repeat for confirmation: ", secret)]
    code, text = on_terminal(*words, "--ask-passphrase", typing=typing)
    assert code == 0
    assert secret not in text
    load_pem_private_key(Path("backup.key").read_bytes(), secret.encode())
    code, text = on_terminal("pin", "backup.key", typing=[("Passphrase: ", secret)])
    assert (code, secret in text) == (0, False)
    assert "private key: EC P-256" in text


@pytest.mark.medium
def test_ctrl_c_at_a_prompt_ends_with_130_and_writes_nothing(run: Run) -> None:
    words = ("add", "shop.example", "--pin", str(kit.NOBODY), "--backup-key", "backup.key")
    typing = [("Passphrase for the backup key: ", "\x03")]
    code, text = on_terminal(*words, "--ask-passphrase", typing=typing)
    assert code == 130
    assert lines(text)[-1] == "certpin: stopped"
    assert list(Path().iterdir()) == []
