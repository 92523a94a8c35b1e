"""A state machine: people publish, change keys and sign, and time passes, in any order.

A client that has the first root can always update. It never gets a lower version than before, and
gets only versions that were published.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from certpin.errors import ConfigError
from tests.publish._firm import Client, Firm, ident

KINDS = st.sampled_from(["root", "targets", "online"])
RENEWED = st.sampled_from(["", "", "", "root", "targets", "snapshot", "root targets"])
# Few names, so that former keys are tried again in forbidden places.
NAMES = [f"key{number}" for number in range(7)]
SOME = st.sets(st.sampled_from(NAMES), min_size=1)


class Publishing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="certpin-publishing-"))
        self.firm = Firm(self.folder / "firm")
        self.version = 1
        self.held = 1

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(first=st.integers(1, 2), second=st.integers(1, 2))
    def begin(self, first: int, second: int) -> None:
        self.firm.publish(1)
        self.firm.begin(NAMES[:2], NAMES[2:4], NAMES[4], {"root": first, "targets": second})
        self.firm.sign(*NAMES[:5])
        self.client = Client(self.firm, self.folder / "client")

    @rule()
    def publish(self) -> None:
        self.version += 1
        self.firm.publish(self.version)

    @rule(
        name=st.sampled_from(NAMES), kind=KINDS, at=st.integers(0, 2), threshold=st.integers(0, 3)
    )
    def add_key(self, name: str, kind: str, at: int, threshold: int) -> None:
        root = self.firm.state.root
        assert root is not None
        known = root.roles[{"online": "timestamp"}.get(kind, kind)].keyids
        names = [each for each in NAMES if known[at % len(known)] == ident(each)]
        with suppress(ConfigError):
            self.firm.add_key(name, kind, names[0] if at else "", threshold or None)  # type: ignore[arg-type]

    @rule()
    def give_up_a_draft(self) -> None:
        shutil.rmtree(self.firm.folder / "drafts", ignore_errors=True)

    @rule(names=SOME, renewed=RENEWED)
    def sign(self, names: set[str], renewed: str) -> None:
        """Sign with some keys. Keys that have nothing to sign are refused."""
        with suppress(ConfigError):
            self.firm.sign(*sorted(names), renew=renewed)

    @rule(hours=st.sampled_from([1, 20, 50, 24 * 30, 24 * 61]))
    def time_passes(self, hours: int) -> None:
        """Move the clock forward by some hours, then sign with all keys."""
        self.firm.now += timedelta(hours=hours)
        self.everybody_signs()

    @rule()
    def everybody_signs(self) -> None:
        """Sign with all keys: no metadata may need further signatures."""
        state = self.firm.state
        roots = [state.root, *([state.drafts["root"].signed] if "root" in state.drafts else [])]
        keyids = {key for root in roots if root for key in root.keys}
        self.firm.sign(*[name for name in NAMES if ident(name) in keyids])
        assert self.firm.pending == ()
        assert self.firm.drafts() == []
        state = self.firm.state
        assert state.current is not None
        assert state.current.pins.version == self.version
        assert not state.current.superseded
        self.held = self.version

    @invariant()
    def a_client_follows(self) -> None:
        if self.firm.metadata("timestamp.json").exists():
            version = self.client.follow()
            assert self.held <= version <= self.version
            self.held = version


TestPublishing = pytest.mark.slow(Publishing.TestCase)
TestPublishing.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
