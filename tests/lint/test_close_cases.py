"""Rules at their edges: what is just one, and what is just none."""

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
from tests.lint import _scene

if TYPE_CHECKING:
    from pathlib import Path

REPORT = f'{NAME}mode = "report"\nexpires = 2027-05-01\n'
TO = 'report_to = ["https://pins.other.example/"]\n'
THIRD = '\n[[host.pin]]\npin = "sha256/THREE"\n'
WWW = f'\n[[host]]\nname = "www.bank.example"\n{EXPIRES}'
ALL = f'\n[[host]]\nname = "**.bank.example"\n{EXPIRES}match = "any"\n'


def host(name: str) -> str:
    return f'{HEAD}\n[[host]]\nname = "{name}"\n{EXPIRES}'


# A rule, and files in which it finds something.
FINDS = {
    "a key of the wrong type": ("refused", f"{HEAD}{HOST}report_to = 1\n{PINS}"),
    "another schema": ("refused", GOOD.replace("schema = 1", "schema = 2")),
    "a pin that is none": ("refused", GOOD.replace("sha256/ONE", "sha256/one")),
    "a note that is a number": ("refused", f"{GOOD}note = 1\n"),
    "hosts that are none": ("refused", f"{HEAD}host = [1]\n"),
    "an empty list of hosts": ("no-host", f"{HEAD}host = []\n"),
    "a negative version": ("version-too-low", GOOD.replace("12", "-1")),
    "the apex of a private suffix of a country": ("public-suffix", f"{host('*.com')}{PINS}"),
    "only dead pins": ("no-live-pin", f'{HEAD}{HOST}{FIRST}state = "removed"\n'),
    "a backup that is dead": (
        "no-backup",
        f"{HEAD}{HOST}{FIRST}{BACKUP}".replace("published", "compromised"),
    ),
    "the same pin as HPKP writes it": (
        "duplicate-pin",
        f"{GOOD}\n[[host.pin]]\npin = 'pin-sha256=\"ONE\"'\n".replace(
            '"ONE"\'', f'"{_scene.words()["ONE"]}"\''
        ),
    ),
    "a placeholder that is dead": ("placeholder-pin", f"{GOOD}{THIRD.replace('THREE', 'EXAMPLE')}"),
    "credentials in an address": (
        "report-not-https",
        f'{HEAD}{HOST}report_to = ["https://u:p@pins.other.example"]\n{PINS}',
    ),
    "anchors of the debug section": ("trust-unreadable", f'{GOOD}\n[debug]\nanchors = "no.pem"\n'),
    "the very moment": ("expired", f"{HEAD}{NAME}expires = 2027-03-01\n{PINS}"),
    "the last day of the adoption": (
        "expires-too-soon",
        f"{HEAD}{NAME}expires = 2027-03-31\n{PINS}",
    ),
    "a day over two years": ("expires-too-late", f"{HEAD}{NAME}expires = 2029-03-02\n{PINS}"),
    "an old certificate": ("anchor-expired", f'{HEAD}{HOST}trust = "old-root.pem"\n{PINS}'),
    "an anchor that ends": ("anchor-expires-soon", f'{HEAD}{HOST}trust = "soon-root.pem"\n{PINS}'),
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
    "reports to nobody": ("report-only-to-nobody", f"{HEAD}{REPORT}{PINS}"),
    "a compromised key before the one that lives": (
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
    "a name with its own letters": ("host-spelling", f"{host('bücher.example')}{PINS}"),
    "a misspelt key of a pin": ("misspelt-key", f'{GOOD}rule = "leaf"\n'),
    "a misspelt table": ("misspelt-key", f"{GOOD}\n[[hots]]\n"),
    "a misspelt key of the debug section": (
        "misspelt-key",
        f'{GOOD}\n[debug]\nanchors = "bank-root.pem"\nancors = 1\n',
    ),
    "a key of a host below its pins": ("misspelt-key", f'{GOOD}trust = "bank-root.pem"\n'),
    "a key that resembles none": ("unknown-key", f'{GOOD}owner = "payments"\n'),
    "whole certificates": (
        "whole-certificate-pin",
        f'{GOOD}\n[[host.pin]]\npin = "cert-sha256/WHOLE"\nrole = "backup"\n',
    ),
    "a leaf where authorities are asked": (
        "role-contradicts-match",
        f'{HEAD}{HOST}match = "ca"\n{FIRST}{THIRD}role = "leaf"\n',
    ),
    "a leaf beside an authority": (
        "pin-out-of-reach",
        f'{HEAD}{HOST}match = "ca"\n{FIRST}{AUTHORITY}{BACKUP}',
    ),
    "three of one chain": (
        "roles-of-one-chain",
        f'{HEAD}{HOST}{FIRST}{AUTHORITY}{THIRD}role = "root"\n',
    ),
    "two authorities that are both used": (
        "no-spare",
        f'{HEAD}{HOST}{AUTHORITY}{THIRD}role = "intermediate"\nstate = "retiring"\n',
    ),
    "a key that is adopted, and no other": (
        "no-active-pin",
        f'{HEAD}{HOST}{FIRST}state = "adopted"\n{BACKUP}',
    ),
    "a wildcard with leaves": ("leaf-pins-under-wildcard", f"{HEAD}{ALL}{PINS}"),
    "a time without a zone": (
        "expiry-without-zone",
        f"{HEAD}{NAME}expires = 2027-09-01 12:00:00\n{PINS}",
    ),
    "two reasons that are none": ("allow-without-reason", f"# certpin: allow x because .\n{GOOD}"),
    "a word that is none": ("unused-allow", f"# certpin: alow no-expiry because so\n{GOOD}"),
    "a rule that is none": ("unused-allow", f"# certpin: allow no-expire because so\n{GOOD}"),
    "what clients refuse": ("unused-allow", f"# certpin: allow no-backup because so\n{GOOD}"),
    "a good line": ("unused-allow", f"# certpin: allow expired because so\n{GOOD}"),
}
# A rule, and files in which it finds nothing.
FINDS_NOT = {
    "the first version": ("version-too-low", GOOD.replace("12", "1")),
    "a version that is no number": ("version-too-low", GOOD.replace("12", '"0"')),
    "a version that is false": ("version-too-low", GOOD.replace("12", "false")),
    "a public suffix that is a host": ("public-suffix", f"{host('co.uk')}{PINS}"),
    "two pins that cannot be read": (
        "duplicate-pin",
        f"{HEAD}{HOST}{FIRST}{FIRST}".replace("/ONE", "/one"),
    ),
    "roles beside a pin that cannot be read": (
        "roles-of-one-chain",
        f"{HEAD}{HOST}{FIRST}{AUTHORITY}{THIRD}".replace("/THREE", "/three"),
    ),
    "states beside a pin that cannot be read": (
        "no-active-pin",
        f"{HEAD}{HOST}{BACKUP}{THIRD}".replace("/THREE", "/three"),
    ),
    "a wildcard without a pin": ("leaf-pins-under-wildcard", f"{HEAD}{ALL}"),
    "a trial that ends somewhere": (
        "report-only-too-long",
        f'{HEAD}{NAME}mode = "report"\nexpires = 2027-12-01T12:00:00\n{PINS}',
    ),
    "reports to nowhere": ("report-loop", f'{HEAD}{HOST}report_to = ["https:"]\n{PINS}'),
    "two policies of one pattern": ("overlapping-patterns", f"{GOOD}{HOST}{AUTHORITY}{BACKUP}"),
    "a host that is none": ("host-spelling", f"{host('a..b')}{PINS}"),
    "a comment for certpin that says nothing": (
        "allow-without-reason",
        f"# certpin: hello\n{GOOD}",
    ),
    "two pins of which one cannot be read": ("no-backup", GOOD.replace("/TWO", "/two")),
    "one pin that is only reported on": ("no-backup", f"{HEAD}{REPORT}{TO}{FIRST}"),
    "no pin that can be read": ("no-live-pin", f"{HEAD}{HOST}{FIRST}".replace("/ONE", "/one")),
    "the same pin under two hosts": ("duplicate-pin", f"{GOOD}{WWW}{PINS}"),
    "the apex and its names": ("duplicate-host", f"{host('bank.example')}{PINS}{ALL}{PINS}"),
    "a moment later": ("expired", f"{HEAD}{NAME}expires = 2027-03-01T00:00:01Z\n{PINS}"),
    "what has expired": ("expires-too-soon", f"{HEAD}{NAME}expires = 2027-03-01\n{PINS}"),
    "a day more than the adoption": (
        "expires-too-soon",
        f"{HEAD}{NAME}expires = 2027-04-01\n{PINS}",
    ),
    "two years": ("expires-too-late", f"{HEAD}{NAME}expires = 2029-03-01\n{PINS}"),
    "a trial without an end": ("no-expiry", f'{HEAD}{NAME}mode = "report"\n{PINS}'),
    "a whole certificate that is dead": (
        "whole-certificate-pin",
        f'{GOOD}\n[[host.pin]]\npin = "cert-sha256/WHOLE"\nstate = "removed"\n',
    ),
    "backups alone": ("role-contradicts-match", f'{HEAD}{HOST}match = "ca"\n{BACKUP}'),
    "a backup where authorities are asked": (
        "pin-out-of-reach",
        f'{HEAD}{HOST}match = "ca"\n{AUTHORITY}{BACKUP}',
    ),
    "two leaves": ("roles-of-one-chain", f"{HEAD}{HOST}{FIRST}{THIRD}"),
    "one chain that is only reported on": (
        "roles-of-one-chain",
        f"{HEAD}{REPORT}{TO}{FIRST}{AUTHORITY}",
    ),
    "a leaf that is published, whatever its role": (
        "no-spare",
        f'{HEAD}{HOST}{FIRST}{THIRD}state = "published"\n',
    ),
    "one chain, which another rule tells": ("no-spare", f"{HEAD}{HOST}{FIRST}{AUTHORITY}"),
    "two leaves of a trial": ("no-spare", f"{HEAD}{REPORT}{TO}{FIRST}{THIRD}"),
    "leaves beside a pin that cannot be read": (
        "no-spare",
        f"{HEAD}{HOST}{FIRST}{THIRD}{BACKUP}".replace("/TWO", "/two"),
    ),
    "a key that retires": ("no-active-pin", f'{HEAD}{HOST}{FIRST}state = "retiring"\n{BACKUP}'),
    "a reason above": (
        "fail-open-without-reason",
        f'{HEAD}{HOST}# old apps must go on\non_expiry = "fail-open"\n{PINS}',
    ),
    "a trial, which refuses nobody": (
        "fail-open-without-reason",
        f'{HEAD}{REPORT}on_expiry = "report"\n{TO}{PINS}',
    ),
    "ninety days": (
        "report-only-too-long",
        f'{HEAD}{NAME}mode = "report"\nexpires = 2027-05-30\n{TO}{PINS}',
    ),
    "a key that was merely removed": (
        "dead-pin-elsewhere",
        f'{GOOD}{THIRD}state = "removed"\n{WWW}{THIRD}{BACKUP}',
    ),
    "reports to a host that is only reported on": (
        "report-loop",
        f'{HEAD}{REPORT}report_to = ["https://api.bank.example/"]\n{PINS}',
    ),
    "reports to no host": ("report-loop", f'{HEAD}{HOST}report_to = ["https://[/"]\n{PINS}'),
    "policies of the same pins": ("overlapping-patterns", f"{HEAD}{ALL}{PINS}{WWW}{PINS}"),
    "a name two labels below": (
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
    document, _ = _scene.document(text, folder)
    return {each.rule for each in lint(document, NOW).findings}


@pytest.mark.parametrize("case", FINDS)
def test_it_is_found(case: str, tmp_path: Path) -> None:
    name, text = FINDS[case]
    assert name in _found(text, tmp_path)


@pytest.mark.parametrize("case", FINDS_NOT)
def test_it_is_not_found(case: str, tmp_path: Path) -> None:
    name, text = FINDS_NOT[case]
    assert name not in _found(text, tmp_path)
