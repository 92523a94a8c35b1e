"""``certpin add``: write a host with its first pins and a backup into the pin file."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.authority_pins import (
    pins_of_authority,
    pins_of_providers,
    private_root,
    second_root_missing,
    without_backup,
)
from certpin.cli.choices import MATCHES, MODES
from certpin.cli.keys import (
    backup_options,
    certifiable_unknown,
    dart_unknown,
    require_certifiable,
    require_matchable,
    require_uncompromised,
)
from certpin.cli.options import (
    ConnectionOptions,
    anchors_pem,
    chain_fix,
    connection_options,
    file_option,
    is_on_token,
    json_option,
    pin_file_option,
    provider_name,
    unused_name,
    unused_path,
)
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.cli.keys import Backup
    from certpin.pinfile.editor import PinFileEditor
    from certpin.pins import (
        HostPattern,
        HostPin,
        HostPolicy,
        HostServer,
        Match,
        Mode,
        Role,
        TrustAnchors,
    )
    from certpin.probe import Endpoint, Observation
    from certpin.x509 import Chain

# The lifetime of new pins: a year, as an app version is used; in report mode, the longest time that
# lint accepts without a warning (decision 41).
_LIFETIMES: dict[Mode, timedelta] = {"enforce": timedelta(days=365), "report": timedelta(days=90)}
_NO_PROMISE = (
    "The set is certpin's data, and no promise of the provider: run certpin providers update after "
    "each update of certpin."
)

_UNSHIPPED = (
    ". While no client has the pin file, write the key's pin into the [[host]] table instead: "
    "certpin pin KEY prints it"
)


@click.command()
@click.argument("host", metavar="HOST[:PORT]")
@pin_file_option
@click.option("--name", help="The name of a new pin file; by default the name of the host.")
@backup_options
@click.option(
    "--pin", "known", metavar="PIN", help="Pin this key of the server, without connecting to it."
)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    type=provider_name,
    metavar="NAME",
    help="Pin all roots from which this provider may issue, such as letsencrypt or cloudflare "
    "(certpin providers lists them). May be repeated. For hosts with a key beyond your control.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="enforce",
    show_default=True,
    help='"report" accepts every chain that verifies, and reports those that do not match.',
)
@click.option(
    "--match",
    type=click.Choice(MATCHES),
    help="Which certificate of the chain may have a pinned key: the leaf, an authority (ca), any. "
    "With ca, the roots of the chain's provider are pinned; with --ca-file, the authority that "
    "issued the leaf. By default any; with --provider, ca.",
)
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="The day (UTC) on which the pins expire. By default a year from now; for --mode report, "
    "90 days.",
)
@click.option(
    "--strict-x509/--no-strict-x509",
    "strict",
    default=None,
    help="With --ca-file: whether to refuse chains that violate RFC 5280 in a way that OpenSSL "
    "tolerates, such as an authority without keyUsage. Also written into the pin file. By default "
    "as in the running Python.",
)
@connection_options
@json_option
def add(
    host: str,
    path: Path,
    name: str | None,
    backup: Backup,
    known: str | None,
    providers: tuple[str, ...],
    match: Match | None,
    strict: bool | None,
    connection: ConnectionOptions,
    as_json: bool,
    **options: Any,
) -> None:
    """Write a host into the pin file, with a backup.

    Use it once for each host that your clients connect to.

    Connects to HOST, verifies its chain, and pins the key of its certificate. A backup is a second
    key that no server uses yet: if the first key is lost or stolen, the server changes to the
    backup and no client is locked out. An enforced host without a backup is refused, with the
    command that pins the roots of its provider instead.

    --provider is for a host with a key that a CDN, a cloud or an ACME client replaces: it pins all
    roots from which the provider may issue, and needs no backup.

    --backup-key makes that key. Keep the file off the server and out of version control, in a
    safe or a key store. It is encrypted if there is a passphrase, in CERTPIN_PASSPHRASE or by
    --ask-passphrase. On a PKCS#11 token (pkcs11:token=NAME;object=NAME, in quotes) the key is made
    so that it can't be exported; the token's PIN is in CERTPIN_PKCS11_PIN, or asked for.

    With --ca-file the pin file will trust only that authority for this host. If the server is not
    at the host's name on port 443, its address is written too: certpin check, lint --live, rotate
    and serve connect to it.

    \b
    certpin add api.bank.example --backup-key backup.key
    certpin add db.bank.example:5432 --starttls postgres --ca-file root.pem \\
      --backup-key db.key
    certpin add www.bank.example --provider cloudflare

    Exit code 0: written. 2: refused, nothing is written; also if the chain does not verify: add
    needs a key that it can trust, and reports no problem of the server (certpin pin ends with 1).
    3: the host did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pinfile.file import changing
    from certpin.pins import HostPattern

    _refuse_wildcard(host)
    match = match or ("ca" if providers else "any")
    _refuse_unsafe(backup, providers, known, match=match, **options)
    connection = replace(connection, strict=strict)
    if strict is not None and connection.ca_file is None:
        option = "--strict-x509" if strict else "--no-strict-x509"
        raise click.UsageError(f"{option} is for a host with its own authority: add --ca-file FILE")
    endpoint = connection.endpoint(host)
    pattern = HostPattern.parse(endpoint.name)
    _editor(path, name, pattern, backup, endpoint)  # for its errors, before any connection
    anchors = _trust_anchors(connection.ca_file, connection.strict)
    require_certifiable(backup.key_type, pattern, anchors, match)
    require_matchable(backup.certificates, pattern, anchors, match)
    if not backup.is_given and options["mode"] == "enforce" and match != "ca":
        raise without_backup(host, None if known else _chain_if_verified(host, connection))
    first = (
        (_known_pin(known, match),)
        if known is not None
        else _served_pins(host, connection, backup, match, options["mode"], providers)
    )
    servers = _server_entries(endpoint)
    policy = _new_policy(pattern, first, backup, anchors, match=match, servers=servers, **options)
    trust = _trust_name(connection.ca_file, path)
    with changing(path):  # not before: the server, and the user, may take long
        editor = _editor(path, name, pattern, backup, endpoint)
        editor.add_host(policy, trust=trust)
        version = editor.raise_version()
        others = [each for each in editor.check().policies if each.pattern != pattern]
        require_uncompromised(path, [policy], others)
        with backup.written():
            editor.save()
    result = _result_json(path, version, policy, trust, backup)
    result["unknown"] = _unknown(policy, backup)
    if as_json:
        print_json(result)
    else:
        _print_result(result, backup, f"certpin check{file_option(path)}")


def _refuse_wildcard(host: str) -> None:
    """Refuse a host pattern such as ``*.bank.example``: it names no server to connect to.

    Raises:
        ConfigError: the host is a pattern.
        HostError: the host is an invalid pattern.
    """
    from certpin.errors import ConfigError, HostError
    from certpin.pins import HostPattern
    from certpin.pins.hosts import short_address, split_address, unreadable_address

    if not host.startswith(("*.", "**.")):
        return
    text, port = host, 443
    if {":", "@"} & set(host):
        wildcard, _, rest = host.partition(".")
        try:
            name, port = split_address(rest)
        except HostError as exc:
            raise unreadable_address(host) from exc
        text = f"{wildcard}.{name}"
    pattern = HostPattern.parse(text)
    covered = short_address(f"www.{pattern.name}", port)
    raise ConfigError(
        f"{pattern} is a wildcard: it names no server to connect to",
        key="HOST",
        fix=f"add a host that it covers, such as {covered}; then edit its [[host]] table in the "
        f'pin file: name = "{pattern}", and a table [[host.server]] with address = "{covered}"',
    )


def _refuse_unsafe(
    backup: Backup,
    providers: tuple[str, ...],
    known: str | None,
    *,
    mode: Mode,
    match: Match,
    expires: datetime | None,
) -> None:
    """Refuse options of ``add`` that are unsafe or contradict each other, before any connection.

    Args:
        backup: the backup that the user asked for.
        providers: the values of ``--provider``.
        known: the value of ``--pin``; None if the server's key is read instead.
        mode: ``enforce`` or ``report``.
        match: which certificates of a chain can match a pin: ``leaf``, ``ca`` or ``any``.
        expires: the value of ``--expires``; None if it is not given.

    Raises:
        click.UsageError: options exclude each other, or the pins have expired.
    """
    from certpin.pins import utc_now

    if providers and backup.place:
        raise click.UsageError(
            "--backup-key is for a key that you control, and --provider for one that you do not: "
            "choose one"
        )
    if providers and (known is not None or match == "leaf"):
        other = "--match leaf" if known is None else "--pin"
        raise click.UsageError(f"--provider pins roots: use it without {other}")
    if match == "ca" and backup.place:
        raise click.UsageError(
            "with --match ca, the backup is the key of another authority: name it with --backup-pin"
        )
    if match == "ca" and known is not None and mode == "enforce" and not backup.is_given:
        raise click.UsageError("a single pin needs the key of another authority: --backup-pin PIN")
    if expires and expires.replace(tzinfo=UTC) <= utc_now():
        raise click.UsageError("--expires is in the past: every client would be locked out at once")


def _editor(
    path: Path, name: str | None, pattern: HostPattern, backup: Backup, endpoint: Endpoint
) -> PinFileEditor:
    """Return an editor for the pin file to which a host is to be added. Nothing is written yet.

    If the pin file doesn't exist, the editor is for a new one.

    Args:
        path: the pin file.
        name: the name of a new pin set; None to name it after the host.
        pattern: the host to add.
        backup: the backup of the host. It is only for the error if the host is already pinned: the
            fix is then to add this key to the existing pins.
        endpoint: the server of the host. It is only for the same error: if the existing policy
            doesn't list this server, the fix is also to list it.

    Raises:
        click.UsageError: ``name`` is given, and the pin file exists already.
        ConfigError: the pin file has a policy for the host already.
        PinFileError: the pin file can't be read, or is invalid.
    """
    from certpin.errors import ConfigError
    from certpin.pinfile.editor import PinFileEditor

    if not path.exists():
        return PinFileEditor.new(path, pattern.name if name is None else name)
    if name is not None:
        raise click.UsageError(f"--name is for a new file, and {path} already exists")
    editor = PinFileEditor.open(path)
    if editor.has_host(str(pattern)):
        fix = _rotate_command(path, pattern, backup)
        known = next(each for each in editor.check().policies if each.pattern == pattern)
        raise ConfigError(
            f"{pattern} already has a policy in {editor.path}",
            key="host",
            fix=_server_advice(known, endpoint) + fix,
        )
    return editor


def _server_advice(policy: HostPolicy, endpoint: Endpoint) -> str:
    """Return advice to list a server in the existing policy of its host, for a ``fix:``.

    Return an empty text if the policy lists the server already, or if the server is at the host's
    own name with the default port and protocol.

    Args:
        policy: the policy that the pin file has for the host.
        endpoint: the server, from the options of the user.
    """
    from certpin.pins import HostServer
    from certpin.probe import HTTPS, endpoint_at

    host, entries = policy.pattern.name, _server_entries(endpoint)
    listed = policy.servers or (HostServer(),)
    if not entries or endpoint_at(host, *entries) in {endpoint_at(host, each) for each in listed}:
        return ""
    tables = [_server_words(policy, each) for each in entries]
    if not policy.servers:  # the one that is checked now
        tables.append(_server_words(policy, HostServer(port=HTTPS)))
    return (
        "if this server uses a pinned key, list it below the [[host]] table: "
        f"{', and '.join(tables)}; "
    )


def _server_words(policy: HostPolicy, server: HostServer) -> str:
    values = {"address": server.address_text(policy.pattern), "starttls": server.starttls}
    words = [f'{key} = "{value}"' for key, value in values.items() if value]
    return f"[[host.server]] with {' and '.join(words)}"


def _rotate_command(path: Path, pattern: HostPattern, backup: Backup) -> str:
    """Return advice for a host that is already pinned: how to add another key to its pins.

    The advice is a text with a ``certpin rotate start`` command.

    Args:
        path: the pin file.
        pattern: the host.
        backup: the backup that the user asked ``certpin add`` to pin.
    """
    from certpin.rotation import journal_path

    options = f" --host {shlex.quote(str(pattern))}{file_option(path)}"
    unshipped = "" if journal_path(path).exists() else _UNSHIPPED
    if backup.given is not None:
        key = shlex.quote(backup.given)
        return f"to add another key: certpin rotate start {key}{options}{unshipped}"
    key = _new_key_name(backup.place)
    return (
        f"to add another key: certpin rotate start --new {key}{options}; "
        f"then certpin rotate plan --to {key}{options} prints the steps to it{unshipped}"
    )


def _new_key_name(place: str | None) -> str:
    """Return a place for a new private key, for a command that an error message suggests.

    The place is ``place`` if a new key can be made there: a URI on a PKCS#11 token, or the path of
    a file that doesn't exist. Otherwise it is a free file name in the same folder, such as
    ``next.key``; in the current folder if ``place`` is None. It is quoted for a shell.
    """
    from pathlib import Path

    if place is not None and (is_on_token(place) or not os.path.lexists(place)):
        return shlex.quote(place)
    folder = Path(place).parent if place else Path()
    return unused_name(str(folder / "next.key"))


def _chain_if_verified(host: str, connection: ConnectionOptions) -> Chain | None:
    """Connect to a host and return its chain, verified against the platform's roots.

    The error for a missing backup uses the chain to propose the pins of its authorities.
    ``connection`` has the options for the connection. Return None if the host doesn't answer or the
    chain doesn't verify. Also return None, without connecting, if the user gave ``--ca-file``: the
    chain would then be verified against that file.
    """
    from certpin.errors import ProbeError

    if connection.ca_file is not None:
        return None
    try:
        return connection.observe(host).verified
    except ProbeError:
        return None


def _known_pin(text: str, match: Match) -> HostPin:
    """Parse a pin that the user gave as text, and return it as an entry for the pin file.

    The role of the entry is ``leaf``. But if ``match`` is ``ca``, the role is ``root`` for the pin
    of a public root, and ``intermediate`` for any other pin.

    Raises:
        PinParseError: the text is not a pin.
    """
    from certpin.pins import HostPin, Pin
    from certpin.providers import load_providers

    pin = Pin.parse(text)
    if match != "ca":
        return HostPin(pin, "leaf")
    return HostPin(pin, "root" if load_providers().is_public(pin) else "intermediate")


def _served_pins(
    host: str,
    connection: ConnectionOptions,
    backup: Backup,
    match: Match,
    mode: Mode,
    providers: tuple[str, ...],
) -> tuple[HostPin, ...]:
    """Connect to a host, and return the pins that ``certpin add`` writes for its current chain.

    These are the pins of all roots of ``providers``, if any are named. Otherwise it is the pin of
    the leaf's key; or if ``match`` is ``ca``, the pins of the authority that issued the chain.

    If the leaf's key is pinned, a chain to a private root causes only a warning.

    Args:
        host: the host, as the user gave it.
        connection: the options for the connection.
        backup: the backup. The function fails if the host already presents this key.
        match: which certificates of a chain can match a pin: ``leaf``, ``ca`` or ``any``.
        mode: ``enforce`` or ``report``: only an enforced host needs two pins.
        providers: the names of the providers to pin; empty to pin the served chain.

    Raises:
        ConfigError: the chain does not verify, contains the backup, or was issued by none of the
            providers; an authority is to be pinned, and the chain has none or ends at a private
            root; or an enforced host would have only one pin.
        ProbeError: the host does not answer.
    """
    from certpin.errors import ConfigError

    observation = connection.observe(host)
    if observation.verified is None:
        raise ConfigError(
            f"the chain of {observation.endpoint} did not verify: {observation.problem}. "
            "Its key is not pinned, because it may be an attacker's",
            fix=chain_fix(observation, strict=_accept_in_add(connection)),
        )
    _refuse_served_backup(backup, observation)
    chain = observation.verified
    problem = private_root(chain) if connection.ca_file is None else None
    if providers or match == "ca":
        if problem:
            raise problem
    elif problem:
        say("certpin: warning", f"{problem.problem}\n  fix: {problem.fix}")
    if providers:
        return pins_of_providers(providers, chain)
    if match != "ca" or connection.ca_file is not None:
        return (_chain_pin(chain, match),)
    found = pins_of_authority(chain)
    if len(found) == 1 and mode == "enforce" and not backup.is_given:
        raise second_root_missing(chain)
    return found


def _accept_in_add(connection: ConnectionOptions) -> str:
    """Return the ``fix:`` text for a chain that only strict X.509 rules refuse.

    The text names the options of ``add`` that switch these rules off for the host. ``connection``
    has the options of the user.
    """
    trust = (
        "" if connection.ca_file else "--ca-file FILE, with the certificate of the authority, and "
    )
    return f"accept it for this host: {trust}--no-strict-x509"


def _chain_pin(chain: Chain, match: Match) -> HostPin:
    """Return the pin of the leaf's key; with ``match = "ca"``, of the key of the leaf's issuer.

    Args:
        chain: a verified chain.
        match: which certificates of a chain can match a pin: ``leaf``, ``ca`` or ``any``.

    Raises:
        ConfigError: ``match`` is ``ca``, and the leaf is self-signed.
    """
    from certpin.errors import ConfigError
    from certpin.pins import HostPin, pins_of

    if match != "ca":
        return HostPin(pins_of(chain.leaf)[0], "leaf")
    if not chain.authorities:
        raise ConfigError(
            "the certificate is self-signed: there is no authority to pin",
            key="--match",
            fix="pin the leaf: --match leaf",
        )
    role: Role = "intermediate" if len(chain.authorities) > 1 else "root"
    return HostPin(pins_of(chain.authorities[0])[0], role)


def _refuse_served_backup(backup: Backup, observation: Observation) -> None:
    """Refuse a backup key that the server already uses.

    ``observation`` has the chain that the server presented. If the server lost its key, the backup
    would be lost too.

    Raises:
        ConfigError: the backup is in the served or the verified chain.
    """
    from certpin.errors import ConfigError
    from certpin.pins import pins_of

    verified = observation.verified.certificates if observation.verified else ()
    presented = (*observation.served.certificates, *verified)
    if backup.pin in {pin for certificate in presented for pin in pins_of(certificate)}:
        raise ConfigError(
            f"the backup {backup.pin} is in the chain that the server uses now: both would be lost "
            "together",
            key="pin",
            fix="make a key that no server uses: --backup-key FILE",
        )


def _server_entries(endpoint: Endpoint) -> tuple[HostServer, ...]:
    """Return the contacted server as entries (``[[host.server]]``) for the pin file.

    ``endpoint`` is the server. Return no entry if the server is at the host's own name, with the
    default port and protocol.
    """
    from certpin.pins import HostServer
    from certpin.probe import default_port

    address, port = endpoint.address
    server = HostServer(
        "" if address == endpoint.name else address,
        None if port == default_port(endpoint.starttls) else port,
        endpoint.starttls,
    )
    return () if server == HostServer() else (server,)


def _trust_anchors(ca_file: Path | None, strict: bool | None) -> TrustAnchors | None:
    """Return the trust anchors in a PEM file; None without a file.

    Args:
        ca_file: the path of the file; None without ``--ca-file``.
        strict: True to verify chains by strict X.509 rules, False not to; None to let each Python
            version decide.

    Raises:
        CertificateParseError: the file can't be read, or has no certificates.
    """
    from certpin.pins import TrustAnchors
    from certpin.x509.certificate import read_certificates

    pem = anchors_pem(ca_file)
    if pem is None:
        return None
    der = tuple(certificate.der for certificate in read_certificates(pem.encode()))
    return TrustAnchors(der, strict=strict)


def _new_policy(
    pattern: HostPattern,
    first: tuple[HostPin, ...],
    backup: Backup,
    trust: TrustAnchors | None,
    *,
    mode: Mode,
    match: Match,
    expires: datetime | None,
    servers: tuple[HostServer, ...],
) -> HostPolicy:
    """Return the policy of a new host, with its first pins and its backup.

    The backup gets the state STAGED, because no published version contains it yet.

    Args:
        pattern: the host.
        first: the pin of the current key, or the pins of a provider's roots.
        backup: the backup. If its key is new, this function makes the key.
        trust: the only trust anchors of the host; None for those of the system.
        mode: ``enforce`` or ``report``.
        match: which certificates of a chain can match a pin: ``leaf``, ``ca`` or ``any``.
        expires: when the pins expire; None for the default: a year from now in the mode
            ``enforce``, 90 days in ``report``.
        servers: the servers, if they are not at the host's name and port 443.

    Raises:
        ConfigError: the policy is unsafe.
    """
    from certpin.pins import HostPin, HostPolicy, utc_now
    from certpin.providers import load_providers

    entries = [*first]
    if backup.pin:
        entries.append(HostPin(backup.pin, "backup", state="staged", note=backup.note))
    if expires is None:
        expires = datetime.combine(utc_now().date() + _LIFETIMES[mode], time.min)
    return HostPolicy(
        pattern,
        tuple(entries),
        mode=mode,
        match=match,
        expires=expires.replace(tzinfo=UTC),
        trust=trust,
        servers=servers,
        provider_edition=load_providers().edition if first[0].provider else None,
    )


def _unknown(policy: HostPolicy, backup: Backup) -> list[str]:
    """Return the facts about the backup that certpin could not check, as phrases for the output.

    There is a phrase if it is unknown whether public authorities certify the backup key, and a
    phrase if Flutter apps can't use it, because certpin can't know if there are such apps. The list
    is empty if neither is so, or if the pins are those of authorities only (``match = "ca"``).
    """
    if backup.pin is None or policy.match == "ca":
        return []
    unknown = certifiable_unknown(backup.pin, backup.key_type, policy.trust, policy.match)
    return list(filter(None, (unknown, dart_unknown(backup.key_type))))


def _trust_name(ca_file: Path | None, pin_file: Path) -> str:
    """Return the value of ``trust`` for the pin file: ``system``, or the path of ``ca_file``.

    The path is relative to the pin file's folder. A file outside of this folder causes a warning:
    a server or a package often gets only the folder.

    Args:
        ca_file: the path of the file with trust anchors; None without ``--ca-file``.
        pin_file: the path of the pin file.

    Raises:
        ConfigError: ``pin_file`` is a symbolic link to a file in another folder. A relative path
            would then mean one file for readers that open the link, and another file for readers
            that open its target.
    """
    if ca_file is None:
        return "system"
    real = pin_file.resolve()
    if real.parent != pin_file.parent.resolve():
        from certpin.errors import ConfigError

        raise ConfigError(
            f"{pin_file} is a link to {real}, and trust would name a file beside each of them",
            key="--file",
            fix=f"name the pin file itself: --file {shlex.quote(str(real))}",
        )
    trust = os.path.relpath(ca_file.resolve(), real.parent)
    if not ca_file.resolve().is_relative_to(real.parent):
        copy = unused_path(str(pin_file.parent / ca_file.name))
        say(
            "certpin: warning",
            f'trust = "{trust}" names a file outside of the folder of {pin_file}: a server or a '
            "package that gets only this folder can't read it\n"
            f'  fix: write trust = "{PurePath(copy).name}" in {pin_file}, and copy the file: '
            f"cp {shlex.quote(str(ca_file))} {shlex.quote(copy)}",
        )
    return trust


def _result_json(
    path: Path, version: int, policy: HostPolicy, trust: str, backup: Backup
) -> dict[str, Any]:
    return {
        "file": str(path),
        "version": version,
        "host": str(policy.pattern),
        "mode": policy.mode,
        "match": policy.match,
        "expires": policy.expires.date().isoformat() if policy.expires else None,
        "trust": trust,
        "strict_x509": policy.trust.strict if policy.trust else None,
        "server": _server_text(policy),
        "pins": [pin_json(entry) for entry in policy.pins],
        "backup_key": backup.place,
    }


def pin_json(entry: HostPin) -> dict[str, Any]:
    """Return a pin of the pin file as JSON.

    If the pin is that of a provider's root, the JSON has the names of the provider and of the root.
    """
    return {
        "pin": str(entry.pin),
        "role": entry.role,
        "provider": list(entry.provider),
        "name": entry.note if entry.provider else None,
        "not_after": entry.not_after.isoformat() if entry.not_after else None,
    }


def _server_text(policy: HostPolicy) -> str | None:
    """Return ``ADDRESS:PORT`` of the first server that the policy lists, for the JSON output.

    Return None if the policy lists no server: its host is then at its own name and port 443.
    """
    from certpin.probe import endpoint_at, join_address, served_at

    for name, server in served_at(policy) if policy.servers else ():
        return join_address(*endpoint_at(name, server).address)
    return None


def _print_result(result: dict[str, Any], backup: Backup, next_command: str) -> None:
    click.secho(
        f"{result['host']} is in {result['file']} (version {result['version']}).", bold=True
    )
    for entry in result["pins"]:
        name = f"  {entry['name']}, until {entry['not_after']}" if entry["name"] else ""
        click.echo(f"  {entry['role']:<12} {entry['pin']}{name}")
    if result["server"]:
        click.echo(f"  {'server':<12} {result['server']}")
    click.echo(f"  {'expires':<12} {result['expires']}: ship newer pins before that day")
    for line in backup.advice():
        click.echo(fold(line, sys.stdout))
    if any(entry["provider"] for entry in result["pins"]):
        click.echo(fold(_NO_PROMISE, sys.stdout))
    for unknown in result["unknown"]:
        click.echo(fold(f"Not known: {unknown}.", sys.stdout))
    click.echo(f"Next:  {next_command}")
