"""What an interactive lab keeps in its folder, so that a device is set up once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certpin.lab.authority import new_rsa_key
from certpin.lab.errors import LabError
from certpin.lab.folder import LabFolder
from certpin.lab.tunnel import TunnelKeys

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certpin.lab.pki import Authorities


@dataclass(frozen=True)
class LabState:
    """The authorities, the keys of the tunnel where there is one, and what to tell the user."""

    authorities: Authorities
    tunnel: TunnelKeys | None
    notes: tuple[str, ...]


def kept(path: Path, now: datetime, *, wireguard: bool) -> LabState:
    """Open a folder, and take out or make what a lab needs. Raises ``LabError``."""
    notes: list[str] = []
    with LabFolder(path, notes.append) as folder:
        authorities = folder.authorities(now)
        authorities.backup_key = _key(folder.secret("backup", _new_key), path)
        tunnel = TunnelKeys.make(folder.secret) if wireguard else None
    return LabState(authorities, tunnel, tuple(notes))


def _new_key() -> str:
    pem = new_rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode("ascii")


def _key(pem: str, path: Path) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as exc:
        raise LabError(f"{path} holds a damaged backup.key", fix="remove it") from exc
    if not isinstance(key, rsa.RSAPrivateKey):
        raise LabError(f"{path} holds a backup.key that is no RSA key", fix="remove it")
    return key
