"""Hostile files in publish/ give a typed error, or have no effect."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.cli.publish import status as publish_status
from certpin.errors import ConfigError
from tests.publish._firm import Client, Firm, ident

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DataObject

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=8)
    | st.sampled_from(["root", "targets", "2027-13-01T00:00:00Z", "\ud800", "-----BEGIN PUBLIC"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=3,
)


@pytest.fixture(scope="module")
def made() -> Iterator[Firm]:
    """Version 1 is signed; version 2 and another root need one more signature each."""
    with tempfile.TemporaryDirectory() as folder:
        firm = Firm(Path(folder) / "firm")
        firm.publish(1)
        firm.begin(("root",), ("targets", "targets2"), "online", {"targets": 2})
        firm.sign("root", "targets", "targets2", "online")
        firm.add_key("root2", "root", "root")
        firm.publish(2)
        firm.sign("root", "targets")
        yield firm


@contextmanager
def copied(firm: Firm) -> Iterator[Firm]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(firm.here, Path(folder) / "firm")
        yield Firm(Path(folder) / "firm", firm.now, firm.settings, dict(firm.published))


def change(data: DataObject, value: Any) -> Any:
    """Return the value with one random change at any depth."""
    inside = isinstance(value, dict | list) and value and data.draw(st.integers(0, 4))
    if not inside:
        return data.draw(ANYTHING)
    if isinstance(value, list):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], change(data, value[at]), *value[at + 1 :]]
    name = data.draw(st.sampled_from(sorted(value)))
    return {**value, name: change(data, value[name])}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_hostile_file_is_refused_or_ignored(made: Firm, data: DataObject) -> None:
    with copied(made) as firm:
        paths = sorted(path for path in firm.folder.rglob("*.json"))
        path = data.draw(st.sampled_from(paths))
        path.write_text(json.dumps(change(data, json.loads(path.read_text()))))
        try:
            publish_status._role(firm.policy, "root", None)
            assert firm.pending
            firm.sign("root2", "targets2", "online")
        except ConfigError:
            return
        # If a set was signed nevertheless, it is the intended one.
        assert Client(firm, firm.here / "client").follow() in {1, 2}
        root = firm.state.root
        assert root is not None
        assert root.roles["root"].keyids in ([ident("root")], [ident("root2")])


def test_an_invalid_first_root_can_be_displayed(made: Firm) -> None:
    with copied(made) as firm:
        shutil.rmtree(firm.site)
        path = firm.folder / "drafts" / "root.json"
        top = json.loads(path.read_text())
        for key in top["signed"]["keys"].values():
            key["keyval"]["public"] = "\u202e nothing"
        top["signed"]["roles"]["root"]["keyids"] += ["nobody"]
        path.write_text(json.dumps(top))
        found = publish_status._role(firm.policy, "root", None)
        assert {each["kind"] for each in found["keys"]} == {"not a signing key"}
        assert "root" in [each.role for each in firm.pending if each.problem]


def test_an_expired_draft_gets_a_new_date(firm: Firm, client: Client) -> None:
    firm.add_key("root2", "root", "root")
    firm.sign("root")
    firm.settings = type(firm.settings)(days={**firm.settings.days, "root": 30})
    with pytest.raises(ConfigError, match="its date") as caught:
        firm.sign("root2", "online")
    assert caught.value.fix.startswith("certpin publish sign --renew root")
    firm.sign("root", "root2", "online", renew="root")
    assert firm.metadata("2.root.json").exists()
    assert client.follow() == 1
