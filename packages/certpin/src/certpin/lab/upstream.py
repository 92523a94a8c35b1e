"""Run the lab in front of the user's real server, so that a released app can be attacked.

The lab has the chain of the real server, which is public, but not its key. The good control is
relayed to it unchanged. The lab's attackers have its certificates, as real attackers do. A case
that needs the private key of the real server or of its authority is reported as not run.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography import x509

from certpin.lab.case import CannotServeError
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import Opening, Role, ServerStep

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.x509 import Chain

_FIX = "leave --upstream out, and give the client the lab's own pins"


@dataclass(frozen=True)
class Upstream:
    """A real server: its address, its chain, and the pins that the client has for it.

    ``roots`` is PEM of the roots that the client trusts for it, in addition to R2.
    """

    address: tuple[str, int]
    chain: Chain
    roots: bytes
    pins: PinSet | None = None
    pin_file: Path | None = None

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The chain of the real server as it sent it, leaf first."""
        return tuple(map(x509.load_der_x509_certificate, self.der))

    @property
    def der(self) -> tuple[bytes, ...]:
        """``certificates`` as DER."""
        return tuple(certificate.der for certificate in self.chain.certificates)


class UpstreamAuthorities(Authorities):
    """The authorities of a run with a real server: the lab only has the keys of attackers'."""

    def __init__(self, now: datetime, upstream: Upstream) -> None:
        super().__init__(now)
        self._upstream = upstream

    @property
    def trusted_pem(self) -> bytes:
        """The roots that the client trusts: the real ones, and R2."""
        return self._upstream.roots + self.rogue.pem


class UpstreamPKI(TestPKI):
    """The test PKI of a run in which the lab relays to the user's real server.

    The lab knows the chain of that server, but has none of its private keys.
    """

    def __init__(
        self,
        authorities: Authorities,
        host: str,
        second: str,
        style: Style,
        upstream: Upstream,
    ) -> None:
        super().__init__(authorities, host, second, style)
        # The lab can't sign with the keys of these.
        self.root: Any = _Keyless("the trusted root")
        self.intermediate: Any = _Keyless("the issuer of the real server")
        self.second_intermediate: Any = _Keyless("another intermediate of the trusted root")
        self.leaf: Any = _Keyless("the real server")
        self.backup: Any = _Keyless("the real server's backup")
        self.second_leaf: Any = _Keyless("the real second server")
        self._upstream = upstream

    @property
    def real_chain(self) -> tuple[x509.Certificate, ...]:
        """The chain of the real server, leaf first."""
        return self._upstream.certificates

    @property
    def honest(self) -> ServerStep:
        """The step of the real server: the lab relays the connection to it."""
        return ServerStep(self._upstream.der, b"", role=Role.HONEST, opening=Opening.RELAY)

    @cached_property
    def pins(self) -> PinSet | None:
        """The pin set of the client, if it is known."""
        return self._upstream.pins


class _Keyless:
    """Replaces an authority or a server if the lab does not have its private key.

    Any use raises ``CannotServeError``.
    """

    def __init__(self, whose: str) -> None:
        self._whose = whose

    def __getattr__(self, name: str) -> NoReturn:
        raise CannotServeError(f"it needs the private key of {self._whose}", fix=_FIX)


def platform_roots() -> bytes:
    """Return the roots of this machine as PEM, from OpenSSL's default paths."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).is_file():
        return Path(paths.cafile).read_bytes()
    folder = Path(paths.capath or "/nonexistent")
    files = sorted(folder.glob("*.0")) if folder.is_dir() else []
    return b"".join(file.read_bytes() for file in files)
