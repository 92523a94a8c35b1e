"""The part of ``certpin demo --watch`` that runs the monitoring service for a demo bank.

It monitors the bank's server and an attacker's server, while demo apps send reports.
"""

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

from certpin.cli.reply import fold
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

# Apps that connect to the attacker: version, and network.
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
    """Run the monitoring service for a demo bank, with the bank's server and an attacker's server.

    Demo apps connect to the attacker's server, and send reports to the service. Runs until Ctrl-C.

    Args:
        server: the certificate and key of the bank's server.
        backup: the certificate and key that the bank keeps for an emergency.
        attacker: the certificate and key of the attacker's server.
        roots: the authorities that the apps trust.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="certpin-demo-")))
        good, bad = (stack.enter_context(LabServer(who)) for who in (server, attacker))
        text = _PINS.format(host=HOST, server=server.pin, backup=backup.pin)
        (folder / "pins.toml").write_text(text, encoding="utf-8")
        (folder / "roots.pem").write_bytes(b"".join(root.pem for root in roots))
        settings = _settings(folder, (good.port, bad.port))
        apps = stack.enter_context(_apps(folder, settings))
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(settings, apps, bad.port))


def _settings(folder: Path, ports: tuple[int, ...]) -> ServiceSettings:
    from certpin_watch.secret import Secret
    from certpin_watch.settings import AlertSettings, HostSettings, MonitorSettings, ServiceSettings

    hosts = tuple(HostSettings(HOST, connect=("127.0.0.1", port)) for port in ports)
    return ServiceSettings(
        folder=folder,
        listen=("127.0.0.1", _free_port()),
        pins=(folder / "pins.toml",),
        store=Secret("sqlite:///watch.db"),
        monitor=MonitorSettings(
            interval=timedelta(seconds=10), confirm=timedelta(seconds=1), hosts=hosts
        ),
        alerts=AlertSettings(every=timedelta(seconds=2)),
    )


async def _serve(settings: ServiceSettings, apps: list[PinnedSSLContext], attacker: int) -> None:
    from certpin_watch.cli.options import open_watch
    from certpin_watch.service import make_ready, serve

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    watch = open_watch(settings)
    connecting: list[asyncio.Future[None]] = []

    def listening() -> None:
        _print_guide(settings)
        connecting.extend(
            asyncio.ensure_future(asyncio.to_thread(_connect, app, attacker)) for app in apps
        )

    try:
        make_ready(watch)
        await serve(watch, stop, listening)
        await asyncio.gather(*connecting)
    finally:
        watch.store.close()


@contextmanager
def _apps(folder: Path, settings: ServiceSettings) -> Iterator[list[PinnedSSLContext]]:
    """Yield a list of TLS contexts, one for each demo app.

    Each context checks the pins in ``pins.toml`` in ``folder``, and sends a report to the service
    with these settings if a check fails.
    """
    address = "http://{}:{}/reports".format(*settings.listen)
    pins = PinSet.load(folder / "pins.toml")
    with ExitStack() as stack:
        contexts = []
        for number, (version, network) in enumerate(_APPS):
            reporter = Reporter(
                folder / f"app-{number}",
                app="demo-bank",
                app_version=version,
                network=network,
                report_to=[address],
            )
            stack.enter_context(reporter)
            contexts.append(PinnedSSLContext(pins, on_failure=[reporter]))
        yield contexts


def _connect(app: PinnedSSLContext, attacker: int) -> None:
    """Connect a demo app to the attacker's server under the bank's name, so that its pins fail.

    Errors are ignored. ``app`` is the app's TLS context, ``attacker`` the port of the attacker's
    server.
    """
    with suppress(PinError, OSError):
        opener(app).open(f"https://{HOST}:{attacker}/", timeout=10).close()


def _print_guide(settings: ServiceSettings) -> None:
    click.secho("\nThe monitoring service", bold=True)
    click.echo(fold(_GUIDE.format(address="http://{}:{}/".format(*settings.listen)), sys.stdout))


_GUIDE = """\
  {address}

  The bank has two servers now, and one of them is the attacker's. The service probes both, and \
three apps report the attacker's chain. An alert fires within seconds: find its cause on the page \
of the host. Ctrl-C stops everything, and deletes all files."""


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
