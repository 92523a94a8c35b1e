"""Real shells on a pseudo-terminal, in which a test types text and presses TAB."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cli._terminal import read_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LINE = re.compile(r"LINE<(.*?)>LINE", re.DOTALL)

# Ctrl-X p prints the command line. Ctrl-U deletes it.
_START = {
    "bash": (
        ("bash", "--norc", "--noprofile", "-i"),
        'bind -x \'"\\C-xp": echo "LINE<$READLINE_LINE>"LINE\'',
    ),
    "zsh": (
        ("zsh", "-f", "-i"),
        (
            'autoload -Uz compinit; compinit -D; show() { print -r -- "LINE<$BUFFER>"LINE }; '
            "zle -N show; bindkey '^Xp' show"
        ),
    ),
}


class Shell:
    """An interactive shell that has loaded the completion script."""

    def __init__(self, name: str, screen: int) -> None:
        self.name = name
        self._screen = screen

    def tab(self, text: str) -> str:
        """Return the command line after the user typed ``text`` and pressed TAB."""
        self.send(f"{text}\t")
        self.send("\x18p")
        found = _LINE.search(read_to(self._screen, ">LINE"))
        assert found
        self.send("\x15")
        return found[1].rstrip()

    def send(self, text: str) -> None:
        """Send ``text`` to the shell as typed input."""
        os.write(self._screen, text.encode())


@contextmanager
def shell(name: str, folder: Path, *, load: str = "") -> Iterator[Shell]:
    """Start bash or zsh in a folder, with certpin on ``PATH`` and its completion loaded.

    Args:
        name: ``bash`` or ``zsh``.
        folder: the current folder of the shell.
        load: a command that loads the completion, instead of the documented one.
    """
    argv, setup = _START[name]
    screen, terminal = pty.openpty()
    files: dict[str, Any] = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    process = subprocess.Popen(
        argv, cwd=folder, env=environment(folder), start_new_session=True, **files
    )
    os.close(terminal)
    try:
        started = Shell(name, screen)
        load = load or f'eval "$(certpin completion {name})"'
        started.send(f"{setup}; {load}; echo READ''Y\n")
        assert "READY" in read_to(screen, "READY")
        yield started
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of a shell that finds certpin on ``PATH``.

    The script ``certpin`` is written to a folder beside ``folder``.
    """
    programs = folder.parent / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "certpin"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m certpin "$@"\n')
    program.chmod(0o755)
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "XDG_CONFIG_HOME": str(folder.parent),
        "XDG_DATA_HOME": str(folder.parent),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "PS1": "",
    }


def fish(folder: Path, lines: Sequence[str]) -> list[list[str]]:
    """Return the completions of fish for each command line, with their descriptions."""
    program = (
        "certpin completion fish | source; "
        "for line in $argv; complete --do-complete $line; echo LINE; end"
    )
    done = subprocess.run(
        ["fish", "--no-config", "--command", program, *lines],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stderr == ""
    return [part.splitlines() for part in done.stdout.split("LINE\n")[:-1]]
