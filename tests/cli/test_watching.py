"""What the commands of the watch need."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from certpin.cli import demo_watch
from certpin.cli.watching import EXTRA

ROOT = Path(__file__).parents[2]


def test_every_package_of_the_extra_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[>=;\[ ]", each)[0] for each in project["optional-dependencies"]["watch"]}
    brought = packages_distributions()
    names = {name.lower().replace("_", "-") for module in EXTRA for name in brought[module]}
    assert names == wanted


@pytest.mark.parametrize("missing", ["jinja2", "apprise"])
def test_the_demonstration_shows_no_watch_that_lacks_a_package(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert demo_watch.installed()

    def found(name: str) -> Any:
        return None if name == missing else find_spec(name)

    monkeypatch.setattr(demo_watch, "find_spec", found)
    assert not demo_watch.installed()
