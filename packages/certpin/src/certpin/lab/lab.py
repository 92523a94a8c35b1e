"""The lab: its folder, its authorities, its event loop, and the server of each case."""

from __future__ import annotations

import hashlib
import secrets
import ssl
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self

from certpin.lab.case import CannotServeError, Style
from certpin.lab.case_server import CaseServer, listening_address
from certpin.lab.client_env import write_client_files, write_pins
from certpin.lab.exports import Exports
from certpin.lab.loop import Loop
from certpin.lab.pki import Authorities, TestPKI, expiring, pins_of_case
from certpin.lab.scenario import fit
from certpin.lab.scratch import scratch
from certpin.lab.session.protocols import PROTOCOLS, suits
from certpin.lab.target import Target
from certpin.lab.transport.dns import Resolver, ResolverPort
from certpin.lab.upstream import UpstreamAuthorities, UpstreamPKI

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.case import Case
    from certpin.lab.upstream import Upstream
    from certpin.pins import PinSet

_LONGEST_NAME = 100  # characters of a host in the name of a file


class Lab:
    """A context manager: authorities, a folder for what clients are handed, and the loop.

    Everything is gone when it ends, but the keys of RSA: the next lab of this process has them too.
    Keys were only ever in memory; the one in the folder is the client's own.
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
        now: datetime | None = None,
    ) -> None:
        self.host = host
        self.second_host = second_host if second_host != host else f"second.{host}"
        self.style = style
        self.protocol = protocol
        self.upstream = upstream
        self.tls = tls
        self.client_certificates = client_certificates
        self._resolves = resolver
        self._resolver: ResolverPort | None = None
        self.authorities = Authorities(now or datetime.now(UTC))
        if upstream:
            if PROTOCOLS[protocol].starting:
                raise CannotServeError("a real server behind the lab must begin with TLS")
            self.authorities = UpstreamAuthorities(self.authorities.now, upstream)
        self.canary = f"canary-{secrets.token_hex(8)}"
        self.loop = Loop()
        self._pkis: dict[str, TestPKI] = {}
        self._exports: dict[Path, Exports] = {}
        self._lock = threading.Lock()  # cases are prepared in several threads
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        self.folder = self._leaving.enter_context(scratch())
        write_client_files(self.folder, self.authorities.trusted_pem)
        self.authorities.client.write(self.folder, "client")
        self._leaving.enter_context(self.loop)
        if self._resolves:
            self._resolver = self.loop.call(self._resolve)
            self._leaving.callback(self.loop.call, self._resolver.close)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaving.close()

    def _resolve(self) -> ResolverPort:
        return ResolverPort(self.loop.asyncio, Resolver(self._find))

    def _find(self, name: str) -> str | None:
        """Return the address of the lab for a host under test; None for any other name."""
        for pki in tuple(self._pkis.values()):
            if name in {pki.host, pki.second, pki.unpinned}:
                return listening_address(pki.host)
        return None

    def pki(self, host: str) -> TestPKI:
        """Return the test PKI of a host. It is created once, so that pins hold for a whole run."""
        with self._lock:
            if host not in self._pkis:
                pki = self._pki(host)
                if pki.pins and not self.upstream:
                    write_pins(self._pins_of(pki), pki.pins)
                pem = ssl.DER_cert_to_PEM_cert(pki.pinned_certificate.der)
                self._certificate_of(pki).write_text(pem, encoding="ascii")
                self._pkis[host] = pki
            return self._pkis[host]

    def _pki(self, host: str) -> TestPKI:
        if self.upstream:
            return UpstreamPKI(self.authorities, host, self.second_host, self.style, self.upstream)
        return TestPKI(self.authorities, host, self.second_host, self.style)

    def case_server(self, case: Case) -> CaseServer:
        """Prepare the server of a case. Raises ``CannotServeError``."""
        if not suits(self.protocol, case.protocol):
            raise CannotServeError(f"means nothing for a client that speaks {self.protocol}")
        pki = self.pki(case.host(self.host))
        certificates = self.client_certificates
        scenario = case.scenario(pki)
        if not scenario.second and not self.upstream:
            # Who calls both hosts meets the attack at the first, and an honest second one.
            scenario = replace(scenario, second=(pki.honest_second,))
        scenario = fit(scenario, tls=self.tls, client_certificates=certificates)
        return CaseServer(self, pki, case, scenario)

    def target(self, case: Case, pki: TestPKI, port: int, proxy: int) -> Target:
        """Return the target of this case on these ports."""
        pin, backup = _first_pins(pki, pki.host)
        second_pin, second_backup = _first_pins(pki, pki.second)
        return Target(
            case=case.name,
            host=pki.host,
            second_host=pki.second,
            port=port,
            proxy_port=proxy,
            canary=self.canary,
            folder=self.folder,
            accepted=(pin, backup, second_pin, second_backup),
            pins=self._pin_file(case, pki),
            pinned_pem=self._certificate_of(pki),
            pinned_sha256=pki.pinned_certificate.sha256.hex(":").upper(),
            address=listening_address(pki.host),
            elsewhere=pki.host != self.host,
            clock=case.clock,
            dns_port=self._resolver.number if self._resolver else 0,
            exports=self._exports_of(case, pki),
            compromised=str(case.compromised(pki).pin) if case.compromised else "",
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

    def _pins_of(self, pki: TestPKI) -> Path:
        return self.folder / f"pins-{_file_name(pki.host)}.toml"

    def _certificate_of(self, pki: TestPKI) -> Path:
        return self.folder / f"certificate-{_file_name(pki.host)}.pem"

    @property
    def _given(self) -> Path | None:
        return self.upstream.pin_file if self.upstream else None

    def _pinned(self, case: Case, pki: TestPKI) -> PinSet | None:
        """Return the pins of a case. If its clock moves, it passes their expiry only."""
        pins = pins_of_case(case, pki)
        if not case.clock or self._given or not pins:
            return pins
        return expiring(pins, self.authorities.now + case.clock / 2)

    def _exports_of(self, case: Case, pki: TestPKI) -> Exports:
        """Return one object for each pin set, which writes each file once."""
        pins = self._pinned(case, pki)
        moved = "" if pins is pki.pins else f"-{case.name}"
        folder = self.folder / f"exports-{_file_name(pki.host)}{moved}"
        with self._lock:
            return self._exports.setdefault(folder, Exports(folder, pins, pki))


def _first_pins(pki: TestPKI, host: str) -> tuple[str, str]:
    """Return the first two pins of a host; empty strings if there are fewer."""
    policy = pki.pins.policy_for(host) if pki.pins else None
    pinned = [str(entry.pin) for entry in policy.pins] if policy else []
    pin, backup, *_ = (*pinned, "", "")
    return pin, backup


def _file_name(host: str) -> str:
    """Return a file name for a host. A host may have 253 characters, a file name 255 bytes."""
    name = host.replace(":", "_")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
