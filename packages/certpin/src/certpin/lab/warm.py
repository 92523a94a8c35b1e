"""``certpin prove --warm``: run a Python client in forks of one process that has its modules.

A Python client spends most of its time on imports. So one process (``certpin.lab.zygote``) runs in
the client's Python, and imports the installed modules that the client imports. Each run of the
client is a fork of this process. Modules of the client's own folder are imported only in the fork,
because their code may depend on the case.

In two situations the client is started as a new program instead: if a case moves the client's
clock, because libfaketime is loaded when a program starts; and if a case has its own trust anchors,
because a module may read the trust anchors when it is imported.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.case import LabError
from certpin.lab.client import (
    INTERRUPTED,
    Command,
    Wait,
    ended,
    environment,
    inherited_environment,
)
from certpin.lab.verdict import Ending

if TYPE_CHECKING:
    from typing import BinaryIO

    from certpin.lab.target import Target

_ZYGOTE = Path(__file__).with_name("zygote.py")
_PYTHON = re.compile(r"python(3(\.[0-9]+t?)?)?", re.ASCII)
_WITH_VALUE = ("-X", "-W", "--check-hash-based-pycs")  # options of Python that take the next word
_START = 60.0  # seconds for the imports
_GRACE = 10.0  # seconds beyond the client's time limit for the result of a run
_LENGTH = struct.Struct("!I")
_LONGEST_RESULT = 100  # bytes
_COLD = "leave out --warm"
_NO_RESULT = "the process that forks the client ended"


@dataclass(frozen=True)
class WarmCommand(Command):
    """A Python client that runs in forks of one process, which has imported the client's modules.

    Raises:
        LabError: the command does not begin with Python, or has no script; or this system can't
            fork.
    """

    _process: list[_Zygote] = field(default_factory=list, compare=False)
    _starting: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def __post_init__(self) -> None:
        split_command(self.words)
        if not hasattr(os, "fork") or not hasattr(os, "waitid"):
            raise LabError("--warm needs fork and waitid, which this system lacks", fix=_COLD)

    def start(self, words: list[str], target: Target, output: BinaryIO, wait: Wait) -> Ending:
        """Run the client once, in a fork of the process with its modules, and return how it ended.

        If the case moves the clock or has its own trust anchors, the client is started as a new
        program instead.

        Args:
            words: the program and its arguments, in which all placeholders are already replaced.
            target: the case.
            output: the file for the client's output and errors.
            wait: a function that waits for the client.
        """
        options, client = split_command(tuple(words))
        if target.clock or target.time:
            return super().start(words, target, output, wait)
        with self._starting:
            if self._stopped.is_set():  # stop() ran after the check of run()
                return Ending(None, problem=INTERRUPTED)
            if not self._process:
                variables = environment(target, self.via)
                self._process.append(_Zygote(options, client, variables, target.ca, wait))
            zygote = self._process[0]  # stop() may empty the list from now on
        if zygote.roots != target.ca:  # a module may read them when it is imported
            return super().start(words, target, output, wait)
        variables = inherited_environment() | environment(target, self.via)
        request = {"client": client, "environment": variables, "patience": self.patience}
        try:
            status = zygote.run(request, output.fileno(), self.patience + _GRACE, wait)
        except OSError:
            problem = INTERRUPTED if self._stopped.is_set() else _NO_RESULT
            return ended(None, output, problem)
        return self.ending(status, output)

    def stop(self) -> None:
        """Kill all running clients and the process that forks them. Start no further client."""
        super().stop()
        self.close()

    def close(self) -> None:
        """End the process from which the clients are forked."""
        with self._starting:
            while self._process:
                self._process.pop().close()


def split_command(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Split a client's command into two parts: Python with its options, and the client's arguments.

    The second part begins with the script, ``-m`` or ``-c``. ``words`` is the whole command.

    Raises:
        LabError: the command does not begin with Python, or has no script, ``-m`` or ``-c``.
    """
    if not _PYTHON.fullmatch(Path(words[0]).name):
        raise LabError("--warm needs a command that begins with python", fix=_COLD)
    index = 1
    while index < len(words):
        word = words[index]
        if not word.startswith("-") or word in {"-m", "-c"}:
            client = list(words[index:])
            if word in {"-m", "-c"} and len(client) == 1:
                break
            return list(words[:index]), client
        index += 2 if word in _WITH_VALUE else 1
    raise LabError("--warm needs a script, -m MODULE or -c CODE after python", fix=_COLD)


class _Zygote:
    """The process that has imported the client's modules and forks for each run of the client.

    It is controlled through a socket.
    """

    def __init__(
        self,
        options: list[str],
        client: list[str],
        variables: dict[str, str],
        roots: Path,
        wait: Wait,
    ) -> None:
        self.roots = roots
        self._lock = threading.Lock()
        self._runs: set[socket.socket] = set()
        self._control, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as output:
            try:
                self._process = subprocess.Popen(
                    [*options, str(_ZYGOTE), str(theirs.fileno()), *client],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=inherited_environment() | variables,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError as exc:
                self._control.close()
                raise LabError(f"{options[0]} did not start: {exc.strerror}", fix=_COLD) from exc
            theirs.close()  # so that its end is seen
            if not self._ready(wait):
                self.close()
                printed = ended(None, output).output.strip()
                last = (printed or "its imports take too long").splitlines()[-1]
                raise LabError(f"the client can't be kept warm: {last}", fix=_COLD)

    def _ready(self, wait: Wait) -> bool:
        try:
            return wait(self._control.fileno(), _START) and self._control.recv(1) == b"+"
        except OSError:
            return False

    def run(
        self, request: dict[str, object], output: int, patience: float, wait: Wait
    ) -> int | None:
        """Run the client once, in a fork.

        Args:
            request: the client's words, environment and time limit, in types that JSON has.
            output: the descriptor of the file for the client's output.
            patience: seconds to wait for the result.
            wait: waits until a descriptor is readable, for at most some seconds. It returns True if
                it is readable.

        Returns:
            The exit status of the client, negative for a signal; None if it did not end in time.

        Raises:
            OSError: the process that forks the client ended, or was closed, or sent no valid
                result.
        """
        data = json.dumps(request).encode()
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(patience)
            self._runs.add(ours)
            try:
                with theirs, self._lock:
                    socket.send_fds(self._control, [b"."], [output, theirs.fileno()])
                ours.sendall(_LENGTH.pack(len(data)) + data)
                if not wait(ours.fileno(), patience):
                    return None
                result = ours.makefile("rb").read(_LONGEST_RESULT)
            except TimeoutError:
                return None
            finally:
                self._runs.discard(ours)
        try:
            status: int | None = json.loads(result)["status"]
        except (ValueError, KeyError, TypeError) as exc:  # it was killed before or while it wrote
            raise ConnectionResetError("no result") from exc
        return status

    def close(self) -> None:
        """End the process from which the client is forked, and kill the running clients."""
        for run in tuple(self._runs):
            with suppress(OSError):
                run.shutdown(socket.SHUT_RDWR)
        self._control.close()
        self._process.kill()
        self._process.wait()
