"""How `make test` divides the test files among Python versions and processes.

Each file runs on the Pythons that have to run it, in one process of each. The results of the
processes are combined, and progress is shown on a terminal only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import matrix, record


@given(sizes=st.lists(st.integers(0, 1000), max_size=40), count=st.integers(1, 8))
def test_each_file_is_in_one_piece(
    sizes: list[int], count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    files = [folder / f"test_{number}.py" for number in range(len(sizes))]
    for file, size in zip(files, sizes, strict=True):
        file.write_bytes(bytes(size))
    divided = matrix.pieces(files, count)
    assert [file for piece in divided for file in piece] == files
    assert len(divided) <= count
    assert all(divided)


def test_pieces_have_similar_sizes(tmp_path: Path) -> None:
    files = [tmp_path / f"test_{number}.py" for number in range(40)]
    for file in files:
        file.write_bytes(bytes(100))
    assert [len(piece) for piece in matrix.pieces(files, 4)] == [10, 10, 10, 10]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([pytest.ExitCode.OK], True),
        ([pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.OK], True),
        ([pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED], False),
        ([pytest.ExitCode.OK, -9], False),
        ([pytest.ExitCode.NO_TESTS_COLLECTED], False),
        ([], False),
    ],
)
def test_the_pieces_of_a_python_pass_if_none_failed_and_one_had_tests(
    codes: list[int], expected: bool
) -> None:
    assert matrix.have_passed(codes) is expected


def test_the_quick_tests_are_divided_among_the_processes_that_run_at_once() -> None:
    quick = matrix._quick(3)
    assert len(quick.pieces) == 3
    files = [file for piece in quick.pieces for file in piece]
    assert Path("packages/certpin/tests/test_matrix.py") in files
    assert Path("packages/certpin-watch/tests/watch/test_health.py") in files
    assert not quick.covered


@pytest.mark.parametrize(("terminal", "shown"), [(True, "first: 50 %"), (False, "")])
def test_how_far_a_process_is_shows_on_a_terminal_only(
    terminal: bool,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = "print('...  [ 50%]'); print('1 failed'); raise SystemExit(1)"
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    ended = matrix._followed([sys.executable, "-c", program], os.environ, "first")
    assert ended == (1, ["...  [ 50%]", "1 failed"])
    assert capsys.readouterr().out.replace(matrix._LINE_START, "") == shown


def test_each_folder_that_depends_on_python_has_tests() -> None:
    for name in matrix._DEPENDENT:
        assert list((matrix._TESTS[0] / name).glob("test_*.py")), name


def test_parts_of_a_run_are_recorded_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(record.FILE, str(tmp_path / "record.jsonl"))
    record.append(record.Run("a", 2, 1, {"no nginx": 1}, {"one": "failed"}))
    record.append(record.Run("b", left_out={"no Python": 0}))
    record.append(record.Run("a", 3, 1, {"no nginx": 2}, {"two": "failed"}))
    assert record.read() == [
        record.Run("a", 5, 2, {"no nginx": 3}, {"one": "failed", "two": "failed"}),
        record.Run("b", left_out={"no Python": 0}),
    ]
