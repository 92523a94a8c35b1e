"""The lab itself: its folder, its authorities, its loop, and the ports of each play."""

from __future__ import annotations

import secrets
import tempfile
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from certpin.lab.case import CannotServeError, Style
from certpin.lab.cast import Authorities, Cast
from certpin.lab.loop import Loop
from certpin.lab.play import Play
from certpin.lab.session.application import Where
from certpin.lab.surroundings import furnish
from certpin.lab.target import Target, bracketed
from certpin.lab.transport.conversation import Direct, Proxied
from certpin.lab.transport.port import Port

if TYPE_CHECKING:
    from certpin.lab.case import Case
    from certpin.lab.evidence import Connection
    from certpin.lab.script import Script


class Stage:
    """One case on its ports. A client that follows ``target`` meets it."""

    def __init__(self, lab: Lab, cast: Cast, case: Case, script: Script) -> None:
        self.case = case
        self.script = script
        self._lab = lab
        self._where = Where(f"lab-answer-{secrets.token_hex(8)}")
        self._play = Play(script, self._where, (cast.host, cast.second), lab.protocol)
        self._cast = cast

    def open(self) -> Target:
        """Listen. Raises ``OSError`` where there is no port left."""
        self._ports = self._lab.loop.call(self._listen)
        port, proxy = self._ports
        return self._lab.target(self.case.name, self._cast, port.number, proxy.number)

    @property
    def token(self) -> str:
        """What every answer holds."""
        return self._where.token

    def _listen(self) -> tuple[Port, Port]:
        loop = self._lab.loop.asyncio
        address = "::1" if ":" in self._cast.host else "127.0.0.1"
        port = Port(loop, partial(Direct, self._play), (address, 0))
        try:
            proxy = Port(loop, partial(Proxied, self._play))
        except OSError:
            port.close()
            raise
        host, second = bracketed(self._cast.host), bracketed(self._cast.second)
        self._where.same = "/again"
        self._where.second = f"https://{second}/"
        self._where.plain = f"http://{host}/"
        return port, proxy

    def close(self) -> tuple[Connection, ...]:
        """Stop listening; what was seen. Raises ``CannotServeError`` for what it could not do."""
        self._lab.loop.call(self._shut)
        if self._play.trouble:
            raise self._play.trouble
        return tuple(self._play.connections)

    def _shut(self) -> None:
        for port in self._ports:
            port.close()


class Lab:
    """A context manager: authorities, a folder for what clients are handed, and the loop.

    Everything is gone when it ends, keys first: they were only ever in memory.
    """

    def __init__(
        self,
        host: str = "api.bank.example",
        style: Style = Style.LEAF,
        *,
        second_host: str = "cdn.bank.example",
        protocol: str = "http",
        now: datetime | None = None,
    ) -> None:
        self.host = host
        self.second_host = second_host
        self.style = style
        self.protocol = protocol
        self.authorities = Authorities(now or datetime.now(UTC))
        self.canary = f"canary-{secrets.token_hex(8)}"
        self.loop = Loop()
        self._casts: dict[str, Cast] = {}
        self._lock = threading.Lock()  # cases are prepared in several threads
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        folder = tempfile.TemporaryDirectory(prefix="certpin-lab-")
        self.folder = Path(self._leaving.enter_context(folder))
        self._leaving.enter_context(self.loop)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaving.close()

    def cast(self, host: str) -> Cast:
        """Who plays for a host; the same each time, so that pins hold for a whole run."""
        with self._lock:
            if host not in self._casts:
                cast = Cast(self.authorities, host, self.second_host, self.style)
                folder = self._folder_of(cast)
                folder.mkdir()
                furnish(folder, self.authorities.trusted_pem, cast.pins)
                self._casts[host] = cast
            return self._casts[host]

    def stage(self, case: Case) -> Stage:
        """Prepare a case. Raises ``CannotServeError``."""
        if case.protocol and case.protocol != self.protocol:
            raise CannotServeError(f"means nothing for a client that speaks {self.protocol}")
        cast = self.cast(case.host(self.host))
        return Stage(self, cast, case, case.play(cast))

    def target(self, case: str, cast: Cast, port: int, proxy: int) -> Target:
        """What a client of this case is told."""
        policy = cast.pins.policies[0]
        pin, backup = (str(entry.pin) for entry in policy.pins)
        return Target(
            case=case,
            host=cast.host,
            second_host=cast.second,
            port=port,
            proxy_port=proxy,
            canary=self.canary,
            folder=self._folder_of(cast),
            pin=pin,
            backup=backup,
        )

    def _folder_of(self, cast: Cast) -> Path:
        return self.folder / cast.host.replace(":", "_")
