"""Which files of an app certpin reads, and how it reports the files that it can't read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.apps import project
from certpin.apps.languages import DART, LANGUAGES
from certpin.apps.project import read_project
from certpin.errors import FormatError, MissingExtraError
from certpin.support import yaml as yaml_reader
from tests.apps._project import NOW, by_lines, read, silent, write
from tests.kit import NOBODY, NOBODY_ELSE

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.apps.languages import Reader
    from certpin.apps.model import FileFindings, SourceFile
    from certpin.lab import Authority

PUBSPEC = "name: a\nflutter:\n  assets:\n    - assets/\n    - certs/bank\n"
CONFIG = f"""\
<network-security-config>
  <domain-config>
    <domain>api.bank.example</domain>
    <pin-set><pin digest="SHA-256">{str(NOBODY)[7:]}</pin></pin-set>
  </domain-config>
</network-security-config>
"""


@pytest.fixture(autouse=True)
def _in_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _certificates(*paths: str) -> list[str]:
    return [str(found.place) for found in read(*(paths or (".",))).findings.certificates]


def test_each_kind_of_file_is_read(root: Authority) -> None:
    plist = f"""\
<plist version="1.0"><dict><key>NSAppTransportSecurity</key><dict>
<key>NSPinnedDomains</key><dict><key>api.bank.example</key><dict>
<key>NSPinnedLeafIdentities</key><array><dict>
<key>SPKI-SHA256-BASE64</key><string>{str(NOBODY_ELSE)[7:]}</string>
</dict></array></dict></dict></dict></dict></plist>
"""
    write(
        Path(),
        {
            "lib/a.dart": f"{NOBODY}\n",
            "pubspec.yaml": "dependencies:\n  ssl_pinning_plugin: any\n",
            "assets/ca.pem": root.pem,
            "android/app/src/main/res/xml/network_security_config.xml": CONFIG,
            "ios/Runner/Info.plist": plist,
        },
    )
    found = read(".")
    assert [str(pin.place) for pin in found.findings.pins] == [
        "android/app/src/main/res/xml/network_security_config.xml:4",
        "ios/Runner/Info.plist:4",
        "lib/a.dart:1",
    ]
    assert _certificates() == ["assets/ca.pem:1"]
    assert {mistake.rule for mistake in found.findings.mistakes} == {
        *("check-on-other-connection", "platform-pins-ignored"),
    }
    assert (found.files, found.findings.unread) == (5, [])


def test_assets_with_any_name_are_read_if_the_pubspec_lists_them(root: Authority) -> None:
    files: dict[str, str | bytes] = {
        "assets/bank": root.pem,
        "assets/bank.bin": root.certificate.der,
        "assets/deeper/bank": root.pem,  # a folder in pubspec.yaml has its own files only
        "certs/bank": root.pem,
        "certs/other": root.pem,
        "assets/logo.png": b"\x89PNG\r\n" + root.certificate.der,
    }
    write(Path(), {"pubspec.yaml": PUBSPEC, **files})
    assert _certificates() == ["assets/bank:1", "assets/bank.bin:1", "certs/bank:1"]
    Path("pubspec.yaml").unlink()
    with pytest.raises(FormatError, match="no file was read in "):
        _certificates()


@pytest.mark.parametrize("suffix", [".pem", ".crt", ".cer", ".der", ".PEM"])
def test_files_with_the_suffix_of_a_certificate_are_read(suffix: str, root: Authority) -> None:
    write(Path(), {f"x/bank{suffix}": root.certificate.der, f"y/bank{suffix}": root.pem})
    assert _certificates() == [f"x/bank{suffix}:1", f"y/bank{suffix}:1"]


@pytest.mark.parametrize("folder", ["xml", "xml-v28", "xml-night-v31", "xml-mcc310-en-rUS"])
def test_resources_with_qualifiers_are_read(folder: str) -> None:
    name = f"android/app/src/main/res/{folder}/pins.xml"
    write(Path(), {name: CONFIG, "android/app/src/main/res/xmlx/pins.xml": CONFIG})
    for path in (".", str(Path(name).parent), name):
        assert [pin.place.file for pin in read(path).findings.pins] == [name]


@pytest.mark.parametrize("folder", ["raw", "raw-v28", "raw-en"])
def test_a_private_key_in_resources_with_qualifiers_is_a_mistake(folder: str) -> None:
    name = f"android/app/src/main/res/{folder}/client.p12"
    write(Path(), {name: b"\x30\x82\x01", name.replace("res/", "res/x"): b"\x30\x82\x01"})
    [mistake] = read(".").findings.mistakes
    assert (mistake.rule, mistake.place.file) == ("private-key-in-app", name)


def test_assets_are_relative_to_their_pubspec(root: Authority) -> None:
    package: dict[str, str | bytes] = {
        "packages/ui/pubspec.yaml": PUBSPEC,
        "packages/ui/assets/a": root.pem,
    }
    write(Path(), {**package, "assets/b": root.pem})
    assert _certificates() == ["packages/ui/assets/a:1"]
    assert _certificates("packages") == ["packages/ui/assets/a:1"]


@pytest.mark.parametrize("entry", ["../outside/", "../outside/ca", "/etc/hostname", "a\\0b", "''"])
def test_assets_outside_the_paths_are_not_read(entry: str, root: Authority) -> None:
    write(Path(), {"outside/ca": root.pem, "app/pubspec.yaml": f"flutter: {{assets: [{entry}]}}"})
    assert (_certificates("app"), read("app").files) == ([], 1)


def test_a_manifest_that_cannot_be_read_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path(), {"pubspec.yaml": "x" * 101, "a/pubspec.yaml": "name: a"})
    monkeypatch.setattr(project, "MAX_FILE_BYTES", 100)
    yaml_reader._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "yaml", None)
    found = read(".").findings.unread
    yaml_reader._parser.cache_clear()
    assert [(str(each.place), each.problem) for each in found] == [
        ("a/pubspec.yaml:1", "YAML cannot be read because PyYAML is not installed"),
        ("pubspec.yaml:1", "it has more than 100 bytes"),
    ]


def test_an_error_of_a_reader_has_file_and_line() -> None:
    write(Path(), {"lib/a.dart": "x", "lib/b.dart": f"{NOBODY}\n"})

    def fails(file: SourceFile, now: datetime) -> FileFindings:
        if file.text == "x":
            raise FormatError("line 7: no dart", fix="repair it")
        return by_lines(file, now)

    found = read(".", reader=fails)
    [unread] = found.findings.unread
    assert (str(unread.place), unread.problem, unread.fix) == (
        *("lib/a.dart:7", "no dart", "repair it"),
    )
    assert len(found.findings.pins) == 1


def test_a_comment_allows_a_mistake_in_a_manifest() -> None:
    allow = "  # certpin: allow missing-plugin because it is ours\n"
    text = f"dependencies:\n{allow}  dio_certificate_pinning: any\n  ssl_pinning_plugin: any\n"
    write(Path(), {"pubspec.yaml": text})
    assert [mistake.allowed for mistake in read(".").findings.mistakes] == ["it is ours", ""]


def test_without_the_parser_nothing_is_read() -> None:
    write(Path(), {"lib/a.dart": "x"})

    def missing() -> Reader:
        raise MissingExtraError("certpin.apps", "apps", name="tree_sitter")

    with pytest.raises(MissingExtraError, match=r"certpin\[apps\]"):
        read_project(["."], replace(DART, load=missing), NOW, silent)


def test_every_language_has_its_name_and_suffixes() -> None:
    for name, language in LANGUAGES.items():
        assert language.name == name
        assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in language.suffixes)
