"""Lint rules for settings that let an attacker through, or hide an attack."""

from __future__ import annotations

from datetime import timedelta
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
from certpin.pinfile.editor import editable_pins
from certpin.pins import normalise
from certpin.pins.hosts import is_report_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import LintDocument

_LONGEST_TRIAL = timedelta(days=90)
_PEM_PRIVATE_KEY = "PRIVATE KEY-----"


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
    """Return the host of a URL (``address``) in canonical spelling; empty if it isn't valid."""
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


@partial(
    LintRule,
    "inline-pins",
    "warning",
    summary="Hosts or pins are in a list of inline tables, which certpin can't edit.",
    why=(
        "certpin edits the text of the file, so that comments and order survive, and finds pins by "
        "their headers. It refuses every change of a pin in an inline list: the steps of a "
        "rotation, and after a theft the mark that makes clients refuse the key. Then is no time "
        "to rewrite the file."
    ),
    fix="write each host under its own [[host]], and each of its pins under [[host.pin]]",
    bad=(
        f'{HEAD}{HOST}pin = [{HERE}\n  {{ pin = "sha256/ONE", role = "leaf" }},\n'
        '  { pin = "sha256/TWO", role = "backup", state = "published" },\n]\n'
    ),
    good=f"{GOOD}",
)
def _inline_pins(document: LintDocument, now: datetime) -> Iterator[Hit]:
    counts = editable_pins(document.text)
    if len(counts) != len(document.hosts):
        yield Hit("host", "hosts are in a list: certpin reads them, and can't edit their pins")
        return
    for host, count in zip(document.hosts, counts, strict=True):
        if count != len(host.pins):
            message = f"the pins of {host} are in a list: certpin reads them, and can't edit them"
            yield Hit(f"{host.key}.pin", message)
