"""``certpin import`` of apps and formats: refusals, and files that are left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.apps._project import write
from tests.cli import _documented
from tests.cli._apps import BAD, TWO, WHOLE, dart_code, imported
from tests.kit import NOBODY

if TYPE_CHECKING:
    from tests.cli.conftest import Run

pytestmark = pytest.mark.until_python("3.14")  # tree-sitter has no wheels for a newer one


def test_the_pins_of_a_refused_import_are_in_the_json_without_a_host(run: Run) -> None:
    done = imported(run, dart_code(NOBODY, WHOLE), "--json")
    assert done.code == 2
    _documented.check("import dart", {k: v for k, v in done.json.items() if k != "error"})
    assert [(pin["host"], pin["pin"], pin["places"]) for pin in done.json["pins"]] == [
        (None, str(NOBODY), ["lib/api.dart:2 allowedFingerprints"]),
        (None, str(WHOLE), ["lib/api.dart:3 allowedFingerprints"]),
    ]
    assert run("import", "dart", "lib", "--check", "--json").json["pins"] == []


def test_the_library_that_an_export_copied_is_not_read(run: Run) -> None:
    assert imported(run, TWO).code == 0
    out = run("export", "flutter", "--out", "lib/pinning", "--vendored")
    assert out.code == 0
    write(Path(), {"lib/bad.dart": "// by hand\n// Copied by: certpin export flutter.\n" + BAD})
    done = run("import", "dart", "lib", "--check", "--json")
    copied = [path for path in done.json["skipped"] if path.startswith("lib/pinning/")]
    assert "lib/pinning/src/updates/keys.dart" in copied
    assert "lib/pinning/pins.dart" not in copied
    assert [finding["file"] for finding in done.json["findings"]] == ["lib/bad.dart"]
    assert not [each for each in done.json["unknown"] if "pinning/src" in each["file"]]
    text = run("import", "dart", "lib", "--check").out
    assert f"Not read: {len(copied)} files copied by certpin export\n" in text


def test_the_import_of_an_export_says_what_is_missing(run: Run) -> None:
    assert imported(run, TWO).code == 0
    assert run("export", "flutter", "--out", "pins.dart").code == 0
    done = run("import", "flutter", "pins.dart", "--file", "new.toml")
    assert "An export has no ports, notes and retired pins either" in done.out
    done = run("import", "flutter", ".")
    assert (done.code, "certpin: . cannot be read: it is a folder" in done.err) == (2, True)
    assert "certpin import dart ." in done.err
    assert "name the exported file, such as pins.dart" in done.err


def test_the_import_of_an_export_points_to_apps(run: Run) -> None:
    for code in (TWO, "var x = '\\n';", "", "f(pattern: 'a');", BAD):
        write(Path(), {"lib/api.dart": code})
        for name in ("flutter", "flutter-pins"):
            done = run("import", name, "lib/api.dart")
            assert (done.code, "certpin import dart PATH" in done.err) == (2, True)
            assert "lib/api.dart: " in done.err


@pytest.mark.parametrize("output", ["sarif", "github"])
def test_two_formats_are_refused(run: Run, output: str) -> None:
    done = imported(run, TWO, "--check", "--json", "--format", output)
    assert done.code == 2
    assert f"--json and --format {output} exclude each other" in done.out
    assert imported(run, TWO, "--check", "--json", "--format", "json").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "b"), "the format curl has exactly one FILE"),
        (("a", "--host", "a.example", "--host", "b.example"), "--host may be repeated for"),
        (("a", "--check"), "Of curl, certpin reads only the pins"),
        (("a", "--live"), "--live is for the source of an app"),
        (("a", "--format", "sarif"), "--format is for the source of an app"),
        (("a", "--fail-on", "note"), "--fail-on is for the source of an app"),
        (("a", "--timeout", "1"), "--timeout is for the source of an app"),
    ],
)
def test_a_format_has_one_file_and_no_options_of_apps(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    done = run("import", "curl", *words)
    assert (done.code, said in done.err) == (2, True)


KOTLIN = """val pinner = CertificatePinner.Builder()
    .add("api.bank.example", "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    .add("api.bank.example", "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
"""


@pytest.mark.parametrize("words", [(), ("--check",), ("--check", "--json")])
@pytest.mark.parametrize("path", ["app", "app/Api.kt", "empty"])
def test_an_import_without_a_file_to_read_is_refused(
    run: Run, path: str, words: tuple[str, ...]
) -> None:
    write(Path(), {"app/Api.kt": KOTLIN})
    Path("empty").mkdir()
    done = run("import", "dart", path, *words)
    text = done.out + done.err
    assert (done.code, "0 errors" in text) == (2, False)
    assert f"no file was read in {path}: certpin import dart reads *.dart, pubspec.yaml" in text
    commands = "certpin import okhttp-kotlin app/Api.kt, or certpin import ktor app/Api.kt; for "
    assert (commands in text) == path.startswith("app")


def test_a_named_file_without_a_reader_is_refused_beside_others(run: Run) -> None:
    write(Path(), {"lib/api.dart": "", "Api.kt": KOTLIN, "Api.swift": ""})
    assert run("import", "dart", "lib", "--check").code == 0
    for name in ("Api.kt", "Api.swift"):
        done = run("import", "dart", "lib", name, "--check")
        assert (done.code, f"no file was read in {name}" in done.err) == (2, True)


def test_a_folder_with_only_tests_links_or_copies_names_them(run: Run) -> None:
    write(Path(), {"lib/pins.dart": "// Copied by: certpin export flutter.\n"})
    assert "found only: 1 file copied by certpin export" in run("import", "dart", "lib").err
    Path("links").mkdir()
    Path("links/api.dart").symlink_to("../lib/pins.dart")
    done = run("import", "dart", "links", "--check")
    assert "found only: links/api.dart is a symbolic link" in done.err


def test_native_code_is_listed_as_not_read(run: Run) -> None:
    done = imported(run, TWO, "--check")
    assert "native code" not in done.out
    write(Path(), {"lib/Main.kt": KOTLIN})
    said = "Not read: 1 file of native code, such as lib/Main.kt. certpin looks for mistakes in"
    assert said in run("import", "dart", "lib", "--check").out
    assert run("import", "dart", "lib", "--check", "--json").json["other_code"] == ["lib/Main.kt"]


def test_an_import_of_code_says_that_it_looked_for_no_mistakes(run: Run) -> None:
    write(Path(), {"Api.kt": KOTLIN})
    done = run("import", "okhttp-kotlin", "Api.kt")
    assert done.code == 0
    assert "Only the pins were read: certpin looks for mistakes in code only in Dart.\n" in done.out
