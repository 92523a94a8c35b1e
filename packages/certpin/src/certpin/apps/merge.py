"""Merge the pins and certificates of an app's source into policies: pure, without I/O.

1. Each pin goes to the hosts that the code assigns to it, else to those that the user named. If
   there are none, ``ConfigError`` is raised, and its message lists the hosts that the code
   contains.
2. Duplicates become one pin, with a note of the file and line of each.
3. A certificate with host names becomes a pin of its key for exactly these hosts, and, if it is
   self-signed, also a trust anchor. A certificate without names is that of an authority: for a host
   that has no other pins it becomes a trust anchor and a pin. A host with pins gets no trust
   anchor, because the app possibly trusts that authority for another host.
4. Roles are guesses until the chain of the server is known (``DraftHost.compare``).

The result also lists the parts that were left out, and the questions that the source can't answer.
"""

from __future__ import annotations

import shlex
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from certpin.apps.draft import MAX_LISTED, Draft, DraftHost
from certpin.apps.model import Dropped, Unknown
from certpin.errors import CertificateParseError, ConfigError, HostError
from certpin.pins import HostPattern, HostServer, pins_of
from certpin.pins.hosts import split_address
from certpin.support.text import encodable, printable
from certpin.x509 import is_self_signed, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from certpin.apps.model import FileFindings, FoundCertificate, FoundPin, Place
    from certpin.apps.usage import AcceptanceKind
    from certpin.pins import Pin, Role
    from certpin.x509 import Certificate

_HTTPS = 443
_PLATFORM_FILES = (".xml", ".plist")  # their pins are compared with the whole chain
# An app pins a few authorities. More of them are a root store, such as Mozilla's 140 roots.
MAX_ANCHORS = 20


def draft_policies(
    findings: FileFindings, hosts: Sequence[str], roots: Iterable[str] = ()
) -> Draft:
    """Assign the pins and certificates in an app's source to hosts, and return the hosts' policies.

    Args:
        findings: the results for all files.
        hosts: the hosts, host patterns or ``HOST:PORT`` that the user named, for the pins that the
            code assigns to no host.
        roots: absolute paths that the user named. They are left out of notes, because pin files are
            published.

    Returns:
        The policies, and the questions that the source can't answer.

    Raises:
        ConfigError: the host of a pin is unknown, or there are several hosts for the pins of
            several files.
        HostError: one of ``hosts`` is not a host.
    """
    merge = _Merge(findings, [_host(text) for text in hosts], tuple(roots))
    for pin in findings.pins:
        merge.add_pin(pin)
    for found in findings.certificates:
        merge.add_certificate(found)
    merge.finish()
    unknown = [*findings.unknown, *merge.unclear, *merge.unknown]
    builds = [pin.builds for pin in findings.pins]
    builds += [certificate.builds for certificate in findings.certificates]
    return Draft(merge.hosts, merge.dropped, unknown, any(builds), merge.unclear)


class _Merge:
    def __init__(
        self,
        findings: FileFindings,
        named: list[tuple[HostPattern, int]],
        roots: tuple[str, ...],
    ) -> None:
        self.hosts: dict[str, DraftHost] = {}
        self.dropped = list(findings.dropped)
        self.unknown: list[Unknown] = []
        self.unclear: list[Unknown] = []  # about keys that the app may refuse
        self._findings = findings
        self._refused = _names_of_pins(findings, "refuses")
        self._unclear = _names_of_pins(findings, "unclear")
        self._named = named
        self._roots = roots
        self._homeless: list[str] = []  # the places of pins without a host
        self._named_files: dict[str, None] = {}  # the files with pins for the hosts of --host
        self._authorities: list[FoundCertificate] = []
        self._asked: set[str] = set()  # the hosts with a question

    def add_pin(self, found: FoundPin) -> None:
        where = self._where(found.place, found.name)
        if found.builds:
            self._drop(f"{found.pin}: only {found.builds} use it", found.place)
        elif self._may_be_refused(found.pin):
            self._list_refused([found.pin], str(found.pin), found.place)
        elif found.pin.is_placeholder:
            self._drop(f"{found.pin}: it is an example from some documentation", found.place)
        else:
            hosts, where = self._hosts_of(found.hosts, found.place, where)
            platform = found.place.file.lower().endswith(_PLATFORM_FILES)
            for host in hosts:
                host.add(found.pin, where, key_type=found.key_type)
                host.leaf_only |= not platform
            if not platform:
                self._ask_about(found)

    def _may_be_refused(self, pin: Pin) -> bool:
        """Return True if a name says, or possibly says, that the app refuses the key of a pin.

        Such a key must not be imported as accepted, even if other code of the app contains it too.
        """
        return pin in self._refused or pin in self._unclear

    def _list_refused(self, pins: Iterable[Pin], what: str, place: Place) -> None:
        """Record that a key is not imported, because the app refuses it, or possibly does.

        If a name says clearly that the app refuses the key, the key is listed as dropped.
        Otherwise, a question for the user is added.

        Args:
            pins: the pins of the key.
            what: the pin or the certificate, as a phrase.
            place: the file and line of the pin or certificate.
        """
        if name := next(filter(None, map(self._refused.get, pins)), ""):
            self._drop(
                f"{what}: the name '{name}' says that the app refuses this key: write it by hand, "
                'with state = "compromised"',
                place,
            )
            return
        name = next(filter(None, map(self._unclear.get, pins)), "")
        question = (
            f"does the app accept {what}, or refuse it? The name '{name}' can mean both, so it was "
            "not imported. If the app accepts it, write it by hand"
        )
        self.unclear.append(Unknown(question, place))

    def _ask_about(self, found: FoundPin) -> None:
        """Ask the user if the texts that the code seems to assign as hosts to a pin are hosts.

        ``found`` is the pin, with these texts. A text that looks like a host can have another
        meaning. The user is asked only about texts that are the host of no URL in the app, and
        about none if the app contains no URLs.
        """
        for host in found.hosts:
            lower = host.lower()
            if self._in_urls and lower not in self._in_urls and lower not in self._asked:
                self._asked.add(lower)
                question = f"is {printable(host[:80])} a host? No URL in the app has it"
                self.unknown.append(Unknown(question, found.place))

    def add_certificate(self, found: FoundCertificate) -> None:
        where = self._where(found.place, "certificate")
        certificate = found.certificate
        try:
            authority = certificate.is_authority or certificate.self_issued
            # openssl req -x509 makes a server's certificate that may issue others.
            names = [*certificate.dns_names, *certificate.addresses]
            key_type = certificate.key
        except CertificateParseError as exc:
            self._drop(f"a certificate: {exc.problem}", found.place)
            return
        if found.builds:
            what = f"the certificate of {name_of(certificate)}: only {found.builds} use it"
            self._drop(what, found.place)
            return
        pins = pins_of(certificate)
        if any(map(self._may_be_refused, pins)):
            what = f"the certificate of {name_of(certificate)}"
            self._list_refused(pins, what, found.place)
            return
        if authority and not names:
            self._authorities.append(found)
            return
        hosts, where = self._hosts_named(names, found, where)
        for host in hosts:
            host.add(pins_of(certificate)[0], where, key_type=key_type)
            if authority:
                host.anchors[certificate] = where

    def finish(self) -> None:
        """Add the trust anchors to the policies. Call it after the last pin and certificate.

        Raises:
            ConfigError: the host of a pin is unknown, or there are several hosts for the pins of
                several files.
        """
        if not (self._named or self.hosts or self._homeless):
            self._homeless += [self._where(each.place, "certificate") for each in self._authorities]
        if self._homeless:
            raise self._host_needed()
        if len({pattern for pattern, _ in self._named}) > 1 and len(self._named_files) > 1:
            raise self._one_file_at_a_time()
        if len(self._authorities) > MAX_ANCHORS:
            what = (
                f"{len(self._authorities)} certificates of authorities are a root store, not pins"
            )
            self._drop(what, self._authorities[0].place)
            self._authorities = []
        self._add_authorities()
        self.hosts = {name: host for name, host in self.hosts.items() if host.pins}

    def _add_authorities(self) -> None:
        """Make the authorities' certificates in the source the trust anchors of hosts without pins.

        Only the hosts that the user named with ``--host`` get them. For a host with pins, trusting
        only one of the authorities could lock every client out, even in report mode.
        """
        named = [self._host(pattern, port) for pattern, port in self._named]
        unpinned = [host for host in named if not host.pins]
        for found in self._authorities:
            for host in unpinned:
                host.anchors[found.certificate] = self._where(found.place, "certificate")
            if not unpinned:
                what = (
                    f"trust in {name_of(found.certificate)}: it isn't known for which host the app "
                    "trusts it. If a host has only this authority, write it as trust of that host"
                )
                self._drop(what, found.place)
        for host in unpinned:
            self._pin_authorities(host)

    def _pin_authorities(self, host: DraftHost) -> None:
        """Pin the keys of a host's trust anchors, because the host has no other pins."""
        for certificate, where in host.anchors.items():
            role: Role = "root" if is_self_signed(certificate) else "intermediate"
            host.add(pins_of(certificate)[0], where, role, key_type=certificate.key)

    def _hosts_of(
        self, texts: Iterable[str], place: Place, where: str
    ) -> tuple[list[DraftHost], str]:
        """Return the hosts that a pin belongs to, and the text for the note of the pin.

        Args:
            texts: the hosts that the code assigns to the pin. If there are none, the pin belongs to
                every host that the user named with ``--host``.
            place: the place of the pin in the code, for messages.
            where: that place as text.

        Returns:
            The hosts, and ``where``, to which a remark is added if the hosts are those of
            ``--host``.
        """
        assigned = []
        for text in texts:
            try:
                assigned.append(_host(text))
            except HostError as exc:
                self._drop(f"the host {printable(text[:80])!r}: {exc.problem}", place)
        if not assigned:
            self._named_files[place.file] = None
            if not self._named:
                self._homeless.append(where)
            where = f"{where} (host from --host)"
        return [self._host(*each) for each in assigned or self._named], where

    @cached_property
    def _in_urls(self) -> set[str]:
        """The hosts of the URLs in the app's code, in lower case.

        If a text that seems to be the host of a pin is not among them, the user is asked about it.
        """
        return {host.lower() for host, _ in self._findings.hosts}

    @cached_property
    def _known(self) -> list[tuple[HostPattern, int]]:
        """The hosts that the user named with ``--host``, and the hosts with pins, with their ports.

        A certificate in the source that is valid for one of these hosts becomes a pin of that host.
        The port of a host with pins is always 443 in this list. The list is cached at the first
        use, so it must not be used before all pins were added.
        """
        return [*self._named, *((host.pattern, _HTTPS) for host in self.hosts.values())]

    def _hosts_named(
        self, names: list[str], found: FoundCertificate, where: str
    ) -> tuple[list[DraftHost], str]:
        """Return the hosts to which a certificate's pin belongs, and the place for its note.

        The first of these rules that applies decides:

        1. Known hosts (with pins, or named with ``--host``) for which the certificate is valid. A
           wildcard host is among them only if the certificate has the same wildcard: the
           certificate of one server must not be accepted for all of them.
        2. The certificate's names without a wildcard.
        3. If the certificate has only names with a wildcard, and the user named hosts: no host. The
           certificate is then listed as dropped.
        4. The hosts for a pin to which the code assigns no host (``_hosts_of``).

        Args:
            names: the names in the certificate.
            found: the certificate.
            where: the place of the certificate in the source, as text for the note of the pin.
        """
        if matching := [each for each in self._known if _names_host(names, each[0])]:
            return [self._host(*each) for each in matching], where
        patterns = [pattern for pattern in host_patterns(names) if not pattern.wildcard]
        for pattern, _ in self._known:
            if covered := [each for each in patterns if pattern.matches(each.name)]:
                self.unknown.append(
                    Unknown(
                        f"the certificate is pinned for {covered[0]} only. Do other servers of "
                        f"{pattern} have its key? Then add its pin to {pattern}",
                        found.place,
                    )
                )
        if patterns:
            return [self._host(pattern, _HTTPS) for pattern in patterns[:MAX_LISTED]], where
        if names and self._named:
            shown = ", ".join(map(printable, names[:3]))
            self._drop(f"a certificate for {shown}, not for a host of --host", found.place)
            return [], where
        return self._hosts_of((), found.place, where)

    def _host(self, pattern: HostPattern, port: int) -> DraftHost:
        host = self.hosts.setdefault(str(pattern), DraftHost(pattern))
        if not pattern.wildcard and (port != _HTTPS or host.servers):
            host.servers[HostServer(port=None if port == _HTTPS else port)] = None
        return host

    def _where(self, place: Place, name: str = "") -> str:
        """Return a place in the source as text for a note: file, line and name.

        Absolute paths that the user named are removed from the file's path. The text is safe to
        print, and can be encoded as UTF-8.
        """
        file = PurePath(place.file)
        for root in self._roots:
            if file.is_relative_to(root):
                # The user may have named the file itself.
                file = file.relative_to(root if file != PurePath(root) else file.parent)
                break
        return printable(encodable(f"{file}:{place.line} {name}".strip()))

    def _drop(self, what: str, place: Place) -> None:
        self.dropped.append(Dropped(what, place))

    def _host_needed(self) -> ConfigError:
        count = len(self._homeless)
        shown = [f"    {where}" for where in self._homeless[:MAX_LISTED]]
        shown += [f"    and {count - MAX_LISTED} more"] if count > MAX_LISTED else []
        listed = "\n".join(["", *shown])
        subject = "one pin or certificate" if count == 1 else f"{count} pins and certificates"
        lines = [
            f"    --host {shlex.quote(host)}    ({place})" for host, place in self._candidates()
        ]
        known = (
            "\n".join(["; the code contains these hosts, and perhaps others:", *lines])
            if lines
            else ""
        )
        return ConfigError(
            f"the code does not name the host of {subject}:{listed}",
            key="--host",
            fix=f"name it: --host HOST{known}",
        )

    def _one_file_at_a_time(self) -> ConfigError:
        files = [printable(encodable(file)) for file in self._named_files]
        shown = ", ".join(files[:MAX_LISTED]) + (", …" if len(files) > MAX_LISTED else "")
        return ConfigError(
            f"every pin without a host would be written for each --host, and {len(files)} files "
            f"have such pins: {shown}",
            key="--host",
            fix="import file by file, each with the --host of its pins: certpin import dart "
            f"{shlex.quote(files[0])} --host HOST",
        )

    def _candidates(self) -> Iterator[tuple[str, str]]:
        """Yield the hosts that the source contains, each once, with its place in the source."""
        seen: set[str] = set()
        for text, place in self._all_hosts():
            try:
                pattern, port = _host(text)
            except HostError:
                continue
            shown = str(pattern) if port == _HTTPS else f"{pattern}:{port}"
            if shown not in seen and len(seen) < MAX_LISTED:
                seen.add(shown)
                yield shown, self._where(place)

    def _all_hosts(self) -> Iterator[tuple[str, Place]]:
        for pin in self._findings.pins:
            yield from ((text, pin.place) for text in pin.hosts)
        yield from self._findings.hosts
        for found in self._findings.certificates:
            try:
                yield from ((name, found.place) for name in found.certificate.dns_names)
            except CertificateParseError:
                continue


def _host(text: str) -> tuple[HostPattern, int]:
    """Parse a host pattern, ``HOST``, ``HOST:PORT`` or an https URL.

    Return the host as a pattern, and the port, which is 443 if the text has none. Raises
    ``HostError`` if the text is invalid.
    """
    if text.startswith("*"):
        return HostPattern.parse(text), _HTTPS
    host, port = split_address(text, _HTTPS)
    return HostPattern.parse(host), port


def _names_host(names: Iterable[str], pattern: HostPattern) -> bool:
    """Return True if a certificate belongs to a host: it is valid for it, or has the same wildcard.

    Its key then becomes a pin of this host.

    Args:
        names: the names in the certificate.
        pattern: the host, or the host pattern with a wildcard.
    """
    return any(
        named == pattern or (not pattern.wildcard and named.matches(pattern.name))
        for named in host_patterns(names)
    )


def host_patterns(names: Iterable[str]) -> Iterator[HostPattern]:
    """Yield names of hosts, such as those of a certificate, as host patterns.

    Invalid names are left out.
    """
    for name in names:
        try:
            yield HostPattern.parse(name)
        except HostError:
            continue


def _names_of_pins(findings: FileFindings, kind: AcceptanceKind) -> dict[Pin, str]:
    """Return the pins of keys that the app accepts, refuses or possibly refuses, each with a name.

    The name is the one in the code that says so, such as ``revokedPins``. ``findings`` are the
    results for the app. ``kind`` selects the pins by their acceptance: ``accepts``, ``refuses`` or
    ``unclear``.
    """
    found = {
        each.pin: each.acceptance.name for each in findings.pins if each.acceptance.kind == kind
    }
    for certificate in findings.certificates:
        if certificate.acceptance.kind == kind:
            pins = _pins_if_readable(certificate.certificate)
            found |= dict.fromkeys(pins, certificate.acceptance.name)
    return found


def _pins_if_readable(certificate: Certificate) -> tuple[Pin, ...]:
    try:
        return tuple(pins_of(certificate))
    except CertificateParseError:
        return ()
