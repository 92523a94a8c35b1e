"""Without extras, each command and client adapter that needs an extra names it in one line.

``certpin export`` lists every format, and refuses those that were removed.

The environment has the packages of requirements/core.txt and certpin as a wheel, and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.clients import CLIENTS, _common
from certpin.formats import FORMATS
from scripts.pythons import running
from scripts.setup_venv import ensure
from tests.cli._registry import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]

# The arguments with which each command reaches the packages that it needs, and the extra that it
# must name; empty if it needs none.
CALLS: dict[str, tuple[str, str]] = {
    "decide": ("--client browser", ""),
    "pin": ('"pkcs11:token=a;object=b?module-path=$PWD/pins.toml"', "pkcs11"),
    "add": ("127.0.0.1:1 --backup-key backup.key", ""),
    "check": ("--connect 127.0.0.1:1", ""),
    "calendar": ("--offline", ""),
    "lint": ("", ""),
    "explain": ("no-backup", ""),
    "providers show": ("", ""),
    "providers update": ("--check", ""),
    "diff": ("pins.toml pins.toml", ""),
    "get": ("https://api.bank.example/ --connect 127.0.0.1:1", ""),
    "export": ("android", ""),
    "import": ("envoy envoy.yaml", "yaml"),
    "rotate start": ("--new next.key", ""),
    "rotate status": ("--offline", ""),
    "rotate switch": ("next.key --offline", ""),
    "rotate finish": ("--offline", ""),
    "rotate emergency": ("next.key --stolen --offline", ""),
    "rotate shipped": ("1 --offline", ""),
    "rotate plan": ("--offline --to pins.toml", ""),
    "rotate simulate": ("--offline --to new.key", "simulate"),
    "rotate csr": ("next.key", ""),
    "rotate webhook": ("--tls-certificate missing.pem --tls-key missing.key", ""),
    "rotate history": ("", ""),
    "rotate gone": ("192.0.2.7:443 --reason moved", ""),
    "rotate clock": ("--offline", ""),
    "publish init": ("--root-key r --targets-key t --online-key o", "publish"),
    "publish add-key": ("new.key --role online", "publish"),
    "publish sign": ("t.key", "publish"),
    "publish propose": ("t.key", "publish"),
    "publish review": ("main", "publish"),
    "publish push": ("", "publish"),
    "publish status": ("", "publish"),
    "serve": ("", "watch"),
    "watch user add": ("anna", "watch"),
    "watch user list": ("", "watch"),
    "watch user password": ("anna", "watch"),
    "watch user remove": ("anna", "watch"),
    "watch user role": ("anna viewer", "watch"),
    "watch token add": ("x --scope read", "watch"),
    "watch token list": ("", "watch"),
    "watch token revoke": ("x", "watch"),
    "watch alerts": ("", "watch"),
    "watch silence": ("", "watch"),
    "watch worker": ("--url https://127.0.0.1:1 --token-file x", "watch"),
    "watch writer": ("", "watch"),
    "watch ct": ("", "watch"),
    "watch migrate": ("", "watch"),
    "scan": ("hosts.txt", ""),
    "prove": ("--case rogue-ca-in-store -- true", ""),
    "lab attacks": ("", ""),
    "lab serve": ("--host a.example --wireguard", "wireguard" if running() != "3.11" else ""),
    "lab import": ("limbo limbo.json --out chains", ""),
    "lab export": ("chains", ""),
    "demo": ("", ""),
    "doctor": ("--offline", ""),
    "completion": ("bash", ""),
}

_PINS = """\
schema = 1
name = "bank"
version = 1
[[host]]
name = "api.bank.example"
[[host.pin]]
pin = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
[[host.pin]]
pin = "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
"""


# Runs each line as the program would, in a fork of one process, so that Python starts once.
_RUN_EACH = """\
import json, os, runpy, shlex, sys
import certpin.cli.main, certpin.pinfile, cryptography.x509, rich.console
nothing = os.open(os.devnull, os.O_RDWR)
for number, line in enumerate(json.loads(sys.argv[1])):
    if pid := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    said = os.open(f"{number}.err", os.O_WRONLY | os.O_CREAT)
    for stream, file in enumerate((nothing, nothing, said)):
        os.dup2(file, stream)
    sys.argv = ["certpin", *shlex.split(os.path.expandvars(line))]
    runpy.run_module("certpin", run_name="__main__", alter_sys=True)
    os._exit(99)  # a command ends with SystemExit
"""


@pytest.fixture(scope="module")
def base(testrun_uid: str) -> str:
    """Return the Python of an environment that has certpin without extras.

    The environment is made again only if its lock file changes. Only the first worker of a test run
    installs the wheel: a second installation would disturb the tests of the other workers.
    """
    folder = Path(".venvs") / f"base-{running()}"
    (ROOT / folder).parent.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patched, (ROOT / f"{folder}.run").open("a+") as run:
        patched.chdir(ROOT)
        fcntl.flock(run, fcntl.LOCK_EX)
        run.seek(0)
        if run.read() != testrun_uid:
            lock, packages = Path("requirements/core.txt"), [Path("packages/certpin")]
            ensure(folder, sys.executable, lock, project="wheel", packages=packages)
            run.truncate(0)
            run.write(testrun_uid)
    return str(ROOT / folder / "bin" / "python")


def _problems(python: str, folder: Path) -> Iterator[str]:
    calls = [*CALLS.items(), ("import", ("dart .", "apps"))]
    asked = json.dumps([f"{name} {words}" for name, (words, _) in calls])
    ran = subprocess.run(
        [python, "-c", _RUN_EACH, asked],
        cwd=folder,
        env={**os.environ, "PWD": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=500,
        check=True,
    )
    codes = map(int, ran.stdout.split())
    for number, ((name, (words, extra)), code) in enumerate(zip(calls, codes, strict=True)):
        said = (folder / f"{number}.err").read_text(encoding="utf-8")
        lines = [each for each in said.splitlines() if "certpin[" in each]
        named = len(lines) == 1 and f"pip install 'certpin[{extra}]'" in lines[0]
        if extra and (code != 2 or not named):
            yield f"{name} {words}: exit code {code}\n{said}"
        if not extra and (code not in {0, 1, 2, 3} or lines):
            yield f"{name} {words}: exit code {code}\n{said}"
        if "Traceback" in said:
            yield f"{name} {words}: {said}"


def test_every_command_has_a_call_here() -> None:
    assert list(CALLS) == [" ".join(path) for path in COMMANDS]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_a_base_install_each_error_names_the_missing_extra(base: str, tmp_path: Path) -> None:
    (tmp_path / "pins.toml").write_text(_PINS)
    (tmp_path / "hosts.txt").write_text("127.0.0.1:1\n")
    (tmp_path / "envoy.yaml").write_text("a: 1\n")
    assert list(_problems(base, tmp_path)) == []
    if hasattr(_common, "missing_library"):
        assert list(_silent_adapters(base)) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_lists_every_format_and_refuses_the_removed_ones(
    base: str, tmp_path: Path
) -> None:
    def export(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [base, "-m", "certpin", "export", *words]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "certpin export --list" in export("--help").stdout
    assert [line.split()[0] for line in export("--list").stdout.splitlines()] == list(FORMATS)
    for name in ("wultra", "hpkp", "chromium"):
        done = export(name)
        assert done.returncode == 2
        assert f"there is no format '{name}'. `certpin export --list` lists them" in done.stderr


def _silent_adapters(python: str) -> Iterator[str]:
    """Yield each adapter whose import does not fail with a line that names the missing extra.

    Each text is the name of the adapter and the last line of the output.
    """
    for name in CLIENTS:
        if name == "stdlib":
            continue
        code = f"import certpin.clients.{name}"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        last = (done.stderr.splitlines() or [""])[-1]
        if done.returncode != 1 or "certpin[" not in last:
            yield f"{name}: {last}"
