"""A run of the lab for a client on this machine: folder, authorities, event loop, case servers."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import secrets
import shutil
import ssl
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from certpin.lab.case import CannotServeError, LabError, pins_of_case
from certpin.lab.client import write_client_files, write_pins
from certpin.lab.own.chain import OwnPKI
from certpin.lab.pki import Authorities, Style, TestPKI, expiring
from certpin.lab.scenario import OTHER_PORT, STALL_SECONDS, AnswerContext, fit
from certpin.lab.server.conversation import Proxied, RefusedHost, RefusedTunnel
from certpin.lab.server.crl import RevocationLists
from certpin.lab.server.dns import LabResolver, ResolverPort
from certpin.lab.server.port import Loop, Port, WaitingLoop
from certpin.lab.server.protocols import PROTOCOLS, suits
from certpin.lab.server.relay import UPSTREAM
from certpin.lab.server.session import CaseRun, Destination, Session
from certpin.lab.server.tls_proxy import TlsProxied
from certpin.lab.target import Exports, Target
from certpin.lab.upstream import UpstreamAuthorities, UpstreamPKI
from certpin.lab.verdict import KEPT, LONGEST_HOST, OtherHost, ProxyHead
from certpin.support.files import try_lock, wait_for_lock

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from certpin.lab.case import Case, OwnChain
    from certpin.lab.scenario import RevocationList, Scenario
    from certpin.lab.server.quic import QuicPort
    from certpin.lab.upstream import Upstream
    from certpin.lab.verdict import Connection
    from certpin.pins import PinSet


_LONGEST_NAME = 100  # characters of a host in a file name
_MAX_OTHERS = 100  # other hosts of an attempt that are recorded: a client can't fill the memory


class Lab:
    """A run of the lab as a context manager: its authorities, event loop, and folder for clients.

    At exit, all files are removed. The lab writes no private key to a file, except for that of the
    client certificate. RSA keys stay in memory, and later labs of this process use them again.

    Args:
        host: the host under test.
        style: how the client is pinned: by no keys, by keys of the server, or by keys of
            authorities.
        second_host: a second pinned host, for cases that need one.
        protocol: the protocol that the client speaks, such as ``http``.
        upstream: the real server to which the lab relays honest connections; ``None`` if the lab is
            also the honest server.
        tls: the only TLS version of the lab's servers; empty for 1.2 and 1.3.
        client_certificates: True if honest servers require a client certificate.
        resolver: True if the lab also answers DNS queries for its hosts.
        stall: the time in seconds for which a server delays the TLS handshake, in cases about
            delays.
        now: the time for which certificates are issued; by default the current time.

    Raises:
        CannotServeError: there is a real server, and the protocol begins in clear text.
    """

    def __init__(  # noqa: PLR0913  # keywords, each of which is a setting of a run
        self,
        host: str = "api.bank.example",
        style: Style = Style.LEAF,
        *,
        second_host: str = "cdn.bank.example",
        protocol: str = "http",
        upstream: Upstream | None = None,
        tls: Literal["", "1.2", "1.3"] = "",
        client_certificates: bool = False,
        resolver: bool = False,
        stall: float = STALL_SECONDS,
        now: datetime | None = None,
    ) -> None:
        self.host = host
        self.second_host = second_host if second_host != host else f"second.{host}"
        self.style = style
        self.protocol = protocol
        self.upstream = upstream
        self.tls = tls
        self.client_certificates = client_certificates
        self.stall = stall
        self._resolves = resolver
        self._resolver: ResolverPort | None = None
        self.authorities = Authorities(now or datetime.now(UTC))
        if upstream:
            if PROTOCOLS[protocol].starting:
                raise CannotServeError("a real server behind the lab must begin with TLS")
            self.authorities = UpstreamAuthorities(self.authorities.now, upstream)
        self.canary = f"canary-{secrets.token_hex(8)}"
        self._lists: RevocationLists | None = None  # until a case needs one
        self._pkis: dict[tuple[str, OwnChain | None], TestPKI] = {}
        self._folders: dict[TestPKI, Path] = {}  # of the user's own chains
        self._numbers = count()
        self._exports: dict[Path, Exports] = {}
        self._lock = threading.Lock()  # cases are prepared in several threads
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        self.folder = self._leaving.enter_context(scratch())
        self._write_client_files(self.folder, self.authorities.trusted_pem)
        self.loop = self._leaving.enter_context(Loop())
        self.authorities.add_list = self._add_list
        if self._resolves:
            self._resolver = self.loop.call(self._resolve)
            self._leaving.callback(self.loop.call, self._resolver.close)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaving.close()

    def _write_client_files(self, folder: Path, trusted_pem: bytes) -> None:
        write_client_files(folder, trusted_pem)
        self.authorities.client.write(folder, "client")

    def _add_list(self) -> RevocationList:
        """Return a new, empty list of revoked certificates, which the lab serves to clients.

        The first call opens the port that serves all lists.
        """
        with self._lock:
            if self._lists is None:
                self._lists = RevocationLists(self.loop)
                self._leaving.callback(self._lists.close)
        return self._lists.add()

    @property
    def list_addresses(self) -> set[tuple[str, int]]:
        """The IP address and port of the lists of revoked certificates; empty if there are none.

        The lab's proxy relays connections to this address, because clients fetch the lists there.
        """
        return {self._lists.address} if self._lists else set()

    def _resolve(self) -> ResolverPort:
        return ResolverPort(self.loop.asyncio, LabResolver(self._find))

    def _find(self, name: str) -> str | None:
        """Return the IP address with which the lab's DNS server answers a query for ``name``.

        This is the lab's own address if ``name`` is a host of its cases; None for other names.
        """
        for pki in tuple(self._pkis.values()):
            if name in {pki.host, pki.second, pki.unpinned}:
                return listening_address(pki.host)
        return None

    def pki(self, host: str, own: OwnChain | None = None) -> TestPKI:
        """Return the test PKI (keys and certificates) of a host.

        A host has the same PKI during a whole run, so that the client's pins match in all cases.

        Args:
            host: the host.
            own: a chain that the user supplies, with its key and anchors; None for the lab's own
                certificates. Each of the user's chains has a separate PKI.
        """
        with self._lock:
            if (host, own) not in self._pkis:
                pki = self._pki(host, own)
                if own:
                    self._folders[pki] = folder = self.folder / f"own-{next(self._numbers)}"
                    folder.mkdir()
                    trusted = "".join(map(ssl.DER_cert_to_PEM_cert, own.anchors))
                    self._write_client_files(folder, trusted.encode())
                if pki.pins and not self.upstream:
                    write_pins(self._pins_of(pki), pki.pins)
                pem = ssl.DER_cert_to_PEM_cert(pki.pinned_certificate.der)
                self._certificate_of(pki).write_text(pem, encoding="ascii")
                self._pkis[host, own] = pki
            return self._pkis[host, own]

    def forget(self, case: Case) -> None:
        """Delete the files of a case with a chain of the user, to limit disk space in long runs.

        Cases without such a chain are ignored.
        """
        with self._lock:
            pki = self._pkis.pop((case.host(self.host), case.own), None) if case.own else None
            folder = self._folders.pop(pki, None) if pki else None
            if folder:
                self._exports = {
                    path: kept for path, kept in self._exports.items() if folder not in path.parents
                }
                shutil.rmtree(folder)

    def _pki(self, host: str, own: OwnChain | None) -> TestPKI:
        if own:
            if self.upstream:
                raise CannotServeError("a chain of your own replaces the real server")
            second = self.second_host if self.second_host != own.host else self.host
            return OwnPKI(self.authorities, own, second, self.style)
        if self.upstream:
            return UpstreamPKI(self.authorities, host, self.second_host, self.style, self.upstream)
        return TestPKI(self.authorities, host, self.second_host, self.style)

    def case_server(self, case: Case) -> CaseServer:
        """Return a server that plays a case. It does not listen yet.

        Raises:
            CannotServeError: the case can't be served to this client.
        """
        if not suits(self.protocol, case.protocol):
            raise CannotServeError(f"does not apply to a client that speaks {self.protocol}")
        pki = self.pki(case.host(self.host), case.own)
        certificates = self.client_certificates
        scenario = case.scenario(pki)
        if not scenario.second and not self.upstream:
            # A client that calls both hosts meets the attack at the first; the second is honest.
            scenario = replace(scenario, second=(pki.honest_second,))
        scenario = fit(scenario, tls=self.tls, client_certificates=certificates)
        return CaseServer(self, pki, case, scenario)

    def target(self, case: Case, pki: TestPKI, port: int, proxy: int) -> Target:
        """Return the target of a case: the addresses, files and pins that the client gets.

        Args:
            case: the case.
            pki: the keys and certificates of the case.
            port: the lab's port for direct connections.
            proxy: the port of the lab's proxy.
        """
        pin, backup = _first_pins(pki, pki.host)
        second_pin, second_backup = _first_pins(pki, pki.second)
        return Target(
            case=case.name,
            host=case.spelling(pki.host),
            second_host=pki.second,
            port=port,
            proxy_port=proxy,
            canary=self.canary,
            folder=self._client_files(case, pki),
            accepted=(pin, backup, second_pin, second_backup),
            pins=self._pin_file(case, pki),
            pinned_pem=self._certificate_of(pki),
            pinned_sha256=pki.pinned_certificate.sha256.hex(":").upper(),
            address=listening_address(pki.host),
            elsewhere=case.spelling(pki.host) != self.host,
            clock=case.clock,
            time=case.own.time if case.own else None,
            dns_port=self._resolver.number if self._resolver else 0,
            exports=self._exports_of(case, pki),
            compromised=str(case.compromised(pki).pin) if case.compromised else "",
            requires_ct=case.requires_ct,
        )

    def _pin_file(self, case: Case, pki: TestPKI) -> Path:
        pins = self._pinned(case, pki)
        path = self._given or self._pins_of(pki)
        if pins is None or pins is pki.pins:
            return path
        path = path.with_stem(f"{path.stem}-{case.name}")
        with self._lock:
            if not path.exists():
                write_pins(path, pins)
        return path

    def _client_files(self, case: Case, pki: TestPKI) -> Path:
        """Return the folder with the files that the client gets in a case.

        The files are the roots that the client trusts, and its client certificate with the key.
        ``pki`` has the keys and certificates of the case.
        """
        if not case.anchors:
            return self._folder_of(pki)
        folder = self.folder / f"trust-{case.name}"
        with self._lock:
            if not folder.exists():
                folder.mkdir()
                added = b"".join(authority.pem for authority in case.anchors(pki))
                self._write_client_files(folder, added + self.authorities.trusted_pem)
        return folder

    def _folder_of(self, pki: TestPKI) -> Path:
        return self._folders.get(pki, self.folder)

    def _pins_of(self, pki: TestPKI) -> Path:
        return self._folder_of(pki) / f"pins-{_file_name(pki.host)}.toml"

    def _certificate_of(self, pki: TestPKI) -> Path:
        return self._folder_of(pki) / f"certificate-{_file_name(pki.host)}.pem"

    @property
    def _given(self) -> Path | None:
        return self.upstream.pin_file if self.upstream else None

    def _pinned(self, case: Case, pki: TestPKI) -> PinSet | None:
        """Return the pins that the client gets in a case; None if the lab knows no pins for it.

        If the case moves the client's clock forward, the pins expire before the new time of this
        clock, so that the case tests a client with expired pins. Pins from the user's pin file are
        not changed. ``pki`` has the keys and certificates of the case.
        """
        pins = pins_of_case(case, pki)
        if not case.clock or self._given or not pins:
            return pins
        return expiring(pins, self.authorities.now + case.clock / 2)

    def _exports_of(self, case: Case, pki: TestPKI) -> Exports:
        """Return the client's pins for a case as files in export formats.

        Cases with equal pins share these files. ``pki`` has the keys and certificates of the case.
        """
        pins = self._pinned(case, pki)
        moved = "" if pins is pki.pins else f"-{case.name}"
        folder = self._folder_of(pki) / f"exports-{_file_name(pki.host)}{moved}"
        with self._lock:
            return self._exports.setdefault(folder, Exports(folder, pins, pki))


def _first_pins(pki: TestPKI, host: str) -> tuple[str, str]:
    """Return the first and the second pin of a host; empty strings for missing ones.

    ``pki`` has the client's pins for the case.
    """
    policy = pki.pins.policy_for(host) if pki.pins else None
    pinned = [str(entry.pin) for entry in policy.pins] if policy else []
    pin, backup, *_ = (*pinned, "", "")
    return pin, backup


def _file_name(host: str) -> str:
    """Return a file name for a host. A long name is cut, and ends in a hash of the host.

    A host can have 253 characters, and a file name only 255 bytes.
    """
    name = host.replace(":", "_")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


# The errors of a machine without IPv6: no address family, or no address ::1.
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


class CaseServer:
    """The servers that the lab plays in one case: the honest server and attackers.

    They listen from ``open`` to ``close``.
    """

    def __init__(self, lab: Lab, pki: TestPKI, case: Case, scenario: Scenario) -> None:
        self.case = case
        self.scenario = scenario
        self._lab = lab
        self._answer_context = AnswerContext(f"lab-answer-{secrets.token_hex(8)}")
        self.hosts = (pki.host, pki.second, pki.unpinned)
        clients = lab.authorities.client.chain_pem.decode()
        self._case_run = CaseRun(
            scenario, self._answer_context, self.hosts, lab.protocol, clients, lab.stall
        )
        if lab.upstream:
            self._case_run.upstream = Destination(UPSTREAM, *lab.upstream.address)
        self._pki = pki
        self._loop: Loop | WaitingLoop = lab.loop
        self._requests: list[ProxyHead] = []
        self._others: dict[OtherHost, None] = {}  # without repetitions, in order

    def open(self, *, waiting: bool = False) -> Target:
        """Begin to listen, and return the client's ``Target``: addresses, files and pins.

        Args:
            waiting: True if the caller will call ``wait_for``, which then serves the case in the
                caller's thread. By default, the lab's thread serves it.

        Raises:
            LabError: no port is left.
            CannotServeError: the machine has no IPv6, and the case needs it.
        """
        try:
            if waiting:
                self._loop = WaitingLoop()
            self._ports = self._loop.call(self._listen)
        except (OSError, CannotServeError) as exc:
            self._leave()
            if isinstance(exc, CannotServeError):
                raise
            raise LabError(
                f"the lab cannot listen: {exc.strerror}",
                fix="let it run fewer at once (--jobs 1), or raise the limit: ulimit -n 4096",
            ) from exc
        port, proxy, *_ = self._ports
        target = self._lab.target(self.case, self._pki, port.number, proxy.number)
        configs = self._lab.authorities.ech_configs if self.scenario.ech else b""
        return replace(
            target,
            only_by_proxy=self.scenario.needs_proxy,
            tls_proxy=self.scenario.tls_proxy is not None,
            ech=base64.b64encode(configs).decode(),
        )

    def wait_for(self, descriptor: int | None, seconds: float) -> bool:
        """Serve the case in this thread until a file descriptor is readable.

        Call this only after ``open(waiting=True)``, which starts no thread that serves.

        Args:
            descriptor: the descriptor, such as a pidfd, which is readable when the client has
                ended; None to serve for the whole time.
            seconds: the longest time to serve.

        Returns:
            True if the descriptor became readable; False if the time is over.
        """
        assert isinstance(self._loop, WaitingLoop)  # noqa: S101  # the caller opened it
        return self._loop.wait_for(descriptor, seconds)

    @property
    def needs_thread(self) -> bool:
        """True if the lab's event loop has to run in a separate thread during this case.

        QUIC needs a loop that always runs. If the lab relays connections to a real server, this
        server's data may arrive after the client has ended and ``wait_for`` has returned.
        """
        return self.scenario.http3 is not None or self._lab.upstream is not None

    @property
    def token(self) -> str:
        """The random text in every answer of the lab. A client that prints it read the answer."""
        return self._answer_context.token

    @property
    def pins(self) -> PinSet | None:
        """The pins that the client checks in this case; ``None`` for a client without pins.

        The value is also ``None`` if the lab doesn't know the pins.
        """
        return None if self._lab.style is Style.NONE else pins_of_case(self.case, self._pki)

    def _listen(self) -> list[Port | QuicPort]:
        """Open the ports of the case, and return them.

        They are the port for direct clients, the port of the proxy, and any further port that the
        case needs.

        Raises:
            OSError: a port can't be opened. Ports that were already opened are closed.
        """
        loop, address = self._loop.asyncio, listening_address(self._pki.host)
        with ExitStack() as opened:
            ports = self._direct(partial(_port, loop, self._case_run, address), address)
            for port in ports:
                opened.callback(port.close)
            ports.insert(1, Port(loop, self._proxy))
            opened.callback(ports[1].close)
            if self.scenario.other_port:
                ports.append(_port(loop, self._case_run, address, OTHER_PORT))
            opened.pop_all()
        self._answer_context.set_hosts(self.hosts)
        self._case_run.direct = AnswerContext(self.token)
        self._case_run.direct.set_hosts(self.hosts, ports[0].number, ports[-1].number)
        for answers in (self._answer_context, self._case_run.direct):
            answers.http3_port = ports[0].number
        return ports

    def _direct(self, make: Callable[[], Port], address: str) -> list[Port | QuicPort]:
        """Open the port or ports for direct clients, and return them in a list.

        The function ``make`` opens the TCP port. If the case needs HTTP/3, a UDP port with the same
        number is opened too, on the IP address ``address``.
        """
        if not self.scenario.http3:
            return [make()]
        from certpin.lab.server.quic import open_with_http3

        return [*open_with_http3(make, self._loop.asyncio, self._case_run, address)]

    def _proxy(self) -> Proxied | TlsProxied:
        """Return the protocol state machine that serves a new connection to the lab's proxy.

        In scenarios with a proxy that speaks TLS it is ``TlsProxied``, and otherwise ``Proxied``.
        """
        if self.scenario.tls_proxy:
            return TlsProxied(self._case_run, self.scenario.tls_proxy, self._serve)
        return Proxied(self._serve, partial(self._note, "the proxy"))

    def _serve(
        self, reached: Destination, head: bytes
    ) -> Session | RefusedTunnel | RefusedHost | None:
        """Return the session that serves a host for a client of the lab's proxy.

        The result is ``RefusedTunnel`` if the proxy itself answers in this case. A host that is not
        under test is recorded, and ``RefusedHost`` refuses it. The result is ``None`` if the
        connection must be relayed: to the lab's own ports, and, if the host under test has a real
        server, to every host, because a released app may need others.

        Args:
            reached: the host and port that the client requested from the proxy.
            head: the head of the client's HTTP request to the proxy.
        """
        self._note(reached.host if reached.plain else "the proxy", head)
        if not self._case_run.tests(reached.host):
            return self._serve_other(reached)
        if self.scenario.proxy_status and reached.via == "connect" and not reached.plain:
            return RefusedTunnel(self._case_run, reached, head)
        return Session(self._case_run, via=reached.via, target=reached.host, port=reached.port)

    def _serve_other(self, reached: Destination) -> RefusedHost | None:
        direct, _, *further = self._ports
        own = {(listening_address(self._pki.host), port.number) for port in (direct, *further)}
        if (reached.host, reached.port) in own | self._lab.list_addresses:
            return None
        relayed = self._lab.upstream is not None
        if len(self._others) < _MAX_OTHERS:
            host = reached.host[:LONGEST_HOST]
            self._others[OtherHost(host, reached.port, relayed)] = None
        return None if relayed else RefusedHost(reached)

    def _note(self, receiver: str, head: bytes) -> None:
        """Record the head of a request to the proxy. At most ``KEPT`` bytes are recorded in total.

        ``head`` is the request line with the headers. ``receiver`` is the reader of the request:
        the proxy, or a host for plain HTTP.
        """
        left = KEPT - sum(len(request.head) for request in self._requests)
        if head and left > 0:
            self._requests.append(ProxyHead(receiver, head[:left]))

    @property
    def requests(self) -> tuple[ProxyHead, ...]:
        """The client's HTTP requests to the proxy.

        They are visible in clear text, because they come before TLS with the server.
        """
        return tuple(self._requests)

    @property
    def others(self) -> tuple[OtherHost, ...]:
        """The hosts that the client requested from the proxy, and that are not under test.

        Each is listed once. At most 100 are recorded.
        """
        return tuple(self._others)

    def close(self) -> tuple[Connection, ...]:
        """Stop listening, and return the evidence of every connection.

        Raises:
            CannotServeError: a connection could not be served as the case requires. The error is
                not raised if data of the client reached an attacker, because the evidence then
                shows a finding anyway.
        """
        try:
            self._loop.call(self._shut)
        finally:
            self._leave()
        leaked = any(
            connection.exposed and connection.said for connection in self._case_run.connections
        )
        if self._case_run.error and not leaked:
            raise self._case_run.error
        return tuple(self._case_run.connections)

    def _leave(self) -> None:
        if isinstance(self._loop, WaitingLoop):
            self._loop.close()

    def _shut(self) -> None:
        for port in self._ports:
            port.close()


def listening_address(host: str) -> str:
    """Return the loopback address on which the lab listens for a host.

    It is ``::1`` if the host is this address, and 127.0.0.1 otherwise.
    """
    return "::1" if host == "::1" else "127.0.0.1"


def _port(
    loop: asyncio.AbstractEventLoop, case_run: CaseRun, address: str, requested: int = 0
) -> Port:
    try:
        return Port(loop, partial(Session, case_run, port=requested), (address, 0))
    except OSError as exc:
        if ":" in address and exc.errno in _NO_IPV6:
            raise CannotServeError(
                "this machine has no IPv6", fix="switch it on for the loopback interface: ::1"
            ) from exc
        raise


_PREFIX = "certpin-lab-"
_LOCK = "running.lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """Context manager: yield a temporary folder that is removed at exit.

    The folder contains a file that this process keeps locked. The lock shows to
    ``remove_leftovers`` that the folder is still in use.
    """
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    begun = Path(folder.name, "begun.lock")
    with begun.open("wb") as lock, folder as name:  # the lock outlives the folder
        wait_for_lock(lock.fileno())
        begun.rename(begun.with_name(_LOCK))  # a file with this name is always locked first
        yield Path(name)


def remove_leftovers() -> list[Path]:
    """Remove temporary folders that killed runs of this user left behind; return their paths.

    Each run locks a file in its folder, and the kernel releases the lock when the process ends. So
    a folder without a locked file is a leftover.
    """
    folders = sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))
    return [folder for folder in folders if _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return False
        with open(folder / _LOCK, "rb", opener=_unfollowed) as lock:
            if not try_lock(lock.fileno()):
                return False  # it is still running
            shutil.rmtree(folder)
    except OSError:  # it belongs to another user, or another run is removing it
        return False
    return True


def _unfollowed(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
