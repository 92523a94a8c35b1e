"""Public roots that browsers stop trusting, as of 2026-11: their keys, since when, and who says so.

The digests are those of the certificates in Debian's ca-certificates 20250419. Not here: roots
that are not in it (Entrust G4), and whatever was decided later; the stores' own pages have that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from certpin.pins import Pin

_ENTRUST = "Chrome Root Program, 'Entrust Certificate Distrust', 2024"
_CHUNGHWA = "Chrome Root Program, 'Chunghwa Telecom and Netlock', 2025"
_MOZILLA = "Mozilla Root Store Policy section 7.4, CA/Root_CA_Lifecycles"


@dataclass(frozen=True)
class Distrusted:
    """A root. From ``since`` on, new certificates below it are refused by that browser."""

    name: str
    since: date
    source: str


def _roots(source: str, since: date, roots: dict[str, str]) -> dict[Pin, Distrusted]:
    return {
        Pin.parse(f"sha256/{digest}"): Distrusted(name, since, source)
        for digest, name in roots.items()
    }


ROOTS = {
    **_roots(
        _MOZILLA,
        date(2026, 4, 15),
        {
            "28HjoVI4oEg7zbj97GFuA+cFpI4qUBFXyt87nHMRxeU=": "certSIGN ROOT CA",
            "QPz8KIddzL/ry99s10MzEtpjxO/PO9extQXCICCuAnQ=": "SwissSign Gold CA - G2",
            "JZaQTcTWma4gws703OR/KFk313RkrDcHRvUt6na6DCg=": "Secure Global CA",
            "dykHF2FLJfEpZOvbOLX4PKrcD2w2sHd/iA/G3uHTOcw=": "SecureTrust CA",
            "I/Lt/z7ekCWanjD0Cvj5EqXls2lOaThEA0H2Bg4BT/o=": "DigiCert Assured ID Root CA",
            "r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E=": "DigiCert Global Root CA",
            "WoiWRyIOVNa9ihaBciRSC7XHjliYS9VwUGOIud4PB18=": "DigiCert High Assurance EV Root CA",
        },
    ),
    **_roots(
        _ENTRUST,
        date(2024, 11, 12),
        {
            "/qK31kX7pz11PB7Jp4cMQOH3sMVh6Se5hb9xGGbjbyI=": "Entrust Root CA - EC1",
            "du6FkDdMcVQ3u8prumAo6t3i3G27uMP2EOhR8R0at/U=": "Entrust Root CA - G2",
            "HqPF5D7WbC2imDpCpKebHpBnhs6fG1hiFBmgBGOofTg=": "Entrust.net CA (2048)",
            "bb+uANN7nNc/j7R95lkXrwDg3d9C286sIMF8AnXuIJU=": "Entrust Root CA",
            "bEZLmlsjOl6HTadlwm8EUBDS3c/0V5TwtMfkqvpQFJU=": "AffirmTrust Commercial",
            "lAcq0/WPcPkwmOWl9sBMlscQvYSdgxhJGa6Q64kK5AA=": "AffirmTrust Networking",
            "x/Q7TPW3FWgpT4IrU3YmBfbd0Vyt7Oc56eLDy6YenWc=": "AffirmTrust Premium",
            "MhmwkRT/SVo+tusAwu/qs0ACrl8KVsdnnqCHo/oDfk8=": "AffirmTrust Premium ECC",
        },
    ),
    **_roots(
        _CHUNGHWA,
        date(2025, 8, 1),
        {
            "YlVMFwBVQ7I3IV8EJo3NL9HEcCQK08hmDiWuLFljD1U=": "ePKI Root Certification Authority",
            "ecqvU0fm5KlMjniphJb8dAIPgJ7eE/Ig+rYQTI3tMp8=": "HiPKI Root CA - G1",
            "9Iut199qBmkNCuMTc7EoVfje2xRRfzYqMTEBzJjMazU=": "NetLock Arany (Class Gold)",
        },
    ),
}
