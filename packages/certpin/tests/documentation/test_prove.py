"""docs/guides/prove.md: its commands run with real clients, each with two cases of the matrix."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.documentation._blocks import ROOT, shell_script
from tests.documentation._scripts import run, write_program
from tests.formats.flutter import _vm

if TYPE_CHECKING:
    from subprocess import CompletedProcess

pytestmark = pytest.mark.timeout(300)

SCRIPT = shell_script("guides/prove.md")
COMMANDS = re.findall(r"^certpin prove .*(?:\n {2,}.*)*", SCRIPT, re.MULTILINE)
FEW = "--case rogue-ca-in-store --case rot-renewed-same-key --timeout 60"
# The clients that the page calls: pinned with certpin, with curl, and by an exported file.
MY_CLIENT = (
    (ROOT / "examples/clients/python_httpx.py")
    .read_text("utf-8")
    .replace("sys.argv[1]", "'pinned'")
    .replace("sys.argv[2]", "os.environ['CERTPIN_LAB_URL']")
)
_PINNED = """#!/bin/sh
pins="$(echo "$CERTPIN_LAB_PINS" | sed 's#sha256/#sha256//#g; s# #;#g')"
"""
CLIENT = f"""{_PINNED}
[ "$1" = --connect ] && {{ to="::$2:$3"; shift 3; }}
exec curl -sS --connect-to "${{to:-}}" --pinnedpubkey "$pins" --cacert "$2" "$3"
"""
SEND_MAIL = f"""{_PINNED}
exec curl -sS --connect-to "::$2" --pinnedpubkey "$pins" --ssl-reqd "smtp://$1:25/" \\
  --mail-from a@bank.example --mail-rcpt b@bank.example --upload-file "$0"
"""
BUILD_AND_RUN = """#!/bin/sh
set -eu
folder="$(dirname "$1")/built"
if [ ! -x "$folder/proof" ]; then
  mkdir -p "$folder/pins"
  cp "$1" "$folder/pins/pins.go"
  cp "$(dirname "$0")/main.go" "$folder"
  (cd "$folder" && printf 'module proof\\n\\ngo 1.21\\n' > go.mod &&
    GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod go build -o proof .) >&2 || exit 70
fi
exec "$folder/proof" "$2"
"""


def test_each_command_of_the_page_is_found() -> None:
    assert len(COMMANDS) == SCRIPT.count("certpin prove") == 14


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled program of the Dart package."""
    folder = tmp_path_factory.mktemp("dart")
    program = _vm.PACKAGE / "example/prove.dart"
    target = folder / "prove.dill"
    assert _vm.compile_kernel(program, _vm.package_config(folder, {}), target) == ""
    return target


def _prove(command: str, folder: Path) -> CompletedProcess[str]:
    """Run a command as it is written, with two cases and no other change."""
    for name, text in (
        ("my_client.py", MY_CLIENT),
        ("client", CLIENT),
        ("send-mail.sh", SEND_MAIL),
        ("build-and-run.sh", BUILD_AND_RUN),
    ):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    shutil.copy(ROOT / "packages/certpin/tests/formats/interop/programs/main.go", folder)
    certpin = Path(sys.executable).with_name("certpin")
    write_program(
        folder, "certpin", f'#!/bin/sh\nshift\nexec "{certpin}" prove {FEW} --json "$@"\n'
    )
    return run(command, folder)


_MARKS = {"{export:go}": pytest.mark.peer("go"), "dart run": pytest.mark.peer("dart")}


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            command, marks=[mark for word, mark in _MARKS.items() if word in command], id=command
        )
        for command in COMMANDS
    ],
)
def test_a_command_of_the_page_finds_a_client_that_is_right(
    command: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each command of the page exits with 0, and reports that its client is right in every case.

    ``dart run FILE`` needs the package manager pub, so a substitute for ``dart`` runs the compiled
    program.
    """
    if "dart run" in command:
        program = request.getfixturevalue("compiled")
        start = f'shift 2; exec "{_vm.NEWEST.program}" "{program}" "$@"'
        write_program(tmp_path, "dart", f"#!/bin/sh\n{start}\n")
    done = _prove(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"right": 4' in done.stdout, "with the control, first and last"
