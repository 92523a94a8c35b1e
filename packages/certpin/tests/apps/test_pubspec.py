"""The reader of ``pubspec.yaml``: pinning packages, assets, and hostile YAML."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from certpin.apps.model import SourceFile
from certpin.apps.pubspec import Asset, Manifest, read_pubspec
from certpin.apps.rules import RULES
from certpin.errors import ConfigError
from certpin.support import yaml as yaml_reader


def _read(text: str) -> Manifest:
    return read_pubspec(SourceFile("app/pubspec.yaml", text.encode(), text))


@pytest.mark.parametrize(
    ("package", "rule"),
    [
        ("http_certificate_pinning: ^3.0.1", "check-on-other-connection"),
        ("ssl_pinning_plugin: any", "check-on-other-connection"),
        ("public_key_pinning:", "check-on-other-connection"),
        ("trustpin_sdk: ^4.0.0", "check-on-other-connection"),
        ("secure_pinning: 0.0.2", "pin-in-callback"),
        ("flutter_certificate_pinning: ^1.0.0", "pin-in-callback"),
        ("http_client_pinning: any", "missing-plugin"),
        ("dio_certificate_pinning: ^4.1.0", "missing-plugin"),
        ("dio_certificate_pinning: {version: ^4.1.0}", "missing-plugin"),
        ("'dio_certificate_pinning':\n    hosted: https://pub.dev", "missing-plugin"),
    ],
)
@pytest.mark.parametrize("section", ["dependencies", "dependency_overrides"])
def test_a_package_that_does_not_pin_is_a_mistake(package: str, rule: str, section: str) -> None:
    [mistake] = _read(f"name: a\n{section}:\n  dio: ^5.0.0\n  {package}\n").findings.mistakes
    assert (mistake.rule, str(mistake.place)) in {
        (rule, "app/pubspec.yaml:4"),
        (rule, "app/pubspec.yaml:5"),  # the line of its settings
    }
    assert rule in RULES


def test_each_package_of_the_page_is_a_mistake_unless_its_check_holds() -> None:
    page = (Path(__file__).parents[4] / "docs/guides/flutter-moving.md").read_text(encoding="utf-8")
    table = page.partition("\n## Other packages\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| \[?`?(\w+)`?[\],|( ]", table, re.MULTILINE)) - {"package"}
    right = {"certificate_pinning_httpclient", "http_security_pinning", "dio"}
    assert right < named
    for name in named:
        found = _read(f"dependencies:\n  {name}: any\n").findings.mistakes
        assert len(found) == (name not in right), name


@pytest.mark.parametrize(
    "text",
    [
        "dependencies:\n  dio: ^5.0.0\n  http: ^1.0.0\n  certpin: ^1.0.0\n",
        "dev_dependencies:\n  dio_certificate_pinning: ^4.1.0\n",
        "dependencies:\n  dio_certificate_pinning:\n    path: ../ours\n",
        "dependencies:\n  dio_certificate_pinning:\n    git: https://git.bank.example/x\n",
        "",
        "# nothing\n",
        "dependencies:\n",
        "dependencies: []\nflutter: x\n",
    ],
)
def test_other_packages_are_no_mistake(text: str) -> None:
    found = _read(text)
    assert (found.findings.mistakes, found.findings.unread, found.assets) == ([], [], ())


def test_assets_are_files_folders_and_mappings() -> None:
    text = """\
flutter:
  assets:
    - assets/ca.pem
    - assets/certs/
    - path: assets/staging/
      flavors: [staging]
    - path: assets/tests/
      flavors:
        - beta
        - "q\\x1ba"
    - path: assets/prod/
      flavors: [dev, prod]
    - path: assets/pre/
      flavors: nonProd
    - path: assets/all/
      flavors: []
    - path: assets/none/
      flavors:
    - path: assets/map/
      flavors: {a: b}
    - [x]
    - flavors: [y]
"""
    found = _read(text)
    assert found.assets == (
        Asset("assets/ca.pem"),
        Asset("assets/certs/"),
        Asset("assets/staging/", "builds of the flavour 'staging'"),
        Asset("assets/tests/", "builds of the flavours 'beta', 'q\\x1ba'"),
        Asset("assets/prod/"),
        Asset("assets/pre/", "builds of the flavour 'nonProd'"),
        Asset("assets/all/"),
        Asset("assets/none/"),
        Asset("assets/map/"),
    )


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: [1\nb: 2\n", 2, "the file is not YAML"),
        ("a: 1\n\tb: 2\n", 2, "the file is not YAML"),
        ("a: &x [b]\nc: *x\n", 2, "the file uses an alias"),
        ("- a\n", 1, "it must be a mapping"),
        ("x" * (2 * 1024 * 1024), 1, "more than 1048576 characters"),
        pytest.param("[" * 100_000, 1, "the file is not YAML", marks=pytest.mark.medium),
    ],
    ids=["list", "tab", "alias", "sequence", "long", "deep"],
)
def test_a_pubspec_that_cannot_be_read_has_file_and_line(
    text: str, line: int, problem: str
) -> None:
    [unread] = _read(text).findings.unread
    assert (unread.place.file, unread.place.line) == ("app/pubspec.yaml", line)
    assert problem in unread.problem


def test_a_missing_yaml_reader_is_an_error_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    yaml_reader._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match=r"certpin\[yaml\]"):
        _read("name: a")
    yaml_reader._parser.cache_clear()
