"""Limits: only regular files up to a size are read, and errors have a bounded length."""

from __future__ import annotations

import math
import os
import threading
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from certpin.errors import PinFileError
from certpin.lab import Authority
from certpin.pinfile import PinSet, file, reader
from certpin.pins import Pin
from tests.pinfile._files import FULL, GOOD, HEAD, HOST, ONE, PINS, TWO

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 200_000


@pytest.fixture(params=["FIFO", "/dev/zero", "a folder", "a link to a device"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path that is not a regular file."""
    path = tmp_path / "endless"
    if request.param == "FIFO":
        os.mkfifo(path)
    elif request.param == "a folder":
        path.mkdir()
    elif request.param == "a link to a device":
        path.symlink_to("/dev/zero")
    else:
        path = Path("/dev/zero")
    return path


def test_a_pin_file_must_be_a_regular_file(endless: Path) -> None:
    with pytest.raises(PinFileError, match="it is not a regular file") as caught:
        PinSet.load(endless)
    assert caught.value.path == str(endless)


@pytest.mark.parametrize("key", ["trust", "anchors"])
def test_a_file_of_anchors_must_be_a_regular_file(endless: Path, tmp_path: Path, key: str) -> None:
    line, debug = (
        (f"trust = '{endless}'\n", "") if key == "trust" else ("", f"anchors = '{endless}'\n")
    )
    text = HEAD + HOST + line + PINS + (f"\n[debug]\n{debug}" if debug else "")
    with pytest.raises(PinFileError, match="it is not a regular file") as caught:
        PinSet.parse(text, path=tmp_path / "pins.toml")
    assert caught.value.line


def test_a_file_of_anchors_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority("Private").pem)
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", 100)
    with pytest.raises(
        PinFileError, match=r"'ca.pem' holds no trust anchors: .* more than 100 bytes"
    ):
        PinSet.parse(HEAD + HOST + 'trust = "ca.pem"\n' + PINS, path=tmp_path / "pins.toml")


def test_a_growing_file_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pins.toml"
    path.write_bytes(b"#" * 10)
    real = os.read

    def grow(descriptor: int, size: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"#" * 10)
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", grow)
    with pytest.raises(OSError, match="more than 35 bytes"):
        file.read_regular(path, 35)


def test_a_file_of_unknown_size_is_read() -> None:
    assert file.read_regular(Path("/proc/self/status"), 100_000).startswith(b"Name:")


def test_a_file_of_anchors_is_read_once_for_all_hosts() -> None:
    asked: Counter[str] = Counter()

    class Files(dict[str, bytes]):
        def __getitem__(self, name: str) -> bytes:
            asked[name] += 1
            return super().__getitem__(name)

    hosts = [f'\n[[host]]\nname = "h{n}.example"\ntrust = "ca.pem"\n{PINS}' for n in range(20)]
    files = Files({"ca.pem": Authority("Private").pem})
    pins = PinSet.parse(HEAD + "".join(hosts), files=files)
    assert asked == {"ca.pem": 1}
    assert len({id(policy.trust) for policy in pins.policies}) == 1


# A text of 200,000 letters in each place that an error could quote.
FIELDS = {
    "report_to": HEAD + HOST + "report_to = ['{}']\n" + PINS,
    "trust": HEAD + HOST + "trust = '{}'\n" + PINS,
    "mode": HEAD + HOST + "mode = '{}'\n" + PINS,
    "name": HEAD + "\n[[host]]\nname = '{}'\n" + PINS,
    "a wildcard over an address": HEAD + "\n[[host]]\nname = '*.fe80::1%{}'\n" + PINS,
    "a pin": HEAD + HOST + f"\n[[host.pin]]\npin = 'sha256/{{}}'\n\n[[host.pin]]\npin = '{ONE}'\n",
    "a certificate": HEAD + HOST + "\n[[host.pin]]\npin = 'cert-sha256/{}'\n",
    "a state": GOOD + "state = '{}'\n",
    "a date": HEAD + HOST + "expires = '{}'\n" + PINS,
    "a number": "schema = 1{}\n",
    "a key twice": GOOD + "{} = 1\n{} = 2\n",
    "a table twice": GOOD + "[{}]\n[{}]\n",
}


@pytest.mark.parametrize("what", FIELDS)
@pytest.mark.parametrize("letter", ["1", "x"])
def test_long_values_are_shortened_in_errors(what: str, letter: str, tmp_path: Path) -> None:
    with pytest.raises(PinFileError) as caught:
        PinSet.parse(FIELDS[what].replace("{}", letter * LONG), path=tmp_path / "pins.toml")
    assert len(str(caught.value)) < 1000


# ── the parser ────────────────────────────────────────────────────────────────────────────────

WORDS = st.sampled_from(
    [
        *("schema", "name", "host", "pin", "a.b", '"a b"', "'c'", " = ", "=", ",", "\n", "\r\n"),
        *("[", "]", "[[", "]]", "{", "}", "[[host]]\n", "[[host.pin]]\n", "[debug]\n", "#", "# x"),
        *("1", "+1_000", "0x1f", "1e3", "-0.0", "nan", "inf", "true", "false", '"t\\u00e9xt"'),
        *(
            "'x'",
            '"""\n a\\\n b"""',
            "'''\n'",
            "2027-06-01",
            "2027-06-01T12:00:00+02:00",
            "07:32:00",
        ),
    ]
)
LINES = st.sampled_from(FULL.splitlines(keepends=True))


def parsed(loads: Any, text: str) -> object:
    """Return what a TOML parser reads from a text, or ``ValueError`` (the class) if it fails.

    NaN is replaced, because it is not equal to itself.
    """
    try:
        return _comparable(loads(text))
    except ValueError:
        return ValueError


def _comparable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _comparable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_comparable(each) for each in value]
    nan = isinstance(value, float) and math.isnan(value)
    return type(value), str(value) if nan else value


@given(st.lists(WORDS | LINES | st.text(max_size=3), max_size=40).map("".join))
@example(FULL)
@example("a = 1\na = 2\n")
@example("[[a]]\n[a]\n")
@example("a = 1__0\n")
def test_tomli_and_tomllib_read_the_same(text: str) -> None:
    expected = parsed(tomllib.loads, text)
    if expected is not ValueError:  # what only TOML 1.1 allows, tomllib of Python 3.14 refuses
        assert parsed(tomli.loads, text) == expected


PARTS = st.sampled_from(
    [
        *("[[host]]\n", "[[host.pin]]\n", "[debug]\n", "[host]\n", "[[host]]x\n", "[host.a]\n"),
        *("a = 1\n", "host = []\n", "host.a = 1\n", 'a = """\n', "'''\n", "a = [\n", "]\n"),
    ]
)


@given(st.lists(LINES | PARTS, max_size=60).map("".join))
@example("host = []\n[[host]]\n")
@example("[debug]\n[[host]]\n[debug]\n")
@example('a = """\n[[host]]\n"""\n[[host]]\n')
@example("[[host]]\n[[host.pin]]\n[[host]]\n[host.pin]\n")
@example("a = 1\n[[host]]\n[[host]]\n[[host]]x\n")
@example("a = 1\n[[host]]\nb = 1\n[[host]]\nb = 2\n")
def test_parsing_in_pieces_gives_the_tables_of_the_whole(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "_PIECE", 1)
        patch.setattr(file, "let_others_run", lambda: None)
        assert parsed(file._parse, text) == parsed(tomli.loads, text)


def test_a_long_file_leaves_turns_to_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser sleeps regularly, longer than 0 seconds, so that other threads can run.

    A sleep of 0 would not do: it ends before the other thread is awake.
    """
    text = HEAD + "".join(f'[[host]]\nname = "h{n}.example"\n{PINS}' for n in range(200))
    turns: list[float] = []
    monkeypatch.setattr("certpin.pinfile.file.time.sleep", turns.append)
    ending = threading.Event()
    other = threading.Thread(target=ending.wait)
    other.start()
    try:
        assert len(PinSet.parse(text).policies) == 200
    finally:
        ending.set()
        other.join()
    assert len(turns) >= 50 + len(text) // 8192
    assert min(turns) > 0


@given(st.lists(LINES, max_size=40).map("".join))
def test_tomli_and_tomllib_refuse_the_same(text: str) -> None:
    assert parsed(tomli.loads, text) == parsed(tomllib.loads, text)


def digests() -> Iterator[bytes]:
    """Yield digests of 32 bytes that repeat one byte, and similar digests that do not."""
    for byte in range(256):
        yield bytes([byte]) * 32
        yield bytes([byte, 1, 2]) * 10 + b"\1\2"


def test_a_placeholder_is_one_repeated_byte_or_letter() -> None:
    found = {digest for digest in digests() if Pin("sha256", digest).is_placeholder}
    assert {bytes([byte]) * 32 for byte in range(256)} <= found
    for letter in ("A", "b", "7", "/"):
        pin = Pin.parse(f"sha256/{letter * 42}{'A' if letter == 'A' else 'Y'}=")
        assert pin.is_placeholder
    assert not ONE.is_placeholder
    assert not TWO.is_placeholder
