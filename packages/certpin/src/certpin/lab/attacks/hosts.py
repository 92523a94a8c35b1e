"""Cases of a host that is requested in another form: by address, or in another spelling.

A man in the middle answers. If the client looks up its pins by the host exactly as the user wrote
it, the client finds no pins, and accepts the attacker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks.names import below, parent
from certpin.lab.attacks.spellings import ipv4, ipv6
from certpin.lab.case import ALL_REJECT, CannotServeError, Case, Family
from certpin.lab.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI

_A_LABEL, _U_LABEL = "xn--bcher-kva", "bücher"  # RFC 5890 section 2.3.2.1


def _address(pki: TestPKI) -> Scenario:
    pki.leaf.pin  # noqa: B018  # a real server has no pins for the host of such a case
    return Scenario.of(pki.man_in_the_middle)


def _spelled_host(pki: TestPKI) -> Scenario:
    return Scenario((pki.man_in_the_middle,), odd_host=True)


def _unicode_host(pki: TestPKI) -> Scenario:
    pki.leaf.pin  # noqa: B018  # as above
    return _spelled_host(pki)


def _spelled(change: Callable[[str], str]) -> Callable[[str], str]:
    """Return a function that changes the spelling of a host by the function ``change``.

    The returned function raises ``CannotServeError`` if the host is an address or has only one
    label.
    """

    def spelling(host: str) -> str:
        parent(host)
        return change(host)

    return spelling


def _unicode(host: str) -> str:
    first, _, rest = host.partition(".")
    if first != _A_LABEL:
        raise CannotServeError(f"{host} has no label in Unicode")
    return f"{_U_LABEL}.{rest}"


_FIX = (
    "normalise the host before you look its pins up: lower case, A-labels, without a trailing dot, "
    "addresses as addresses; and refuse hosts without pins (certpin: strict mode)"
)

HOSTS = (
    Case(
        name="rogue-ipv4",
        family=Family.SEQUENCE,
        presents="a man in the middle, to a client that requests an IPv4 address",
        expected=ALL_REJECT,
        guards="that pins hold for addresses: a TLS connection to one sends no server name, and "
        "code that looks the pins up by that name finds none",
        reference="RFC 6066 section 3",
        fix=_FIX,
        scenario=_address,
        host=ipv4,
    ),
    Case(
        name="rogue-ipv6",
        family=Family.SEQUENCE,
        presents="a man in the middle, to a client that requests an IPv6 address",
        expected=ALL_REJECT,
        guards="the same for IPv6: its addresses have many spellings, and brackets in URLs",
        reference="RFC 6066 section 3; RFC 5952",
        fix=_FIX,
        scenario=_address,
        host=ipv6,
    ),
    Case(
        name="rogue-trailing-dot",
        family=Family.SEQUENCE,
        presents="a man in the middle, to a client that requests the host with a trailing dot",
        expected=ALL_REJECT,
        guards="that a host with a trailing dot has the same pins: DNS has the same addresses",
        reference="RFC 1034 section 3.1; CVE-2022-27779 is the same mistake with cookies",
        fix=_FIX,
        scenario=_spelled_host,
        spelling=_spelled(lambda host: f"{host}."),
    ),
    Case(
        name="rogue-upper-case",
        family=Family.SEQUENCE,
        presents="a man in the middle, to a client that requests the host in upper case",
        expected=ALL_REJECT,
        guards="that pins are found whatever the case of the host",
        reference="RFC 4343; RFC 3986 section 3.2.2",
        fix=_FIX,
        scenario=_spelled_host,
        spelling=_spelled(str.upper),
    ),
    Case(
        name="rogue-unicode-host",
        family=Family.SEQUENCE,
        presents="a man in the middle, to a client that requests bücher.HOST, and has pins for "
        "xn--bcher-kva.HOST",
        expected=ALL_REJECT,
        guards="that an internationalised name has the pins of its A-label",
        reference="RFC 5890 section 2.3.2.1; RFC 9525 section 6.2",
        fix=_FIX,
        scenario=_unicode_host,
        host=below(_A_LABEL),
        spelling=_unicode,
    ),
)
