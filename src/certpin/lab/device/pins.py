"""The pins of all hosts under test, as one pin file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from certpin.pinfile.editor import PinFileEditor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab.pki import TestPKI
    from certpin.pins import HostPolicy


def pin_file(pkis: Iterable[TestPKI]) -> str:
    """The text of the file. Nothing is written."""
    head = _editor()
    head.raise_version()
    policies = (pki.pins.policy_for(pki.host) for pki in pkis if pki.pins)
    return head.text + "".join(_host(policy) for policy in policies if policy)


def _host(policy: HostPolicy) -> str:
    """The part of one host. An editor reads all that it holds again for each host it gets."""
    editor = _editor()
    before = len(editor.text)
    editor.add_host(policy)
    return editor.text[before:]


def _editor() -> PinFileEditor:
    return PinFileEditor.new(Path("pins.toml"), "lab")
