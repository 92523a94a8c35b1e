"""docs/guides/updates.md: its commands work as written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from tests.documentation._blocks import shell_script
from tests.documentation._scripts import run_with_hosts

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

_ID = """$(python - <<'END'
import json
root = json.load(open("publish/site/metadata/1.root.json"))["signed"]
print(root["roles"]["root"]["keyids"][0][:12])
END
)"""


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip", "openssl")
def test_a_set_is_signed_renewed_and_followed_by_a_new_root(tmp_path: Path) -> None:
    """The script of the page runs to its end, and writes a second root with two signatures.

    The page's sample ID of the old root key is replaced with the ID of the key made by the script.
    """
    root = Authority("Trusted Root")
    served = {"api.bank.example": root.intermediate("Intermediate").issue("api.bank.example")}
    before = "certpin add api.bank.example --match leaf --backup-key backup.key"
    script = shell_script("guides/updates.md", before)
    assert script.count("39669b475c20") == 1
    done = run_with_hosts(script.replace("39669b475c20", _ID), tmp_path, root, served)
    assert done.returncode == 0, done.stdout + done.stderr
    for folder in (tmp_path / "publish/site", tmp_path / "www"):
        newest = json.loads((folder / "metadata/2.root.json").read_text("utf-8"))
        assert len(newest["signatures"]) >= 2
        assert list((folder / "targets").glob("*pins.toml"))
        assert list((folder / "targets").glob("*pins.json"))
    team = json.loads((tmp_path / "team/publish/site/metadata/1.root.json").read_text("utf-8"))
    assert team["signed"]["roles"]["root"]["threshold"] == 2
    assert len(team["signed"]["roles"]["targets"]["keyids"]) == 3
