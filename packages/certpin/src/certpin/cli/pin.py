"""``certpin pin``: show the certificates and keys of a server or a file, and the pins to use.

A certificate or a key has the same fields as text and as JSON, in the same order.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from certpin.cli.candidates import complete_hosts_or_files
from certpin.cli.main import PROBLEM_FOUND
from certpin.cli.named_key import open_by_uri
from certpin.cli.options import (
    ConnectionOptions,
    ask_passphrase,
    chain_fix,
    connection_options,
    json_option,
    read_file,
)
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.probe import Observation
    from certpin.x509 import Certificate
    from certpin.x509.keys import PublicKey

# The suffixes of files with certificates and keys. None of them is a top-level domain.
_SUFFIXES = frozenset(
    {
        ".cer",
        ".cert",
        ".crt",
        ".csr",
        ".der",
        ".jks",
        ".key",
        ".p12",
        ".p7b",
        ".pem",
        ".pfx",
        ".pub",
    }
)

_HOST_AND_PORT = re.compile(r"[a-z]+:[0-9]{1,5}", re.ASCII)  # hv:8200 is no key in Vault


@click.command()
@click.argument(
    "targets",
    nargs=-1,
    required=True,
    metavar="HOST[:PORT] | FILE | URI…",
    shell_complete=complete_hosts_or_files,
)
@connection_options
@click.option(
    "--insecure", is_flag=True, help="Suggest pins even if the chain did not verify. Dangerous."
)
@json_option
@click.pass_context
def pin(
    ctx: click.Context,
    targets: tuple[str, ...],
    connection: ConnectionOptions,
    insecure: bool,
    as_json: bool,
) -> None:
    """Show the certificates and keys of a server or a file, and suggest pins.

    Use it before you pin a server, to see what it presents, and to compare the file of a
    certificate or key with your pins.

    A FILE contains certificates, certificate requests (CSR), public or private keys, as PEM, DER or
    PKCS#12. A passphrase is taken from CERTPIN_PASSPHRASE, or asked for. A URI names a key on a
    PKCS#11 token (pkcs11:token=NAME;object=NAME, in quotes), whose PIN is taken from
    CERTPIN_PKCS11_PIN, or asked for, or in AWS KMS (awskms:alias/NAME). Anything else is treated as
    a host name and contacted.

    Each certificate has two fingerprints. "pin" is the SHA-256 of its public key (its
    SubjectPublicKeyInfo): it does not change if the certificate is renewed with the same key. Use
    this one. "certificate" is the SHA-256 of the whole certificate, and changes at each renewal.

    The verified chain leads from the server's certificate (the leaf) to a root that this machine
    trusts. If no chain verifies, certpin prints the reason and suggests no pin, because the
    certificates may be an attacker's. It suggests none either if the root is in no release of
    certifi, and not in --ca-file: a proxy may have issued the chain.

    \b
    certpin pin api.bank.example
    certpin pin mail.bank.example:25 --starttls smtp
    certpin pin backup.key new.csr

    Exit code 0: success. 1: a chain does not verify. 3: a host did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now

    now = utc_now()
    results = [_read_target(target, connection) for target in targets]
    if as_json:
        print_json({"targets": [_target_json(result, now) for result in results]})
    else:
        for result in results:
            _print(_target_lines(result, now, connection, insecure=insecure))
    unverified = [s for s in results if not isinstance(s, LocalKeys) and s.verified is None]
    if unverified and not insecure:
        ctx.exit(PROBLEM_FOUND)


@dataclass(frozen=True)
class LocalKeys:
    """The certificates and keys that ``certpin pin`` read from a file, a token or AWS KMS.

    ``name`` is the file or the URI as the user named it, ``items`` are the certificates and keys,
    and ``source`` is the kind of place (``service`` for AWS KMS).
    """

    name: str
    items: tuple[Certificate | PublicKey, ...]
    source: Literal["file", "token", "service"] = "file"


def _read_target(target: str, connection: ConnectionOptions) -> Observation | LocalKeys:
    from certpin.errors import CertificateParseError, InputError
    from certpin.hsm import is_token_uri
    from certpin.kms import is_service_uri
    from certpin.support.text import printable
    from certpin.x509.certificate import read_items

    on_token = is_token_uri(target)
    if on_token or (is_service_uri(target) and not _HOST_AND_PORT.fullmatch(target)):
        with open_by_uri(target) as key:
            return LocalKeys(str(key.uri), (key.key,), "token" if on_token else "service")
    path = Path(target)
    if not _is_file(path):
        if "/" in target and "://" not in target:
            raise CertificateParseError(
                f"there is no file {printable(target)}", fix="check its path; a host has no slash"
            )
        if path.suffix.lower() in _SUFFIXES and connection.connect is None:
            raise CertificateParseError(
                f"there is no file {printable(target)}",
                fix=f"check its path; if it is a host, name its port: {printable(target)}:443",
            )
        return connection.observe(target)
    try:
        return LocalKeys(target, read_items(read_file(path), ask_passphrase))
    except InputError as exc:
        raise type(exc)(f"{printable(target)}: {exc.problem}", fix=exc.fix) from exc


def _is_file(path: Path) -> bool:
    """Return True if an argument names a file, or a pipe that a shell makes for ``<(command)``.

    If not, ``certpin pin`` connects to the argument as a host, or fails if it looks like a path.
    """
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False  # a name that is too long, for example


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _target_json(result: Observation | LocalKeys, now: datetime) -> dict[str, Any]:
    if not isinstance(result, LocalKeys):
        return observation_json(result, now)
    items = [item_json(item, now) for item in result.items]
    return {"source": result.source, result.source: result.name, "items": items}


def _target_lines(
    result: Observation | LocalKeys, now: datetime, connection: ConnectionOptions, *, insecure: bool
) -> Iterable[str]:
    from certpin.support.text import printable

    if not isinstance(result, LocalKeys):
        yield from _observation_lines(result, now)
        yield ""
        yield from _advice(result, connection, insecure=insecure)
    else:
        yield click.style(printable(result.name), underline=True)
        for item in result.items:
            yield from item_lines(item, now)


def observation_json(observation: Observation, now: datetime) -> dict[str, Any]:
    """Return the result of a connection to a server as JSON.

    ``observation`` is this result. The JSON has the chain that the server sent, and the verified
    chain if there is one. ``now`` decides how many days each certificate has left.
    """
    verified = observation.verified
    return {
        "source": "server",
        "host": observation.endpoint.host,
        "port": observation.endpoint.port,
        "server_name": observation.endpoint.name,
        "address": observation.address,
        "tls_version": observation.tls_version,
        "verified": verified is not None,
        "problem": observation.problem or None,
        "fix": None if verified else chain_fix(observation),
        "served_chain": [certificate_json(c, now) for c in observation.served.certificates],
        "verified_chain": [certificate_json(c, now) for c in verified.certificates]
        if verified
        else None,
    }


def _observation_lines(observation: Observation, now: datetime) -> Iterable[str]:
    yield click.style(
        f"{observation.endpoint} at {observation.address}, {observation.tls_version}",
        underline=True,
    )
    if observation.verified is None:
        yield click.style(f"The chain did NOT verify: {observation.problem}.", fg="red", bold=True)
        yield "The server is not authenticated: these certificates may be an attacker's:"
    for title, certificate in _titled(observation):
        yield from certificate_lines(certificate, title, now)


def _advice(
    observation: Observation, connection: ConnectionOptions, *, insecure: bool
) -> Iterable[str]:
    import shlex

    from certpin.cli.authority_pins import private_root
    from certpin.pins import Pin

    endpoint = observation.endpoint
    if observation.verified is not None:
        private = None if connection.ca_file else private_root(observation.verified)
        if private:
            yield fold(f"No pins are suggested: {private.problem}.", sys.stdout)
            yield fold(f"fix: {private.fix}", sys.stdout)
            return
        words = [
            "certpin",
            "add",
            str(endpoint),
            *connection.arguments(),
            "--backup-key",
            "backup.key",
        ]
        yield "To pin the leaf's key, and a backup key that certpin makes, in pins.toml:"
        yield f"  {shlex.join(words)}"
        return
    if insecure:
        pin = Pin.of_key(observation.served.leaf.spki_sha256)
        words = ["certpin", "add", endpoint.name, "--pin", str(pin), "--backup-key", "backup.key"]
        yield "INSECURE: this key is not verified. Compare it with the key file on the server"
        yield "(certpin pin FILE). Clients refuse the chain until it verifies, even with this pin."
        yield f"  {shlex.join(words)}"
        return
    yield "No pins are suggested for a chain that did not verify."
    yield fold(f"fix: {chain_fix(observation)}", sys.stdout)


def _titled(observation: Observation) -> Iterable[tuple[str, Any]]:
    """Yield each certificate of a server once, with a title: its role, and how it was obtained.

    ``observation`` has the certificates. The verified chain comes first, then other certificates
    that the server sent.
    """
    served = observation.served.certificates
    path = observation.verified.certificates if observation.verified else ()
    for index, certificate in enumerate(path):
        sent = "served" if certificate in served else "from the trust store"
        yield f"{_role(index, len(path))}, verified, {sent}", certificate
    for certificate in served:
        if certificate not in path:
            yield "served, not on a verified path", certificate


def _role(index: int, count: int) -> str:
    if index == 0:
        return "leaf"
    return "root" if index == count - 1 else "intermediate"


def item_json(item: Certificate | PublicKey, now: datetime) -> dict[str, Any]:
    """Return a certificate or a public key as JSON."""
    from certpin.x509 import Certificate

    if isinstance(item, Certificate):
        return certificate_json(item, now)
    return key_json(item)


def item_lines(item: Certificate | PublicKey, now: datetime) -> Iterable[str]:
    """Return a certificate or a public key as lines of text."""
    from certpin.x509 import Certificate

    if isinstance(item, Certificate):
        return certificate_lines(item, "certificate", now)
    return key_lines(item)


def certificate_json(certificate: Certificate, now: datetime) -> dict[str, Any]:
    """Return a certificate as JSON. A field that can't be parsed is ``null``."""
    from certpin.errors import CertificateParseError
    from certpin.pins import Pin

    def field(read: Callable[[Certificate], Any]) -> Any:
        try:
            return read(certificate)
        except CertificateParseError:
            return None

    return {
        "source": "certificate",
        "subject": field(lambda c: c.subject),
        "issuer": field(lambda c: c.issuer),
        "names": field(lambda c: list(c.names)),
        "serial": field(lambda c: f"{c.serial_number:x}"),
        "not_before": field(lambda c: c.not_before.isoformat()),
        "not_after": field(lambda c: c.not_after.isoformat()),
        "days_left": field(lambda c: days_left(c.not_after, now)),
        "key": certificate.key,
        "pin": str(Pin("sha256", certificate.spki_sha256)),
        "certificate_pin": str(Pin("cert-sha256", certificate.sha256)),
    }


def _title(fields: dict[str, Any]) -> str:
    """Return a title for a certificate: its subject, or if that is empty, its host names.

    ``fields`` is the certificate as JSON (``certificate_json``).
    """
    if fields["subject"] is None:
        return "(subject cannot be read)"
    return fields["subject"] or ", ".join(fields["names"] or ()) or "(no subject)"


def certificate_lines(certificate: Certificate, title: str, now: datetime) -> Iterable[str]:
    """Return a certificate as lines of text. The first line begins with ``title``."""
    fields = certificate_json(certificate, now)
    yield click.style(f"{title}: {_title(fields)}", bold=True)
    yield from _column(
        {
            "issuer": fields["issuer"],
            "names": ", ".join(fields["names"] or ()),
            "valid": _validity(fields),
            "key": fields["key"],
            "pin": fields["pin"],
            "certificate": fields["certificate_pin"],
        }
    )


def key_json(key: PublicKey) -> dict[str, Any]:
    """Return a key as JSON."""
    from certpin.pins import Pin

    return {
        "source": key.source,
        "key": key.key,
        "pin": str(Pin("sha256", key.spki_sha256)),
        "caveat": key.caveat or None,
    }


def key_lines(key: PublicKey) -> Iterable[str]:
    """Return a key as lines of text."""
    fields = key_json(key)
    yield click.style(f"{fields['source']}: {fields['key']}", bold=True)
    yield from _column({"pin": fields["pin"], "note": fields["caveat"]})


def days_left(moment: datetime, now: datetime) -> int:
    """Return the whole days from ``now`` until a time; negative if the time is past."""
    return (moment - now).days


def _validity(fields: dict[str, Any]) -> str:
    from certpin.support.text import in_days

    if fields["not_before"] is None or fields["not_after"] is None:
        return "(dates cannot be read)"
    days = fields["days_left"]
    left = f"{in_days(days)} left" if days >= 0 else click.style("expired", fg="red")
    return f"{fields['not_before'][:10]} to {fields['not_after'][:10]} ({left})"


def _column(fields: dict[str, str | None]) -> Iterable[str]:
    return (f"  {name:<12} {value}" for name, value in fields.items() if value)
