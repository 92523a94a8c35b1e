"""The software bill of materials of a wheel: it lists the contents and the dependencies.

The same wheel always gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from scripts.release import sbom
from scripts.release.licences import LicensedFiles
from tests.release._clone import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = 1_800_000_000
METADATA = b"""\
Metadata-Version: 2.4
Name: certpin
Version: 1.2.3
Summary: Pins.
License-Expression: Apache-2.0 AND MPL-2.0
Requires-Dist: Outer>=1
Requires-Dist: certpin-watch==1.2.3; extra == 'watch'
"""
LOCK = """\
# made by make lock
inner==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via outer
outer==1.0 \\
    --hash=sha256:{b}
    # via
    #   -c requirements/test.txt
    #   -r build/core.in
third==3 \\
    --hash=sha256:{a}
    # via
    #   inner
    #   outer
""".format(a="a" * 64, b="b" * 64)
HTMX = LicensedFiles(
    ("packages/x/htmx.min.js",), "0BSD", "LICENSE", "htmx", "2", "https://htmx.org"
)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "certpin-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("certpin-1.2.3.dist-info/METADATA", METADATA)
    return path


def document(wheel: Path) -> dict[str, Any]:
    return sbom.document(wheel, sbom.read_lock(LOCK), [HTMX], epoch=EPOCH)


def test_a_lock_is_read_with_its_digests_and_the_packages_that_need_each() -> None:
    inner, outer, third = sbom.read_lock(LOCK)
    assert (inner.name, inner.version, inner.needed_by) == ("inner", "2.0", ("outer",))
    assert inner.digests == ("a" * 64, "b" * 64)
    assert outer.needed_by == ()
    assert third.needed_by == ("inner", "outer")


@pytest.mark.parametrize(
    ("name", "needed"), [("core", {"cffi", "mdurl"}), ("watch", {"mako", "anyio"})]
)
def test_a_real_lock_is_read_completely(name: str, needed: set[str]) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    locked = sbom.read_lock(text)
    assert len(locked) == sum(1 for line in text.splitlines() if line[:1].isalpha())
    assert all(each.digests for each in locked)
    names = {each.name for each in locked}
    assert all(set(each.needed_by) <= names for each in locked)
    assert needed <= {each.name for each in locked if each.needed_by}
    assert "tomlkit" in {each.name for each in locked if not each.needed_by}


def test_the_document_names_the_wheel_its_contents_and_its_dependencies(wheel: Path) -> None:
    bom = document(wheel)
    component = bom["metadata"]["component"]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert component["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert component["purl"] == "pkg:pypi/certpin@1.2.3"
    assert component["licenses"] == [{"expression": "Apache-2.0 AND MPL-2.0"}]
    (bundled,) = component["components"]
    assert (bundled["name"], bundled["licenses"]) == ("htmx", [{"license": {"id": "0BSD"}}])
    assert [each["purl"] for each in bom["components"]] == [
        "pkg:pypi/inner@2.0", "pkg:pypi/outer@1.0", "pkg:pypi/third@3",
    ]  # fmt: skip
    assert bom["metadata"]["timestamp"] == "2027-01-15T08:00:00Z"


def test_the_graph_begins_with_the_needs_of_the_wheel(wheel: Path) -> None:
    graph = {each["ref"]: each["dependsOn"] for each in document(wheel)["dependencies"]}
    assert graph == {
        "pkg:pypi/certpin@1.2.3": ["pkg:pypi/outer@1.0"],
        "pkg:pypi/inner@2.0": ["pkg:pypi/third@3"],
        "pkg:pypi/outer@1.0": ["pkg:pypi/inner@2.0", "pkg:pypi/third@3"],
        "pkg:pypi/third@3": [],
    }


def test_the_same_wheel_gives_the_same_bytes_and_another_wheel_another_serial_number(
    wheel: Path, tmp_path: Path
) -> None:
    for name in "ab":
        sbom.write(document(wheel), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("certpin/new.py", b"")
    serial = json.loads((tmp_path / "a").read_text())["serialNumber"]
    assert serial != document(wheel)["serialNumber"]
