"""Which kind of pin: of keys, or of whole certificates; and keys that are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from certpin.errors import ConfigError
from certpin.formats.fit import PolicyLimit

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, PinKind


class _OneKind(PolicyLimit):
    aspect = "pins"
    kept: ClassVar[PinKind]
    fix: ClassVar[str]

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Leave out the pins of the other kind."""
        kept = tuple(entry for entry in policy.pins if entry.pin.kind == self.kept)
        if not kept:
            raise ConfigError("none of its pins is of the right kind", key="pin", fix=self.fix)
        lost = [str(entry.pin) for entry in policy.pins if entry not in kept]
        return replace(policy, pins=kept), f"{', '.join(lost)} is left out" if lost else ""


class KeysOnly(_OneKind):
    """The platform compares public keys."""

    summary = "pins of whole certificates (`cert-sha256/…`): left out"
    kept = "sha256"
    fix = "pin the key: certpin pin HOST prints both"


class CertificatesOnly(_OneKind):
    """The platform compares whole certificates."""

    summary = "pins of keys (`sha256/…`): left out"
    kept = "cert-sha256"
    fix = "pin the certificate too: certpin pin HOST prints both"


class NoCompromised(PolicyLimit):
    """The platform has a list of keys to accept, and none of keys to refuse.

    A format lists it first, so that the other limits see live pins only.
    """

    aspect = "compromised"
    summary = "`compromised` keys: a path that contains one is accepted if another pin matches"

    def fit_policy(self, policy: HostPolicy) -> tuple[HostPolicy | None, str]:
        """Leave out the keys that clients of certpin refuse."""
        if not policy.compromised:
            return policy, ""
        lost = ", ".join(sorted(map(str, policy.compromised)))
        kept = tuple(entry for entry in policy.pins if entry.state != "compromised")
        return replace(policy, pins=kept), f"{lost} is compromised, and is not refused"
