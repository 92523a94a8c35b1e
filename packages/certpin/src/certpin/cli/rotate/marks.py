"""The states COMPROMISED and LOST in the pin file, as the journal records them.

The journal comes first (``certpin rotate emergency``). A pin file with the minimum of two pins
can't refuse a stolen key until it has another backup: then its state follows with the step that
adds one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pinfile.editor import PinFileEditor
    from certpin.pins import HostPolicy, Pin, State
    from certpin.rotation import History, PinHistory

_MIN_PINS = 2  # of an enforced host, as the pin file requires


def mark_unusable(editor: PinFileEditor, history: History) -> None:
    """Give keys that the journal records as stolen or lost this state, under the next version.

    Without a recorded version, the file is what clients have, and is not changed: if it were
    recorded with a mark, clients would seem to refuse the key.

    Args:
        editor: the pin file. Nothing is written.
        history: the journal.

    Raises:
        PinFileError: the pin file can't be edited in its present form.
    """
    latest = history.deployed.latest
    if latest is None:
        return
    pins, marked = editor.check(), False
    for policy in pins.policies:
        for pin, state in _marks(policy, history.past(policy.pattern)):
            editor.change_pin(str(policy.pattern), pin, state=state)
            marked = True
    if marked and pins.version <= latest.number:
        editor.set_version(latest.number + 1)


def _marks(policy: HostPolicy, past: PinHistory) -> Iterator[tuple[Pin, State]]:
    """Yield the pins whose state in the pin file differs from the journal, with the new state."""
    live = set(policy.live_pins)
    for entry in policy.pins:
        if entry.pin in past.compromised:
            is_last = entry.live and policy.mode == "enforce" and len(live) <= _MIN_PINS
            if entry.state != "compromised" and not is_last:
                live.discard(entry.pin)
                yield entry.pin, "compromised"
        elif entry.pin in past.lost and entry.usable:
            yield entry.pin, "lost"
