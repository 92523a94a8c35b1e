"""Run certpin on a pseudo-terminal of a given width, with typed input; a stream like a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from io import StringIO
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


class Terminal(StringIO):
    """A text stream that is a terminal; ``COLUMNS`` gives its width."""

    def isatty(self) -> bool:
        return True


def on_terminal(
    *words: str | Path,
    columns: int = 80,
    typing: Sequence[tuple[str, str]] = (),
    **env: str,
) -> tuple[int, str]:
    """Run ``certpin WORDS`` on a pseudo-terminal.

    Args:
        words: the arguments of certpin.
        columns: the width of the terminal.
        typing: prompts to wait for, each with the text that is typed then.
        env: more environment variables.

    Returns:
        The exit code, and the output on the terminal.
    """
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    files = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    env = {"TERM": "xterm", **env}  # `dumb` has no progress bars and no tables that are redrawn
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
    """Return the output of a pseudo-terminal up to a prompt, or all until the program ends.

    Args:
        screen: the file descriptor of the terminal's controlling end.
        prompt: the text to wait for, or None for the end of the output.

    Raises:
        TimeoutError: no more output came in 30 seconds, and the prompt is missing.
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
