"""Find the key that a user names in a command, and the policies of the hosts that use the key.

A key is named by a pin, a file that contains the key, or the URI of a key on a PKCS#11 token or in
AWS KMS. The file of a certificate also shows for which hosts the key is, and which chain the server
will present.
"""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.options import (
    PASSPHRASE_VARIABLE,
    URI_SCHEME,
    ask_passphrase,
    ask_pin,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from certpin.cli.options import KeyPlace
    from certpin.cli.servers import ProbeOptions
    from certpin.errors import ConfigError
    from certpin.hsm import TokenKey
    from certpin.kms import ServiceKey
    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.rotation import Situation
    from certpin.rotation.situation import Version
    from certpin.x509 import Certificate
    from certpin.x509.certificate import Item

KEY_FILE = "key file "  # precedes the name of a file in a note
AUTHORITY_FILE = "authority.pem"  # for the certificate of a pinned authority, in a printed command


@dataclass(frozen=True)
class KeyReference:
    """A key that the user named on the command line, and what is known about this key.

    Attributes:
        pin: the pin of the key.
        note: a text for the pin file that says where the key is stored; empty for a pin.
        names: the DNS names and IP addresses in the key's certificate, including names in a form
            that no client matches; empty without a certificate.
        certificates: the certificates in the key's file, the certificate of the key first; empty
            if there are none.
        key_type: the type of the key, such as ``EC P-256``; empty for a pin.
    """

    pin: Pin
    note: str = ""
    names: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    key_type: str = ""

    @property
    def pins(self) -> frozenset[Pin]:
        """The pin that the user named, and both pins of the key's certificate, if there is one.

        Both pins are that of the key (``sha256``) and that of the certificate (``cert-sha256``).
        """
        from certpin.pins import pins_of

        return frozenset({self.pin}).union(*map(pins_of, self.certificates[:1]))

    @property
    def is_authority(self) -> bool:
        """True if the user named the certificate of an authority."""
        return bool(self.certificates) and self.certificates[0].is_authority

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts, or patterns of hosts, for which clients accept the key's certificate.

        Empty if no certificate of the key is known.
        """
        from certpin.pins.certificate_names import certified_hosts

        return tuple(map(str, certified_hosts(self.certificates[0]))) if self.certificates else ()

    def policies(self, pins: PinSet) -> list[HostPolicy]:
        """Return the policies of all hosts for which clients accept the key's certificate.

        The list is empty if the user named a key or a pin without a certificate.

        Args:
            pins: the pin set with the policies.
        """
        from certpin.pins.certificate_names import name_matches

        found = dict.fromkeys(each for host in self.hosts for each in policies_of_name(host, pins))
        return [
            policy
            for policy in found
            if policy.pattern.wildcard or name_matches(policy.pattern.name, self.certificates[0])
        ]


def resolve_key(text: str) -> KeyReference:
    """Return the key that a text names.

    Args:
        text: a pin; or a file, of which the first key, CSR or certificate is used; or a URI.

    Raises:
        ConfigError: the text is none of these.
        TokenError: the token or the key service can't be used.
    """
    from certpin.errors import ConfigError, InputError
    from certpin.hsm import is_token_uri
    from certpin.kms import is_service_uri
    from certpin.pins import Pin
    from certpin.support.text import printable
    from certpin.x509.certificate import read_items
    from certpin.x509.keys import MissingPassphraseError, PassphraseError

    if URI_SCHEME.match(text) and (is_token_uri(text) or is_service_uri(text)):
        with open_by_uri(text) as key:
            pin = Pin.of_key(key.key.spki_sha256)
            return KeyReference(pin, f"key {key.uri}", key_type=key.key.key)
    path = Path(text)
    try:
        if not path.is_file():
            return KeyReference(_pin(text))
        items = read_items(read_file(path), lambda: ask_passphrase(text))
    except PassphraseError as exc:
        raise _encrypted(text, missing=isinstance(exc, MissingPassphraseError)) from exc
    except (OSError, ValueError) as exc:
        problem = exc.problem if isinstance(exc, InputError) else str(exc)
        raise ConfigError(
            f"{printable(text)[:200]} names no key: {problem}",
            fix="give a pin, the file of a private or public key, a CSR or a certificate, or the "
            "URI of a key on a token (pkcs11:) or in AWS KMS (awskms:)",
        ) from exc
    pin, note = Pin.of_key(items[0].spki_sha256), f"{KEY_FILE}{printable(path.name)}"
    certificates = _leaf_first(path, items)
    if not certificates:
        return KeyReference(pin, note, key_type=items[0].key)
    leaf = certificates[0]
    return KeyReference(pin, note, (*leaf.dns_names, *leaf.addresses), certificates, leaf.key)


def _encrypted(text: str, *, missing: bool) -> ConfigError:
    """Return the error for an encrypted key file, if its passphrase is missing or wrong.

    ``text`` is the file as the user named it. ``missing`` is True if no passphrase was given.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable

    problem = "it has no passphrase" if missing else "its passphrase is wrong, or it is damaged"
    return ConfigError(
        f"{printable(text)[:200]} is encrypted, and {problem}",
        key=PASSPHRASE_VARIABLE,
        fix=f"give its passphrase, in {PASSPHRASE_VARIABLE} or on a terminal; or give the pin of "
        "the key, which needs none: certpin rotate status lists the pins",
    )


def _pin(text: str) -> Pin:
    """Return the pin that a text names.

    Raises:
        InputError: the text is no pin. The error says that it is most likely the name of a file
            that does not exist.
    """
    from certpin.errors import FormatError, InputError
    from certpin.pins import Pin

    try:
        return Pin.parse(text)
    except InputError as exc:
        if "sha256" in text.lower():
            raise
        raise FormatError("there is no such file, and it is no pin") from exc


@contextmanager
def open_by_uri(
    uri: str, pin: Callable[[str], str] = ask_pin, *, for_server: bool = True
) -> Iterator[TokenKey | ServiceKey]:
    """Context manager: open a key on a PKCS#11 token or in a key service, to sign with it.

    Args:
        uri: the URI of the key.
        pin: a function that takes the name of a token and returns its PIN, for example by asking
            the user.
        for_server: True if the key is that of a TLS server. Keys in key services other than AWS KMS
            are then refused.

    Raises:
        TokenError: the URI, the token or the key service can't be used.
    """
    from certpin.hsm import is_token_uri, open_key
    from certpin.kms import open_service_key, require_leaf_service

    if is_token_uri(uri):
        with open_key(uri, pin) as on_token:
            yield on_token
        return
    if for_server:
        require_leaf_service(uri)
    yield open_service_key(uri)


def serving_note(place: KeyPlace) -> str:
    """Return advice on how servers can use a key on a token or in a key service.

    ``place`` is the kind of place: ``file``, ``token`` or ``service``. Return an empty string for a
    key in a file, which servers can read.
    """
    if place == "file":
        return ""
    where = "on a token" if place == "token" else "in a key service"
    return (
        f"The key stays {where}: it can't be installed on a server that reads key files. nginx, "
        'Apache and HAProxy can use it through a PKCS#11 module: see the page "Keys in cloud key '
        'services" of the documentation.'
    )


def noted_place(note: str) -> str:
    """Return the file or the PKCS#11 URI that a pin's note names, quoted for a shell.

    Return an empty string if the note names no key, or a file that is not in the current folder.
    """
    if note.startswith("key pkcs11:"):
        return shlex.quote(note.removeprefix("key "))
    name = note.removeprefix(KEY_FILE)
    # Path.is_file raises for a note that is longer than a name may be (before Python 3.14).
    found = note.startswith(KEY_FILE) and os.path.isfile(name)  # noqa: PTH113
    return shlex.quote(name) if found else ""


def authority_file(note: str) -> str:
    """Return the file that has an authority's certificate, quoted for a shell.

    The note of the authority's pin names it. If the note names no certificate that can be read,
    return the placeholder ``AUTHORITY_FILE``.
    """
    return noted_place(note) if noted_certificates(note) else AUTHORITY_FILE


def noted_certificates(note: str) -> tuple[Certificate, ...]:
    """Return the certificates in the file that a pin's note names.

    Return an empty tuple if the note names no file that can be read, or one without certificates,
    such as that of a private key.
    """
    from certpin.errors import InputError
    from certpin.x509.certificate import read_certificates

    place = noted_place(note)
    try:
        return read_certificates(b"".join(Path(each).read_bytes() for each in shlex.split(place)))
    except (OSError, InputError):  # it is a private key, or on a token, or not named
        return ()


def names_authority(note: str) -> bool:
    """Return True if a pin's note names the file of a certificate that only an authority can have.

    The role of a backup does not show that its key is an authority's.
    """
    return any(map(is_only_authority, noted_certificates(note)[:1]))


def is_only_authority(certificate: Certificate) -> bool:
    """Return True if a certificate is an authority's, and can't be that of a server.

    A self-signed certificate of a server may be allowed to issue, too, but it names the server.
    """
    from certpin.x509.chain import read_facts

    return certificate.is_authority and not read_facts(certificate.der).names


def _leaf_first(path: Path, items: Sequence[Item]) -> tuple[Certificate, ...]:
    """Return the certificates of a file, beginning with the certificate of the file's first key.

    The key can be before, between or after the certificates, because servers accept all of these
    orders. Return an empty tuple if the file has no certificate.

    Args:
        path: the file, for errors.
        items: the keys and certificates in the file, in its order. The key of the first item is the
            one that the user named.

    Raises:
        ConfigError: no certificate is for the first key; or the certificate for this key is that of
            an authority, because it issued another certificate in the file.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable
    from certpin.x509 import Certificate
    from certpin.x509.chain import read_facts, signs

    certificates = [item for item in items if isinstance(item, Certificate)]
    if not certificates:
        return ()
    leaf = next((each for each in certificates if each.spki_sha256 == items[0].spki_sha256), None)
    if leaf is None:
        raise ConfigError(
            f"no certificate in {printable(str(path))} has the key that is first in it",
            key="KEY",
            fix="give the key's own certificate, with its chain",
        )
    others = [each for each in certificates if each != leaf]
    issued = [each for each in others if signs(leaf.der, each.der)]
    if any(not read_facts(each.der).is_self_issued for each in issued):
        raise ConfigError(
            f"the first certificate in {printable(str(path))} issued another one of that file",
            key="KEY",
            fix="write the server's own certificate first, then the one that issued it",
        )
    return (leaf, *others)


def policies_for_step(
    pins: PinSet, probes: ProbeOptions, key: KeyReference | None
) -> list[HostPolicy]:
    """Return the policies of the pin file that a ``certpin rotate`` command is for.

    They are the result of the first of these rules that finds a policy:

    1. the policies of the hosts in ``--host``, if the user gave this option;
    2. the policies of the hosts for which clients accept the key's certificate;
    3. the policies of the hosts that the certificate names in a form that no client matches;
    4. the policies that contain the key's pin;
    5. the policy of the pin file, if there is only one.

    Args:
        pins: the pin file.
        probes: the options with the values of ``--host``.
        key: the key that the user named; None if the user named no key.

    Raises:
        HostError: a value of ``--host`` is not a host.
        click.UsageError: no policy covers a value of ``--host``, or no rule finds a policy.
    """
    if probes.hosts:
        return probes.selected(pins)
    if key:
        certified = set(key.policies(pins))
        meant = {policy for name in key.names for policy in policies_of_name(name, pins)}
        holding = {p for p in pins.policies if key.pin in {entry.pin for entry in p.pins}}
        if chosen := certified or meant or holding:
            return [policy for policy in pins.policies if policy in chosen]
    if len(pins.policies) == 1:
        return list(pins.policies)
    raise click.UsageError(f"{_why_no_policy(key)}: name the hosts of this step, with --host")


def _why_no_policy(key: KeyReference | None) -> str:
    """Return why a key belongs to no policy of a pin file with several hosts, as a clause.

    ``key`` is None if the user named no key.
    """
    from certpin.support.text import printable

    if key is None:
        return "the pin file has several hosts"
    if key.names:
        names = ", ".join(map(printable, key.names[:3])) + (", …" if len(key.names) > 3 else "")
        return f"the certificate is for {names}, and the pin file has none of its hosts"
    return f"the pin file has several hosts, and none of them has {key.pin}"


def dropped_policies(
    name: str, situations: Iterable[Situation], alive: Iterable[Version]
) -> list[tuple[Version, HostPolicy]]:
    """Return the policies for a host name that only published versions have, not the pin file.

    Clients that still have such a version use its policy for the host, so the caller checks that
    they accept the new certificate.

    Args:
        name: a host name in a certificate.
        situations: the facts about each host that the caller checks itself. Policies of these hosts
            are left out of the result, in all versions.
        alive: the published versions of the pin set that clients may still have.

    Returns:
        Each policy with the version of the pin set that contains it.
    """
    versions = list(alive)
    judged = {
        policy
        for situation in situations
        for version in versions
        for policy in situation.policies_of(version)
    }
    return [
        (version, policy)
        for version in versions
        for policy in policies_of_name(name, version.pins)
        if policy not in judged
    ]


def policies_of_name(name: str, pins: PinSet) -> list[HostPolicy]:
    """Return the policies of all hosts that a name covers (RFC 9525 section 6.3).

    If the name has no wildcard, the result is the policy that a client uses for this host: the most
    specific one that covers it. Return an empty list for a name that is not a host, such as one
    with a wildcard in the middle.

    Args:
        name: the name, such as one in a certificate. Not checked: that clients accept a certificate
            with the name in this form (``KeyReference.policies`` returns only those policies).
        pins: the pin set with the policies.
    """
    from certpin.errors import HostError
    from certpin.pins import HostPattern

    try:
        pattern = HostPattern.parse(name)
    except HostError:
        return []
    return [policy for policy in pins.policies_at(pattern) if policy]
