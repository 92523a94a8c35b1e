"""The pins of a case in the formats of ``certpin export``, for a client that reads such a file.

An export is written to the folder of the client's files when the client's command requests it.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats import FORMATS, only
from certpin.formats.limits import AnchorsOnly, LeafOrAnchors, OneHost
from certpin.lab.case import CannotServeError
from certpin.pins import TrustAnchors

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.formats import Format
    from certpin.lab.pki import TestPKI
    from certpin.pins import HostPolicy, Pin, PinSet


class Exports:
    """Writes one pin set of a host in the requested formats, each only once. Thread-safe."""

    def __init__(self, folder: Path, pins: PinSet | None, pki: TestPKI) -> None:
        self.folder = folder
        self._pins = pins
        self._pki = pki
        self._lock = threading.Lock()
        self._written: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """Write the export in a format, with its companion files beside it, and return its path.

        Raises:
            CannotServeError: the format can't express these pins.
            KeyError: there is no such format.
        """
        chosen = FORMATS[name]
        with self._lock:
            if name not in self._written:
                self._written[name] = self._write(chosen)
            return self._written[name]

    def _write(self, chosen: Format) -> Path:
        try:
            pins = self._fitting(chosen)
            export = chosen.export(pins)
        except ConfigError as exc:
            problem = f"{chosen.name} cannot have these pins: {exc.problem}"
            raise CannotServeError(problem, fix=exc.fix) from exc
        for pin in sorted(map(str, _compromised(pins) - _compromised(export.pins))):
            problem = f"{pin} is marked compromised, and clients of {chosen.name} do not refuse it"
            raise CannotServeError(problem)
        folder = self.folder / chosen.name
        for file in export.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")
        return folder / export.files[0].path

    def _fitting(self, chosen: Format) -> PinSet:
        """Return the pins in a form that the format can express, with anchors if it needs them.

        The lab's pins name no anchors. A format that only knows anchors gets R. A format of a
        platform that can't inspect the chain gets the pinned authorities.
        """
        pins = self._pins
        if pins is None:
            raise CannotServeError(f"there are no pins to export to {chosen.name}")
        limits = {type(limit) for limit in chosen.limits}
        policy = pins.policy_for(self._pki.host)
        if OneHost in limits and policy:
            pins = only(pins, [str(policy.pattern)])
        if AnchorsOnly in limits and any(policy.trust is None for policy in pins.policies):
            root = TrustAnchors((self._pki.root.certificate.der,), "R")
            anchored = [replace(policy, trust=policy.trust or root) for policy in pins.policies]
            pins = replace(pins, policies=tuple(anchored))
        if LeafOrAnchors in limits:
            pins = replace(pins, policies=tuple(map(self._anchored, pins.policies)))
        return pins

    def _anchored(self, policy: HostPolicy) -> HostPolicy:
        """Return the policy with its pinned authorities as trust anchors, if any are pinned."""
        lab = (self._pki.root, self._pki.intermediate, self._pki.second_intermediate)
        pinned = tuple(
            authority.certificate.der for authority in lab if authority.pin in policy.live_pins
        )
        if policy.trust or not pinned:
            return policy
        return replace(policy, trust=TrustAnchors(pinned, "the pinned authorities"))


def _compromised(pins: PinSet) -> set[Pin]:
    return {pin for policy in pins.policies for pin in policy.compromised}
