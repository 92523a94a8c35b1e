"""What a report says of a run beside its verdicts: of what, with what, when, for how long."""

from __future__ import annotations

import platform
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin._version import __version__
from certpin.lab.client import Command

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.lab.client import Client
    from certpin.lab.lab import Lab


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class About:
    """Facts of a run. ``command`` are the client's words as its user wrote them.

    ``trusted`` are the certificates (DER) that the client was made to trust.
    """

    command: tuple[str, ...] = ()
    certpin: str = ""
    python: str = ""
    openssl: str = ""
    started: datetime | None = None
    seconds: float = 0.0
    trusted: tuple[bytes, ...] = ()


def about(lab: Lab, client: Client, started: datetime, ended: datetime) -> About:
    """The facts of a run of this client in this lab, between two moments."""
    return About(
        command=client.words if isinstance(client, Command) else (),
        certpin=__version__,
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        started=started,
        seconds=(ended - started).total_seconds(),
        trusted=_der(lab.authorities.trusted_pem),
    )


def _der(pem: bytes) -> tuple[bytes, ...]:
    """Not parsed: a machine's own roots have fields that parsers warn of."""
    found = _PEM.findall(pem.decode("ascii", "replace"))
    return tuple(map(ssl.PEM_cert_to_DER_cert, found))
