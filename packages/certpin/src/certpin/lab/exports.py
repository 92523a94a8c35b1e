"""The pins of a case in the formats of ``certpin export``, for a client.

An export is written when a client asks for it, into the folder of the client's files.
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
    """The exports of one pin set for one host. Safe in threads."""

    def __init__(self, folder: Path, pins: PinSet | None, pki: TestPKI) -> None:
        self.folder = folder
        self._pins = pins
        self._pki = pki
        self._lock = threading.Lock()
        self._written: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """The file of a format; what belongs to it lies beside it.

        Raises:
            CannotServeError: the platform does not support these pins.
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
        """The pins as far as one file of the format goes, with the trust that it cannot be without.

        The lab's pins name no anchors. For a platform that knows nothing else, R is one. For a
        platform that sees no chain, the pinned authorities are.
        """
        pins = self._pins
        if pins is None:
            raise CannotServeError(f"there are no pins to be exported to {chosen.name}")
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
        """The policy with the certificates of the authorities that it pins, if there are any."""
        lab = (self._pki.root, self._pki.intermediate, self._pki.second_intermediate)
        pinned = tuple(
            authority.certificate.der for authority in lab if authority.pin in policy.live_pins
        )
        if policy.trust or not pinned:
            return policy
        return replace(policy, trust=TrustAnchors(pinned, "the pinned authorities"))


def _compromised(pins: PinSet) -> set[Pin]:
    return {pin for policy in pins.policies for pin in policy.compromised}
