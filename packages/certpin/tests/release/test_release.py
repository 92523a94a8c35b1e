"""``make release``, run in a copy of the repository with real addresses: all files to upload.

The run has no network access, if this machine allows that; the locked wheels are downloaded before.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts import pythons
from scripts.private_network import in_private_network, obstacle
from scripts.release import archives, licences, sbom, trial
from scripts.release.preconditions import read_version
from scripts.setup_venv import ensure
from scripts.unpack import unpack
from tests.release._clone import ROOT, commit, copy, make_releasable, needs_clone

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSION = read_version(ROOT)
ARCHIVES = {
    f"certpin-{VERSION}-py3-none-any.whl",
    f"certpin-{VERSION}.tar.gz",
    f"certpin-dart-{VERSION}.tar.gz",
    f"certpin_watch-{VERSION}-py3-none-any.whl",
    f"certpin_watch-{VERSION}.tar.gz",
}


@dataclass(frozen=True)
class Released:
    """A finished run of ``make release``: the repository's folder and the run's standard output.

    ``out`` is the folder with the files to upload.
    """

    root: Path
    output: str

    @property
    def out(self) -> Path:
        return self.root / "dist"


def call(root: Path, *words: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run ``python -m scripts.release`` in a repository, and return the finished process.

    Args:
        root: the folder of the repository.
        words: arguments of the command.
        prefix: a command that starts it, such as one that gives it a private network.
    """
    python = Path(".venvs/release/bin/python")
    argv = [*prefix, str(python), "-m", "scripts.release", *words]
    return subprocess.run(
        argv, cwd=root, capture_output=True, text=True, timeout=800, check=False
    )  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository from which a release can be made.

    It has links to the environment for releases, and to the Pythons that are here now, with their
    downloaded wheels. A Python that another process fetches meanwhile is not tried: it would need
    wheels, and the release has no network access.
    """
    if problem := needs_clone():
        pytest.skip(problem)
    shared = ["release"]
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(ROOT)
        lock = Path("requirements/release.txt")
        ensure(Path(".venvs/release"), sys.executable, lock, project="none")
        for version in pythons.supported():
            if python := pythons.find(version):
                wheels = trial.wheels_of(version, python).name
                shared += [wheels, f"debian/{version}"]
    root = copy(tmp_path_factory.mktemp("release") / "certpin")
    make_releasable(root)
    commit(root)
    (root / ".venvs/debian").mkdir(parents=True)
    for name in shared:
        (root / ".venvs" / name).symlink_to(ROOT / ".venvs" / name)
    return root


@pytest.fixture(scope="module")
def released(repository: Path) -> Released:
    """Run ``make release`` once, and return the finished run.

    If possible, it runs in a private network without internet access, in which the trial of the
    built packages can still start its servers.
    """
    offline = () if obstacle() else in_private_network()
    done = call(repository, "--tag", f"v{VERSION}", prefix=offline)
    assert done.returncode == 0, done.stdout + done.stderr
    return Released(repository, done.stdout)


def test_every_archive_is_built_twice_and_tried_on_each_python(released: Released) -> None:
    assert f"the same bytes twice: {', '.join(sorted(ARCHIVES))}" in released.output
    wheels = (released.root / ".venvs").glob("wheels-3.*[0-9]")
    versions = {path.name.removeprefix("wheels-") for path in wheels}
    assert pythons.running() in versions
    for version in versions:
        assert f"certpin and certpin[watch] work on Python {version}" in released.output
    assert f"git tag --sign v{VERSION}" in released.output
    assert f"git push origin v{VERSION}" in released.output


def test_the_folder_has_the_archives_their_boms_and_nothing_unexpected(released: Released) -> None:
    boms = {f"{name}.cdx.json" for name in ARCHIVES if name.endswith(".whl")}
    others = {"SHA256SUMS", "THIRD-PARTY.txt", "certpin.rb"}
    assert {path.name for path in released.out.iterdir()} == ARCHIVES | boms | others


def test_the_checksums_are_right(released: Released) -> None:
    words = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(words, cwd=released.out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 9


def test_an_sdist_has_no_link_no_test_and_its_licences(released: Released) -> None:
    for name in sorted(ARCHIVES):
        files = archives.members(released.out / name)
        assert [each for each, content in files.items() if content is None] == []
        if not name.startswith("certpin-dart"):
            assert [each for each in files if "/tests/" in each] == []
    certpin = archives.members(released.out / f"certpin-{VERSION}.tar.gz")
    assert f"certpin-{VERSION}/LICENSES/MPL-2.0.txt" in certpin
    assert certpin[f"certpin-{VERSION}/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_the_metadata_are_complete(released: Released) -> None:
    for name in ARCHIVES:
        if name.endswith(".whl"):
            about = sbom.metadata(released.out / name)
            urls = dict(each.split(", ") for each in about.get_all("Project-URL") or [])
            assert urls.keys() >= {"Homepage", "Source", "Changelog", "Issues", "Security"}
            assert all(url.startswith("https://git.bank.example/certpin") for url in urls.values())
            assert about["License-Expression"].startswith("Apache-2.0 AND ")
            assert len(about.get_all("License-File") or []) == 2
            assert about["Description-Content-Type"] == "text/markdown"
            assert about.get_all("Classifier")


def test_nothing_that_is_released_has_a_placeholder(released: Released) -> None:
    for name in ARCHIVES:
        files = archives.members(released.out / name)
        named = [
            each for each, content in files.items() if b"repository.invalid" in (content or b"")
        ]
        assert named == []
    assert ".invalid" not in (released.out / "certpin.rb").read_text()


@pytest.mark.parametrize("package", ["certpin", "certpin_watch"])
def test_the_bom_describes_its_wheel(released: Released, package: str) -> None:
    wheel = released.out / f"{package}-{VERSION}-py3-none-any.whl"
    bom: dict[str, Any] = json.loads((wheel.parent / f"{wheel.name}.cdx.json").read_text())
    component = bom["metadata"]["component"]
    assert component["hashes"][0]["content"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    bundled = {
        each["name"]: each["licenses"][0]["license"]["id"] for each in component["components"]
    }
    others = {each.name: each.licence for each in licences.read(ROOT) if each.name}
    assert bundled
    assert bundled.items() <= others.items()
    lock = "core" if package == "certpin" else "watch"
    locked = sbom.read_lock((ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8"))
    assert [each["purl"] for each in bom["components"]] == [each.purl for each in locked]
    refs = {each["bom-ref"] for each in bom["components"]} | {component["bom-ref"]}
    edges = {each["ref"]: each["dependsOn"] for each in bom["dependencies"]}
    assert set(edges) == refs
    assert {need for needs in edges.values() for need in needs} <= refs


def test_the_dart_archive_is_a_package_whose_library_the_wheel_has_too(
    released: Released, tmp_path: Path
) -> None:
    unpack(released.out / f"certpin-dart-{VERSION}.tar.gz", tmp_path)
    pubspec = yaml.safe_load((tmp_path / "pubspec.yaml").read_text(encoding="utf-8"))
    assert (pubspec["name"], pubspec["version"]) == ("certpin", VERSION)
    assert pubspec["repository"].startswith("https://git.bank.example/certpin")
    assert {"LICENSE", "README.md", "CHANGELOG.md"} <= {path.name for path in tmp_path.iterdir()}
    wheel = archives.members(released.out / f"certpin-{VERSION}-py3-none-any.whl")
    library = list((tmp_path / "lib").rglob("*.dart"))
    assert len(library) > 20
    for path in library:
        name = path.relative_to(tmp_path / "lib").as_posix()
        assert wheel[f"certpin/formats/flutter/dart/{name}"] == path.read_bytes()


def test_the_formula_names_the_released_archive(released: Released) -> None:
    formula = (released.out / "certpin.rb").read_text()
    sdist = released.out / f"certpin-{VERSION}.tar.gz"
    assert hashlib.sha256(sdist.read_bytes()).hexdigest() in formula
    assert f"https://git.bank.example/certpin/releases/download/v{VERSION}/{sdist.name}" in formula


def test_uncommitted_changes_a_wrong_tag_and_placeholders_are_refused(
    released: Released, tmp_path: Path
) -> None:
    (released.root / "new.txt").write_text("")
    done = call(released.root, "--out", str(tmp_path / "a"))
    assert done.returncode == 2
    assert "1 files are not committed: new.txt" in done.stderr
    (released.root / "new.txt").unlink()
    done = call(released.root, "--out", str(tmp_path / "a"), "--tag", "v9.9.9")
    assert (done.returncode, "the tag is v9.9.9" in done.stderr) == (2, True)
    done = call(ROOT, "--out", str(tmp_path / "a"), "--allow-dirty")
    unready = re.search(r"has no real addresses yet|has no date", done.stderr)
    assert (done.returncode, bool(unready)) == (2, True)
    assert not (tmp_path / "a").exists()


_BAD_README = """\
import sys, zipfile
from pathlib import Path
from scripts.release.__main__ import check_metadata
with zipfile.ZipFile(Path(sys.argv[1], "certpin-1-py3-none-any.whl"), "w") as wheel:
    info = "certpin-1.dist-info/"
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.4\\nName: certpin\\nVersion: 1\\n")
    wheel.writestr(info + "RECORD", "")
check_metadata(Path(sys.argv[1]))
"""


def test_a_wheel_that_the_registry_would_complain_about_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    python = Path(".venvs/release/bin/python")
    words = [str(python), "-c", _BAD_README, str(tmp_path)]
    done = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the metadata would be refused" in done.stderr


def test_a_document_that_is_not_cyclonedx_is_found(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "bom").write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6", "x": 1}')
    python = Path(".venvs/release/bin/python")
    program = (
        "import pathlib, sys; from scripts.release import sbom; "
        "print(sbom.invalid(pathlib.Path(sys.argv[1])))"
    )
    words = [str(python), "-c", program, str(tmp_path / "bom")]
    done = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=True)
    assert "'x' was unexpected" in done.stdout
