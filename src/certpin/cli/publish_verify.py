"""``certpin publish verify``: whether the Wultra SDKs would accept a list; if not, why not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import FINDING, HOLDS
from certpin.cli.options import ask_passphrase, json_option, read_file
from certpin.cli.reply import print_json
from certpin.cli.screen import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from certpin.updates.wultra import Answer, Checked, CheckedEntry, Finding
    from certpin.x509 import Certificate

    Looked = list[tuple[Certificate, Finding | None]]


@click.command()
@click.argument("name", metavar="LIST")
@click.option(
    "--public-key",
    "public_key",
    required=True,
    metavar="FILE|BASE64",
    help="The key that the app has: as it stands in the SDK's configuration, or a file.",
)
@click.option(
    "--certificate",
    "certificates",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Tell whether an app would accept this certificate (of a chain, the first one) by the "
    "list. May be repeated.",
)
@click.option(
    "--challenge",
    metavar="TEXT",
    help="LIST is the body of an answer: this was the challenge (X-Cert-Pinning-Challenge).",
)
@click.option(
    "--signature",
    metavar="BASE64",
    help="The answer's X-Cert-Pinning-Signature; with --challenge.",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    name: str,
    public_key: str,
    certificates: tuple[Path, ...],
    challenge: str | None,
    signature: str | None,
    as_json: bool,
) -> None:
    """Check whether the Wultra SDKs would accept a fingerprint list.

    \b
    certpin publish verify fingerprints.json --public-key BFq3…
    certpin publish verify fingerprints.json --public-key wultra.pub --certificate new.pem

    The SDKs say "invalid signature", no more. Here each entry is compared with the known mistakes:
    fields in another order, line breaks, another hash, a signature that is not DER, a fingerprint
    that is hexadecimal or of the key, a date in milliseconds, and so on. LIST may be - for standard
    input.

    Exit code 0: an app accepts all of it. 1: there are findings. 2: it is no list, or no key.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.source import read_source
    from certpin.pins import utc_now
    from certpin.updates.wultra import check_list
    from certpin.updates.wultra.keys import for_sdk

    key, now = _key(public_key), utc_now()
    checked = check_list(read_source(name).data, key, now, _answer(challenge, signature))
    looked = _look(checked, certificates, now)
    if as_json:
        print_json(_facts(name, for_sdk(key), checked, looked))
    else:
        _tell(checked, looked)
    ctx.exit(HOLDS if checked.holds and not any(each for _, each in looked) else FINDING)


def _key(text: str) -> EllipticCurvePublicKey:
    """As the SDK has it, or a file of that path."""
    from certpin.errors import KeyParseError
    from certpin.updates.wultra.keys import key_of_file, key_of_text

    try:
        return key_of_text(text)
    except KeyParseError:
        if not _is_file(text):
            raise
    return key_of_file(read_file(Path(text)), ask_passphrase)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return False


def _answer(challenge: str | None, signature: str | None) -> Answer | None:
    from certpin.updates.wultra import Answer

    if challenge is None and signature is None:
        return None
    if challenge is None or signature is None:
        raise click.UsageError("--challenge and --signature belong together")
    return Answer(challenge, signature)


def _look(checked: Checked, paths: tuple[Path, ...], now: datetime) -> Looked:
    from certpin.cli.publish_wultra import first_certificate
    from certpin.updates.wultra.certificates import of_certificate

    certificates = [first_certificate(path) for path in paths]
    return [(each, of_certificate(checked.listing, each, now)) for each in certificates]


def _tell(checked: Checked, looked: Looked) -> None:
    for line in _lines(checked, looked):
        click.echo(fold(line, sys.stdout))


def _lines(checked: Checked, looked: Looked) -> Iterator[str]:
    from certpin.cli.fingerprints import entry_facts

    findings = list(checked.findings)
    yield from _problems(checked.findings, "")
    for each in checked.entries:
        end = entry_facts(each.entry)["expires"]
        until = f"  until {end}" if end else ""
        yield f"{'REFUSED' if each.findings else 'holds'}  {each.entry.name[:80]}{until}"
        yield from _problems(each.findings, "  ")
        findings += each.findings
    for certificate, finding in looked:
        yield f"{'REFUSED' if finding else 'holds'}  {certificate.subject}"
        yield from _problems([finding] if finding else [], "  ")
        findings += [finding] if finding else []
    for fix in dict.fromkeys(each.fix for each in findings):
        yield f"fix: {fix}"


def _problems(findings: Iterable[Finding], indent: str) -> Iterator[str]:
    return (f"{indent}{each.rule}: {each.problem}" for each in findings)


def _facts(name: str, key: str, checked: Checked, looked: Looked) -> dict[str, Any]:
    from certpin.pins import Pin

    return {
        "file": name,
        "public_key": key,
        "timestamp": checked.listing.timestamp,
        "findings": [_finding_facts(each) for each in checked.findings],
        "entries": [_entry_facts(each) for each in checked.entries],
        "certificates": [
            {
                "subject": certificate.subject,
                "pin": str(Pin("cert-sha256", certificate.sha256)),
                "findings": [_finding_facts(finding)] if finding else [],
            }
            for certificate, finding in looked
        ],
    }


def _entry_facts(checked: CheckedEntry) -> dict[str, Any]:
    from certpin.cli.fingerprints import entry_facts

    findings = [_finding_facts(each) for each in checked.findings]
    return {**entry_facts(checked.entry), "findings": findings}


def _finding_facts(finding: Finding) -> dict[str, Any]:
    return {"rule": finding.rule, "problem": finding.problem, "fix": finding.fix}
