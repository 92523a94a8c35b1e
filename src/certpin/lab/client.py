"""Bringing a client in: a command that is run once a case, or a function that is called."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from certpin.errors import InputError
from certpin.lab.evidence import Ending
from certpin.lab.surroundings import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from certpin.lab.target import Target

PATIENCE = 20.0  # seconds that one run of a client may take
_KEPT = 8 * 1024  # octets of what a client printed that are kept, from the end

# What may stand in a command, in braces, and what it becomes.
SUBSTITUTIONS: dict[str, Callable[[Target], str]] = {
    "host": lambda target: target.host,
    "port": lambda target: str(target.port),
    "ca": lambda target: str(target.ca),
    "proxy": lambda target: target.proxy,
    "socks": lambda target: target.socks,
    "case": lambda target: target.case,
    "url": lambda target: target.url,
    "host2": lambda target: target.second_host,
    "url2": lambda target: target.second_url,
    "canary": lambda target: target.canary,
    "pins": lambda target: str(target.pins),
    "pin": lambda target: target.pin,
    "backup": lambda target: target.backup,
    "pinnedpubkey": lambda target: target.pinnedpubkey,
    "truststore": lambda target: str(target.truststore),
}


class Client(Protocol):
    """Whatever can be made to call the host of a case."""

    def run(self, target: Target) -> Ending:
        """Call it once, and say how that ended. Raises nothing."""


@dataclass(frozen=True)
class Call:
    """A function of this process. That it raises is its refusal."""

    function: Callable[[Target], object]

    def run(self, target: Target) -> Ending:
        """Call it."""
        try:
            answer = self.function(target)
        except Exception as exc:  # noqa: BLE001  # a client may raise what it likes
            return Ending(1, f"{type(exc).__name__}: {exc}"[-_KEPT:])
        return Ending(0, "" if answer is None else str(answer)[-_KEPT:])


@dataclass(frozen=True)
class Command:
    """A program. Its exit status says whether it was content.

    ``{host}``, ``{port}`` and the like in its words are replaced. ``via`` is how it is led to the
    lab: ``connect`` and ``socks5`` by the variables that most clients read, ``port`` by its words.
    """

    words: tuple[str, ...]
    via: str = "connect"
    patience: float = PATIENCE

    @property
    def names_host(self) -> bool:
        """Whether it calls the host that it is told, or one of its own choice."""
        return any("{host}" in word or "{url}" in word for word in self.words)

    def run(self, target: Target) -> Ending:
        """Run it, without input, in a session of its own, and leave no child of it behind."""
        words = substitute(self.words, target)
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment(target, self.via)},
                    start_new_session=True,
                )
            except OSError as exc:
                return Ending(None, problem=f"{words[0]} did not start: {exc.strerror}")
            return self._end(process, output)

    def _end(self, process: subprocess.Popen[bytes], output: BinaryIO) -> Ending:
        problem = ""
        try:
            process.wait(self.patience)
        except subprocess.TimeoutExpired:
            problem = f"the client did not end within {self.patience:g} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
            process.wait()
        status = None if problem else process.returncode
        return Ending(status, _end_of(output), problem)


def substitute(words: Sequence[str], target: Target) -> list[str]:
    """The words of a command for one case. Raises ``InputError`` for a name it does not know."""
    return [_fill(word, target) for word in words]


def _fill(word: str, target: Target) -> str:
    """Only known names are replaced: a command's own braces (JSON, awk) stay."""
    for name, value in SUBSTITUTIONS.items():
        word = word.replace(f"{{{name}}}", value(target))
    return word


def _end_of(output: BinaryIO) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _KEPT))
    return output.read().decode(errors="replace")


def check_words(words: Sequence[str]) -> None:
    """Refuse a command that cannot be run. Raises ``InputError``."""
    if not words:
        raise InputError("no command", fix="write it after --, for example: -- curl {url}")
