"""What is noted is done once, by whichever thread there is."""

from __future__ import annotations

import threading
from functools import partial

from certpin.reports.reporter.notes import Notes
from tests.reports._collector import PATIENCE


def test_what_many_threads_note_is_done_once() -> None:
    notes = Notes()
    done: list[tuple[int, int]] = []
    together = threading.Barrier(4)

    def work(who: int) -> None:
        together.wait(PATIENCE)
        for n in range(50):
            notes.take(partial(done.append, (who, n)))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert notes.settle(PATIENCE)
    notes.close()
    assert len(done) == 200
