"""Lint rules for host patterns and TOML keys that don't mean what a reader of the pin file expects.

Examples are two patterns that cover the same host, a host in another spelling than the one that is
compared, and a misspelt TOML key.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.lint.rule import (
    BACKUP,
    EXPIRES,
    GOOD,
    HEAD,
    HERE,
    HOST,
    PINS,
    ROOT,
    Hit,
    LintRule,
)
from certpin.pinfile.file import UnknownKey
from certpin.pinfile.reader import (
    DEBUG_KEYS,
    HOST_KEYS,
    PIN_KEYS,
    SERVER_KEYS,
    TOP_KEYS,
    intended_table,
)
from certpin.pinfile.spelling import closest_key, misplaced_key_error, misspelt_key_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from certpin.lint.document import HostEntry, LintDocument


@partial(
    LintRule,
    "overlapping-patterns",
    "note",
    summary="A policy is covered by a wider one with other pins.",
    why=(
        "certpin, TrustKit and Android apply the most specific policy. OkHttp unites the pins of "
        "all patterns that match: exported for it, the host accepts the pins of the wider policy "
        "too. A reader may take one policy for the other."
    ),
    fix="give both the same pins, or allow it with the reason for the difference",
    source="OkHttp CertificatePinner (all matching patterns); TrustKit (the most specific)",
    bad=f'{HEAD}\n[[host]]\nname = "**.bank.example"\n{EXPIRES}{ROOT}{BACKUP}'
    f'\n[[host]]\nname = "api.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f'{HEAD}\n[[host]]\nname = "**.shop.example"\n{EXPIRES}{ROOT}{BACKUP}'
    f'\n[[host]]\nname = "api.bank.example"\n{EXPIRES}{PINS}',
)
def _overlapping_patterns(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.pattern is None:
            continue
        for other in document.covering(host.pattern.name):
            if _is_wider(other, host) and other.live.keys() != host.live.keys():
                line = document.line(other.key)
                message = f"{other} (line {line}) also covers {host}, with other pins"
                yield Hit(f"{host.key}.name", message)
                break


def _is_wider(other: HostEntry, host: HostEntry) -> bool:
    """Return True if the pattern of ``other`` covers every host name that ``host`` covers.

    Return False if both patterns are the same, or one of them is not a host pattern. A wider
    pattern with other pins is reported, because it doesn't apply to the host.
    """
    if other.pattern is None or host.pattern is None or other.pattern == host.pattern:
        return False
    return other.pattern.covers(host.pattern)


@partial(
    LintRule,
    "host-spelling",
    "note",
    summary="A host is not written as it is compared: lower case, A-labels, no trailing dot.",
    why=(
        "certpin compares the normalised name. A text search for that name misses the host, and a "
        "copy of it in the file of a platform that compares letters leaves the host unpinned."
    ),
    fix="write the name as the message shows it",
    source="RFC 5890; RFC 6125 section 6.4",
    bad=f'{HEAD}\n[[host]]\nname = "API.Bank.example."{HERE}\n{EXPIRES}{PINS}',
    good=f"{GOOD}",
)
def _host_spelling(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        name = host.data.get("name")
        if host.pattern is not None and name != str(host.pattern):
            yield Hit(f"{host.key}.name", f"{str(name)[:80]!r} is compared as {host}")


@partial(
    LintRule,
    "misspelt-key",
    "error",
    refuses=True,
    summary="A key has no effect, and resembles one that has, or belongs to another table.",
    why=(
        'A misspelt key has no effect: with truts = "ca.pem" every root of the platform is '
        "trusted, with expire = … the pins never expire. So no client loads the file. A key "
        "resembles a known one if they differ by one slip for every three letters (a letter more, "
        "less or wrong, or two neighbours swapped), ignoring case, with hyphens as underscores."
    ),
    fix="correct its spelling, or move it to its table (certpin explain misspelt-key)",
    bad=f'{HEAD}{HOST}on-expiry = "fail-open"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}on_expiry = "fail-closed"\n{PINS}',
)
def _misspelt_key(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for unknown in _unknown_keys(document):
        if meant := closest_key(unknown.name, unknown.known):
            error = misspelt_key_error(unknown.key, unknown.name, meant)
        elif table := intended_table(unknown.name):
            error = misplaced_key_error(unknown.key, unknown.name, table)
        else:
            continue
        yield Hit(unknown.key, error.problem, error.fix)


@partial(
    LintRule,
    "unknown-key",
    "error",
    summary="A key is unknown: it is kept, and has no effect.",
    why=(
        "Its author believes that it has an effect. Clients warn and continue, because a newer "
        "version may know the key; the check before a release is the time to notice."
    ),
    fix="check its spelling, or remove it; allow it if a newer certpin reads it",
    bad=f'{HEAD}{HOST}lifetime = "90 days"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}match = "any"\n{PINS}',
)
def _unknown_key(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for unknown in _unknown_keys(document):
        if not closest_key(unknown.name, unknown.known) and not intended_table(unknown.name):
            known = ", ".join(unknown.known)
            yield Hit(unknown.key, f"{unknown.name[:80]!r} is not known here (known: {known})")


def _unknown_keys(document: LintDocument) -> Iterator[UnknownKey]:
    """Yield every TOML key of a pin file (``document``) that certpin doesn't know."""
    yield from _unknown_in("", document.data, TOP_KEYS)
    for host in document.hosts:
        yield from _unknown_in(host.key, host.data, HOST_KEYS)
        for key, server in host.servers:
            yield from _unknown_in(key, server, SERVER_KEYS)
        for entry in host.pins:
            yield from _unknown_in(entry.key, entry.data, PIN_KEYS)
    if isinstance(debug := document.data.get("debug"), dict):
        yield from _unknown_in("debug", debug, DEBUG_KEYS)


def _unknown_in(
    key: str, data: Mapping[str, object], known: tuple[str, ...]
) -> Iterator[UnknownKey]:
    for name in sorted(data.keys() - set(known)):
        yield UnknownKey(f"{key}.{name}".lstrip("."), name, known)
