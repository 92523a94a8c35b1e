from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from certpin_watch import service
from certpin_watch.health import ProcessHealth

if TYPE_CHECKING:
    import pytest

    from certpin_watch.service import BackgroundTask


def _run(found: dict[str, BackgroundTask], health: ProcessHealth, until: Any) -> None:
    """Run parts until ``until`` has come back, and then to their end."""

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(service.run_tasks(found, _NOTHING, stop, health))
        async with asyncio.timeout(20):
            await until()
            stop.set()
            await running

    asyncio.run(main())


_NOTHING: Any = None


def test_a_part_that_fails_is_begun_again_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(service, "_HEALTHY_AFTER", 0.01)
    begun, mended, health = [], asyncio.Event(), ProcessHealth()

    async def failing(_: Any, stop: asyncio.Event) -> None:
        begun.append("failing")
        if begun.count("failing") < 3:
            raise OSError("no")
        seen_failing.append("failing" in health.failing)
        mended.set()
        await stop.wait()

    async def steady(_: Any, stop: asyncio.Event) -> None:
        begun.append("steady")
        await stop.wait()

    async def until_mended() -> None:
        await mended.wait()
        while health.failing:  # noqa: ASYNC110  # it is no event of asyncio's
            await asyncio.sleep(0.001)

    seen_failing: list[bool] = []
    with caplog.at_level(logging.CRITICAL):
        _run({"failing": failing, "steady": steady}, health, until_mended)
    assert begun.count("failing") == 3
    assert begun.count("steady") == 1
    assert seen_failing == [True]
    assert health.failing == set()


def test_a_part_that_does_not_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_STOP_TIMEOUT", 0.01)
    begun = asyncio.Event()

    async def hanging(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    _run({"hanging": hanging}, ProcessHealth(), begun.wait)
    assert "hanging does not end" in caplog.text


def test_without_parts_it_ends_when_it_is_told_to() -> None:
    async def at_once() -> None:
        pass

    _run({}, ProcessHealth(), at_once)
