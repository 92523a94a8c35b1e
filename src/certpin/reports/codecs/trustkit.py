"""TrustKit's reports, of iOS and macOS and of Android: RFC 7469 with the app beside it.

Android sends port 0 and a numeric offset from UTC. Only iOS says when the pins end and which system
it is, only Android what the server sent. ``app-vendor-id`` names the device: it goes into the
identity's digest, which tells two phones apart that met the same in the same second, and nowhere
else.

The identity is a digest of that, of moment, host, result, app, pins and both chains: TrustKit gives
its reports no names, and sends one again when the app was started anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.reports.codecs.codec import Codec
from certpin.reports.codecs.fields import Fields
from certpin.reports.codecs.identities import digest_of
from certpin.reports.codecs.rfc7469 import pattern_of, port_of
from certpin.reports.model import Client, Report

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.reports.model import Decision

# validation-result: TSKTrustEvaluationResult of iOS, PinningValidationResult of Android, the same
# numbers in both.
REASONS = ("match", "mismatch", "untrusted", "bad-parameters", "user-anchor", "no-spki-hash")
_MATCH = 0

_OWN = ("trustkit-version", "validation-result", "enforce-pinning")
_PLATFORMS = {"ANDROID": "android", "IOS": "ios", "MACOS": "macos", "TVOS": "tvos"}


def _recognises(document: object) -> bool:
    return isinstance(document, dict) and any(name in document for name in _OWN)


def _decode(document: dict[str, Any], received: datetime) -> tuple[Report, ...]:
    fields = Fields(document)
    at, host, port = fields.moment("date-time"), fields.host("hostname"), port_of(fields)
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


TRUSTKIT = Codec("trustkit", "application/json", _recognises, _decode)
