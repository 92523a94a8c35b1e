"""``certpin rotate csr``: a certificate request for a key that is in a file, or on a token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_json

if TYPE_CHECKING:
    from certpin.pins import HostPattern, Pin
    from certpin.x509.signing import Signer

_PEM = ("CERTIFICATE", "CERTIFICATE REQUEST")


@click.command()
@click.argument("key", metavar="KEY | URI")
@pin_file_option
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="Only this host (*.HOST too): the certificate is for it, and not for the hosts of the pin "
    "file that have this key. May be repeated.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write the request, as PEM; never over another file. By default it is printed.",
)
@json_option
def csr(key: str, path: Path, hosts: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Make a certificate request (CSR) for a key, so that it gets a certificate.

    KEY is the file of a private key, or the URI of one on a PKCS#11 token, which signs there. Give
    the request to your authority, or to your ACME client (--csr): left to itself, such a client
    makes a new key at each renewal, which no installed client of yours accepts.

    Its names are those of --host, or the host of the pin file that has this key.
    """
    from certpin.cli.signer import signer_of
    from certpin.x509 import printable
    from certpin.x509.request import new_request

    with signer_of(key) as signer:
        pin = _pin(signer)
        names = _given(hosts) if hosts else _of_pin_file(path, pin)
        request = new_request(signer, names)
    pem = _as_pem(request)
    if out:
        _write(out, pem)
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


def _pin(signer: Signer) -> Pin:
    from certpin.pins import Pin
    from certpin.x509.keys import public_key

    return Pin.of_key(public_key(signer.spki).spki_sha256)


def _given(hosts: tuple[str, ...]) -> list[str]:
    from certpin.pins import HostPattern

    return [_name(HostPattern.parse(host)) for host in hosts]


def _of_pin_file(path: Path, pin: Pin) -> list[str]:
    """The hosts of the policies that have the pin; those of the only policy, if none has it yet."""
    from certpin.pinfile import PinSet

    policies = PinSet.load(path).policies
    holding = [policy for policy in policies if pin in {each.pin for each in policy.pins}]
    chosen = holding or (policies if len(policies) == 1 else ())
    if not chosen:
        raise click.UsageError(
            "no host of the pin file has this key yet: name those that it is for, with --host"
        )
    return [_name(policy.pattern) for policy in chosen]


def _name(pattern: HostPattern) -> str:
    from certpin.errors import HostError

    if pattern.wildcard == "**.":
        raise HostError(
            f"no certificate is for {pattern}: its wildcard would cover names of any depth",
            fix=f"name them: --host {pattern.name} --host '*.{pattern.name}'",
        )
    return str(pattern)


def _as_pem(der: bytes) -> str:
    import ssl

    return ssl.DER_cert_to_PEM_cert(der).replace(*_PEM)


def _write(path: Path, pem: str) -> None:
    from certpin.errors import ConfigError
    from certpin.x509 import printable

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(pem)
    except OSError as exc:
        raise ConfigError(
            f"the request cannot be written to {printable(str(path))}: {exc.strerror}",
            key="--out",
            fix="name a file that does not exist yet, in a folder that does",
        ) from exc
