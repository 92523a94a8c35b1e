"""What an import leaves behind is told: nothing of a platform's file is dropped in silence."""

from __future__ import annotations

import base64
import json
import warnings

import pytest

from certpin.formats import FORMATS, FormatWarning, Source
from tests.formats._sets import KEYS, WHOLE

HASHES = [str(pin).partition("/")[2] for pin in KEYS[:2]]
PINS = "".join(f'<pin digest="SHA-256">{each}</pin>' for each in HASHES)
QUIET = '<trustkit-config enforcePinning="true" disableDefaultReportUri="true"/>'
EVERYBODY = '<trust-anchors><certificates src="user"/></trust-anchors>'
SYSTEM_TOO = EVERYBODY.replace("<certificates", '<certificates src="system"/><certificates')


def android(inner: str = "", debug: str = "") -> str:
    return (
        f"<network-security-config><domain-config><domain>bank.example</domain>"
        f"<pin-set>{PINS}</pin-set>{inner}</domain-config>"
        f"<debug-overrides>{debug}</debug-overrides></network-security-config>"
    )


def ios(flags: str = "") -> str:
    hashes = "".join(f"<string>{each}</string>" for each in HASHES)
    return (
        '<plist version="1.0"><dict><key>TSKPinnedDomains</key><dict><key>bank.example</key>'
        f"<dict><key>TSKPublicKeyHashes</key><array>{hashes}</array>{flags}</dict>"
        "</dict></dict></plist>"
    )


def wultra(*ends: int) -> str:
    digests = [base64.b64encode(pin.digest).decode() for pin in WHOLE]
    entries = [
        {"name": "bank.example", "fingerprint": digest, "expires": end}
        for digest, end in zip(digests, ends, strict=False)
    ]
    return json.dumps({"fingerprints": entries})


TOLD = [
    (
        "android",
        android(SYSTEM_TOO),
        "authorities that the user installed are trusted too",
    ),
    ("android", android(debug=EVERYBODY), "debugging builds trust every authority of the device"),
    ("trustkit-android", android(), "bank.example reports to TrustKit's vendor too"),
    ("trustkit-ios", ios(), "bank.example reports to TrustKit's vendor too"),
    ("wultra", wultra(2_000_000_000, 2_000_000_001), "end at different times: the last of them"),
]
QUIETLY = [
    ("android", android()),
    ("trustkit-android", android(QUIET)),
    ("trustkit-ios", ios("<key>TSKDisableDefaultReportUri</key><true/>")),
    ("wultra", wultra(2_000_000_000, 2_000_000_000)),
]


def load(name: str, text: str) -> None:
    FORMATS[name].load(Source(text.encode(), str.encode))


@pytest.mark.parametrize(("name", "text", "told"), TOLD, ids=lambda value: value[:20])
def test_what_does_not_come_along_is_told(name: str, text: str, told: str) -> None:
    with pytest.warns(FormatWarning, match=f"not imported: .*{told}"):
        load(name, text)


@pytest.mark.parametrize(("name", "text"), QUIETLY, ids=lambda value: value[:20])
def test_what_comes_along_is_no_news(name: str, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(name, text)
