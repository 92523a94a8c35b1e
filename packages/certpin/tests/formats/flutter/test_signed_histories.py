"""Random histories of a publisher and an attacker: the Dart client and python-tuf always agree."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certpin.formats.flutter.published import published
from certpin.pinfile import PinSet
from tests.formats.flutter import signed_vectors
from tests.formats.flutter._app import App, verdict
from tests.formats.flutter._judge import Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tests.formats.flutter.signed_vectors import Bank


def publish(bank: Bank) -> None:
    bank.publish(_version(bank) + 1)


def publish_the_one_before(bank: Bank) -> None:
    bank.publish(max(_version(bank) - 1, 1))


def sign_again(bank: Bank) -> None:
    bank.repository.resign()


def renew(bank: Bank) -> None:
    bank.repository.publish_timestamp()


def replace(*roles: str) -> Callable[[Bank], None]:
    """Return an event that replaces the keys of these roles, and signs the metadata again."""

    def step(bank: Bank) -> None:
        bank.repository.rotate(*roles)
        bank.repository.resign()

    return step


def replace_and_sign_nothing(bank: Bank) -> None:
    bank.repository.rotate("targets")
    bank.repository.publish_timestamp()


def wait(bank: Bank) -> None:
    bank.now += timedelta(days=2)
    bank.repository.now += timedelta(days=2)


def freeze(bank: Bank) -> None:
    bank.now += timedelta(days=2)


def _version(bank: Bank) -> int:
    custom = bank.repository.read("targets").signed.targets["pins.toml"].custom
    return int(custom["version"])


STEPS: tuple[Callable[[Bank], None], ...] = (
    *(publish, publish, publish, publish_the_one_before, sign_again, renew, wait, freeze),
    *(replace("root"), replace("targets"), replace("online"), replace_and_sign_nothing),
)
# After a step, the server has its files, or those of an earlier moment, or a mixture.
SHOWN = st.sampled_from(["now", "now", "now", "before", "timestamp", "snapshot", "targets", "root"])


def _mixed(what: str, now: Mapping[str, bytes], before: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return the files that an attacker's server presents.

    Args:
        what: "now" or "before" for all files of that time, or the role that is from before.
        now: the current files, by path.
        before: the files of an earlier time.
    """
    if what == "now":
        return now
    if what == "before":
        return before
    return {**now, **{path: data for path, data in before.items() if f"{what}.json" in path}}


@pytest.mark.slow
@pytest.mark.peer("dart")
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(st.tuples(st.sampled_from(STEPS), SHOWN, st.integers(1, 3)), max_size=7))
def test_both_clients_reach_the_same_state(
    history: list[tuple[Callable[[Bank], None], str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bank = signed_vectors.bank(Path(folder))
        pins = bank.text(1).encode()
        judge = Judge(Path(folder) / "judge", pins, bank.repository.first_root)
        bundled, _ = published(PinSet.parse(pins.decode()))
        app = App(bundled, bank.repository.first_root)
        _agree(app, judge, _shown(bank), bank.now)
        for step, what, ago in history:
            step(bank)
            now = _shown(bank)
            before = bank.shown[max(len(bank.shown) - 1 - ago, 0)][1]
            _agree(app, judge, _mixed(what, now, before), bank.now)
        _agree(app, judge, _shown(bank), bank.now)


def _shown(bank: Bank) -> Mapping[str, bytes]:
    bank.let_follow()
    return bank.shown[-1][1]


def _agree(app: App, judge: Judge, files: Mapping[str, bytes], now: datetime) -> None:
    ours, theirs = verdict(app, files, now), judge.verdict(files, now)
    assert ours == theirs
    app.start()
    assert app.version == judge.pins.version
