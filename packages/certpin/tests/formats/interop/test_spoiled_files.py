"""An editor or a checkout can spoil an exported file, so that its program refuses to start.

An editor adds a byte order mark, and Git on Windows changes the line ends to CR LF.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS
from tests.formats._sets import KEYS, anchors
from tests.formats.interop._proxies import nginx_conf
from tests.kit import pin_set, policy
from tests.servers._run import LOOPBACK, free_port, require

if TYPE_CHECKING:
    from pathlib import Path

BACKEND = "defaults\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\nbackend b\n"
# The exit statuses with which each program refuses its configuration, and has no other reason.
REFUSED = {"curl": 26, "wget": 2, "nginx": 1, "haproxy": 1}


@pytest.mark.medium
@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.peer(each)) for each in REFUSED]
)
def test_the_programs_refuse_the_files_that_lint_reports(tmp_path: Path, name: str) -> None:
    pins = pin_set(policy("api.bank.example", *KEYS[:2], match="leaf", trust=anchors()[0]))
    export, bundle = FORMATS[name].export(pins).files
    (tmp_path / bundle.path).write_text(bundle.text, encoding="utf-8")
    # Whole configurations of HAProxy are files of this kind, too.
    text = f"{BACKEND}{export.text}" if name == "haproxy" else export.text
    file = tmp_path / export.path
    words = _start(name, file)
    for changed, is_refused in (
        (text, False),
        (f"\N{BOM}{text}", FORMATS[name].refuses_bom),
        (text.replace("\n", "\r\n"), FORMATS[name].refuses_crlf),
    ):
        file.write_bytes(changed.encode())
        ended = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=60, check=False)
        assert (ended.returncode == REFUSED[name]) is is_refused, ended


def _start(name: str, file: Path) -> list[str | Path]:
    """Return the command that starts a program with its exported file, without a server."""
    program, url = require(name), f"https://{LOOPBACK}:{free_port()}/"
    if name == "curl":
        return [program, "--disable", "--config", file.name, url]
    if name == "wget":
        return [program, f"--config={file.name}", "--tries=1", url]
    if name == "haproxy":
        return [program, "-c", "-f", file.name]
    location = f"location / {{ include {file.name}; proxy_pass {url}; }}"
    config = file.with_name("nginx.conf")
    config.write_text(nginx_conf("nginx", free_port(), location), encoding="utf-8")
    return [program, "-t", "-p", file.parent, "-c", config]
