"""Regenerate the test vectors of the Dart package: python -m tests.formats.flutter.vectors

They are certificates of every kind of key, whole and damaged, hosts, and decisions, each with
certpin's result. The tests of the Dart package read them, and certpin's own tests run the Dart
library on them.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from certpin.errors import CertificateParseError, HostError
from certpin.pins import (
    HostPattern,
    HostPin,
    HostPolicy,
    Mode,
    OnExpiry,
    Pin,
    PinSet,
    normalise,
    pins_of,
    verify,
)
from certpin.x509 import Certificate, Chain
from tests.kit import NOBODY, NOBODY_ELSE
from tests.x509 import _tree as tree
from tests.x509._tree import Node

if TYPE_CHECKING:
    from certpin.pins import HostPolicy as Policy
    from tests.x509._tree import Change

ROOT = Path(__file__).parents[5]
TARGET = ROOT / "packages/certpin-dart/test/vectors.json"
KEYS: dict[str, dict[str, str]] = json.loads(
    (ROOT / "packages/certpin/tests/vectors/keys.json").read_text("ascii")
)
WHOLE = base64.b64decode(KEYS["p256"]["certificate"])

# The offsets of fields in a certificate (RFC 5280 section 4.1).
TBS, VERSION, SERIAL, ISSUER, SPKI, EXTENSIONS = (0,), (0, 0), (0, 1), (0, 3), (0, 6), (0, 7)
SIGNATURE_ALGORITHM, SIGNATURE, ALGORITHM, KEY = (1,), (2,), (0, 6, 0), (0, 6, 1)
NULL = Node(0x05)
# A length that is right modulo 2 ** 64, the size of Dart's integers.
_WRAPPED = b"\x89\x01" + (2**64 + len(WHOLE) - 4).to_bytes(9)[1:]
PLACES = {
    "the certificate": (),
    "the signed part": TBS,
    "the serial number": SERIAL,
    "the issuer": ISSUER,
    "the key": SPKI,
    "the algorithm of the key": ALGORITHM,
    "the bits of the key": KEY,
    "the extensions": EXTENSIONS,
    "the signature algorithm": SIGNATURE_ALGORITHM,
    "the signature": SIGNATURE,
}
CHANGES: dict[str, tuple[tuple[int, ...], Change]] = {
    "a SET": ((), tree.with_tag(0x31)),
    "something after the signature": ((), tree.with_more(NULL)),
    "no signature": ((), tree.without_last),
    "a SET to be signed": (TBS, tree.with_tag(0x31)),
    "no extensions": (TBS, tree.without_last),
    "something after the extensions": (TBS, tree.with_more(NULL)),
    "extensions twice": (TBS, tree.with_more(Node(0xA3, children=(Node(0x30),)))),
    "an identifier behind the extensions": (TBS, tree.with_more(Node(0x81, b"\0\1"))),
    "a version under another tag": (VERSION, tree.with_tag(0xA4)),
    "a serial number under another tag": (SERIAL, tree.with_tag(0x0A)),
    "a signature in pieces": (SIGNATURE, tree.with_tag(0x23)),
    "a signature algorithm in a SET": (SIGNATURE_ALGORITHM, tree.with_tag(0x31)),
    "a key in a SET": (SPKI, tree.with_tag(0x31)),
    "something after the key": (SPKI, tree.with_more(NULL)),
    "two parameters": (ALGORITHM, tree.with_more(NULL)),
    "a relative OID": ((*ALGORITHM, 0), tree.with_tag(0x0D)),
    "an OCTET STRING for parameters": ((*ALGORITHM, 1), tree.with_tag(0x04)),
    "an OCTET STRING for a key": (KEY, tree.with_tag(0x04)),
    "no bits in the key": (KEY, tree.with_content(b"")),
    "bits of the key that are not used": (KEY, tree.with_content(b"\4\xf0")),
}
JUNK = (
    "",
    "30",
    "3000",
    "3080",
    "3084ffffffff",
    "3088ffffffffffffffff",
    "30ff",
    "1fffffffff7f0100",
)

PATTERNS = (
    "bank.example",
    "*.bank.example",
    "**.pay.bank.example",
    "**.example.net",
    "api.example.net",
    "192.0.2.7",
    "2001:db8::7",
    "::ffff:192.0.2.9",
)
HOSTS = (
    *("bank.example", "BANK.Example.", "a.bank.example", "a.b.bank.example", "pay.bank.example"),
    *("x.pay.bank.example", "y.x.pay.bank.example", "example.net", "api.example.net"),
    *("v1.api.example.net", "notexample.net", "example.net.evil.example", "bank.example..", ""),
    *("a..bank.example", "-a.bank.example", "a-.bank.example", "_dmarc.bank.example", "a b"),
    *("192.0.2.7", "192.0.2.8", "192.0.2.07", "192.0.2", "0x7f.1", "1.192.0.2.7", "192.0.2.256"),
    *("2001:db8::7", "2001:DB8:0:0::7", "2001:db8::8", "::ffff:c000:209", "::FFFF:192.0.2.9"),
    *("192.0.2.9", "b%C3%BCcher.bank.example", "."),
    *("a" * 63 + ".bank.example", "a" * 64 + ".bank.example", "bank.example/"),
    ".".join(["a" * 60] * 4) + ".example.net",
)


def vectors() -> dict[str, Any]:
    """Return all test vectors, as the content of their JSON file."""
    return {
        "certificates": {name: _certificate(der) for name, der in certificates().items()},
        "patterns": list(PATTERNS),
        "hosts": {host: _covering(host) for host in HOSTS},
        "decisions": list(_decisions()),
    }


def certificates() -> dict[str, bytes]:
    """Return valid certificates, and damaged variations of one of them, in DER and by name."""
    found = {name: base64.b64decode(vector["certificate"]) for name, vector in KEYS.items()}
    found["cut short by one octet"] = WHOLE[:-1]
    found["half of it"] = WHOLE[: len(WHOLE) // 2]
    found["an octet behind it"] = WHOLE + b"\0"
    found["a length that wraps round"] = WHOLE[:1] + _WRAPPED + WHOLE[4:]
    for place, path in PLACES.items():
        found[f"{place} with a padded length"] = tree.changed(WHOLE, path, tree.with_padded_length)
        found[f"{place} with an indefinite length"] = tree.changed(
            WHOLE, path, tree.with_indefinite_length
        )
    for name, (path, change) in CHANGES.items():
        found[name] = tree.changed(WHOLE, path, change)
    return found | {f"junk {junk or 'of no octets'}": bytes.fromhex(junk) for junk in JUNK}


def expected_pins(der: bytes) -> list[str] | None:
    """Return the pins of a certificate, its key first; ``None`` if it must be refused."""
    try:
        return list(map(str, pins_of(Certificate.from_der(der))))
    except CertificateParseError:
        return None


def _certificate(der: bytes) -> dict[str, Any]:
    return {"der": base64.b64encode(der).decode(), "pins": expected_pins(der)}


def pin_set() -> PinSet:
    """Return a pin set with a policy of two pins for each pattern of ``PATTERNS``."""
    pins = (HostPin(NOBODY, "leaf"), HostPin(NOBODY_ELSE, "backup"))
    return PinSet(
        "vectors", 1, tuple(HostPolicy(HostPattern.parse(each), pins) for each in PATTERNS)
    )


def _covering(host: str) -> str | None:
    return covering(pin_set(), host)


def covering(pins: PinSet, host: str) -> str | None:
    """Return the pattern of the policy that certpin finds for a host.

    The result is ``None`` if no policy covers the host, or if it is invalid.
    """
    try:
        policy = pins.policy_for(normalise(host))
    except HostError:
        return None
    return str(policy.pattern) if policy else None


def _decisions() -> list[dict[str, Any]]:
    leaf = Certificate.from_der(WHOLE)
    expires = datetime(2027, 6, 1, tzinfo=UTC)
    moments = (expires - timedelta(seconds=1), expires, expires + timedelta(days=400))
    pinned = (*pins_of(leaf), NOBODY)
    found = []
    for mode, on_expiry, moment, dated, pin in product(
        get_args(Mode), get_args(OnExpiry), moments, (True, False), pinned
    ):
        policy = _policy(pin, mode, expires if dated else None, on_expiry)
        found.append(_decision(policy, leaf, moment))
    return found


def _policy(pin: Pin, mode: Mode, expires: datetime | None, on_expiry: OnExpiry) -> Policy:
    entries = (HostPin(pin, "leaf"), HostPin(NOBODY_ELSE, "backup"))
    pattern = HostPattern.parse("bank.example")
    return HostPolicy(pattern, entries, mode, "leaf", expires, on_expiry)


def _decision(policy: Policy, leaf: Certificate, now: datetime) -> dict[str, Any]:
    verdict = verify(Chain((leaf,)), policy, now)
    return {
        "mode": policy.mode,
        "match": policy.match,
        "pins": [str(entry.pin) for entry in policy.pins],
        "expires": policy.expires.isoformat().replace("+00:00", "Z") if policy.expires else None,
        "onExpiry": policy.on_expiry,
        "presented": list(map(str, pins_of(leaf))),
        "now": now.isoformat().replace("+00:00", "Z"),
        "decision": verdict.decision,
        "reason": verdict.reason,
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="ascii")
