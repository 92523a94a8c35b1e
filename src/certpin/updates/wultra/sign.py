"""A list is signed, entry by entry, and each signature is verified before anybody gets it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, KeyParseError
from certpin.formats import FORMATS
from certpin.pins import Pin
from certpin.updates.wultra import rules
from certpin.updates.wultra.certificates import entry_of
from certpin.updates.wultra.check import check_list
from certpin.updates.wultra.keys import for_sdk, require_p256
from certpin.updates.wultra.listing import Entry, read_list
from certpin.updates.wultra.texts import entry_text
from certpin.x509.keys import public_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.formats import Loss
    from certpin.pins import PinSet
    from certpin.x509 import Certificate
    from certpin.x509.signing import Signer


@dataclass(frozen=True)
class SignedList:
    """The text of a list, what stands in it, and what of the pin set does not.

    ``public_key`` is what the configuration of the SDK wants.
    """

    text: str
    public_key: str
    entries: tuple[Entry, ...]
    losses: tuple[Loss, ...] = ()


def sign_set(pins: PinSet, signer: Signer, now: datetime) -> SignedList:
    """Sign the pins of whole certificates of a pin set, each until its policy ends.

    Raises ``ConfigError`` where the SDKs cannot have it, and ``KeyParseError`` for the key.
    """
    own = Pin.of_key(public_key(signer.spki).spki_sha256)
    for policy in pins.policies:
        if own in {entry.pin for entry in policy.pins}:
            raise _own_key(str(policy.pattern))
    made = FORMATS["wultra"].export(pins)
    return _signed(json.loads(made.files[0].text), signer, now, made.losses)


def sign_certificates(
    certificates: Sequence[Certificate], signer: Signer, now: datetime
) -> SignedList:
    """Sign an entry for each certificate, under its common name, until it ends. Raises as above."""
    for certificate in certificates:
        if certificate.spki == signer.spki:
            raise _own_key(certificate.subject)
    entries = [entry_of(certificate) for certificate in certificates]
    document = [
        {"name": entry.name, "fingerprint": entry.fingerprint, "expires": entry.expires}
        for entry in entries
    ]
    return _signed({"fingerprints": document}, signer, now)


def _signed(
    document: dict[str, Any], signer: Signer, now: datetime, losses: tuple[Loss, ...] = ()
) -> SignedList:
    key = require_p256(signer)
    _refuse_wrong(_text(document), now)
    for entry in document["fingerprints"]:
        text = entry_text(entry["name"], entry["fingerprint"], entry["expires"])
        entry["signature"] = base64.b64encode(signer.sign(text)).decode()
    signed = _text(document)
    checked = check_list(signed.encode(), key, now)
    if not checked.holds:
        raise KeyParseError(
            "the key made a signature that does not hold; nothing is written",
            fix="look into what holds the key: a damaged token does that",
        )
    return SignedList(signed, for_sdk(key), checked.listing.entries, losses)


def _refuse_wrong(text: str, now: datetime) -> None:
    """What is wrong without a signature is not signed."""
    listing = read_list(text.encode())
    twins = rules.twins(listing)
    for entry in listing.entries:
        if (entry.name, entry.fingerprint) in twins:
            raise ConfigError(f"{entry.name}: one certificate stands there twice", key="name")
        for finding in rules.of_entry(entry, now):
            raise ConfigError(f"{entry.name}: {finding.problem}", key="name", fix=finding.fix)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _own_key(whose: str) -> ConfigError:
    return ConfigError(
        f"this is the key of {whose}: whoever takes that server could then sign lists",
        key="--key",
        fix="sign with a key that is for nothing else, and is on no server",
    )
