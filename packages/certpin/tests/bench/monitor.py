"""A round of the monitor over 10,000 hosts of a local nginx: schedule, probe, store, evaluate.

The baseline is a series of plain handshakes of Python's ssl with the same server. The round runs in
a separate process on one core, with SQLite on disk; the server has the other core.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab import Authority
from tests.bench.paired import Figure
from tests.servers._run import LOOPBACK
from tests.servers.nginx import nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = "monitor.bank.test"
_HOSTS = 10_000
_PLAIN = 2000  # handshakes without the monitor
_PROMISED = 1.5  # times the CPU of a plain handshake
_PINS = """\
schema = 1
name = "bank"
version = 1
[[host]]
name = "**.{host}"
trust = "root.pem"
[[host.pin]]
pin = "{pin}"
[[host.pin]]
pin = "{backup}"
role = "backup"
"""
_WAY = """\
[[monitor.host]]
name = "{number}.{host}"
connect = "{address}:{port}"
"""


def figures() -> Iterator[Figure]:
    """Measure two rounds of the monitor in one process.

    The first stores a result for every host; the second finds nothing new.
    """
    root = Authority("Bench Root")
    identity = root.intermediate("Bench Intermediate").issue(f"*.{_HOST}")
    backup = Authority("Bench Backup").pin
    with (
        tempfile.TemporaryDirectory(prefix="certpin-bench-") as name,
        nginx({_HOST: identity}) as server,
    ):
        folder = Path(name)
        (folder / "root.pem").write_bytes(root.pem)
        pins = _PINS.format(host=_HOST, pin=identity.pin, backup=backup)
        (folder / "pins.toml").write_text(pins)
        ways = (
            _WAY.format(number=number, host=_HOST, address=LOOPBACK, port=server.port)
            for number in range(_HOSTS)
        )
        (folder / "watch.toml").write_text("[monitor]\n" + "".join(ways))
        command = ["taskset", "-c", "0", sys.executable, "-m", "tests.bench.monitor", name]
        command.append(str(server.port))
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, worked, second, _, judged, plain, peak = map(float, done.stdout.split())
    name = f"monitor: CPU of {_HOSTS:,} hosts / of plain handshakes"
    yield Figure(name, worked / (plain * _HOSTS), limit=_PROMISED)
    yield Figure("  beside it: that, on one core", first, " s")
    yield Figure("  beside it: CPU of that", worked, " s")
    yield Figure("  beside it: the same again, nothing new", second, " s")
    yield Figure("  beside it: all of it judged", judged, " s")
    yield Figure("  beside it: resident size", peak / 1024, " MiB")


def _measure(folder: Path, port: int) -> None:
    import resource

    from certpin.pins import utc_now
    from certpin_watch.context import Watch
    from certpin_watch.monitor.evidence import gather_probes
    from certpin_watch.monitor.scheduler import Scheduler
    from certpin_watch.rules.engine import check_rule
    from certpin_watch.settings import load
    from certpin_watch.snapshot import PinFiles
    from certpin_watch.store import open_store
    from certpin_watch.store.tables import METADATA
    from tests.watch.rules._probes import findings_of

    store = open_store(f"sqlite:///{folder / 'watch.db'}")
    METADATA.create_all(store.engine)
    ahead = [timedelta(0)]
    watch = Watch(
        load(folder / "watch.toml", check_rule),
        store,
        PinFiles([folder / "pins.toml"]),
        lambda: utc_now() + ahead[0],
    )
    scheduler = Scheduler(watch, threading.Event())
    for _ in range(2):
        begun, worked = time.perf_counter(), time.process_time()
        if (asked := scheduler.run_round()) != _HOSTS:
            raise RuntimeError(f"{asked} hosts were asked")
        print(time.perf_counter() - begun, time.process_time() - worked)
        ahead[0] += timedelta(minutes=2)
    begun = time.perf_counter()
    if found := findings_of(gather_probes(watch, watch.clock())):
        raise RuntimeError(f"there is a finding: {found[0]}")
    print(time.perf_counter() - begun)
    print(_plain_handshake(folder, port))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _plain_handshake(folder: Path, port: int) -> float:
    """Return the mean CPU seconds of a verified handshake without certpin."""
    context = ssl.create_default_context(cafile=folder / "root.pem")
    begun = time.process_time()
    for number in range(_PLAIN):
        with (
            socket.create_connection((LOOPBACK, port)) as raw,
            context.wrap_socket(raw, server_hostname=f"{number}.{_HOST}"),
        ):
            pass
    return (time.process_time() - begun) / _PLAIN


if __name__ == "__main__":
    _measure(Path(sys.argv[1]), int(sys.argv[2]))
