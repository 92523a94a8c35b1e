"""The reader of ``cases.toml``: its fields, and errors that name the file, line and field."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.errors import CaseFileError
from certpin.lab import Authority, load_cases
from certpin.lab.case import Expect
from certpin.lab.own.reader import CASE_KEYS, MAX_CHAIN
from certpin.lab.pki import Style
from tests.lab.own._own import GOOD, HOST, ROOT, SERVER, own, toml, write_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> None:
    write_files(tmp_path)


def write(folder: Path, *cases: dict[str, str]) -> Path:
    path = folder / "cases.toml"
    path.write_text(toml(*cases), encoding="utf-8")
    return path


def test_files_are_relative_to_the_case_file(tmp_path: Path) -> None:
    (read,) = load_cases(write(tmp_path, GOOD))
    assert read.own == own()
    assert (read.name, read.host("other.example")) == ("mine", HOST)


def test_pem_texts_are_read_as_files_are(tmp_path: Path) -> None:
    leaf, intermediate = SERVER.chain_pem.decode().split("-----END CERTIFICATE-----\n")[:2]
    end = "-----END CERTIFICATE-----\n"
    inline = GOOD | {
        "chain": f'["""{leaf}{end}""", """{intermediate}{end}"""]',
        "key": f'"""{SERVER.key_pem.decode()}"""',
        "anchors": f'"""{ROOT.pem.decode()}"""',
    }
    (read,) = load_cases(write(tmp_path, inline))
    assert read.own == own()


@pytest.mark.parametrize(
    ("word", "expect"),
    [("accept", Expect.ACCEPT), ("refuse", Expect.REJECT), ("report", Expect.POLICY)],
)
def test_the_expected_verdict_is_that_of_every_style(
    tmp_path: Path, word: str, expect: Expect
) -> None:
    (read,) = load_cases(write(tmp_path, GOOD | {"expect": f'"{word}"'}))
    assert {read.expected.of(style) for style in Style} == {expect}


def test_optional_fields_are_read(tmp_path: Path) -> None:
    given = GOOD | {
        "time": "2020-05-01T14:00:00+02:00",
        "pins": f'["{ROOT.pin}"]',
        "about": '"an old chain"',
    }
    (read,) = load_cases(write(tmp_path, given))
    assert read.own is not None
    assert read.own.time == datetime(2020, 5, 1, 12, tzinfo=UTC)
    assert read.own.pins == (ROOT.pin,)
    assert read.presents == "an old chain"
    assert GOOD.keys() | {"time", "pins", "about"} == set(CASE_KEYS)


def test_a_certificate_that_only_the_server_understands_is_served(tmp_path: Path) -> None:
    (tmp_path / "odd.pem").write_text(
        SERVER.chain_pem.decode()
        + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        encoding="ascii",
    )
    (read,) = load_cases(write(tmp_path, GOOD | {"chain": '"odd.pem"'}))
    assert read.own is not None
    assert read.own.chain[-1] == b"\0\0\0"


_WRONG = {
    "a name with a slash": ("name", '"a/b"', "can't be the name"),
    "a name of the lab": ("name", '"control-good"', "can't be the name"),
    "not a host": ("host", '"a..b"', "host"),
    "a missing file": ("chain", '"missing.pem"', "'missing.pem' cannot be read: No such file"),
    "a name with NUL": ("chain", '"root.pem\\u0000"', "cannot be read"),
    "a text that is cut off": ("chain", '"-----BEGIN CERTIFICATE-----"', "something else than"),
    "a key as a chain": ("chain", '"server.key"', "something else than certificates"),
    "nothing in PEM": ("chain", '"empty.pem"', "has no certificate in PEM"),
    "no chain": ("chain", "[]", "it has 0 certificates"),
    "not a certificate as an anchor": ("anchors", '"odd.pem"', "not an X.509 certificate"),
    "numbers": ("anchors", "[1]", "is not allowed for `anchors`"),
    "a number": ("key", "1", "is not allowed for `key`"),
    "no key": ("key", '"root.pem"', "is not an unencrypted private key"),
    "a key of another server": ("key", '"other.key"', "is not the key of the first certificate"),
    "a missing key": ("key", '"missing.key"', "cannot be read"),
    "another verdict": ("expect", '"maybe"', "is not allowed for `expect`"),
    "no time zone": ("time", "2020-05-01T12:00:00", "has no time zone"),
    "before 1970": ("time", "1969-12-31T23:59:59Z", "no clock can be set"),
    "far away": ("time", "9999-01-01T00:00:00Z", "no clock can be set"),
    "not a time": ("time", '"yesterday"', "is not allowed for `time`"),
    "not a pin": ("pins", '["sha256/x"]', "is not base64"),
}


@pytest.mark.parametrize(("field", "value", "problem"), _WRONG.values(), ids=_WRONG)
def test_an_error_names_file_line_and_field(
    tmp_path: Path, field: str, value: str, problem: str
) -> None:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "odd.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="ascii"
    )
    Authority("Other").issue(HOST).write(tmp_path, "other")
    path = write(tmp_path, GOOD, {"name": '"second"'} | GOOD | {"name": '"second"', field: value})
    with pytest.raises(CaseFileError) as caught:
        load_cases(path)
    error = caught.value
    assert problem in error.problem
    assert (error.path, error.key) == (str(path), f"case[1].{field}")
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    assert error.line == max(at for at, line in lines if line.startswith(f"{field} = "))
    assert error.fix


@pytest.mark.parametrize("field", GOOD)
def test_every_other_field_is_required(tmp_path: Path, field: str) -> None:
    path = write(tmp_path, {name: value for name, value in GOOD.items() if name != field})
    with pytest.raises(CaseFileError, match="it is missing") as caught:
        load_cases(path)
    assert (caught.value.key, caught.value.line) == (f"case[0].{field}", 2)


@pytest.mark.parametrize("name", ["anchor", "colour"])
def test_an_unknown_field_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, GOOD | {name: '"x"'})
    with pytest.raises(CaseFileError, match="is not a key of this table") as caught:
        load_cases(path)
    assert (caught.value.key, caught.value.line) == (f"case[0].{name}", len(GOOD) + 3)


def test_a_name_is_used_once(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, GOOD)
    with pytest.raises(CaseFileError, match="the name of an earlier case"):
        load_cases(path)


def test_a_chain_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "long.pem").write_bytes(ROOT.pem * (MAX_CHAIN + 1))
    with pytest.raises(CaseFileError, match=f"it has {MAX_CHAIN + 1} certificates"):
        load_cases(write(tmp_path, GOOD | {"anchors": '"long.pem"'}))


@pytest.mark.parametrize(
    ("text", "key", "line", "problem"),
    [
        ("schema = 1\n", "case", None, "there is no case"),
        ("schema = 2\n", "schema", 1, "doesn't know this schema"),
        ("[[case]]\n", "schema", None, "it is missing"),
        ("schema = 1\ncase = 3\n", "case", 2, "is not allowed for `case`"),
        ("schema = 1\n\ncase = = 1\n", "", 3, "it is not TOML"),
    ],
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, text: str, key: str, line: int | None, problem: str
) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaseFileError, match=problem) as caught:
        load_cases(path)
    assert (caught.value.key, caught.value.line) == (key, line)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseFileError, match="it cannot be read: No such file"):
        load_cases(tmp_path / "missing.toml")
    with pytest.raises(CaseFileError, match="not a regular file"):
        load_cases(tmp_path)
    (tmp_path / "cases.toml").write_bytes(b"\xff")
    with pytest.raises(CaseFileError, match="not UTF-8"):
        load_cases(tmp_path / "cases.toml")


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pem")
    with pytest.raises(CaseFileError, match="not a regular file"):
        load_cases(write(tmp_path, GOOD | {"chain": '"fifo.pem"'}))
