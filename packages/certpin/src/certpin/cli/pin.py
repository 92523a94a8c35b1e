"""``certpin pin``: what a server or a file presents, and what to pin of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from certpin.cli.main import PROBLEM_FOUND
from certpin.cli.options import (
    ConnectionOptions,
    ask_passphrase,
    ask_pin,
    connection_options,
    json_option,
    read_file,
)
from certpin.cli.reply import fold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.probe import Observation
    from certpin.x509 import Certificate
    from certpin.x509.keys import PublicKey


# How files of certificates and keys are called. No top-level domain has one of these names.
_FILES = frozenset(
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


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="HOST[:PORT] | FILE | URI…")
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
    """Show what a server or a file presents, and what to pin of it.

    A FILE may hold certificates, certificate requests (CSR), public or private keys, as PEM, DER
    or PKCS#12. A passphrase is taken from CERTPIN_PASSPHRASE, or asked for. A URI names a key on
    a PKCS#11 token (pkcs11:token=NAME;object=NAME, in quotes), whose PIN is taken from
    CERTPIN_PKCS11_PIN, or asked for. What is neither is dialled.

    For each certificate you see two fingerprints. "pin" is the SHA-256 of its public key (its
    SubjectPublicKeyInfo): it stays the same when the certificate is renewed with the same key,
    and is what you want. "certificate" is the SHA-256 of the whole certificate, and ends with it.

    The verified chain leads from the server's certificate (the leaf) to a root that this machine
    trusts. If there is none, certpin says why and suggests nothing: then what you see may be
    an attacker's.
    """
    from certpin.cli.reply import print_json
    from certpin.pins import utc_now

    now = utc_now()
    results = [_read_target(target, connection) for target in targets]
    if as_json:
        print_json({"targets": [_target_json(each, now) for each in results]})
    else:
        for each in results:
            _print(_target_lines(each, now, connection, insecure=insecure))
    unverified = [s for s in results if not isinstance(s, LocalKeys) and s.verified is None]
    if unverified and not insecure:
        ctx.exit(PROBLEM_FOUND)


@dataclass(frozen=True)
class LocalKeys:
    """What a file holds, or the key on a token that a URI names."""

    name: str
    items: tuple[Certificate | PublicKey, ...]
    source: Literal["file", "token"] = "file"


def _read_target(target: str, connection: ConnectionOptions) -> Observation | LocalKeys:
    from certpin.errors import CertificateParseError, InputError
    from certpin.hsm import is_token_uri, open_key
    from certpin.x509 import printable
    from certpin.x509.reader import read

    if is_token_uri(target):
        with open_key(target, ask_pin) as key:
            return LocalKeys(str(key.uri), (key.key,), "token")
    path = Path(target)
    if not _is_file(path):
        if "/" in target and "://" not in target:
            raise CertificateParseError(
                f"there is no file {printable(target)}", fix="check its path; a host has no slash"
            )
        if path.suffix.lower() in _FILES and connection.connect is None:
            raise CertificateParseError(
                f"there is no file {printable(target)}",
                fix=f"check its path; if it is a host, name its port: {printable(target)}:443",
            )
        return connection.observe(target)
    try:
        return LocalKeys(target, read(read_file(path), ask_passphrase))
    except InputError as exc:
        raise type(exc)(f"{printable(target)}: {exc.problem}", fix=exc.fix) from exc


def _is_file(path: Path) -> bool:
    """Whether there is something to read: a pipe of the shell is as good as a file."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False  # too long for a file's name, for example


def _target_json(result: Observation | LocalKeys, now: datetime) -> dict[str, Any]:
    from certpin.cli.describe import item_json

    if not isinstance(result, LocalKeys):
        return observation_json(result, now)
    items = [item_json(item, now) for item in result.items]
    return {"source": result.source, result.source: result.name, "items": items}


def _target_lines(
    result: Observation | LocalKeys, now: datetime, connection: ConnectionOptions, *, insecure: bool
) -> Iterable[str]:
    from certpin.cli.describe import item_lines
    from certpin.x509 import printable

    if not isinstance(result, LocalKeys):
        yield from _observation_lines(result, now)
        yield ""
        yield from _advice(result, connection, insecure=insecure)
    else:
        yield click.style(printable(result.name), underline=True)
        for item in result.items:
            yield from item_lines(item, now)


def observation_json(observation: Observation, now: datetime) -> dict[str, Any]:
    """What a server presented, as JSON."""
    from certpin.cli.describe import certificate_json
    from certpin.cli.unverified import chain_fix

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
    from certpin.cli.describe import certificate_lines

    yield click.style(
        f"{observation.endpoint} at {observation.address}, {observation.tls_version}",
        underline=True,
    )
    if observation.verified is None:
        yield click.style(f"The chain did NOT verify: {observation.problem}.", fg="red", bold=True)
        yield "It was served by whoever answered, and may be an attacker's:"
    for title, certificate in _titled(observation):
        yield from certificate_lines(certificate, title, now)


def _advice(
    observation: Observation, connection: ConnectionOptions, *, insecure: bool
) -> Iterable[str]:
    import shlex

    from certpin.cli.unverified import chain_fix
    from certpin.pins import Pin

    endpoint = observation.endpoint
    if observation.verified is not None:
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
        yield "INSECURE: nobody vouches for this key, so compare it with the server's own file"
        yield "(certpin pin FILE). Clients refuse the chain all the same, until it verifies."
        yield f"  {shlex.join(words)}"
        return
    yield "No pins are suggested for a chain that did not verify."
    yield fold(f"fix: {chain_fix(observation)}", sys.stdout)


def _titled(observation: Observation) -> Iterable[tuple[str, Any]]:
    """Each certificate once: the verified path first, then what was merely sent along."""
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


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
