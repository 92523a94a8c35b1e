"""A running interactive lab: its ports, schedule and event loop, and the queue of its results."""

from __future__ import annotations

import errno
import resource
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.errors import ConfigError
from certpin.lab.case import LabError
from certpin.lab.device.connection import DeviceConnection
from certpin.lab.device.page import Page, pin_file
from certpin.lab.device.schedule import Schedule
from certpin.lab.server.port import Loop, Port
from certpin.lab.server.relay import is_local, parse_address, relay
from certpin.lab.verdict import Outcome, Verdict

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from certpin.lab.case import Case
    from certpin.lab.device.folder import LabState
    from certpin.lab.device.tunnel import TunnelKeys, WireGuard
    from certpin.lab.pki import Authorities, Style
    from certpin.lab.runner import Result
    from certpin.lab.server.port import Link
    from certpin.lab.server.session import Destination
    from certpin.lab.upstream import Upstream
    from certpin.x509 import Certificate


_LAST_ANSWER = 10.0  # seconds; idle connections to real servers end after five
_POLL_INTERVAL = 0.02  # seconds


@dataclass(frozen=True)
class HostProgress:
    """The progress of one host under test.

    Attributes:
        host: the host.
        playing: the name of the active case; empty if there is none.
        coming: the name of the next case; empty if there is none.
        in_doubt: the number of refusals that are not yet confirmed by a connection to the honest
            server.
        controlled: True if the app accepted the honest server at least once.
        control: the latest result with the honest server; None before the first.
        results: the results so far.
        cases: the number of cases.
        finished: True if all cases have a result, and the app accepted the honest server after
            them.
        clear_text: the number of requests in clear text that belong to no attack.
        credentials: descriptions of the credentials in these requests, without their values.
        real: True if the host has a real server, to which the lab relays.
    """

    host: str
    playing: str
    coming: str
    in_doubt: int  # refusals that a good control has not confirmed yet
    controlled: bool
    control: Result | None
    results: tuple[Result, ...]
    cases: int
    finished: bool
    clear_text: int
    credentials: tuple[str, ...]
    real: bool  # whether the host has a real server

    @property
    def accepts(self) -> bool:
        """True if the app accepted the honest server in the latest test with this server."""
        return self.control is not None and self.control.verdict is Verdict.ACCEPT

    @property
    def tried(self) -> tuple[Result, ...]:
        """The results so far, without those of cases that the lab could not run."""
        return tuple(each for each in self.results if each.outcome is not Outcome.NOT_RUN)


class DeviceLab:
    """The interactive lab. It runs while its context is open.

    ``next`` waits for a result; ``progress`` describes every host.

    Args:
        hosts: the hosts under test.
        style: the kind of the app's pins: on the server's key, on an authority, or none.
        cases: the cases to run for each host.
        kept: the stored roots and keys of the lab.
        address: the IP address and the port on which to listen for devices.
        tunnel_port: the UDP port of the tunnel; 0 for any free port.
        upstreams: the real servers of the hosts, if the app connects to them.
    """

    def __init__(  # noqa: PLR0913  # keyword-only settings of a session
        self,
        hosts: Sequence[str],
        style: Style,
        cases: Sequence[Case],
        kept: LabState,
        address: tuple[str, int],
        *,
        tunnel_port: int = 0,
        upstreams: Mapping[str, Upstream] | None = None,
    ) -> None:
        authorities = kept.authorities
        self.authorities = authorities
        self.notes = kept.notes
        self._keys = kept.tunnel
        self._tunnel_port = tunnel_port
        self.real = bool(upstreams)  # whether the hosts have real servers
        self.schedule = Schedule(hosts, style, cases, authorities, self._queue_result, upstreams)
        self.page = _page(authorities, self.schedule, real=self.real)
        self._address = address
        self._news: SimpleQueue[tuple[str, Result] | LabError] = SimpleQueue()
        self._loop = Loop()
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        """Start to listen for devices.

        Raises:
            LabError: the port is in use, or this system allows too few open files.
            ConfigError: the address does not belong to this machine.
        """
        limit = max_connections()
        try:
            self._leaving.enter_context(self._loop)
            self._gate = self._loop.call(partial(self._listen, limit))
        except OSError as exc:
            self._leaving.close()
            raise _deaf(self._address, exc) from exc
        self._leaving.callback(self._loop.call, self._gate.close)
        if self._keys:
            with self._leaving.pop_all() as leaving:
                self._tunnel = self._start_tunnel(self._keys)
                self._leaving = leaving.pop_all()
            self._leaving.callback(self._loop.wait, self._tunnel.stop)
        return self

    def _start_tunnel(self, keys: TunnelKeys) -> WireGuard:
        from certpin.lab.device.tunnel import tunnel

        made = tunnel(self.schedule, self.page)
        address = (self.address, self._tunnel_port)
        self._loop.wait(partial(made.start, keys.lab, keys.peer_public, address))
        return made

    def peer_configuration(self, reach: str) -> str | None:
        """Return the WireGuard configuration for the device; ``None`` if the lab has no tunnel.

        ``reach`` is the host name or address at which the device can reach the lab.
        """
        return self._keys.peer_configuration(reach, self._tunnel.port) if self._keys else None

    def __exit__(self, *exc_info: object) -> None:
        self._leaving.close()

    @property
    def roots(self) -> list[Certificate]:
        """The roots of the lab that a device must trust.

        They are R, the root of the honest servers, and R2, the root of the attacker. If the hosts
        have real servers, the list contains only R2.
        """
        rogue = self.authorities.rogue.certificate
        return [rogue] if self.real else [self.authorities.root.certificate, rogue]

    @property
    def address(self) -> str:
        """The IP address on which the lab listens."""
        return self._address[0]

    @property
    def port(self) -> int:
        """The TCP port on which the lab listens."""
        return self._gate.number

    def next(self, patience: float | None = None) -> tuple[str, Result] | None:
        """Wait for the next result of a case, and return its host and the result.

        Return None if there is no result within ``patience`` seconds. If ``patience`` is None, wait
        without a limit.

        Raises:
            LabError: the lab cannot continue.
        """
        try:
            news = self._news.get(timeout=patience)
        except Empty:
            return None
        if isinstance(news, LabError):
            raise news
        return news

    def progress(self) -> list[HostProgress]:
        """Return the progress of every host under test."""
        return self._loop.call(self._progress)

    @property
    def finished(self) -> bool:
        """True if all cases of every host are finished, and ``next`` has returned all results."""
        return self._loop.call(lambda: self.schedule.finished) and self._news.empty()

    def let_answer(self, patience: float = _LAST_ANSWER) -> None:
        """Wait until the app has received its last answers, for at most ``patience`` seconds.

        Call this before the lab stops. The lab has its last result as soon as the app has sent
        data, which is before the app gets an answer from the lab or the real server. If the lab
        stopped at once, this answer would be lost, and the app would wait for it in vain.
        """
        end = time.monotonic() + patience
        while self._loop.call(lambda: self.schedule.is_answering) and time.monotonic() < end:
            time.sleep(_POLL_INTERVAL)

    def stop(self) -> list[HostProgress]:
        """Stop the lab, and return the progress of every host.

        A refusal counts only if the app accepted the honest server afterwards. If it did not, the
        case of the refusal is undecided.
        """
        self._loop.call(self.schedule.stop)
        return self.progress()

    def _listen(self, limit: int) -> DevicePort:
        make = partial(DeviceConnection, self.schedule, self.page)
        return DevicePort(
            self._loop.asyncio, make, self._address, limit=limit, error=self._exhausted
        )

    def _queue_result(self, host: str, result: Result) -> None:
        self._news.put((host, result))

    def _exhausted(self, exc: OSError) -> None:
        problem = f"this system can take no more connections: {exc.strerror}"
        self._news.put(LabError(problem, fix="raise the limit of open files: ulimit -n 4096"))

    def _progress(self) -> list[HostProgress]:
        return [self._progress_of(host) for host in self.schedule.hosts]

    def _progress_of(self, host: str) -> HostProgress:
        queue = self.schedule.queues[host]
        turn, clear_text = queue.current, self.schedule.clear_text[host]
        return HostProgress(
            host,
            turn.case.name if turn else "",
            queue.next_case,
            queue.in_doubt,
            queue.controlled,
            queue.control,
            tuple(queue.results.values()),
            len(queue.cases),
            queue.finished,
            clear_text.requests,
            tuple(sorted(clear_text.credentials)),
            self.real,
        )


def _page(authorities: Authorities, schedule: Schedule, *, real: bool) -> Page:
    if real:  # the app already has its own roots and pins
        rogue = authorities.rogue
        return Page(b"", rogue.certificate.der, rogue.pem, "")
    r, r2 = (root.x509.public_bytes(Encoding.DER) for root in (authorities.root, authorities.rogue))
    return Page(r, r2, authorities.trusted_pem, pin_file(schedule.pkis.values()))


def _deaf(address: tuple[str, int], exc: OSError) -> LabError | ConfigError:
    host, port = address
    if exc.errno == errno.EADDRNOTAVAIL:
        return ConfigError(
            f"{host} is not an address of this machine",
            key="--listen",
            fix="name one that it has (`ip address` lists them)",
        )
    where = f"port {port}" if port else "a free port"
    fix = "choose another with --port, and an address of this machine with --listen"
    if not port:
        fix = "end programs that hold many ports, or name one with --port"
    return LabError(f"cannot listen on {where} of {host}: {exc.strerror}", fix=fix)


_RESERVED = 64  # descriptors for the program itself and its libraries
_MIN_CONNECTIONS = 32  # a lab with fewer connections is of no use
_MAX_CONNECTIONS = 4096


def max_connections() -> int:
    """Return how many open files the lab's connections can use.

    If needed and possible, this process's limit of open files is raised first. A part of the limit
    is reserved for other files of the lab.

    Raises:
        LabError: this system allows too few open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_CONNECTIONS + _RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < _RESERVED + _MIN_CONNECTIONS:
        needed = _RESERVED + _MIN_CONNECTIONS
        raise LabError(
            f"this system allows {soft} open files, and the lab needs {needed}",
            fix="raise the limit: ulimit -n 4096",
        )
    return (
        _MAX_CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else min(_MAX_CONNECTIONS, soft - _RESERVED)
    )


class DevicePort(Port):
    """The lab's listening port for devices.

    Args:
        loop: the event loop.
        make: a function that returns a new handler for one connection.
        address: the IP address and the port to listen on.
        limit: the number of file descriptors that connections can use. Further connections wait.
        error: a function that is called with the error if this system can't accept a connection,
            for example because no file descriptor is left.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], DeviceConnection],
        address: tuple[str, int],
        *,
        limit: int,
        error: Callable[[OSError], None],
    ) -> None:
        self._limit = limit
        self._on_error = error
        self._relays = 0
        super().__init__(loop, make, address)

    def _accept(self) -> None:
        while len(self._links) + 2 * self._relays < self._limit:
            if not self._accept_one():
                return
        self._loop.remove_reader(self._descriptor)

    def _breathe(self, exc: OSError) -> None:
        self._loop.remove_reader(self._descriptor)
        self._on_error(exc)

    def _ended(self, link: Link) -> None:
        self._links.discard(link)
        conversation: Any = link.conversation
        to = conversation.passing
        if to is None:
            conversation.ended()
        elif self._closed:
            link.hand_over().close()
        else:
            self._relay(link, to)
        self._listen_on()

    def _relay(self, link: Link, to: Destination) -> None:
        sock = link.hand_over()
        self._relays += 1
        task = relay(self._loop, sock, link.conversation, to, allow=_allowed(sock))
        task.add_done_callback(partial(self._relayed, link.conversation))

    def _relayed(self, conversation: Any, _: object) -> None:
        self._relays -= 1
        conversation.ended()
        self._listen_on()


def _allowed(client: socket.socket) -> Callable[[str], bool]:
    """Return a function that decides to which IP addresses the lab relays connections of a client.

    The function takes an address, and returns True if it is allowed. Only a client on this machine
    is allowed to reach local addresses, such as loopback and link-local ones.
    """
    try:
        here = parse_address(client.getpeername()[0]).is_loopback
    except (OSError, ValueError):
        here = False
    return lambda address: here or not is_local(address)
