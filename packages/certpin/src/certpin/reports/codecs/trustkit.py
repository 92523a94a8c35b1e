"""Read TrustKit's reports from iOS, macOS and Android: RFC 7469 with fields about the app.

Android sends port 0 and a numeric offset from UTC. Only iOS sends the expiry of the pins and the
operating system; only Android sends the served chain. ``app-vendor-id`` identifies the device. It
is used only in the digest of the identity, so that reports of two phones with the same failure in
the same second differ.

A report's identity, by which repeated uploads are recognised, is a digest of device, time, host,
result, app, pins and both chains: TrustKit's reports have no ID, and TrustKit may send a report
again after a restart of the app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.reports.codecs.fields import Codec, Fields, digest_of
from certpin.reports.codecs.rfc7469 import pattern_of, port_of
from certpin.reports.model import Client, Report

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.reports.model import Decision

# validation-result: the numbers of TSKTrustEvaluationResult (iOS) and PinningValidationResult
# (Android) are the same.
REASONS = ("match", "mismatch", "untrusted", "bad-parameters", "user-anchor", "no-spki-hash")
_MATCH = 0

_OWN = ("trustkit-version", "validation-result", "enforce-pinning")
_PLATFORMS = {"ANDROID": "android", "IOS": "ios", "MACOS": "macos", "TVOS": "tvos"}


def _recognises(document: object) -> bool:
    return isinstance(document, dict) and any(name in document for name in _OWN)


def _decode(document: dict[str, Any], received: datetime) -> tuple[Report, ...]:
    fields = Fields(document)
    at, host, port = fields.time("date-time"), fields.host("hostname"), port_of(fields)
    result = fields.number("validation-result", len(REASONS) - 1, default=REASONS.index("mismatch"))
    served = fields.chain("served-certificate-chain")
    verified = fields.chain("validated-certificate-chain")
    pins, pattern, client = fields.pins("known-pins"), pattern_of(fields), _client(fields)
    device = fields.text("app-vendor-id")
    texts = (at.isoformat(), host, str(port), str(result), pattern, device, *pins)
    app = (client.app, client.app_version, client.platform)
    report = Report(
        kind="trustkit",
        at=at,
        host=host,
        port=port,
        decision=_decision(fields, result),
        reason=REASONS[result],
        identity=digest_of("trustkit", (*app, *texts), served, verified),
        client=client,
        pattern=pattern,
        served=served,
        verified=verified,
        known_pins=pins,
        expires=fields.expiry("known-pins-expiration-date"),
    )
    return (report,)


def _decision(fields: Fields, result: int) -> Decision:
    if result == _MATCH:
        return "accept"
    return "refuse" if fields.flag("enforce-pinning", default=True) else "report"


def _client(fields: Fields) -> Client:
    platform, version = fields.text("app-platform"), fields.text("trustkit-version")
    return Client(
        app=fields.text("app-bundle-id"),
        app_version=fields.text("app-version"),
        platform=_PLATFORMS.get(platform.upper(), platform),
        platform_version=fields.text("app-platform-version"),
        library=f"trustkit {version}" if version else "trustkit",
    )


TRUSTKIT = Codec(
    "trustkit",
    "application/json",
    _recognises,
    _decode,
    reasons=frozenset(REASONS),
    identity_has_device=True,
)
