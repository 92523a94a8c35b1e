"""Every file that a release ships has one licence, and each archive has that licence's text."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from scripts import htmx
from scripts.release import archives, licences
from scripts.release.licences import LicensedFiles
from tests.release._clone import ROOT, needs_clone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = licences.read(ROOT)
OTHERS = {entry.name: entry for entry in TABLE if entry.name}
WHEEL = {
    "certpin/__init__.py": b"",
    "certpin/pins/public_suffix.txt": b"# Mozilla Public License, copyright (c) Mozilla",
    "certpin-1.2.3.dist-info/METADATA": b"",
    "certpin-1.2.3.dist-info/licenses/LICENSE": b"",
    "certpin-1.2.3.dist-info/licenses/LICENSES/MPL-2.0.txt": b"",
}


def problems(files: dict[str, bytes | None], package: str = "certpin") -> list[str]:
    return list(licences.check(package, files, TABLE))


def without(name: str) -> dict[str, bytes | None]:
    return {each: content for each, content in WHEEL.items() if not each.endswith(name)}


def unused(table: list[LicensedFiles]) -> list[str]:
    """Return the path patterns of a licence table that match no file of the repository."""
    paths = [path.relative_to(ROOT).as_posix() for path in files_below(ROOT / "packages")]
    patterns = [pattern for entry in table for pattern in entry.paths]
    return [each for each in patterns if not any(fnmatchcase(path, each) for path in paths)]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, at any depth. Links to folders are followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from files_below(path)
        else:
            yield path


def test_every_file_of_the_packages_that_is_shipped_has_one_licence() -> None:
    if reason := needs_clone():
        pytest.skip(reason)
    folders = ("packages/certpin/src/", "packages/certpin-watch/src/", "packages/certpin-dart/")
    shipped = [name for name in archives.tracked(ROOT) if name.startswith(folders)]
    assert len(shipped) > 500
    found = {name: [each.licence for each in TABLE if each.matches(name)] for name in shipped}
    generated = {
        "packages/certpin-dart/LICENSE",
        "packages/certpin/src/certpin/formats/flutter/dart",
    }
    assert {name: each for name, each in found.items() if len(each) != 1}.keys() == generated


@pytest.mark.medium
def test_no_entry_of_the_table_is_stale() -> None:
    assert unused(TABLE) == []
    assert unused([LicensedFiles(("packages/gone/*",), "MIT", "LICENSE")]) == ["packages/gone/*"]


def test_a_wheel_with_all_licences_is_accepted() -> None:
    assert problems(dict(WHEEL)) == []
    assert licences.expression("certpin", WHEEL, TABLE) == "Apache-2.0 AND MPL-2.0"


@pytest.mark.parametrize("name", ["certpin/lab/report/jquery.js", "certpin/pins/fonts.woff2"])
def test_a_new_bundled_file_without_a_licence_is_refused(name: str) -> None:
    (problem,) = problems({**WHEEL, name: b""})
    assert problem == f"packages/certpin/src/{name} has no licence in packaging/licences.toml"


@pytest.mark.parametrize(
    "notice",
    [
        b"# Copyright (c) 2019 Somebody Else\n",
        b"# SPDX-License-Identifier: MIT\n",
        b'"""A parser."""\n# \xc2\xa9 Example Ltd.\n',
        b"# (c) 2020 Example\n",
    ],
)
def test_a_python_file_of_another_project_is_refused(notice: bytes) -> None:
    (problem,) = problems({**WHEEL, "certpin/x509/vendored.py": notice})
    assert "has the notice of another project" in problem


@pytest.mark.medium
def test_no_own_file_of_this_repository_has_another_notice() -> None:
    own = [path for path in files_below(ROOT / "packages") if path.suffix == ".py"]
    own = [path for path in own if "src" in path.parts]
    assert len(own) > 300
    assert [path for path in own if licences._NOTICE.search(path.read_text("utf-8")[:4096])] == []


@pytest.mark.parametrize("name", ["LICENSE", "LICENSES/MPL-2.0.txt"])
def test_an_archive_without_the_text_of_a_licence_is_refused(name: str) -> None:
    assert problems(without(name)) == [f"the archive lacks {name}"]


def test_a_link_in_an_archive_is_refused() -> None:
    assert problems({"certpin-1.2.3/LICENSE": None}) == [
        "certpin-1.2.3/LICENSE is a link: an archive must contain the file",
    ]


def test_a_file_with_two_licences_is_refused() -> None:
    table = [*TABLE, LicensedFiles(("packages/certpin/src/certpin/__init__.py",), "MIT", "LICENSE")]
    assert list(licences.check("certpin", dict(WHEEL), table)) == [
        "packages/certpin/src/certpin/__init__.py has 2 licences in packaging/licences.toml"
    ]


@pytest.mark.parametrize(
    ("package", "name", "path"),
    [
        ("certpin", "certpin/cli/main.py", "packages/certpin/src/certpin/cli/main.py"),
        ("certpin", "certpin-0.1.0/src/certpin/x.py", "packages/certpin/src/certpin/x.py"),
        ("certpin", "certpin-0.1.0/PKG-INFO", ""),
        ("certpin", "certpin-0.1.0/LICENSES/MPL-2.0.txt", ""),
        ("certpin", "certpin-0.1.0/vendor/LICENSE", "packages/certpin/vendor/LICENSE"),
        ("certpin", "certpin-0.1.0.dist-info/METADATA", ""),
        ("certpin", "certpin-0.1.0.data/data/share/man/man1/a.1", "packages/certpin/man/a.1"),
        (
            "certpin-watch",
            "certpin_watch/api.py",
            "packages/certpin-watch/src/certpin_watch/api.py",
        ),
        ("certpin-dart", "lib/certpin.dart", "packages/certpin-dart/lib/certpin.dart"),
    ],
)
def test_a_file_of_an_archive_is_found_in_the_repository(
    package: str, name: str, path: str
) -> None:
    assert licences.repository_path(package, name) == path


def test_the_versions_of_other_projects_are_those_that_were_bundled() -> None:
    table = OTHERS["htmx"]
    assert table.version == htmx.VERSION
    assert hashlib.sha256((ROOT / table.paths[0]).read_bytes()).hexdigest() == htmx.SHA256
    suffixes = OTHERS["Public Suffix List (ICANN section)"].version
    assert version("publicsuffixlist").endswith(f".{suffixes}")


@pytest.mark.parametrize("package", ["certpin", "certpin-watch", "certpin-dart"])
def test_each_package_has_the_texts_of_the_repository(package: str) -> None:
    folder = ROOT / "packages" / package
    texts = [folder / "LICENSE", *folder.glob("LICENSES/*")]
    assert [path for path in texts if path.is_symlink()] == []
    for path in texts:
        assert path.read_bytes() == (ROOT / path.relative_to(folder)).read_bytes()
    wanted = {each.text for each in TABLE if each.paths[0].startswith(f"packages/{package}/")}
    assert {str(path.relative_to(folder)) for path in texts} == {*wanted, "LICENSE"}


def test_the_notices_name_every_other_project() -> None:
    text = licences.notices(TABLE)
    for entry in OTHERS.values():
        assert f"{entry.name} {entry.version} ({entry.url}): {entry.licence}" in text
