"""docs/guides/signing.md: two signers and CI share a repository, and sign a pin set together.

The commands of the page and the script for CI run as written, in two clones and a bare repository.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import kit
from tests.cli._pinfiles import write
from tests.documentation._blocks import ROOT, shell_blocks
from tests.documentation._scripts import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

_BEGIN = """
set -eu
git init --quiet --bare --initial-branch=main origin.git
git clone --quiet origin.git ada 2>&1
cd ada
mkdir ci && cp "$SCRIPT" ci/signing.sh
cp ../pins.toml . && mkdir ../www
certpin publish init --root-key ../ada.key --targets-key ../ada.key --targets-key ../bob.key \\
  --targets-threshold 2 --online-key ../online.key --url "$PWD/../www"
git add --all && git commit --quiet -m Begin && git push --quiet origin HEAD:main
git clone --quiet ../origin.git ../bob
git clone --quiet ../origin.git ../ci
for clone in ada bob ci; do
  for key in ada bob online; do ln -s ../$key.key ../$clone/$key.key; done
  printf '*.key\\n' >> ../$clone/.git/info/exclude
done
"""


@pytest.mark.slow
def test_a_set_is_proposed_signed_merged_and_renewed(tmp_path: Path) -> None:
    write(kit.policy("api.bank.example"), path=str(tmp_path / "pins.toml"))
    propose, sign, merge, renew = shell_blocks("guides/signing.md")
    text = (tmp_path / "pins.toml").read_text(encoding="utf-8")
    (tmp_path / "pins.toml").write_text(text.replace("version = 3", "version = 2"))
    played = [
        _BEGIN,
        propose.replace("propose", "propose --offline"),
        "cd ../bob",
        sign,
        "cd ../ci",
        merge,
        renew,
        "git log --format=%s",
    ]
    script = "\n".join(played)
    who = {"NAME": "tests", "EMAIL": "tests@example.org"}
    names = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in who.items()
    }
    done = run(
        script,
        tmp_path,
        SCRIPT=str(ROOT / "examples/ci/signing.sh"),
        GIT_CONFIG_GLOBAL=os.devnull,
        **names,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Merge the signing event sign/bank-2-1" in done.stdout
    assert "Nothing has to be signed." in done.stdout
    assert (tmp_path / "www/metadata/timestamp.json").exists()
