"""Boundary cases: files with a finding of a rule, and similar files without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lint import lint
from certpin.lint.rule import (
    AUTHORITY,
    BACKUP,
    EXPIRES,
    FIRST,
    GOOD,
    HEAD,
    HOST,
    NAME,
    NOW,
    PINS,
)
from tests.lint import _examples

if TYPE_CHECKING:
    from pathlib import Path

REPORT = f'{NAME}mode = "report"\nexpires = 2027-05-01\n'
TO = 'report_to = ["https://pins.other.example/"]\n'
REPORT_HERE = 'report_to = ["https://pins.bank.example/"]\n'
THIRD = '\n[[host.pin]]\npin = "sha256/THREE"\n'
WWW = f'\n[[host]]\nname = "www.bank.example"\n{EXPIRES}'
INLINE_PINS = 'pin = [{ pin = "sha256/ONE" }, { pin = "sha256/TWO", role = "backup" }]'
LOGS, OLD_LOGS = 'ct_logs = "logs.json"\n', 'ct_logs = "old-logs.json"\n'
REQUIRED = "require_ct = true\n"
ALL = f'\n[[host]]\nname = "**.bank.example"\n{EXPIRES}match = "any"\n'


def host(name: str) -> str:
    return f'{HEAD}\n[[host]]\nname = "{name}"\n{EXPIRES}'


# By case: a rule, and a file in which it finds a mistake.
FINDS = {
    "a list of logs that is missing": ("refused", f'{HEAD}ct_logs = "none.json"\n{HOST}{PINS}'),
    "a required list that is missing": (
        "refused",
        f'{HEAD}ct_logs = "none.json"\n{HOST}{REQUIRED}{PINS}',
    ),
    "require_ct without a list": ("refused", f"{HEAD}{HOST}{REQUIRED}{PINS}"),
    "a list of 70 days": (
        "ct-list-old",
        f'{HEAD}ct_logs = "stale-logs.json"\n{HOST}{REQUIRED}{PINS}',
    ),
    "a key of the wrong type": ("refused", f"{HEAD}{HOST}report_to = 1\n{PINS}"),
    "another schema": ("refused", GOOD.replace("schema = 1", "schema = 2")),
    "a malformed pin": ("refused", GOOD.replace("sha256/ONE", "sha256/one")),
    "a note that is a number": ("refused", f"{GOOD}note = 1\n"),
    "hosts that are not tables": ("refused", f"{HEAD}host = [1]\n"),
    "an empty list of hosts": ("no-host", f"{HEAD}host = []\n"),
    "a negative version": ("version-too-low", GOOD.replace("12", "-1")),
    "a wildcard over a top-level domain": ("public-suffix", f"{host('*.com')}{PINS}"),
    "only dead pins": ("no-live-pin", f'{HEAD}{HOST}{FIRST}state = "removed"\n'),
    "a compromised backup": (
        "no-backup",
        f"{HEAD}{HOST}{FIRST}{BACKUP}".replace("published", "compromised"),
    ),
    "the same pin as RFC 7469 writes it": (
        "duplicate-pin",
        f"{GOOD}\n[[host.pin]]\npin = 'pin-sha256=\"ONE\"'\n".replace(
            '"ONE"\'', f'"{_examples.words()["ONE"]}"\''
        ),
    ),
    "a placeholder among other pins": (
        "placeholder-pin",
        f"{GOOD}{THIRD.replace('THREE', 'EXAMPLE')}",
    ),
    "credentials in an address": (
        "report-not-https",
        f'{HEAD}{HOST}report_to = ["https://u:p@pins.other.example"]\n{PINS}',
    ),
    "anchors of the debug section": ("trust-unreadable", f'{GOOD}\n[debug]\nanchors = "no.pem"\n'),
    "an anchor that OpenSSL cannot read": (
        "trust-unreadable",
        f'{HEAD}{HOST}trust = "unreadable-root.pem"\n{PINS}',
    ),
    "the moment of expiry": ("expired", f"{HEAD}{NAME}expires = 2027-03-01\n{PINS}"),
    "the last day of the adoption": (
        "expires-too-soon",
        f"{HEAD}{NAME}expires = 2027-03-31\n{PINS}",
    ),
    "a day over two years": ("expires-too-late", f"{HEAD}{NAME}expires = 2029-03-02\n{PINS}"),
    "an expired certificate": ("anchor-expired", f'{HEAD}{HOST}trust = "old-root.pem"\n{PINS}'),
    "an anchor near its expiry": (
        "anchor-expires-soon",
        f'{HEAD}{HOST}trust = "soon-root.pem"\n{PINS}',
    ),
    "reports instead of pinning": (
        "fail-open-without-reason",
        f'{HEAD}{HOST}on_expiry = "report"\n{PINS}',
    ),
    "a reason two lines above": (
        "fail-open-without-reason",
        f'{HEAD}{HOST}# why\n\non_expiry = "fail-open"\n{PINS}',
    ),
    "a comment beside another key": (
        "fail-open-without-reason",
        f'{HEAD}{HOST}mode = "enforce"  # why\non_expiry = "fail-open"\n{PINS}',
    ),
    "a comment that allows something else": (
        "fail-open-without-reason",
        f'{HEAD}{HOST}# certpin: allow no-expiry because so\non_expiry = "fail-open"\n{PINS}',
    ),
    "an empty debug section": ("debug-section", f"{GOOD}\n[debug]\n"),
    "report only without an end": (
        "report-only-too-long",
        f'{HEAD}{NAME}mode = "report"\n{TO}{PINS}',
    ),
    "reports without a recipient": ("report-only-to-nobody", f"{HEAD}{REPORT}{PINS}"),
    "a compromised key above the accepted one": (
        "dead-pin-elsewhere",
        f"{GOOD}{WWW}{PINS}{THIRD}".replace(
            'pin = "sha256/ONE"', 'pin = "sha256/ONE"\nstate = "compromised"', 1
        ),
    ),
    "a key in a comment": ("private-key", f"{GOOD}# -----BEGIN RSA PRIVATE KEY-----\n"),
    "an encrypted key": ("private-key", f"{GOOD}# -----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
    "reports to a name under a wildcard": (
        "report-loop",
        f'{HEAD}{ALL}report_to = ["https://Pins.Bank.example:8443/x"]\n{AUTHORITY}{BACKUP}',
    ),
    "reports to a name under the longer of two wildcards": (
        "report-loop",
        f"{HEAD}{REPORT}{AUTHORITY}{BACKUP}".replace("api.", "*.")
        + f"{ALL}{REPORT_HERE}{AUTHORITY}{BACKUP}".replace("**.", "**.pins."),
    ),
    "reports to an address of this machine": (
        "report-to-this-machine",
        f'{HEAD}{HOST}report_to = ["http://[::1]:1/"]\n{PINS}',
    ),
    "a wildcard under a wildcard": (
        "overlapping-patterns",
        (
            f"{HEAD}{ALL}{AUTHORITY}{BACKUP}"
            f'\n[[host]]\nname = "*.eu.bank.example"\n{EXPIRES}{AUTHORITY}{THIRD}role = "backup"\n'
        ),
    ),
    "both wildcards of one name": (
        "overlapping-patterns",
        (
            f"{HEAD}{ALL}{AUTHORITY}{BACKUP}"
            f'\n[[host]]\nname = "*.bank.example"\n{EXPIRES}{AUTHORITY}{THIRD}role = "backup"\n'
        ),
    ),
    "a name with a non-ASCII letter": ("host-spelling", f"{host('bücher.example')}{PINS}"),
    "hosts in a list of inline tables": (
        "inline-pins",
        f'{HEAD}host = [{{ name = "a.example", expires = 2027-09-01, {INLINE_PINS} }}]\n',
    ),
    "a misspelt key of a pin": ("misspelt-key", f'{GOOD}rule = "leaf"\n'),
    "a misspelt table": ("misspelt-key", f"{GOOD}\n[[hots]]\n"),
    "a misspelt key of the debug section": (
        "misspelt-key",
        f'{GOOD}\n[debug]\nanchors = "bank-root.pem"\nancors = 1\n',
    ),
    "a key of a host below its pins": ("misspelt-key", f'{GOOD}trust = "bank-root.pem"\n'),
    "a key that resembles no known one": ("unknown-key", f'{GOOD}owner = "payments"\n'),
    "whole certificates": (
        "whole-certificate-pin",
        f'{GOOD}\n[[host.pin]]\npin = "cert-sha256/WHOLE"\nrole = "backup"\n',
    ),
    "a leaf with match ca": (
        "role-contradicts-match",
        f'{HEAD}{HOST}match = "ca"\n{FIRST}{THIRD}role = "leaf"\n',
    ),
    "a leaf beside an authority with match ca": (
        "pin-out-of-reach",
        f'{HEAD}{HOST}match = "ca"\n{FIRST}{AUTHORITY}{BACKUP}',
    ),
    "three of one chain": (
        "roles-of-one-chain",
        f'{HEAD}{HOST}{FIRST}{AUTHORITY}{THIRD}role = "root"\n',
    ),
    "two authorities that are both in use": (
        "no-spare",
        f'{HEAD}{HOST}{AUTHORITY}{THIRD}role = "intermediate"\nstate = "retiring"\n',
    ),
    "a backup that is lost": (
        "no-spare",
        f"{HEAD}{HOST}{FIRST}{BACKUP}".replace('"published"', '"lost"'),
    ),
    "only an adopted key": (
        "no-active-pin",
        f'{HEAD}{HOST}{FIRST}state = "adopted"\n{BACKUP}',
    ),
    "a wildcard with leaves": ("leaf-pins-under-wildcard", f"{HEAD}{ALL}{PINS}"),
    "a time without a zone": (
        "expiry-without-zone",
        f"{HEAD}{NAME}expires = 2027-09-01 12:00:00\n{PINS}",
    ),
    "an empty reason": ("allow-without-reason", f"# certpin: allow x because .\n{GOOD}"),
    "a misspelt allow": ("unused-allow", f"# certpin: alow no-expiry because so\n{GOOD}"),
    "an unknown rule": ("unused-allow", f"# certpin: allow no-expire because so\n{GOOD}"),
    "a rule that cannot be allowed": (
        "unused-allow",
        f"# certpin: allow no-backup because so\n{GOOD}",
    ),
    "a line without a finding": ("unused-allow", f"# certpin: allow expired because so\n{GOOD}"),
}
# By case: a rule, and a file in which it finds nothing.
FINDS_NOT = {
    "an old list that no host needs": ("ct-list-old", f"{HEAD}{OLD_LOGS}{HOST}{PINS}"),
    "a private authority that logs nothing": (
        "ct-private-authority",
        f'{HEAD}{LOGS}{HOST}trust = "bank-root.pem"\n{PINS}',
    ),
    "the platform's roots": ("ct-private-authority", f"{HEAD}{LOGS}{HOST}{REQUIRED}{PINS}"),
    "the first version": ("version-too-low", GOOD.replace("12", "1")),
    "a version that is a string": ("version-too-low", GOOD.replace("12", '"0"')),
    "a version that is a boolean": ("version-too-low", GOOD.replace("12", "false")),
    "a public suffix that is a host": ("public-suffix", f"{host('co.uk')}{PINS}"),
    "two unreadable pins": (
        "duplicate-pin",
        f"{HEAD}{HOST}{FIRST}{FIRST}".replace("/ONE", "/one"),
    ),
    "roles beside an unreadable pin": (
        "roles-of-one-chain",
        f"{HEAD}{HOST}{FIRST}{AUTHORITY}{THIRD}".replace("/THREE", "/three"),
    ),
    "states beside an unreadable pin": (
        "no-active-pin",
        f"{HEAD}{HOST}{BACKUP}{THIRD}".replace("/THREE", "/three"),
    ),
    "a wildcard without a pin": ("leaf-pins-under-wildcard", f"{HEAD}{ALL}"),
    "a trial that ends in an unknown time zone": (
        "report-only-too-long",
        f'{HEAD}{NAME}mode = "report"\nexpires = 2027-12-01T12:00:00\n{PINS}',
    ),
    "reports to an address without a host": (
        "report-loop",
        f'{HEAD}{HOST}report_to = ["https:"]\n{PINS}',
    ),
    "two policies of one pattern": ("overlapping-patterns", f"{GOOD}{HOST}{AUTHORITY}{BACKUP}"),
    "an invalid host name": ("host-spelling", f"{host('a..b')}{PINS}"),
    "a comment for certpin that is not an allowance": (
        "allow-without-reason",
        f"# certpin: hello\n{GOOD}",
    ),
    "two pins, one of them unreadable": ("no-backup", GOOD.replace("/TWO", "/two")),
    "one pin in report mode": ("no-backup", f"{HEAD}{REPORT}{TO}{FIRST}"),
    "only an unreadable pin": ("no-live-pin", f"{HEAD}{HOST}{FIRST}".replace("/ONE", "/one")),
    "the same pin under two hosts": ("duplicate-pin", f"{GOOD}{WWW}{PINS}"),
    "the apex and its names": ("duplicate-host", f"{host('bank.example')}{PINS}{ALL}{PINS}"),
    "a second before expiry": ("expired", f"{HEAD}{NAME}expires = 2027-03-01T00:00:01Z\n{PINS}"),
    "expired pins": ("expires-too-soon", f"{HEAD}{NAME}expires = 2027-03-01\n{PINS}"),
    "the last days of a trial, which refuses no connection": (
        "expires-too-soon",
        f'{HEAD}{NAME}mode = "report"\nexpires = 2027-03-15\n{TO}{PINS}',
    ),
    "a day more than the adoption": (
        "expires-too-soon",
        f"{HEAD}{NAME}expires = 2027-04-01\n{PINS}",
    ),
    "two years": ("expires-too-late", f"{HEAD}{NAME}expires = 2029-03-01\n{PINS}"),
    "a trial without an end": ("no-expiry", f'{HEAD}{NAME}mode = "report"\n{PINS}'),
    "a removed whole certificate": (
        "whole-certificate-pin",
        f'{GOOD}\n[[host.pin]]\npin = "cert-sha256/WHOLE"\nstate = "removed"\n',
    ),
    "only a backup": ("role-contradicts-match", f'{HEAD}{HOST}match = "ca"\n{BACKUP}'),
    "a backup with match ca": (
        "pin-out-of-reach",
        f'{HEAD}{HOST}match = "ca"\n{AUTHORITY}{BACKUP}',
    ),
    "two leaves": ("roles-of-one-chain", f"{HEAD}{HOST}{FIRST}{THIRD}"),
    "one chain in report mode": (
        "roles-of-one-chain",
        f"{HEAD}{REPORT}{TO}{FIRST}{AUTHORITY}",
    ),
    "a leaf that is published, whatever its role": (
        "no-spare",
        f'{HEAD}{HOST}{FIRST}{THIRD}state = "published"\n',
    ),
    "one chain, which another rule reports": ("no-spare", f"{HEAD}{HOST}{FIRST}{AUTHORITY}"),
    "two leaves of a trial": ("no-spare", f"{HEAD}{REPORT}{TO}{FIRST}{THIRD}"),
    "leaves beside an unreadable pin": (
        "no-spare",
        f"{HEAD}{HOST}{FIRST}{THIRD}{BACKUP}".replace("/TWO", "/two"),
    ),
    "a key that retires": ("no-active-pin", f'{HEAD}{HOST}{FIRST}state = "retiring"\n{BACKUP}'),
    "a reason above": (
        "fail-open-without-reason",
        f'{HEAD}{HOST}# old apps must go on\non_expiry = "fail-open"\n{PINS}',
    ),
    "report mode, which refuses no connection": (
        "fail-open-without-reason",
        f'{HEAD}{REPORT}on_expiry = "report"\n{TO}{PINS}',
    ),
    "ninety days": (
        "report-only-too-long",
        f'{HEAD}{NAME}mode = "report"\nexpires = 2027-05-30\n{TO}{PINS}',
    ),
    "a key that was removed, not compromised": (
        "dead-pin-elsewhere",
        f'{GOOD}{THIRD}state = "removed"\n{WWW}{THIRD}{BACKUP}',
    ),
    "reports to a host in report mode": (
        "report-loop",
        f'{HEAD}{REPORT}report_to = ["https://api.bank.example/"]\n{PINS}',
    ),
    "reports to an invalid address": (
        "report-loop",
        f'{HEAD}{HOST}report_to = ["https://[/"]\n{PINS}',
    ),
    "policies of the same pins": ("overlapping-patterns", f"{HEAD}{ALL}{PINS}{WWW}{PINS}"),
    "a host and the names below it": (
        "overlapping-patterns",
        f'{GOOD}\n[[host]]\nname = "*.api.bank.example"\n{EXPIRES}{AUTHORITY}{BACKUP}',
    ),
    "a host and every name below it, with itself": (
        "overlapping-patterns",
        (
            f'{HEAD}\n[[host]]\nname = "*.bank.example"\n{EXPIRES}{AUTHORITY}{BACKUP}'
            f'\n[[host]]\nname = "**.api.bank.example"\n{EXPIRES}{PINS}'
        ),
    ),
    "a wildcard of one label above another one": (
        "overlapping-patterns",
        (
            f'{HEAD}\n[[host]]\nname = "*.bank.example"\n{EXPIRES}{AUTHORITY}{BACKUP}'
            f'\n[[host]]\nname = "*.api.bank.example"\n{EXPIRES}{PINS}'
        ),
    ),
    "a name two labels below a wildcard of one label": (
        "overlapping-patterns",
        (
            f'{HEAD}\n[[host]]\nname = "*.example.org"\n{EXPIRES}{AUTHORITY}{BACKUP}'
            f'\n[[host]]\nname = "a.b.example.org"\n{EXPIRES}{PINS}'
        ),
    ),
    "a public key": ("private-key", f"{GOOD}# -----BEGIN PUBLIC KEY-----\n"),
    "allowed on its own line": (
        "whole-certificate-pin",
        (
            f'{GOOD}\n[[host.pin]]\npin = "cert-sha256/WHOLE"'
            "  # certpin: allow whole-certificate-pin because it lives ten years\n"
        ),
    ),
    "two rules at once, above other comments": (
        "debug-section",
        (
            f"{GOOD}\n# certpin: allow debug-section, no-expiry because of the lab\n# Charles.\n"
            '[debug]\nanchors = "bank-root.pem"\n'
        ),
    ),
}


def _found(text: str, folder: Path) -> set[str]:
    document, _ = _examples.document(text, folder)
    return {each.rule for each in lint(document, NOW).findings}


@pytest.mark.parametrize("case", FINDS)
def test_rule_finds_a_mistake(case: str, tmp_path: Path) -> None:
    name, text = FINDS[case]
    assert name in _found(text, tmp_path)


@pytest.mark.parametrize("case", FINDS_NOT)
def test_rule_finds_nothing(case: str, tmp_path: Path) -> None:
    name, text = FINDS_NOT[case]
    assert name not in _found(text, tmp_path)


def test_a_list_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    text = f'{HEAD}ct_logs = "none.json"\n{HOST}{REQUIRED}{PINS}'
    document, _ = _examples.document(text, tmp_path)
    assert [each.key for each in lint(document, NOW).findings] == ["ct_logs"]


@pytest.mark.parametrize(
    ("keys", "effect"),
    [
        ("", "clients refuse every connection"),
        ('mode = "report"\n', "clients report every connection, and refuse none"),
        ('mode = "report"\non_expiry = "fail-open"\n', "clients check no pins"),
    ],
)
def test_expired_pins_are_reported_with_what_clients_do(
    keys: str, effect: str, tmp_path: Path
) -> None:
    document, _ = _examples.document(f"{HEAD}{NAME}{keys}expires = 2027-02-01\n{PINS}", tmp_path)
    (found,) = (each for each in lint(document, NOW).findings if each.rule == "expired")
    assert found.message.endswith(f"expired on 2027-02-01: {effect}")


def test_a_date_is_that_of_utc(tmp_path: Path) -> None:
    text = f"{HEAD}{NAME}expires = 2027-02-01T00:30:00+10:00\n{PINS}"
    document, _ = _examples.document(text, tmp_path)
    (found,) = (each for each in lint(document, NOW).findings if each.rule == "expired")
    assert "expired on 2027-01-31" in found.message


def test_a_date_outside_of_the_years_of_utc_is_refused(tmp_path: Path) -> None:
    text = f"{HEAD}{NAME}expires = 9999-12-31T23:59:59-05:00\n{PINS}"
    document, _ = _examples.document(text, tmp_path)
    messages = [each.message for each in lint(document, NOW).findings]
    assert any("not in the years 1 to 9999 in UTC" in message for message in messages)
