"""An app that follows signed sets: the Dart that is exported, driven as its thin part drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from tests.formats.flutter import _dart
from tests.formats.flutter._runtime import DateTime, PinUpdateException, String, Uint8List

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

PINS, ROLES, TRUST, REFRESH, STATE = (
    _dart.load(f"signed_{name}.dart") for name in ("pins", "roles", "trust", "refresh", "state")
)


def verifies(scheme: str, point: bytes, r: bytes, s: bytes, message: bytes) -> bool:
    """What package:pointycastle does in an app."""
    curve = ec.SECP256R1() if scheme.endswith("256") else ec.SECP384R1()
    digest = SHA256() if scheme.endswith("256") else SHA384()
    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, bytes(point))
        key.verify(der, bytes(message), ec.ECDSA(digest))
    except (InvalidSignature, ValueError):
        return False
    return True


class App:
    """``pins`` is the ``pins.json`` of what the app brings, ``root`` the root that it brings."""

    def __init__(self, pins: bytes, root: bytes) -> None:
        self._pins = PINS["readPins"](Uint8List(pins))
        self._root = Uint8List(root)
        self.trust: Any = None
        self.stored = ""
        self.asked: list[str] = []
        self.start()

    def start(self) -> None:
        """Start it, perhaps again, with what it stored."""
        self.trust = STATE["newTrust"](self._pins, self._root, verifies)
        if self.stored:
            STATE["restore"](self.trust, String(self.stored), verifies)

    @property
    def version(self) -> int:
        """The version of the pins that are in force."""
        version: int = REFRESH["pinsInForce"](self.trust).version
        return version

    def is_newest(self, now: datetime) -> bool:
        """Whether its pins are known to be the newest."""
        newest: bool = REFRESH["isNewest"](self.trust, DateTime(now))
        return newest

    def refresh(self, files: Mapping[str, bytes], now: datetime) -> None:
        """Ask a server that shows these files. Raises ``PinUpdateException``."""
        refresh = REFRESH["refreshOf"](self.trust)
        self.asked = []
        while refresh.phase != "done":
            data = self._fetch(files, REFRESH["wanted"](refresh))
            try:
                REFRESH["take"](refresh, data, DateTime(now), verifies)
            finally:
                self.stored = STATE["storedState"](self.trust)

    def _fetch(self, files: Mapping[str, bytes], wanted: Any) -> Uint8List | None:
        self.asked.append(wanted.path)
        data = files.get(wanted.path)
        if data is None and wanted.mayMiss:
            return None
        if data is None:
            raise PinUpdateException("http", f"{wanted.path} is not there")
        if len(data) > wanted.limit:
            raise PinUpdateException("too-long", wanted.path)
        return Uint8List(data)


def verdict(app: App, files: Mapping[str, bytes], now: datetime) -> tuple[str, int]:
    """Why it refuses, empty where it doesn't; and the version in force then."""
    try:
        app.refresh(files, now)
    except PinUpdateException as refused:
        return refused.reason, app.version
    return "", app.version
