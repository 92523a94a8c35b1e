"""The clients under test: a command that is run once per case, or a function that is called."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from certpin.lab.case import CannotServeError
from certpin.lab.client_env import environment
from certpin.lab.evidence import Ending
from certpin.lab.target import PROXY_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from certpin.lab.target import Target

PATIENCE = 20.0  # seconds that one run of a client may take
_KEPT = 8 * 1024  # bytes kept of the output of a client, from its end

# The placeholders of a command, and their values.
SUBSTITUTIONS: dict[str, Callable[[Target], str]] = {
    "host": lambda target: target.host,
    "address": lambda target: target.address,
    "port": lambda target: str(target.port),
    "endpoint": lambda target: target.endpoint,
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
    "pin2": lambda target: target.second_pin,
    "backup2": lambda target: target.second_backup,
    "cert": lambda target: str(target.certificate),
    "fingerprint": lambda target: target.fingerprint,
    "pinnedpubkey": lambda target: target.pinnedpubkey,
    "compromised": lambda target: target.compromised,
    "truststore": lambda target: str(target.truststore),
    "dns": lambda target: f"{PROXY_ADDRESS}:{target.dns_port}",
    "client_cert": lambda target: str(target.client_certificate),
    "client_key": lambda target: str(target.client_key),
}
# The pins in a format of ``certpin export``: becomes the path of the file.
_EXPORT = re.compile(r"\{export:([a-z0-9-]{1,80})\}")


class Client(Protocol):
    """A client under test."""

    def run(self, target: Target) -> Ending:
        """Call it once, and say how that ended.

        Raises only ``CannotServeError``: the client cannot be directed to the target.
        """

    def stop(self) -> None:
        """Stop the client from another thread, because the run was interrupted."""


@dataclass(frozen=True)
class Call:
    """A function of this process. An exception counts as a refusal.

    It may read an attribute of its target that raises ``CannotServeError``: then it is not run.
    """

    function: Callable[[Target], object]

    def run(self, target: Target) -> Ending:
        """Call the function."""
        if target.clock:
            raise CannotServeError(
                "the clock of a function in this process cannot be moved",
                fix="prove a program that calls it: certpin prove -- COMMAND",
            )
        try:
            answer = self.function(target)
        except CannotServeError:
            raise
        except Exception as exc:  # noqa: BLE001  # a client may raise anything
            return Ending(1, f"{type(exc).__name__}: {exc}"[-_KEPT:])
        return Ending(0, "" if answer is None else str(answer)[-_KEPT:])

    def stop(self) -> None:
        """Do nothing: a function can't be stopped."""


@dataclass(frozen=True)
class Command:
    """A program. Its exit status says whether it was content.

    ``{host}``, ``{port}`` and the like in its words are replaced. ``via`` is how it is led to the
    lab: ``connect`` and ``socks5`` by the variables that most clients read, ``port`` by its words,
    in which URLs then name the lab's port.
    """

    words: tuple[str, ...]
    via: str = "connect"
    patience: float = PATIENCE
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set, compare=False)
    _stopped: threading.Event = field(default_factory=threading.Event, compare=False)

    @property
    def names_host(self) -> bool:
        """Whether the command names the host of the case, instead of a fixed one."""
        return any("{host}" in word or "{url}" in word for word in self.words)

    def run(self, target: Target) -> Ending:
        """Run the command without input in a new session, and kill its children afterwards."""
        if target.elsewhere and not self.names_host:
            raise CannotServeError(
                f"the command calls a host of its own choice, and not {target.host}",
                fix="write {host} or {url} where it names its host",
            )
        if self._stopped.is_set():
            return Ending(None, problem="the run was interrupted")
        words = substitute(self.words, target.direct if self.via == "port" else target)
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

    def stop(self) -> None:
        """Kill every running process of the command, and start no other."""
        self._stopped.set()
        for process in tuple(self._running):
            _kill(process)

    def _end(self, process: subprocess.Popen[bytes], output: BinaryIO) -> Ending:
        self._running.add(process)
        if self._stopped.is_set():  # between its start and the line above
            _kill(process)
        try:
            in_time = _ends(process, self.patience)
        finally:
            self._running.discard(process)
            _kill(process)  # and its children
        status = process.wait()
        if in_time:
            return Ending(status, _end_of(output))
        problem = f"the client did not end within {self.patience:g} s"
        return Ending(None, _end_of(output), problem)


def _ends(process: subprocess.Popen[bytes], patience: float) -> bool:
    """Wait for a process. Return True if it ended within ``patience`` seconds."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)  # looks every 50 ms, and most clients take less
        return process.poll() is not None
    try:
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        return bool(end.poll(1000 * patience))
    finally:
        os.close(descriptor)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, which form a process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def exports_in(words: Sequence[str]) -> list[str]:
    """Return the export formats that a command requests."""
    return [name for word in words for name in _EXPORT.findall(word)]


def substitute(words: Sequence[str], target: Target) -> list[str]:
    """Return the words of a command for one case.

    Raises:
        CannotServeError: they ask for a format that cannot have the pins, or for keys to accept
            and not for the compromised one.
    """
    values = target
    if any("{compromised}" in word for word in words):
        words = [word.replace("{compromised}", target.compromised) for word in words]
        values = replace(target, compromised="")
    return [_fill(word, values) for word in words]


def _fill(word: str, target: Target) -> str:
    """Replace known placeholders only, so that other braces (JSON, awk) stay."""
    for name, value in SUBSTITUTIONS.items():
        if f"{{{name}}}" in word:
            word = word.replace(f"{{{name}}}", value(target))
    return _EXPORT.sub(lambda match: str(target.export(match[1])), word)


def _end_of(output: BinaryIO) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _KEPT))
    return output.read().decode(errors="replace")
