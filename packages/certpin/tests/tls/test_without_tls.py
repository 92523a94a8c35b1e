"""A Python without TLS, as in a browser (Pyodide): pin files can still be read and linted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = """
import sys
import types

sys.modules["_ssl"] = None
sys.modules["ssl"] = {module}

import certpin
from certpin.lint import lint, load_document
from datetime import UTC, datetime

pins = certpin.PinSet.load(sys.argv[1])
assert pins.name == "bank"
report = lint(load_document(sys.argv[1]), datetime.now(UTC))
assert report.findings is not None
assert issubclass(certpin.PinError, OSError) and issubclass(certpin.PinError, ValueError)
for use in (lambda: certpin.PinnedSSLContext(pins), lambda: certpin.assert_pinned(None)):
    try:
        use()
    except certpin.TLSUnavailableError as exc:
        assert "no TLS" in str(exc) and exc.fix in str(exc) and exc.fix
    else:
        raise AssertionError
"""
_FILE = """
schema = 1
version = 1
name = "bank"

[[host]]
name = "api.bank.example"

[[host.pin]]
pin = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
role = "leaf"

[[host.pin]]
pin = "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
role = "backup"
"""


@pytest.mark.medium
@pytest.mark.parametrize("module", ["None", "types.ModuleType('ssl')"], ids=["missing", "a stub"])
def test_pin_files_are_linted_and_a_context_raises_a_clear_error(
    module: str, tmp_path: Path
) -> None:
    (tmp_path / "pins.toml").write_text(_FILE)
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM.replace("{module}", module), tmp_path / "pins.toml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == ""
    assert run.returncode == 0


@pytest.mark.medium
@pytest.mark.parametrize("module", ["None", "types.ModuleType('ssl')"], ids=["missing", "a stub"])
def test_the_lint_command_works(module: str, tmp_path: Path) -> None:
    (tmp_path / "pins.toml").write_text(_FILE)
    hidden = f"import sys, types; sys.modules['_ssl'] = None; sys.modules['ssl'] = {module}"
    program = f"{hidden}; from certpin.cli.main import main; main()"
    words = [sys.executable, "-c", program, "lint", "--json", "pins.toml"]
    run = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.stderr == ""
    assert json.loads(run.stdout)["command"] == "lint"
    assert run.returncode == 0
