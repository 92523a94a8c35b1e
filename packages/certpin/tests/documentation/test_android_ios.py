"""docs/guides/android-ios.md: its commands and code work, and its table of settings is right."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from certpin.errors import ConfigError
from certpin.formats import FORMATS
from certpin.lab import Authority
from certpin.pins import HostPin, Pin
from tests import kit
from tests.documentation._blocks import DOCS, blocks, shell_script
from tests.documentation._scripts import run_with_hosts
from tests.servers._run import require

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pins import Match

pytestmark = pytest.mark.timeout(300)

PAGE = (DOCS / "guides/android-ios.md").read_text(encoding="utf-8")
BLOCKS = {block.language: block.text for block in blocks("guides/android-ios.md")}
CONFIGURATION = "res/xml/network_security_config.xml"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the script of the page has run."""
    folder = tmp_path_factory.mktemp("app")
    root = Authority("Trusted Root")
    (folder / "proxy-ca.pem").write_bytes(Authority("Proxy").pem)
    served = {"api.bank.example": root.intermediate("Intermediate").issue("api.bank.example")}
    done = run_with_hosts(shell_script("guides/android-ios.md"), folder, root, served)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
def test_the_commands_write_files_that_are_up_to_date(exported: Path) -> None:
    assert "api.bank.example" in (exported / "app/src/main" / CONFIGURATION).read_text("utf-8")
    for name in ("NSPinnedDomains", "TSKConfiguration"):
        assert f"<key>{name}</key>" in (exported / f"ios/{name}.plist").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
def test_only_the_debug_build_has_the_authority_of_the_proxy(exported: Path) -> None:
    main, debug = (
        ET.parse(exported / f"app/src/{build}" / CONFIGURATION).getroot()
        for build in ("main", "debug")
    )
    assert main.find("debug-overrides") is None
    assert debug.find("debug-overrides//certificates[@overridePins='true']") is not None
    assert not (exported / "app/src/main/res/raw").exists()
    assert len(list((exported / "app/src/debug/res/raw").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip", "kotlinc", "javac", "libokhttp-java")
def test_the_client_of_the_page_compiles_with_the_exported_pinner(exported: Path) -> None:
    (exported / "Client.kt").write_text(BLOCKS["kotlin"], encoding="utf-8")
    jars = ":".join(f"/usr/share/java/{jar}.jar" for jar in ("okhttp", "okio", "kotlin-stdlib"))
    home = require("java", "openjdk-21-jre-headless").parents[1]
    words = ["kotlinc", "-no-reflect", "-nowarn", "-cp", jars, "-d", "built"]
    words += ["Client.kt", "app/src/main/java/bank/CertpinPinner.kt"]
    done = subprocess.run(
        words,
        cwd=exported,
        env={**os.environ, "JAVA_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (exported / "built/ClientKt.class").exists()


def test_the_manifest_names_the_exported_file() -> None:
    [application] = ET.fromstring(BLOCKS["xml"])
    [(name, value)] = application.attrib.items()
    assert name.endswith("networkSecurityConfig")
    assert f"res/{value.removeprefix('@')}.xml" == CONFIGURATION


NEUTRAL: dict[str, Match] = {  # the value that the format can express
    "android": "any",
    "okhttp-kotlin": "any",
    "apple": "leaf",
    "trustkit-ios": "any",
}
_END = datetime(2027, 6, 1, tzinfo=UTC)
_COMPROMISED = HostPin(Pin("sha256", bytes(range(32, 64))), state="compromised")
_CERTIFICATE = HostPin(Pin("cert-sha256", bytes(range(32))))
_ROWS: dict[str, dict[str, Any]] = {
    '`match = "leaf"`': {"match": "leaf"},
    '`match = "ca"`': {"match": "ca"},
    '`match = "any"`': {"match": "any"},
    '`expires` with `on_expiry = "fail-open"`': {"expires": _END, "on_expiry": "fail-open"},
    '`expires` with `"fail-closed"`': {"expires": _END},
    '`mode = "report"`': {"mode": "report"},
    "`report_to`": {"report_to": ("https://reports.bank.example/",)},
    "a `compromised` key": {"more": _COMPROMISED},
    '`trust = "root.pem"`': {"trust": kit.anchors(Authority("Own Root"))},
    "`cert-sha256/…`": {"more": _CERTIFICATE},
    "IP addresses": {"host": "192.0.2.1"},
    "`*.bank.example`": {"host": "*.bank.example"},
    "`**.bank.example`": {"host": "**.bank.example"},
}


def _rows() -> dict[str, list[str]]:
    """Return the page's table of pin file settings: for each setting, the cells of the formats."""
    table = PAGE.partition("| in `pins.toml` |")[2].partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    return {line[0]: line[1:] for line in lines[2:]}


def _result(name: str, **fields: Any) -> str:
    """Return what an export format does with a policy that has these settings.

    ``as written``: the export keeps the meaning. ``refused``: it raises ``ConfigError``.
    ``otherwise``: it leaves something out.

    Args:
        name: the export format.
        fields: settings of the policy; ``more`` is one more pin.
    """
    more = [fields.pop("more")] if "more" in fields else []
    policy = kit.policy(
        fields.pop("host", "api.bank.example"), **{"match": NEUTRAL[name], **fields}
    )
    policy = replace(policy, pins=(*policy.pins, *more))
    other = kit.policy("other.example", match=NEUTRAL[name])
    try:
        return (
            "otherwise"
            if FORMATS[name].export(kit.pin_set(policy, other)).omissions
            else "as written"
        )
    except ConfigError:
        return "refused"


def test_the_table_has_every_setting_that_is_compared() -> None:
    assert _rows().keys() - _ROWS.keys() == {"`http://` to the host"}
    assert _ROWS.keys() <= _rows().keys()


@pytest.mark.parametrize("column", range(4), ids=list(NEUTRAL))
@pytest.mark.parametrize("setting", _ROWS)
def test_the_table_is_that_of_the_exports(setting: str, column: int) -> None:
    cell = _rows()[setting][column]
    written = next(
        (word for word in ("as written", "refused") if cell.startswith(word)), "otherwise"
    )
    assert _result(list(NEUTRAL)[column], **_ROWS[setting]) == written
