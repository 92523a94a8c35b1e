"""The README of examples/clients names every client, and every case that tests expect to fail."""

from __future__ import annotations

from tests.lab._clients import BY_NAME
from tests.lab.gallery import test_broken, test_programs
from tests.lab.gallery._gallery import CLIENTS
from tests.lab.gallery._table import HOLES, PROGRAMS

PAGE = (CLIENTS / "README.md").read_text(encoding="utf-8")


def test_it_links_to_every_program() -> None:
    kinds = {".py", ".sh", ".mjs", ".go", ".dart", ".java"}
    files = [path for path in CLIENTS.rglob("*") if path.suffix in kinds]
    assert len(files) >= 80
    missing = [path.name for path in files if f"]({path.relative_to(CLIENTS)})" not in PAGE]
    assert not missing


def test_it_names_the_case_of_every_broken_client() -> None:
    rows = {line.split("]")[0]: line for line in PAGE.splitlines() if "](broken/" in line}
    for name, (style, own, _) in test_broken.EXPECTED.items():
        row = rows[f"| [{name}.py"]
        assert f"| {style} | `{own}`" in row


def test_it_names_every_case_that_catches_a_client_with_one_hole() -> None:
    rows = {line.split("](")[1].split(")")[0]: line for line in PAGE.splitlines() if "](br" in line}
    holes = {f"{name}.py": hole for name, hole in HOLES.items()}
    holes |= {name: each.hole for name, each in PROGRAMS.items()}
    for name, hole in holes.items():
        row = rows[f"broken/{name}"]
        assert f"| {hole.style} |" in row
        assert [case for case in hole.cases if f"`{case}`" not in row] == []


def test_it_explains_every_case_that_a_well_known_client_fails() -> None:
    explained = PAGE.partition("## What well-known clients really fail")[2]
    for name in (*test_programs.GNUTLS, *test_programs.OLD_TLS, *test_programs.GO):
        assert name in BY_NAME
        assert f"`{name}`" in explained or name == "cn-only"
    for name in (
        *test_programs.OKHTTP,
        "non-ca-switch",
        "wrong-host-idn",
        "redirect-to-http",
        "compromised-intermediate",
    ):
        assert f"`{name}`" in explained
