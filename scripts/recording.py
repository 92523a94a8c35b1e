"""Record docs/start/recording.svg: certpin in a terminal, with a real server and a real attacker.

Each command runs in a pseudo-terminal, in a private network in which this script is the server of
``api.bank.example``. The animated picture shows each line when the command printed it, and all
lines at the end. Long waits are shortened.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import suppress
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, NamedTuple

from certpin.lab import Authority, LabServer
from scripts.private_network import in_private_network
from scripts.terminal_picture import Line, draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs/start/recording.svg"
COLUMNS = 104
HOST = "api.bank.example"
_BODY = b"your balance is 1,234.56\n"
_TYPING = 0.8  # seconds between a prompt and its command's output
_READING = 1.6  # seconds between two commands
_LONGEST_WAIT = 2.0  # seconds that a reader waits for a line
# The escape sequences that remove a progress bar; those of colours (…m) are kept.
_UP = "\x1b[1A"
_ERASE = re.compile(r"\x1b\[1A|\x1b\[2K|\x1b\[\?\d+[lh]")


class Step(NamedTuple):
    """A command of the recording, and the comment that the terminal shows above it."""

    remark: str
    command: str


HONEST = (
    Step("Pin your server, and make a backup key", f"certpin add {HOST} --backup-key backup.key"),
    Step("", f"certpin get https://{HOST}/balance"),
)
ATTACKED = (
    Step(
        "Refuse: an attacker intercepts, with an authority that this machine trusts",
        f"curl -sS https://{HOST}/balance",
    ),
    Step("", f"certpin get https://{HOST}/balance"),
)
PROOF = (
    Step(
        "Prove it: attack your own client with all cases of the lab",
        "certpin prove --quiet -- python client.py {url}",
    ),
)


def example_client() -> str:
    """Return the Python source of the client in docs/start/five-minutes.md."""
    page = (ROOT / "docs/start/five-minutes.md").read_text(encoding="utf-8")
    return page.partition("```python\n")[2].partition("```")[0]


def record(options: Sequence[str] = ()) -> list[Line]:
    """Run all commands of the recording, and return the lines that the terminal showed.

    This must run inside the private network. ``options`` are more options of ``certpin prove``,
    which the terminal doesn't show.
    """
    root, rogue = Authority("Bank Root"), Authority("Rogue Root (installed on this machine)")
    bank = root.intermediate("Bank Issuing")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "roots.pem").write_bytes(root.pem + rogue.pem)
        (folder / "client.py").write_text(example_client(), encoding="utf-8")
        terminal = _Terminal(folder)
        with LabServer(bank.issue(HOST), _BODY, port=443) as server:
            terminal.run(*HONEST)
            server.use(rogue.issue(HOST))
            terminal.run(*ATTACKED)
        terminal.run(*PROOF, options=options)
    return _shortened(terminal.lines)


def _shortened(lines: list[Line]) -> list[Line]:
    """Return the lines with each wait between two lines limited to two seconds."""
    at = before = 0.0
    found = []
    for line in lines:
        at += min(line.at - before, _LONGEST_WAIT)
        before = line.at
        found.append(Line(at, line.text))
    return found


class _Terminal:
    """Runs commands in a folder, and collects the lines that they print with their times."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[Line] = []
        self._folder = folder
        roots = str(folder / "roots.pem")
        self._environment = {
            "PATH": f"{Path(sys.executable).absolute().parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SSL_CERT_FILE": roots,
            "CURL_CA_BUNDLE": roots,
        }
        self._at = 0.0

    def run(self, *steps: Step, options: Sequence[str] = ()) -> None:
        for step in steps:
            if step.remark:
                self._show(*([""] if self.lines else []), f"\x1b[2m# {step.remark}\x1b[0m")
            self._show(f"\x1b[32m$\x1b[0m \x1b[1m{step.command}\x1b[0m")
            self._at += _TYPING
            self._run(step.command.replace(" prove ", f" {shlex.join(['prove', *options])} "))
            self._at += _READING

    def _show(self, *lines: str) -> None:
        self.lines += [Line(self._at, line) for line in lines]

    def _run(self, command: str) -> None:
        started = time.monotonic()
        pending = ""
        for text in _output_of(command, self._folder, self._environment):
            *complete, pending = (pending + text).split("\r\n")
            for line in complete:
                self._print(self._at + time.monotonic() - started, line)
        self._at += time.monotonic() - started

    def _print(self, at: float, line: str) -> None:
        if _UP in line:
            self.lines.pop()
        self.lines.append(Line(at, _ERASE.split(line)[-1].lstrip("\r")))


def _output_of(command: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run a command in a pseudo-terminal, and yield its output as text when it arrives."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, pack("HHHH", 40, COLUMNS, 0, 0))
    decoder = codecs.getincrementaldecoder("utf-8")()
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as output, suppress(OSError):  # EIO at the end
            while data := output.read(65536):
                yield decoder.decode(data)


def main(words: list[str]) -> None:
    """Run this program inside the private network, and write its output as the picture.

    With ``--inside``, which means that it runs there, record the commands and print the SVG.
    """
    if words[:1] != ["--inside"]:
        command = [*in_private_network(HOST), sys.executable, "-m", "scripts.recording", "--inside"]
        TARGET.write_text(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout,
            encoding="utf-8",
        )
        sys.stdout.write(f"{TARGET.name}: recorded\n")
        return
    sys.stdout.write(draw(record(words[1:]), COLUMNS, "certpin: pin, refuse, prove"))


if __name__ == "__main__":
    main(sys.argv[1:])
