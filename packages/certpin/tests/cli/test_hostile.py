"""Any arguments and any files cause an exit code and an error message, never a traceback."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from certpin.pins import Pin
from tests import kit
from tests.cli._pinfiles import write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Done, Run

# Bytes that are not UTF-8 arrive as surrogates (PEP 383).
WORDS = st.text(st.characters(codec="utf-8"), max_size=80) | st.binary().map(os.fsdecode)
HOSTS = st.from_regex(
    r"(https://)?[a-z0-9.@:%\[\]_*-]{0,30}(:[0-9]{0,6})?[/?#a-z]{0,5}", fullmatch=True
)
ODD = [
    "",
    " ",
    "-",
    "--",
    ".",
    "/",
    "a\0b",
    "\udcff",
    "\x1b[2J",
    "é" * 300,
    "a" * 70_000,
    "[::1",
    "*.a",
]
quickly = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def closed_port() -> Iterator[tuple[str, ...]]:
    """Yield a ``--connect`` option for a closed port, so that no argument reaches a server."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield ("--connect", f"127.0.0.1:{closed.getsockname()[1]}")


def ended_well(done: Done) -> bool:
    """Return True if a command ended with exit code 0, 2 or 3, and printed text.

    The text must have no control characters except line ends.
    """
    controls = {c for c in done.out + done.err if not c.isprintable()} - {"\n"}
    return done.code in {0, 2, 3} and bool(done.out or done.err) and not controls


@pytest.mark.slow
@quickly
@given(WORDS | HOSTS)
@example("https://[::1]:443")
def test_any_target_of_pin(run: Run, closed_port: tuple[str, ...], target: str) -> None:
    assert ended_well(run("pin", *closed_port, "--", target))


@pytest.mark.parametrize("target", ODD)
def test_an_odd_target_of_pin(run: Run, closed_port: tuple[str, ...], target: str) -> None:
    assert ended_well(run("pin", *closed_port, "--", target))


@pytest.mark.medium
@quickly
@given(host=WORDS | HOSTS, pin=WORDS, name=WORDS)
def test_any_words_of_add(run: Run, host: str, pin: str, name: str) -> None:
    pins = ("--pin", pin, "--backup-pin", str(kit.NOBODY), "--name", name)
    done = run("add", "--file", "never.toml", *pins, "--", host)
    assert ended_well(done)
    Path("never.toml").unlink(missing_ok=True)


@pytest.mark.medium
@quickly
@given(host=WORDS, digest=st.binary(min_size=32, max_size=32), name=WORDS)
def test_every_file_that_add_writes_can_be_read(
    run: Run, host: str, digest: bytes, name: str
) -> None:
    Path("pins.toml").unlink(missing_ok=True)
    pins = ("--pin", str(Pin("sha256", digest)), "--backup-pin", str(kit.NOBODY), "--name", name)
    done = run("add", *pins, "--", host)
    assert ended_well(done)
    if done.code == 0:
        assert ended_well(run("check", "--connect", "127.0.0.1:1"))


@pytest.mark.slow
@quickly
@given(url=WORDS | HOSTS, method=WORDS, header=WORDS, data=WORDS)
def test_any_words_of_get(
    run: Run, closed_port: tuple[str, ...], url: str, method: str, header: str, data: str
) -> None:
    write(kit.policy("shop.example"))
    words = ("-X", method, "-H", header, "-d", data)
    assert ended_well(run("get", *closed_port, *words, "--", url))
    assert ended_well(run("get", *closed_port, "-d", data, "--", f"https://shop.example/{url}"))
    assert ended_well(run("get", *closed_port, "-H", f"X:{header}", "--", "https://shop.example/"))


@pytest.mark.parametrize("url", [*ODD, *(f"https://shop.example/{word}" for word in ODD)])
def test_an_odd_address_of_get(run: Run, closed_port: tuple[str, ...], url: str) -> None:
    write(kit.policy("shop.example"))
    assert ended_well(run("get", *closed_port, "--", url))


@pytest.mark.medium
@quickly
@given(option=st.sampled_from(["--host", "--starttls", "--connect"]), word=WORDS)
def test_any_words_of_check(run: Run, closed_port: tuple[str, ...], option: str, word: str) -> None:
    write(kit.policy("shop.example"))
    word = f"elsewhere.example={word}" if option == "--connect" else word
    assert ended_well(run("check", *closed_port, option, word))


@pytest.mark.medium
@quickly
@given(st.binary(max_size=200) | st.text().map(lambda text: f"schema = 1\n{text}".encode()))
@example(b"schema = 1\nname = 'x'\nversion = 1\nhost = 3")
@example(b"schema = 1\nname = 'x'\nversion = 1\n[[host]]\nname = '\\u001b'\npin = []")
@example(b"a = " + b"[" * 5000)
def test_any_pin_file(run: Run, content: bytes) -> None:
    Path("pins.toml").write_bytes(content)
    for words in (["check"], ["get", "https://shop.example/"], ["add", "a.example", *KEY]):
        done = run(*words)
        assert (ended_well(done), done.code) == (True, 2)
    assert Path("pins.toml").read_bytes() == content
    assert not Path("backup.key").exists()


KEY = ("--pin", str(kit.NOBODY), "--backup-key", "backup.key")


@pytest.mark.medium
@quickly
@given(st.binary(max_size=200) | WORDS.map(lambda text: text.encode(errors="replace")))
def test_any_content_of_a_file(run: Run, content: bytes) -> None:
    Path("any.pem").write_bytes(content)
    for words in (["pin", "any.pem"], ["pin", "localhost", "--ca-file", "any.pem"]):
        done = run(*words)
        assert (ended_well(done), done.code) == (True, 2)


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def _nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize("kind", [_folder, _loop, _broken_link, _socket, _nothing])
@pytest.mark.parametrize(
    "words",
    [
        ["check", "odd"],
        ["check", "-f", "odd"],
        ["get", "https://shop.example/", "-f", "odd"],
        ["add", "shop.example", *KEY, "--ca-file", "odd"],
        ["pin", "shop.example", "--ca-file", "odd"],
        ["pin", "./odd"],
    ],
)
def test_a_path_that_is_not_a_file_is_reported(run: Run, kind: object, words: list[str]) -> None:
    assert callable(kind)
    kind(Path("odd"))
    done = run(*words)
    assert (ended_well(done), done.code) == (True, 2)
    assert not Path("backup.key").exists()


@pytest.mark.parametrize("kind", [_folder, _socket])
def test_a_path_that_is_not_a_file_is_not_replaced(run: Run, kind: object) -> None:
    assert callable(kind)
    kind(Path("odd"))
    for words in (["-f", "odd", *KEY], [*KEY[:-1], "odd"]):
        done = run("add", "shop.example", *words)
        assert (ended_well(done), done.code) == (True, 2)
    assert not Path("odd").is_file()


@pytest.mark.parametrize("kind", [_loop, _broken_link, _socket, _nothing])
def test_a_pin_file_below_a_file_is_reported(run: Run, kind: object) -> None:
    assert callable(kind)
    kind(Path("odd"))
    done = run("add", "shop.example", "-f", "odd/pins.toml", *KEY)
    assert (ended_well(done), done.code) == (True, 2)
    assert not Path("backup.key").exists()
