"""The page docs/guides/reporting.md: its code runs, and it lists every setting and report field.

The fields that the Dart client sends are included.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import PinMismatchError
from certpin.lab import LabServer
from certpin.reports import Reporter, ReporterSettings
from certpin.reports.codecs import CODECS
from certpin.reports.codecs.trustkit import REASONS
from tests import kit
from tests.documentation._blocks import blocks
from tests.reports._collector import Collector
from tests.reports.codecs._documents import certpin, presence

if TYPE_CHECKING:
    from certpin.lab import Authority

_ROOT = Path(__file__).parents[4]
_PAGE = (_ROOT / "docs/guides/reporting.md").read_text(encoding="utf-8")
_DART = _ROOT / "packages/certpin-dart/lib/src/report.dart"


def _rows(heading: str, page: str = _PAGE) -> set[str]:
    """Return all texts in backticks in the first column of the tables below a heading."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


def test_every_setting_is_described_in_the_docstring_that_the_page_links_to() -> None:
    described = (getdoc(ReporterSettings) or "").partition("Args:")[2].partition("Raises:")[0]
    names = re.findall(r"(?m)^    (\w+): ", described)
    assert names == [field.name for field in fields(ReporterSettings)]
    assert "certpin.reports.md#reportersettings" in _PAGE


def test_every_argument_of_a_reporter_has_its_row() -> None:
    names = set(inspect.signature(Reporter).parameters)
    assert _rows("Three lines") == names


def test_every_field_of_a_report_and_of_a_presence_has_its_row() -> None:
    assert _rows("The report, field by field") == {*certpin(), *presence()}


def test_every_format_has_its_row_on_both_pages() -> None:
    collector = (_ROOT / "docs/operate/collector.md").read_text(encoding="utf-8")
    fix = 'fix: a row in "Formats" of docs/operate/collector.md'
    assert _rows("Formats", collector) == CODECS.keys(), fix
    fix = 'fix: a row in "Write a collector" of docs/guides/reporting.md'
    assert _rows("Write a collector") == CODECS.keys(), fix


def test_every_reason_of_trustkit_is_named() -> None:
    assert all(f"`{reason}`" in _PAGE for reason in REASONS)


def test_the_fields_of_the_dart_client_are_known() -> None:
    body = _DART.read_text(encoding="utf-8").partition("List<String> served) => {")[2]
    fields = re.compile(r"^ +(?:if \(.*\)\s+)?'([a-z-]+)':", re.MULTILINE)
    sent = set(fields.findall(body.partition("};")[0]))
    assert {"schema", "hostname", "effective-expiration-date", "platform"} <= sent
    assert {"app", "app-version"} <= sent
    assert sent <= set(certpin())


def test_its_code_reports_a_refused_chain_and_a_presence(
    root: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The page's Python blocks run in order, and a collector receives both reports.

    The test replaces only the host, the address of the collector and the queue folder.
    """
    pytest.importorskip("httpx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    found = blocks("guides/reporting.md")
    [host] = [each.text for each in found if each.language == "toml"]
    create, command, version, decoded = [
        each.text.replace("/var/lib/bank-app", str(tmp_path))
        for each in found
        if each.language == "python"
    ]
    with Collector() as collector, LabServer(root.issue("localhost")) as server:
        (tmp_path / "ca.pem").write_bytes(root.pem)
        host = host.replace("api.bank.example", "localhost")
        host = re.sub(r'"https://\S+/reports"', f'"{collector.url}"', host)
        pins = [f'[[host.pin]]\npin = "{pin}"' for pin in (kit.NOBODY, kit.NOBODY_ELSE)]
        head = 'schema = 1\nname = "bank-app"\nversion = 3'
        rest = 'expires = 2037-01-01\ntrust = "ca.pem"'
        (tmp_path / "pins.toml").write_text("\n".join([head, host, rest, *pins]))
        names: dict[str, Any] = {}
        exec(create, names)
        with pytest.raises(PinMismatchError):
            names["client"].get(f"https://localhost:{server.port}/")
        exec(version, names)
        names["reporter"].close()
        exec(command, names)
        sent = [arrival.document for arrival in collector.arrived(2)]
    assert {each["schema"] for each in sent} == {"certpin-report/1", "certpin-presence/1"}
    assert {(each["app"], each["pin-set-version"]) for each in sent} == {("bank-app", 3)}
    [report] = [each for each in sent if each["schema"] == "certpin-report/1"]
    assert (report["hostname"], report["reason"]) == ("localhost", "mismatch")
    exec(decoded, {"body": json.dumps(report).encode()})
    assert "Report(" in capsys.readouterr().out
