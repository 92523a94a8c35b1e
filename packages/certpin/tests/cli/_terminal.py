"""Run certpin on a pseudo-terminal of a given width, with typed input."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from typing import TYPE_CHECKING

from tests.cli.conftest import program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_DEADLINE = 30.0  # seconds without output of the program
# It must be the controlling terminal of the program, so that Ctrl-C reaches it.
_START = """\
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("certpin.cli.main", run_name="__main__", alter_sys=True)
"""


def on_terminal(
    *words: str | Path,
    columns: int = 80,
    typing: Sequence[tuple[str, str]] = (),
    **env: str,
) -> tuple[int, str]:
    """Run ``certpin WORDS``. Return the exit code and the output of the terminal.

    Args:
        typing: prompts to wait for, each with its answer.
    """
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    files = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    process = program(*words, start=("-c", _START), env=env, start_new_session=True, **files)
    os.close(terminal)
    try:
        text = ""
        for prompt, answer in typing:
            text += read_to(screen, prompt)
            os.write(screen, answer.encode() + b"\n")
        text += read_to(screen, None)
        return process.wait(_DEADLINE), text.replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def read_to(screen: int, prompt: str | None) -> str:
    """Return the output until a prompt, or until the end.

    Raises:
        TimeoutError: there is no more output, and no prompt.
    """
    text = ""
    while prompt is None or prompt not in text:
        if not select.select([screen], [], [], _DEADLINE)[0]:
            raise TimeoutError(f"{prompt!r} did not come, only {text!r}")
        try:
            piece = os.read(screen, 65536)
        except OSError:  # Linux reports so that the other side is closed
            piece = b""
        if not piece:
            break
        text += piece.decode(errors="replace")
    return text
