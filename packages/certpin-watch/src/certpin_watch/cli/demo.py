"""The end of ``certpin demo``: the watch, with what the demonstration's own clients met in it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from certpin.cli.screen import fold
from certpin.clients.stdlib import opener
from certpin.errors import PinError
from certpin.lab import LabServer
from certpin.pinfile import PinSet
from certpin.reports import Reporter
from certpin.tls import PinnedSSLContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority, Identity
    from certpin_watch.settings import ServiceSettings

HOST = "localhost"

# Apps that meet the attacker: version, and network.
_APPS = (("2.1.0", "wifi"), ("2.1.0", "cellular"), ("2.0.3", "wifi"))
_PINS = """\
schema = 1
name = "demo"
version = 1

[[host]]
name = "{host}"
trust = "roots.pem"

[[host.pin]]
pin = "{server}"
role = "leaf"
note = "the bank's server"

[[host.pin]]
pin = "{backup}"
role = "backup"
state = "published"
note = "kept off the server"
"""


def monitor_the_demonstration(
    server: Identity, backup: Identity, attacker: Identity, *roots: Authority
) -> None:
    """Monitor a bank with two servers, of which one is the attacker's, until Ctrl-C."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="certpin-demo-")))
        good, bad = (stack.enter_context(LabServer(each)) for each in (server, attacker))
        text = _PINS.format(host=HOST, server=server.pin, backup=backup.pin)
        (folder / "pins.toml").write_text(text, encoding="utf-8")
        (folder / "roots.pem").write_bytes(b"".join(each.pem for each in roots))
        settings = _settings(folder, (good.port, bad.port))
        apps = stack.enter_context(_apps(folder, settings))
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(settings, apps, bad.port))


def _settings(folder: Path, ports: tuple[int, ...]) -> ServiceSettings:
    from certpin_watch.alerts.settings import Settings as Alerts
    from certpin_watch.monitor.settings import HostSettings
    from certpin_watch.monitor.settings import Settings as Monitor
    from certpin_watch.secret import Secret
    from certpin_watch.settings import ServiceSettings

    edges = tuple(HostSettings(HOST, connect=("127.0.0.1", port)) for port in ports)
    often = timedelta(seconds=10)
    return ServiceSettings(
        folder=folder,
        listen=("127.0.0.1", _free_port()),
        pins=(folder / "pins.toml",),
        store=Secret("sqlite:///watch.db"),
        monitor=Monitor(interval=often, confirm=timedelta(seconds=1), hosts=edges),
        alerts=Alerts(every=timedelta(seconds=2)),
    )


async def _serve(settings: ServiceSettings, apps: list[PinnedSSLContext], attacker: int) -> None:
    from certpin_watch.cli.opening import open_watch
    from certpin_watch.service import make_ready, serve

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    found = open_watch(settings)
    meeting: list[asyncio.Future[None]] = []

    def listening() -> None:
        _tell(settings)
        meeting.extend(
            asyncio.ensure_future(asyncio.to_thread(_meet, app, attacker)) for app in apps
        )

    try:
        make_ready(found)
        await serve(found, stop, listening)
        await asyncio.gather(*meeting)
    finally:
        found.store.close()


@contextmanager
def _apps(folder: Path, settings: ServiceSettings) -> Iterator[list[PinnedSSLContext]]:
    """Apps with the demonstration's pins, which report to the watch."""
    address = "http://{}:{}/reports".format(*settings.listen)
    pins = PinSet.load(folder / "pins.toml")
    with ExitStack() as stack:
        contexts = []
        for at, (version, network) in enumerate(_APPS):
            reporter = Reporter(
                folder / f"app-{at}",
                app="demo-bank",
                app_version=version,
                network=network,
                report_to=[address],
            )
            stack.enter_context(reporter)
            contexts.append(PinnedSSLContext(pins, on_failure=[reporter]))
        yield contexts


def _meet(app: PinnedSSLContext, attacker: int) -> None:
    """An app calls the bank, and the attacker answers."""
    with suppress(PinError, OSError):
        opener(app).open(f"https://{HOST}:{attacker}/", timeout=10).close()


def _tell(settings: ServiceSettings) -> None:
    click.secho("\nThe watch", bold=True)
    click.echo(fold(_WORDS.format(address="http://{}:{}/".format(*settings.listen)), sys.stdout))


_WORDS = """\
  {address}

  The bank has two edges now, and at one of them the attacker answers. The watch asks both, and \
three apps report what they met. Within seconds an alert opens: look for the cause on the page of \
the host. Ctrl-C ends it, and leaves nothing behind."""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
