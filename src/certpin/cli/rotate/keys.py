"""``certpin rotate generate``, ``stage`` and ``csr``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.backup import backup_options
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_json
from certpin.cli.rotate.context import Forcing, forcing_options, of_host, who_option
from certpin.cli.servers import Vantages, host_option

if TYPE_CHECKING:
    from certpin.cli.backup import Backup
    from certpin.cli.rotate.context import Found
    from certpin.pins import HostPattern, HostPolicy, Pin
    from certpin.x509.signing import Signer


@click.command()
@pin_file_option
@host_option
@backup_options
@who_option
@json_option
@click.pass_context
def generate(
    ctx: click.Context,
    path: Path,
    hosts: tuple[str, ...],
    backup: Backup,
    who: str | None,
    as_json: bool,
) -> None:
    """Make the key of the next backup, and remember that it exists.

    The pin file stays as it is: the journal notes the pin, and where the key is. Keep the key off
    the server and out of version control, or let --backup-key make it on a PKCS#11 token.
    --backup-pin notes a key that you made elsewhere.
    """
    import shlex

    from certpin.cli.keyref import meant
    from certpin.cli.rotate.context import Ledger, Outcome, name_of
    from certpin.pins import utc_now
    from certpin.rotation import Event

    ledger = Ledger(path)
    named = Vantages.unasked(hosts)
    policies = meant(ledger.pins, named, None)
    pin, now = backup.pin, utc_now()
    if pin is None:
        raise click.UsageError("say where the new key is to be: --backup-key FILE")
    for policy in policies:
        _refuse_known(path, policy, pin)
    events = [
        Event(now, name_of(who), "generate", str(each.pattern), pin, note=backup.note)
        for each in policies
    ]
    with backup.written():
        ledger.commit(events)
    source = backup.place or str(pin)
    names = [str(each.pattern) for each in policies]
    Outcome(
        "generate",
        path,
        names,
        pin,
        done=True,
        said=[f"{pin} is GENERATED for {', '.join(names)}.", *backup.advice()],
        following=named.again(
            f"certpin rotate stage {shlex.quote(source)}", path, ledger.pins, policies, dials=False
        ),
    ).show(ctx, as_json=as_json)


@click.command()
@click.argument("key", metavar="KEY | CSR | CERT | PIN | URI")
@pin_file_option
@host_option
@forcing_options
@who_option
@json_option
@click.pass_context
def stage(
    ctx: click.Context,
    key: str,
    path: Path,
    hosts: tuple[str, ...],
    forcing: Forcing,
    who: str | None,
    as_json: bool,
) -> None:
    """Put a key's pin into the draft: the pin file.

    Clients hear of it when the file is published. Refused for a key that was compromised or
    removed: nothing comes back.
    """
    from certpin.cli.keyref import aim, meant
    from certpin.cli.rotate.context import Ledger, Outcome, name_of
    from certpin.pins import HostPin, utc_now
    from certpin.rotation import Event, gate, standing
    from certpin.rotation.states import require

    ledger = Ledger(path)
    ledger.need_a_version()
    wanted, now = aim(key), utc_now()
    named = Vantages.unasked(hosts)
    policies = meant(ledger.pins, named, None)
    breaches: Found = []
    for policy in policies:
        situation = ledger.situation(policy, (), now)
        if situation.entry(wanted.pin) or wanted.pin not in situation.past.compromised:
            require(wanted.pin, standing(situation, wanted.pin), "staged")
        breaches += of_host(policy, gate.to_stage(situation, wanted.pin))
    names = [str(each.pattern) for each in policies]
    outcome = Outcome("stage", path, names, wanted.pin, breaches=breaches, forced=forcing.force)
    if not forcing.refuses(breaches):
        for name in names:
            ledger.editor.add_pin(name, HostPin(wanted.pin, "backup", "staged", wanted.note))
        ledger.commit(
            [
                Event(
                    now,
                    name_of(who),
                    "stage",
                    name,
                    wanted.pin,
                    note=wanted.note,
                    reason=forcing.recorded(breaches),
                )
                for name in names
            ]
        )
        outcome.done = True
        outcome.said = [f"{wanted.pin} is STAGED in {path} for {', '.join(names)}."]
        pins = ledger.pins
        outcome.following = named.again("certpin rotate publish", path, pins)
    outcome.show(ctx, as_json=as_json)


def _refuse_known(path: Path, policy: HostPolicy, pin: Pin) -> None:
    """A key that the draft has is no new one: the journal would call it GENERATED again."""
    from certpin.errors import ConfigError

    if pin in {each.pin for each in policy.pins}:
        raise ConfigError(
            f"{pin} is in {path} already, at {policy.pattern}",
            key="pin",
            fix="a backup is a new key: --backup-key FILE makes one",
        )


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
    from certpin.cli.keyref import signer_of
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
