"""The lab itself: its folder, its authorities, its loop, and the ports of each play."""

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
from certpin.lab.cast import Authorities, Cast, expiring, pins_of_case
from certpin.lab.exports import Exports
from certpin.lab.fitting import fit
from certpin.lab.loop import Loop
from certpin.lab.scratch import scratch
from certpin.lab.session.protocols import PROTOCOLS, suits
from certpin.lab.stage import Stage, listening_address
from certpin.lab.surroundings import furnish, write_pins
from certpin.lab.target import Target
from certpin.lab.transport.dns import Resolver, ResolverPort
from certpin.lab.upstream import UpstreamAuthorities, UpstreamCast

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
        self._casts: dict[str, Cast] = {}
        self._exports: dict[Path, Exports] = {}
        self._lock = threading.Lock()  # cases are prepared in several threads
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        self.folder = self._leaving.enter_context(scratch())
        furnish(self.folder, self.authorities.trusted_pem)
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
        """Where the lab answers for a name; nowhere, if it is not under test."""
        for cast in tuple(self._casts.values()):
            if name in {cast.host, cast.second, cast.unpinned}:
                return listening_address(cast.host)
        return None

    def cast(self, host: str) -> Cast:
        """Who plays for a host; the same each time, so that pins hold for a whole run."""
        with self._lock:
            if host not in self._casts:
                cast = self._cast(host)
                if cast.pins and not self.upstream:
                    write_pins(self._pins_of(cast), cast.pins)
                pem = ssl.DER_cert_to_PEM_cert(cast.pinned_certificate.der)
                self._certificate_of(cast).write_text(pem, encoding="ascii")
                self._casts[host] = cast
            return self._casts[host]

    def _cast(self, host: str) -> Cast:
        if self.upstream:
            return UpstreamCast(self.authorities, host, self.second_host, self.style, self.upstream)
        return Cast(self.authorities, host, self.second_host, self.style)

    def stage(self, case: Case) -> Stage:
        """Prepare a case. Raises ``CannotServeError``."""
        if not suits(self.protocol, case.protocol):
            raise CannotServeError(f"means nothing for a client that speaks {self.protocol}")
        cast = self.cast(case.host(self.host))
        certificates = self.client_certificates
        script = case.play(cast)
        if not script.second and not self.upstream:
            # Who calls both hosts meets the attack at the first, and an honest second one.
            script = replace(script, second=(cast.honest_second,))
        script = fit(script, tls=self.tls, client_certificates=certificates)
        return Stage(self, cast, case, script)

    def target(self, case: Case, cast: Cast, port: int, proxy: int) -> Target:
        """The target of this case on these ports."""
        pin, backup = _first_pins(cast, cast.host)
        second_pin, second_backup = _first_pins(cast, cast.second)
        return Target(
            case=case.name,
            host=cast.host,
            second_host=cast.second,
            port=port,
            proxy_port=proxy,
            canary=self.canary,
            folder=self.folder,
            accepted=(pin, backup, second_pin, second_backup),
            pins=self._pin_file(case, cast),
            pinned_pem=self._certificate_of(cast),
            pinned_sha256=cast.pinned_certificate.sha256.hex(":").upper(),
            address=listening_address(cast.host),
            elsewhere=cast.host != self.host,
            clock=case.clock,
            dns_port=self._resolver.number if self._resolver else 0,
            exports=self._exports_of(case, cast),
            compromised=str(case.compromised(cast).pin) if case.compromised else "",
        )

    def _pin_file(self, case: Case, cast: Cast) -> Path:
        pins = self._pinned(case, cast)
        path = self._given or self._pins_of(cast)
        if pins is None or pins is cast.pins:
            return path
        path = path.with_stem(f"{path.stem}-{case.name}")
        with self._lock:
            if not path.exists():
                write_pins(path, pins)
        return path

    def _pins_of(self, cast: Cast) -> Path:
        return self.folder / f"pins-{_file_name(cast.host)}.toml"

    def _certificate_of(self, cast: Cast) -> Path:
        return self.folder / f"certificate-{_file_name(cast.host)}.pem"

    @property
    def _given(self) -> Path | None:
        return self.upstream.pin_file if self.upstream else None

    def _pinned(self, case: Case, cast: Cast) -> PinSet | None:
        """Return the pins of a case. If its clock moves, it passes their expiry only."""
        pins = pins_of_case(case, cast)
        if not case.clock or self._given or not pins:
            return pins
        return expiring(pins, self.authorities.now + case.clock / 2)

    def _exports_of(self, case: Case, cast: Cast) -> Exports:
        """The same object for the same pins: it writes each file once."""
        pins = self._pinned(case, cast)
        moved = "" if pins is cast.pins else f"-{case.name}"
        folder = self.folder / f"exports-{_file_name(cast.host)}{moved}"
        with self._lock:
            return self._exports.setdefault(folder, Exports(folder, pins, cast))


def _first_pins(cast: Cast, host: str) -> tuple[str, str]:
    """The first two pins of a host; empty if there are fewer."""
    policy = cast.pins.policy_for(host) if cast.pins else None
    pinned = [str(entry.pin) for entry in policy.pins] if policy else []
    pin, backup, *_ = (*pinned, "", "")
    return pin, backup


def _file_name(host: str) -> str:
    """A name for files of a host. A host may have 253 characters, a file's name 255."""
    name = host.replace(":", "_")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
