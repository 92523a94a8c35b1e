"""Cases of wrong names: certificates that are valid, but for another host.

Except in two cases, the certificates have the server's own key. Pins then match, and only the check
of the name can refuse the certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import HostError
from certpin.lab.case import ALL_REJECT, ALL_WARN, CannotServeError, Case, Family
from certpin.lab.scenario import Scenario, ServerStep
from certpin.pins.hosts import is_address, normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI

_IDN_LABEL = "xn--bcher-kva"  # bücher, in the spelling of DNS (RFC 5890)


def parent(host: str) -> str:
    """Return the domain above a host: ``bank.example`` for ``api.bank.example``.

    Raises:
        CannotServeError: the host is an address, or has only one label.
    """
    _, dot, above = host.partition(".")
    if is_address(host) or not dot:
        raise CannotServeError(
            f"{host} has too few labels for this case", fix="prove a name such as api.bank.example"
        )
    return above


def below(label: str) -> Callable[[str], str]:
    """Return a function that puts a label before a host: the label ``www`` makes ``www.HOST``.

    The function raises ``CannotServeError`` if the host is an address, or the name gets too long.
    """

    def make(host: str) -> str:
        parent(host)
        try:
            return normalise(f"{label}.{host}")
        except HostError as exc:
            raise CannotServeError(f"{host} is too long for another label") from exc

    return make


def _named(name: Callable[[str], str]) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario: a leaf with the server's own key, for a wrong name.

    ``name`` derives the wrong name from the host under test.
    """

    def scenario(pki: TestPKI) -> Scenario:
        return Scenario.of(ServerStep.of(pki.intermediate.issue(name(pki.host), key=pki.leaf.key)))

    return scenario


def _somebody_else(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.intermediate.issue("evil.example")))


def _sibling(host: str) -> str:
    first, above = host.partition(".")[0], parent(host)
    return f"{'mail' if first == 'www' else 'www'}.{above}"


def _wildcard_below(host: str) -> str:
    if is_address(host):
        raise CannotServeError(f"{host} is an address: there are no names below it")
    return f"*.{host}"


def _partial_wildcard(host: str) -> str:
    above = parent(host)
    return f"{host[0]}*.{above}"


def _default_certificate(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.second_leaf))


def registered(host: str) -> str:
    """Return the last two labels of a host: ``bank.example`` for ``api.bank.example``.

    Raises:
        CannotServeError: the host is an address, or has only one label.
    """
    parent(host)
    return ".".join(host.split(".")[-2:])


_FIX = (
    "compare the requested host with the certificate's SAN, in addition to pins: leave "
    "check_hostname enabled, give the TLS object its server_hostname, and remove verifiers that "
    "return true (HostnameVerifier, verify_hostname=False, checkServerIdentity: () => undefined)"
)
_FIX_WILDCARDS = (
    "let the TLS library match names (fnmatch and regular expressions match too much): a * is one "
    "whole label, the leftmost"
)

NAMES = (
    Case(
        name="wrong-host-pinned-ca",
        family=Family.NAME,
        presents="R→I→evil.example: an honest certificate of another customer of the pinned issuer",
        expected=ALL_REJECT,
        guards="that a pin on a CA is combined with a check of the name: the issuer has other "
        "customers, and banking apps have accepted their certificates",
        reference="Stone, Chothia, Garcia: Spinner (ACSAC 2017)",
        fix=_FIX,
        scenario=_somebody_else,
    ),
    Case(
        name="wrong-host-parent",
        family=Family.NAME,
        presents="I→L with only the name of the parent domain",
        expected=ALL_REJECT,
        guards="that a name doesn't cover its subdomains",
        reference="RFC 9525 section 6.3",
        fix=f"compare whole names (host.endswith(name) is no comparison): {_FIX}",
        scenario=_named(parent),
    ),
    Case(
        name="wrong-host-sibling",
        family=Family.NAME,
        presents="I→L with the name of another host of the same domain",
        expected=ALL_REJECT,
        guards="that the whole name is compared, not its suffix",
        reference="RFC 9525 section 6.3",
        fix=f"compare whole names, not the registered domain of both: {_FIX}",
        scenario=_named(_sibling),
    ),
    Case(
        name="wrong-host-wildcard",
        family=Family.NAME,
        presents="I→L with *.bank.example, to a client that requests v1.api.bank.example",
        expected=ALL_REJECT,
        guards="that a wildcard matches one label",
        reference="RFC 9525 section 6.3",
        fix=_FIX_WILDCARDS,
        scenario=_named(lambda host: f"*.{parent(parent(host))}"),
        host=below("v1"),
    ),
    Case(
        name="wrong-host-wildcard-below",
        family=Family.NAME,
        presents="I→L with a wildcard below the host: *.api.bank.example",
        expected=ALL_REJECT,
        guards="that a wildcard matches one label, and not zero",
        reference="RFC 9525 section 6.3",
        fix=_FIX_WILDCARDS,
        scenario=_named(_wildcard_below),
    ),
    Case(
        name="wrong-host-wildcard-part",
        family=Family.NAME,
        presents="I→L with a wildcard inside a label: a*.bank.example",
        expected=ALL_WARN,
        guards="that a wildcard is a whole label. RFC 6125 let clients choose, and those of Java "
        "and Node.js accept a partial one; RFC 9525 forbids it, and no public authority may issue "
        "it",
        reference="RFC 9525 section 6.3; CA/B Forum Baseline Requirements 7.1.2.7.12",
        fix=_FIX_WILDCARDS,
        scenario=_named(_partial_wildcard),
    ),
    Case(
        name="wrong-host-idn",
        family=Family.NAME,
        presents="I→L with x*.HOST, to a client that requests xn--bcher-kva.HOST",
        expected=ALL_REJECT,
        guards="that no wildcard matches inside the encoding of an internationalised name. curl "
        "did; Node.js does (observed with version 20), because it looks for xn-- only in the "
        "pattern",
        reference="CVE-2023-28321; RFC 6125 section 6.4.3",
        fix=f"{_FIX_WILDCARDS}; curl: 8.1.0 or newer; Node.js: a checkServerIdentity that refuses "
        "a * beside other characters, and then calls tls.checkServerIdentity",
        scenario=_named(lambda host: f"x*.{parent(host)}"),
        host=below(_IDN_LABEL),
    ),
    Case(
        name="wrong-host-public-suffix",
        family=Family.NAME,
        presents="I→L with *.example, to a client that requests bank.example",
        expected=ALL_WARN,
        guards="that a wildcard doesn't cover a whole top-level domain. Libraries differ: RFC 9525 "
        "leaves it to authorities, which must not issue it, and Go's library accepts it",
        reference="CA/B Forum Baseline Requirements 3.2.2.6; RFC 6125 section 7.2",
        fix=_FIX_WILDCARDS,
        scenario=_named(lambda host: f"*.{parent(host)}"),
        host=registered,
    ),
    Case(
        name="sni-ignored",
        family=Family.NAME,
        presents="R→I2→L2: the honest certificate of the second host, as the default of the server",
        expected=ALL_REJECT,
        guards="that the certificate is for the requested host, whichever server answers, and "
        "that the pins of one host don't apply to another",
        reference="RFC 6066 section 3",
        fix=f"{_FIX}; look the pins up by host, never in one pool for all hosts",
        scenario=_default_certificate,
    ),
)
