"""Check how the table ``[alerts]`` of the settings is read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from certpin.errors import ConfigError
from certpin.pinfile.file import Table
from certpin_watch.settings import AlertSettings
from certpin_watch.settings.reader import read_table


def _read(**data: Any) -> AlertSettings:
    return read_table(AlertSettings, Table(data, "alerts"))


def test_everything_has_a_default_and_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_URL", "slack://secret")
    assert _read() == AlertSettings()
    found = _read(every="1m", digest=3, tell=[{"url": "env:SLACK_URL", "severity": "critical"}])
    assert (found.every, found.digest) == (timedelta(minutes=1), 3)
    assert found.tell[0].name == "service-1"
    assert found.tell[0].url.reveal() == "slack://secret"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"every": "0s"}, "alerts.every"),
        ({"every": "soon"}, "alerts.every"),
        ({"deadline": "1h"}, "alerts.deadline"),
        ({"digest": 0}, "alerts.digest"),
        ({"tell": [{"url": "json://x", "severty": "info"}]}, "alerts.tell[0].severty"),
        ({"tell": [{"url": "json://x", "severity": "bad"}]}, "alerts.tell[0].severity"),
        ({"tell": [{"url": "json://x", "name": "a\n"}]}, "alerts.tell[0].name"),
        ({"tell": [{"url": "json://x", "name": "a"}] * 2}, "alerts.tell[1].name"),
        ({"tell": [{}]}, "alerts.tell[0].url"),
        ({"tell": [{"url": 5}]}, "alerts.tell[0].url"),
    ],
)
def test_an_invalid_setting_is_refused_with_its_key(data: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _read(**data)
    assert refused.value.key == key
