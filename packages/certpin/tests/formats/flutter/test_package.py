"""The Dart package: its own tests pass on the Dart VMs, and its files are as pub requires them."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from certpin import __version__
from tests.formats.flutter import _vm
from tests.formats.flutter._vm import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scripts.dart import DartVM

ON_EACH = pytest.mark.parametrize("vm", _vm.VERSIONS, ids=lambda vm: vm.version)
TESTS = {path.stem.removesuffix("_test"): path for path in sorted(PACKAGE.glob("test/*_test.dart"))}
CONNECTIONS = (  # slow: real servers
    *("anchor_context", "isolates", "pinned_http_client", "pinned_secure_socket", "policies"),
    *("proxy", "renewal"),
)
# Constants of a build, and whether it has the debug override.
BUILDS = {
    "override": (("CERTPIN_DEBUG=true",), True),
    "another value": (("CERTPIN_DEBUG=1",), False),
    "release": (("CERTPIN_DEBUG=true", "dart.vm.product=true"), False),
    "profile": (("CERTPIN_DEBUG=true", "dart.vm.profile=true"), False),
}


def outcomes(
    folder: Path, vm: DartVM, tests: list[Path], defines: Sequence[str] = ()
) -> dict[str, str | None]:
    """Run files of Dart tests in one program.

    Returns:
        The error of each Dart test, by its name; ``None`` if it passed.
    """
    imports = [f"import '{path.as_uri()}' as i{n};" for n, path in enumerate(tests)]
    calls = [f"  group('{path.stem}', i{n}.main);" for n, path in enumerate(tests)]
    lines = ["import 'package:test/test.dart';", *imports]
    program = folder / "all_tests.dart"
    program.write_text("\n".join([*lines, "void main() {", *calls, "}"]), encoding="utf-8")
    packages = _vm.package_config(folder, {})
    done = _vm.run(program, packages, vm=vm, cwd=PACKAGE, defines=defines)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert ended, done.stderr
    assert done.returncode == int(any(each["error"] for each in ended)), done.stderr
    return {each["test"]: each["error"] for each in ended}


@pytest.mark.slow
@pytest.mark.peer("dart")
@ON_EACH
def test_connections_to_real_servers(vm: DartVM, tmp_path: Path) -> None:
    ended = outcomes(tmp_path, vm, [TESTS[name] for name in CONNECTIONS])
    assert {name: error for name, error in ended.items() if error} == {}
    found = Counter(name.partition("_test")[0] for name in ended)
    assert found.keys() == set(CONNECTIONS)
    assert min(found.values()) > 4
    assert len(ended) > 100


@pytest.mark.slow
@pytest.mark.peer("dart")
@pytest.mark.parametrize("build", BUILDS)
def test_the_debug_override_is_gated_by_the_build_and_the_file(build: str, tmp_path: Path) -> None:
    defines, expected = BUILDS[build]
    defines = (*defines, f"EXPECT_OVERRIDE={str(expected).lower()}")
    ended = outcomes(tmp_path, _vm.NEWEST, [TESTS["debug_override"]], defines)
    assert {name: error for name, error in ended.items() if error} == {}
    assert len(ended) > 4


@pytest.mark.slow
@pytest.mark.peer("dart")
@ON_EACH
def test_the_other_tests_of_the_package_pass(vm: DartVM, tmp_path: Path) -> None:
    others = {name: path for name, path in TESTS.items() if name not in CONNECTIONS}
    ended = outcomes(tmp_path, vm, list(others.values()))
    assert {name: error for name, error in ended.items() if error} == {}
    assert {name.split()[0] for name in ended} == {path.stem for path in others.values()}
    assert len(ended) > 170


@pytest.mark.peer("dart")
def test_failing_dart_tests_are_detected(tmp_path: Path) -> None:
    """The Dart test runner reports each kind of failure, also of a future that is not awaited."""
    program = tmp_path / "failing_test.dart"
    program.write_text(
        """
        import 'package:test/test.dart';
        void main() {
          test('one', () => expect(1, 2));
          test('two', () { expect(Future.value(1), completion(2)); });
          test('three', () => expect(() => 1, throwsA(isA<Exception>())));
          test('four', () {
            Future<void>.error('lost');
            return Future<void>.delayed(const Duration(seconds: 1));
          });
          test('five', () => expect([1], isNot(contains(1))));
          test('good', () => expect([1], [1]));
        }
        """,
        encoding="utf-8",
    )
    done = _vm.run(program, _vm.package_config(tmp_path, {}))
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["test"] for each in ended if each["error"]] == [
        *("one", "two", "three", "four", "five"),
    ]
    assert done.returncode == 1


PUBSPEC = (PACKAGE / "pubspec.yaml").read_text(encoding="utf-8")


def test_the_package_has_the_version_of_certpin() -> None:
    assert re.search(r"^version: (\S+)$", PUBSPEC, re.MULTILINE)[1] == __version__  # type: ignore[index]
    changes = (PACKAGE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {__version__}\n" in changes


def test_the_description_fits_on_pub_dev() -> None:
    """60 to 180 characters, as pub.dev's score requires."""
    description = PUBSPEC.partition("description: >-\n")[2].partition("\nversion:")[0]
    assert 60 <= len(" ".join(description.split())) <= 180


def test_every_imported_package_is_declared() -> None:
    """pub requires a dev dependency for each package that a test imports."""
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.glob("test/*.dart")]
    imported = {
        name
        for source in sources
        for name in re.findall(r"^import 'package:(\w+)/", source, re.MULTILINE)
    }
    declared = re.findall(r"^  (\w+): ", PUBSPEC, re.MULTILINE)
    assert imported - {"certpin"} <= set(declared)
    assert "test" in imported


def test_the_package_depends_only_on_crypto() -> None:
    section = PUBSPEC.partition("\ndependencies:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\w+):", section, re.MULTILINE) == ["crypto"]
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("lib/**/*.dart")]
    assert len(sources) > 20
    imported = {
        name
        for source in sources
        for name in re.findall(r"^(?:import|export) 'package:(\w+)/", source, re.MULTILINE)
    }
    assert imported == {"crypto"}


def test_the_package_declares_the_platforms_of_dart_io() -> None:
    section = PUBSPEC.partition("\nplatforms:\n")[2].partition("\n\n")[0]
    assert set(section.split()) == {"android:", "ios:", "linux:", "macos:", "windows:"}


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGELOG.md", "LICENSE", "analysis_options.yaml", "example/main.dart"],
)
def test_the_package_has_the_files_of_a_pub_package(name: str) -> None:
    assert (PACKAGE / name).stat().st_size > 100
