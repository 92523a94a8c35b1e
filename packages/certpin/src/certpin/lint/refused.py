"""Lint rules for mistakes that make clients refuse to load a pin file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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
    ROOT,
    Hit,
    LintRule,
)
from certpin.pinfile.file import MISSING
from certpin.pins.hosts import is_public_suffix, is_report_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import LintDocument
    from certpin.pins import Pin


@partial(
    LintRule,
    "refused",
    "error",
    refuses=True,
    summary="Something in the file is refused: no client loads it.",
    why=(
        "A pin file that does not load protects no one: the program that needs it ends with a "
        "PinFileError, or an update is discarded. certpin refuses a file rather than guess its "
        "meaning."
    ),
    fix="follow the message; certpin explain refused shows the form of a file",
    bad=f'{HEAD}{HOST}mode = "enforced"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}mode = "enforce"\n{PINS}',
)
def _refused(document: LintDocument, now: datetime) -> Iterator[Hit]:
    refusals = [] if document.refusal is None else [document.refusal]
    for problem in (*document.problems, *refusals):
        message = problem.problem
        if message == MISSING:  # no line of the file shows the key
            message = f"`{problem.key.rpartition('.')[2]}` is missing"
        yield Hit(problem.key, message, problem.fix)


@partial(
    LintRule,
    "no-host",
    "error",
    refuses=True,
    summary="No host is pinned.",
    why=(
        "With a pin set that covers no host, a client that is not strict connects to any server "
        "that the platform trusts, while its authors believe that it is pinned."
    ),
    fix="pin a host: certpin add HOST --backup-key FILE",
    bad=f'schema = 1{HERE}\nname = "bank-app"\nversion = 12\n',
    good=f"{GOOD}",
)
def _no_host(document: LintDocument, now: datetime) -> Iterator[Hit]:
    if document.data.get("host", []) == []:
        yield Hit("host", "the file pins no host: it protects nothing")


@partial(
    LintRule,
    "version-too-low",
    "error",
    refuses=True,
    summary="The version is below 1.",
    why=(
        "Clients remember the highest version that they have seen, so that an attacker cannot "
        "bring old pins back. A version of 0 or less is lower than any version that they can hold."
    ),
    fix="write a version that is higher than the last published one, and at least 1",
    bad=f'schema = 1\nname = "bank-app"\nversion = 0{HERE}\n{HOST}{PINS}',
    good=f"{GOOD}",
)
def _version_too_low(document: LintDocument, now: datetime) -> Iterator[Hit]:
    version = document.data.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version < 1:
        yield Hit("version", f"version {version} is below the lowest version, which is 1")


@partial(
    LintRule,
    "duplicate-host",
    "error",
    refuses=True,
    summary="Two policies are for the same hosts, perhaps in two spellings.",
    why=(
        "Only one policy can apply. The author of the other one believes that its pins are "
        "enforced."
    ),
    fix="merge the two policies",
    bad=f'{GOOD}\n[[host]]\nname = "api.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f'{GOOD}\n[[host]]\nname = "www.bank.example"\n{EXPIRES}{PINS}',
)
def _duplicate_host(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        first = document.by_pattern.get(str(host.pattern)) if host.pattern else None
        if first is not None and first is not host:
            line = document.line(f"{first.key}.name")
            yield Hit(f"{host.key}.name", f"{host} already has a policy, on line {line}")


@partial(
    LintRule,
    "public-suffix",
    "error",
    refuses=True,
    summary="A wildcard covers a public suffix, under which anyone may register a name.",
    why=(
        "The policy would refuse the servers of other people under that suffix. If it widens trust "
        "(report mode, a trust file), it would do so for their names too."
    ),
    fix="name a domain that you own, as in **.bank.example",
    source="the Public Suffix List, https://publicsuffix.org",
    bad=f'{HEAD}\n[[host]]\nname = "**.co.uk"{HERE}\n{EXPIRES}match = "ca"\n{ROOT}{BACKUP}',
    good=f'{HEAD}\n[[host]]\nname = "**.bank.co.uk"\n{EXPIRES}match = "ca"\n{ROOT}{BACKUP}',
)
def _public_suffix(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.pattern and host.pattern.wildcard and is_public_suffix(host.pattern.name):
            yield Hit(f"{host.key}.name", f"{host} covers every name under {host.pattern.name}")


@partial(
    LintRule,
    "no-live-pin",
    "error",
    refuses=True,
    summary="A host has no pin that accepts: none at all, or only removed and compromised ones.",
    why=(
        "Clients refuse the server whatever it presents: every client is locked out until it gets "
        "another pin set."
    ),
    fix=(
        "write a [[host.pin]] table for the key that the server uses (certpin pin HOST prints its "
        "pin), and another one for a backup (certpin pin FILE prints the pin of a key)"
    ),
    bad=f'{HEAD}\n[[host]]{HERE}\nname = "api.bank.example"\n{EXPIRES}',
    good=f"{GOOD}",
)
def _no_live_pin(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if not host.live and not host.unreadable:
            yield Hit(f"{host.key}.pin", f"{host} has no pin that could match")


@partial(
    LintRule,
    "no-backup",
    "error",
    refuses=True,
    summary="An enforced host has only one pin.",
    why=(
        "If its key is lost, stolen, or replaced by a renewal, clients accept no remaining key: "
        "all of them are locked out until each gets an update, which it may be unable to fetch."
    ),
    fix=(
        "write a [[host.pin]] table for a backup, with a key that is not on the server (certpin "
        "pin FILE prints its pin); or pin all roots of your provider (certpin providers); or write "
        'mode = "report" until then'
    ),
    source="RFC 7469 sections 2.5 and 4.3; OWASP Pinning Cheat Sheet; TrustKit asks for two pins",
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\n',
    good=f"{HEAD}{HOST}{PINS}",
)
def _no_backup(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.mode == "enforce" and len(host.live) + host.unreadable == 1:
            yield Hit(f"{host.key}.pin", f"{host} has only one pin, and no backup")


@partial(
    LintRule,
    "duplicate-pin",
    "error",
    refuses=True,
    summary="A host has the same pin twice, perhaps in two spellings.",
    why=(
        "Two entries look like a pin and its backup, but are the same key: if it is lost, so is "
        'the backup. sha256/…, sha256//… and pin-sha256="…" with the same digest are the same pin.'
    ),
    fix="remove one of the two, and add a real backup instead",
    source="RFC 7469 section 2.4 (one fingerprint); curl --pinnedpubkey (the other spelling)",
    bad=f'{GOOD}\n[[host.pin]]\npin = "sha256//ONE"{HERE}\nrole = "backup"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256//THREE"\nrole = "backup"\n',
)
def _duplicate_pin(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        first: dict[Pin, str] = {}
        for entry in host.pins:
            if entry.pin is None:
                continue
            if entry.pin in first:
                line = document.line(first[entry.pin])
                message = f"{host} already has {entry.pin}, on line {line}"
                yield Hit(f"{entry.key}.pin", message)
            first.setdefault(entry.pin, f"{entry.key}.pin")


@partial(
    LintRule,
    "placeholder-pin",
    "error",
    refuses=True,
    summary="A pin is an example from some documentation, or one repeated character.",
    why=(
        "No server has the key of an example. As the only pin it locks every user out; as a backup "
        "it fails on the day when you need it."
    ),
    fix="replace it with your own pin: certpin pin HOST prints it",
    source=(
        "RFC 7469 section 2.1.5; the documentation of Android and of TrustKit: their pins are "
        "refused"
    ),
    bad=f'{HEAD}{HOST}{FIRST}\n[[host.pin]]\npin = "sha256/EXAMPLE"{HERE}\nrole = "backup"\n',
    good=f"{GOOD}",
)
def _placeholder_pin(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for entry in host.pins:
            if entry.pin is not None and entry.pin.is_placeholder:
                message = f"a pin of {host} is an example from some documentation: {entry.pin}"
                yield Hit(f"{entry.key}.pin", message)


@partial(
    LintRule,
    "expiry-without-zone",
    "error",
    refuses=True,
    summary="An expiry has a time and no time zone.",
    why=(
        "In other time zones, the pins would expire hours earlier or later than their author "
        "intended."
    ),
    fix="write a date (00:00 UTC of that day), or add Z for UTC",
    source="RFC 3339 section 4.4 (unqualified local time)",
    bad=f"{HEAD}{NAME}expires = 2027-09-01T12:00:00{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2027-09-01T12:00:00Z\n{PINS}",
)
def _expiry_without_zone(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.expires is not None and host.expires.utcoffset() is None:
            yield Hit(f"{host.key}.expires", f"the expiry of {host} has a time but no time zone")


@partial(
    LintRule,
    "report-not-https",
    "error",
    refuses=True,
    summary="Reports go to an address that is not https.",
    why=(
        "A report names the host, the chain and the pins. Without TLS, the reported attacker can "
        "read it and stop it."
    ),
    fix="write an https:// address without user name and password",
    source="RFC 7469 section 3",
    bad=f'{HEAD}{HOST}report_to = ["http://reports.bank.example/"]{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}report_to = ["https://reports.bank.example/"]\n{PINS}',
)
def _report_not_https(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for address in host.report_to:
            if not is_report_address(address):
                message = f"{host} reports to {address[:80]!r}, which is not an https:// address"
                yield Hit(f"{host.key}.report_to", message)


@partial(
    LintRule,
    "trust-unreadable",
    "error",
    refuses=True,
    summary="A file of trust anchors is missing, or holds something else.",
    why=(
        "The pin set does not load without the anchors that it names. A private key or a "
        "certificate request in that file is refused too, because the file is shipped to every "
        "client."
    ),
    fix="name a PEM file of certificates, relative to the pin file",
    bad=f'{HEAD}{HOST}trust = "no-such-root.pem"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}',
)
def _trust_unreadable(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for file in document.anchor_files():
        if file.problem:
            yield Hit(file.key, file.problem)
