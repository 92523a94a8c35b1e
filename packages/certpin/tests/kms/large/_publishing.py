"""Run ``certpin publish`` with the online signing key in a key service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests import kit
from tests.cli._pinfiles import write
from tests.cli._signed_sets import documented, follow, out
from tests.cli.conftest import HOST, invoke

if TYPE_CHECKING:
    import pytest

_INIT = ("--root-key", "root.key", "--targets-key", "targets.key", "--online-key")


def require_followed(uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign a pin set with the online key at ``uri``, and require that python-tuf's client gets it.

    No private key except those of root and targets may be in a file.
    """
    monkeypatch.chdir(folder)
    write(kit.policy(HOST))
    documented(invoke, "init", *_INIT, uri)
    out(invoke)
    documented(invoke, "sign", "targets.key", uri)
    assert follow() == 3
    files = [path for path in Path().rglob("*") if path.is_file()]
    private = [path.name for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert sorted(private) == ["root.key", "targets.key"]
