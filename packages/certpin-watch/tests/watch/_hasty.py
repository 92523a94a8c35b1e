"""Run the command ``certpin`` with short waiting times: python -m tests.watch._hasty serve …

After a crash, other processes take over the work within seconds instead of a minute. Everything
else is as in ``certpin``.
"""

from __future__ import annotations

from datetime import timedelta

from certpin.cli.main import main
from certpin_watch.alerts import run as alerts
from certpin_watch.collector import jetstream
from certpin_watch.monitor import handout, scheduler
from certpin_watch.settings import MonitorSettings
from certpin_watch.settings.reader import duration, reads
from certpin_watch.store import alerts as alert_store
from certpin_watch.store import engine
from certpin_watch.store.queries import capacity

if __name__ == "__main__":
    alerts._LEASE_SECONDS = scheduler._MIN_LEASE = 9  # seconds that a lease outlasts its holder
    alert_store._FIRST_RETRY = 3  # seconds until a message is sent again that may not have been
    jetstream._ACK_WAIT = 4.0  # until another writer gets the work
    handout.LEASE = 4  # until another worker does
    engine._FAILURE_COUNTS = 1.0  # until what could not be written is past
    jetstream._PUBLISH = 2.0  # until a message must be stored
    capacity._QUEUE_LATE = 7  # seconds until what waits is late
    _interval = MonitorSettings.__dataclass_fields__["interval"]
    _interval.metadata = reads(duration(timedelta(seconds=2)))  # type: ignore[assignment]
    main()
