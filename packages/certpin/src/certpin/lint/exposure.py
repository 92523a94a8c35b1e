"""Lint rules for settings that let an attacker through, or hide an attack."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.lint.rule import (
    BACKUP,
    EXPIRES,
    FIRST,
    GOOD,
    HEAD,
    HERE,
    HOST,
    NAME,
    PINS,
    Hit,
    LintRule,
)
from certpin.pins import Pin, normalise, pins_of
from certpin.pins.hosts import is_report_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import LintDocument

_LONGEST_TRIAL = timedelta(days=90)
_PEM_PRIVATE_KEY = "PRIVATE KEY-----"

# Public roots that browsers are ceasing to trust, as of 2026-11. The digests are those of the
# certificates in Debian's ca-certificates 20250419. The list lacks roots that Debian doesn't ship
# (Entrust G4) and later decisions, which the root programs publish.
_ENTRUST = "Chrome Root Program, 'Entrust Certificate Distrust', 2024"
_CHUNGHWA = "Chrome Root Program, 'Chunghwa Telecom and Netlock', 2025"
_MOZILLA = "Mozilla Root Store Policy section 7.4, CA/Root_CA_Lifecycles"


@dataclass(frozen=True)
class DistrustedRoot:
    """A root whose certificates browsers refuse if they were issued on ``since`` or later.

    ``source`` names the browser's decision.
    """

    name: str
    since: date
    source: str


def _roots(source: str, since: date, roots: dict[str, str]) -> dict[Pin, DistrustedRoot]:
    return {
        Pin.parse(f"sha256/{digest}"): DistrustedRoot(name, since, source)
        for digest, name in roots.items()
    }


DISTRUSTED_ROOTS = {
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


@partial(
    LintRule,
    "distrusted-root",
    "warning",
    summary="Browsers are ceasing to trust a root that is pinned, trusted or served.",
    why=(
        "The authority has to move you to another root, or closes: its pin then matches nothing, "
        "and platforms that follow the browsers no longer verify the chain. certpin knows a few "
        "such roots by their keys (as of 2026-11). The absence of a root from this list proves "
        "nothing."
    ),
    fix=(
        "move to another authority: pin its root or intermediate beside the old one first, and "
        "ship that"
    ),
    source=(
        "Chrome Root Program (Entrust 2024, Chunghwa Telecom and Netlock 2025); Mozilla Root "
        "Store Policy section 7.4"
    ),
    bad=f'{GOOD}\n[[host.pin]]\npin = "sha256/DISTRUSTED"{HERE}\nrole = "root"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
def _distrusted_root(document: LintDocument, now: datetime) -> Iterator[Hit]:
    roots = DISTRUSTED_ROOTS.keys()
    for host in document.hosts:
        for pin in host.live.keys() & roots:
            yield Hit(f"{host.live[pin].key}.pin", f"{host} pins {_root_text(pin)}")
    for file in document.anchor_files():
        for pin in {pins_of(each)[0] for each in file.certificates} & roots:
            yield Hit(file.key, f"{file.name[:80]} trusts {_root_text(pin)}")
    for host, result in document.verified_results():
        for pin in result.path_pins.keys() & roots - host.live.keys():
            yield Hit(f"{host.key}.name", f"the chain of {result.host} ends at {_root_text(pin)}")


def _root_text(pin: Pin) -> str:
    root = DISTRUSTED_ROOTS[pin]
    return f"{root.name}, which browsers distrust since {root.since} ({root.source})"


@partial(
    LintRule,
    "fail-open-without-reason",
    "warning",
    summary="on_expiry lets every connection through, and no comment gives a reason.",
    why=(
        "After the expiry, a client that was never updated accepts every certificate that its "
        "platform trusts, including those of the men in the middle that pinning has to keep out: "
        "an attacker only has to wait, or to hold the updates back. It may be right (an app that "
        "must keep working), but it has to be a decision."
    ),
    fix='write the reason as a comment on that line or the one above; or on_expiry = "fail-closed"',
    source=(
        "Android network security config fails open after its expiration; OWASP Pinning Cheat Sheet"
    ),
    bad=f'{HEAD}{HOST}on_expiry = "fail-open"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}on_expiry = "fail-open"  # read-only: old apps must go on\n{PINS}',
)
def _fail_open_without_reason(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.on_expiry == "fail-closed" or host.mode == "report":
            continue  # report mode refuses no connection, before or after the expiry
        key = f"{host.key}.on_expiry"
        if not document.places.reason(document.line(key)):
            yield Hit(key, f"{host} is no longer enforced after its expiry, without a reason")


@partial(
    LintRule,
    "debug-section",
    "warning",
    summary="The file has a [debug] section.",
    why=(
        "If the environment has CERTPIN_DEBUG=1, a chain that ends at one of these anchors "
        "is accepted without a pin: an attacker with the key of that proxy who can set an "
        "environment variable reads all traffic. Do not release it; certpin export --release "
        "refuses it."
    ),
    fix="keep the section in a pin file that is used for development only",
    bad=f'{GOOD}\n[debug]{HERE}\nanchors = "bank-root.pem"\n',
    good=f"{GOOD}",
)
def _debug_section(document: LintDocument, now: datetime) -> Iterator[Hit]:
    if "debug" in document.data:
        message = "the file has a [debug] section: with CERTPIN_DEBUG=1 its anchors are accepted"
        yield Hit("debug", message)


@partial(
    LintRule,
    "report-only-too-long",
    "warning",
    summary='A host stays in mode "report" for more than 90 days, or without an end.',
    why=(
        'In mode "report" clients refuse nothing: an attack is reported after it has succeeded. It '
        "is for trying pins out. Write its end as expires: the day by which you will have read the "
        "reports and decided."
    ),
    fix=(
        'write mode = "enforce"; or an expires at most 90 days from now, the day of your decision'
    ),
    source="RFC 7469 section 2.1 (Public-Key-Pins-Report-Only)",
    bad=f'{HEAD}{NAME}mode = "report"{HERE}\nexpires = 2027-12-01\n'
    f'report_to = ["https://pins.other.example/"]\n{PINS}',
    good=f'{HEAD}{NAME}mode = "report"\nexpires = 2027-05-01\n'
    f'report_to = ["https://pins.other.example/"]\n{PINS}',
)
def _report_only_too_long(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.mode != "report":
            continue
        key = f"{host.key}.mode"
        if host.expires is None:
            yield Hit(key, f'{host} is in mode "report", and has no expires as its end')
        elif host.expires.tzinfo and host.expires - now > _LONGEST_TRIAL:
            day = f"{host.expires:%Y-%m-%d}"
            yield Hit(key, f'{host} is in mode "report" until {day}: more than 90 days')


@partial(
    LintRule,
    "report-only-to-nobody",
    "note",
    summary='A host is in mode "report", and the reports have no recipient.',
    why=(
        "Without report_to, a mismatch only reaches the log of the client and its hooks. In an app "
        "on a phone, you see neither."
    ),
    fix='name a collector: report_to = ["https://…"]; or allow it, if the log is read',
    source="RFC 7469 section 2.1.4",
    bad=f'{HEAD}{NAME}mode = "report"{HERE}\nexpires = 2027-05-01\n{PINS}',
    good=f'{HEAD}{NAME}mode = "report"\nexpires = 2027-05-01\n'
    f'report_to = ["https://pins.other.example/"]\n{PINS}',
)
def _report_only_to_nobody(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.mode == "report" and not host.report_to:
            yield Hit(f"{host.key}.mode", f'{host} is in mode "report", and has no report_to')


@partial(
    LintRule,
    "dead-pin-elsewhere",
    "error",
    summary="A key that is compromised under one host is accepted under another.",
    why=(
        "An attacker with the stolen key can impersonate every host that still accepts it. A "
        "compromise concerns the key, not one name."
    ),
    fix='mark it state = "compromised" under every host, and take it out of service everywhere',
    bad=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/THREE"\nstate = "compromised"\n'
    f'\n[[host]]\nname = "www.bank.example"\n{EXPIRES}'
    f'\n[[host.pin]]\npin = "sha256/THREE"{HERE}\n{BACKUP}',
    good=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/THREE"\nstate = "compromised"\n'
    f'\n[[host]]\nname = "www.bank.example"\n{EXPIRES}{PINS}',
)
def _dead_pin_elsewhere(document: LintDocument, now: datetime) -> Iterator[Hit]:
    compromised = {
        entry.pin: (host, entry)
        for host in document.hosts
        for entry in host.pins
        if entry.state == "compromised" and entry.pin is not None
    }
    for host in document.hosts if compromised else ():
        for pin in host.live.keys() & compromised.keys():
            other, entry = compromised[pin]
            line = document.line(entry.key)
            message = f"{host} accepts a key that is compromised under {other} (line {line})"
            yield Hit(f"{host.live[pin].key}.pin", message)


@partial(
    LintRule,
    "private-key",
    "error",
    summary="The pin file contains a private key.",
    why=(
        "The pin file is shipped to every client. Anyone who reads the key can impersonate your "
        "server."
    ),
    fix=(
        "remove it, also from the version history; make a new key, and mark the old one state = "
        '"compromised"'
    ),
    source="RFC 7468 section 10",
    bad=f'{HEAD}{HOST}{FIRST}{BACKUP}note = "-----BEGIN PRIVATE KEY-----MC4CAQ"{HERE}\n',
    good=f'{HEAD}{HOST}{FIRST}{BACKUP}note = "the key is in the safe"\n',
)
def _private_key(document: LintDocument, now: datetime) -> Iterator[Hit]:
    if _PEM_PRIVATE_KEY in document.text:
        for number, line in enumerate(document.text.split("\n"), 1):
            if _PEM_PRIVATE_KEY in line:
                yield Hit("", "the pin file contains a private key", line=number)


@partial(
    LintRule,
    "report-loop",
    "warning",
    summary="Reports go to a host that is pinned itself.",
    why=(
        "The report of a failure fails for the same reason: if the pins of the collector do "
        "not match, no report arrives, and a client that reports that failure too is in a loop."
    ),
    fix=(
        "send reports to a host that no policy of the file covers, on another domain and with "
        "another key"
    ),
    source="RFC 7469 section 2.1.4",
    bad=f'{HEAD}{HOST}report_to = ["https://api.bank.example/reports"]{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}report_to = ["https://pins.other.example/reports"]\n{PINS}',
)
def _report_loop(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for address in host.report_to:
            name = _host_of(address)
            policy = next(document.covering(name), None) if name else None
            if policy is not None and policy.mode == "enforce":
                message = f"reports of {host} go to {name[:80]}, which {policy} pins"
                yield Hit(f"{host.key}.report_to", message)


def _host_of(address: str) -> str:
    """Return the normalised host of a URL, or an empty string if it has none."""
    try:
        return normalise(urlsplit(address).hostname or "")
    except ValueError:
        return ""


@partial(
    LintRule,
    "report-to-this-machine",
    "warning",
    summary="Reports go to the client's own machine.",
    why=(
        "An http:// address of this machine is for tests of a collector. On a client, no collector "
        "listens there, and another app may."
    ),
    fix="write the https:// address of your collector",
    bad=f'{HEAD}{HOST}report_to = ["http://127.0.0.1:8080/"]{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}report_to = ["https://pins.other.example/"]\n{PINS}',
)
def _report_to_this_machine(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for address in host.report_to:
            if address.startswith("http://") and is_report_address(address):
                message = f"reports of {host} go to the client's own machine: {address[:80]}"
                yield Hit(f"{host.key}.report_to", message)
