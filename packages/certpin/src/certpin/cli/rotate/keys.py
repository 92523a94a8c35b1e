"""``certpin rotate csr``: make a certificate request (CSR) that a key signs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.candidates import complete_files, complete_hosts
from certpin.cli.keys import signer_of
from certpin.cli.named_key import policies_of_name, serving_note
from certpin.cli.options import json_option, key_place, pin_file_option
from certpin.cli.reply import print_json, say

if TYPE_CHECKING:
    from certpin.pins import HostPattern, Pin
    from certpin.x509.signing import Signer

_PEM = ("CERTIFICATE", "CERTIFICATE REQUEST")


@click.command()
@click.argument("key", metavar="KEY | URI", shell_complete=complete_files)
@pin_file_option
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    shell_complete=complete_hosts,
    help="Only this host (*.HOST too): the certificate is for it, and not for the hosts of the pin "
    "file that have this key. May be repeated.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A new file for the request (PEM). An existing file is not overwritten. By default it is "
    "printed.",
)
@json_option
def csr(key: str, path: Path, hosts: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Make a certificate request (CSR) for a key, so that it gets a certificate.

    Run it if the servers are to use a key that is pinned already, such as the backup.

    KEY is the file of a private key, or the URI of one on a PKCS#11 token or in AWS KMS, which
    signs there. Give the request to your authority, or to your ACME client (--csr): without it,
    such a client makes a new key at each renewal, and no installed client accepts that key.

    Its names are those of --host, or the host of the pin file that has this key.

    \b
    certpin rotate csr next.key --out next.csr
    certbot certonly --csr next.csr
    """  # noqa: D301  # click reads the \b itself
    from certpin.support.text import printable
    from certpin.x509.signing import new_request

    with signer_of(key) as signer:
        pin = _signer_pin(signer)
        names = given_names(hosts) if hosts else _names_in_pin_file(path, pin)
        _compare_with_pin_file(path, names, signer)
        request = new_request(signer, names)
    pem = request_pem(request)
    if out:
        write_new_file(out, pem)
    if note := serving_note(key_place(key)):
        say("certpin: note", note)
    if as_json:
        print_json(
            {
                "pin": str(pin),
                "names": names,
                "file": str(out) if out else None,
                "request": pem,
            }
        )
    elif out:
        click.echo(
            f"The request for {', '.join(names)} is in {printable(str(out))}; its key is {pin}."
        )
    else:
        click.echo(pem, nl=False)


def _signer_pin(signer: Signer) -> Pin:
    from certpin.pins import Pin
    from certpin.x509.keys import public_key

    return Pin.of_key(public_key(signer.spki).spki_sha256)


def _compare_with_pin_file(path: Path, names: list[str], signer: Signer) -> None:
    """Warn of host names that the pin file lacks, and refuse a key that can't be certified.

    A key is refused if it is pinned at a host, and public authorities don't certify its type, such
    as Ed25519. It is accepted if the host has private trust anchors. If the pin file can't be read,
    every key is accepted, because a certificate request needs no pin file.

    Args:
        path: the pin file.
        names: the host names for the certificate.
        signer: the key.

    Raises:
        ConfigError: no public authority would issue a certificate for the key.
    """
    from certpin.cli.keys import require_certifiable
    from certpin.errors import CertpinError
    from certpin.pinfile import PinSet
    from certpin.x509.keys import public_key

    try:
        pins = PinSet.load(path)
    except (CertpinError, OSError):
        return
    pin, key_type = _signer_pin(signer), public_key(signer.spki).key
    for name in names:
        if not policies_of_name(name, pins):
            known = ", ".join(str(policy.pattern) for policy in pins.policies)
            say("certpin: warning", f"{path} has no host {name}; it has {known}")
    for policy in dict.fromkeys(each for name in names for each in policies_of_name(name, pins)):
        if pin in {entry.pin for entry in policy.pins}:
            require_certifiable(key_type, policy.pattern, policy.trust, policy.match, pin)


def given_names(hosts: tuple[str, ...]) -> list[str]:
    """Return the host patterns given with ``--host`` as names for a certificate.

    Raises:
        HostError: a pattern is invalid, or begins with ``**.``, which no certificate can express.
    """
    from certpin.pins import HostPattern

    return [certificate_name(HostPattern.parse(host)) for host in hosts]


def _names_in_pin_file(path: Path, pin: Pin) -> list[str]:
    """Return the names for a certificate with a given key: those of the hosts that pin the key.

    If no host pins the key, return the name of the only host of the pin file.

    Args:
        path: the pin file.
        pin: the pin of the key.

    Raises:
        click.UsageError: no host pins the key, and the file has not exactly one host.
    """
    from certpin.pinfile import PinSet

    policies = PinSet.load(path).policies
    holding = [policy for policy in policies if pin in {entry.pin for entry in policy.pins}]
    chosen = holding or (policies if len(policies) == 1 else ())
    if not chosen:
        raise click.UsageError(
            "no host of the pin file has this key yet: name the hosts of the request, with --host"
        )
    return [certificate_name(policy.pattern) for policy in chosen]


def certificate_name(pattern: HostPattern) -> str:
    """Convert a host pattern to the DNS name, perhaps with a wildcard, for a certificate.

    Raises:
        HostError: the pattern begins with ``**.``, which no certificate name can express.
    """
    from certpin.errors import HostError

    if pattern.wildcard == "**.":
        raise HostError(
            f"no certificate is for {pattern}: its wildcard would cover names of any depth",
            fix=f"name them: --host {pattern.name} --host '*.{pattern.name}'",
        )
    return str(pattern)


def request_pem(der: bytes) -> str:
    """Convert a certificate request (CSR) from DER to PEM."""
    import ssl

    return ssl.DER_cert_to_PEM_cert(der).replace(*_PEM)


def write_new_file(path: Path, pem: str, *, option: str = "--out") -> None:
    """Write a certificate request to a new file.

    Args:
        path: the file.
        pem: the request.
        option: the option that names the file, for the error.

    Raises:
        ConfigError: the file exists, or can't be written.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(pem)
    except OSError as exc:
        raise ConfigError(
            f"the request cannot be written to {printable(str(path))}: {exc.strerror}",
            key=option,
            fix="name a file that does not exist yet, in a folder that does",
        ) from exc
