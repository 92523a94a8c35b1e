"""More than one connection: what was right once is not right for ever, nor for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks.leading import lead, owned
from certpin.lab.case import (
    ALL_REJECT,
    PINS_REJECT,
    PINS_REJECT_MAYBE_ALL,
    Case,
    Expect,
    Expected,
    Family,
)
from certpin.lab.script import Act, Answer, Role, Script, Settings
from certpin.lab.session.alpn import need_http2

if TYPE_CHECKING:
    from certpin.lab.cast import Cast

_RETRIES = 5
_SHARED = Settings(tickets="shared")

_TWICE = "let the client follow redirects, or ask for {url} twice on connections of their own"
_BOTH = "let the client follow redirects, or ask for {url} and then for {url2}"


def _swap(cast: Cast) -> Script:
    return Script.of(lead(cast.honest, Answer.REDIRECT_SAME), Act.of(cast.impostor))


def _bad_then_good(cast: Cast) -> Script:
    return Script.of(cast.man_in_the_middle, cast.honest)


def _retry(cast: Cast) -> Script:
    # Honest at last, so that a client which never gives up comes to an end.
    return Script.of(*[cast.man_in_the_middle] * _RETRIES, cast.honest)


def _pool_reuse(cast: Cast) -> Script:
    lax = Act.of(cast.untrusted.issue(cast.host), answer=Answer.KEEP)
    # The strict call finds an honest server, should it connect anew: that shows that it was made.
    return Script.of(lax, cast.honest, canary_only=True)


def _resumption(cast: Cast) -> Script:
    # Nobody trusts the second chain: only a client that resumes, and so sees no chain, takes it.
    other = Act.of(cast.untrusted.issue(cast.second), settings=_SHARED)
    first = owned(cast.honest).but(answer=Answer.REDIRECT_SECOND, settings=_SHARED)
    return Script.of(first, second=(other,))


def _second_host(cast: Cast) -> Script:
    other = Act.of(cast.rogue.issue(cast.second))
    return Script.of(lead(cast.honest, Answer.REDIRECT_SECOND), second=(other,))


def _coalescing(cast: Cast) -> Script:
    need_http2()
    # The key and the issuer that are pinned for the first host, and not for the second.
    both = cast.intermediate.issue(cast.host, cast.second, key=cast.leaf.key)
    honest = Act.of(both, role=Role.HONEST)
    first = honest.but(foreign=cast.second, answer=Answer.REDIRECT_SECOND_KEEP)
    return Script((first,), second=(cast.honest_second,), lures=True)


def _leak(cast: Cast) -> Script:
    return Script.of(Act.of(cast.impostor, answer=Answer.SILENT))


def _asks_certificate(cast: Cast) -> Script:
    return Script.of(cast.man_in_the_middle.but(settings=Settings(asks_certificate=True)))


_FIX_EVERY = "check the pins in the handshake of every connection, never once per host or at start"
_FIX_RETRY = (
    "treat a failed verification as final: no retry without it, no data on a connection before "
    "that very connection was checked"
)

SEQUENCES = (
    Case(
        name="swap-on-reconnect",
        family=Family.SEQUENCE,
        presents="I→L at first, R2→L′ from the second connection on",
        expected=PINS_REJECT,
        guards="that pins are checked on each connection, not once, nor on one of their own",
        reference="OWASP MASTG-TEST-0244",
        fix=_FIX_EVERY,
        play=_swap,
        exercise=_TWICE,
    ),
    Case(
        name="bad-then-good",
        family=Family.SEQUENCE,
        presents="a man in the middle at first, I→L from the second connection on",
        expected=ALL_REJECT,
        guards="that a connection is not trusted for what another one showed",
        reference="OWASP MASTG-TEST-0244",
        fix=_FIX_RETRY,
        play=_bad_then_good,
    ),
    Case(
        name="retry-x5",
        family=Family.SEQUENCE,
        presents=f"a man in the middle on {_RETRIES} connections, and then I→L",
        expected=ALL_REJECT,
        guards="that a client that tries again does not become less strict",
        reference="CWE-636: not failing securely",
        fix=_FIX_RETRY,
        play=_retry,
    ),
    Case(
        name="pool-reuse",
        family=Family.SEQUENCE,
        presents="U→L′ to a call without verification, and the same connection to a strict one",
        expected=ALL_REJECT,
        guards="that a strict call does not take over the connection of a lax one",
        reference="CVE-2024-35195",
        fix="keep strict and lax calls in pools of their own, or better: make no lax call",
        play=_pool_reuse,
        protocol="http",
        exercise=(
            "let the client call https://{host}/ without verification, and then {url} with it, "
            "by the same session or pool"
        ),
    ),
    Case(
        name="resumption-other-host",
        family=Family.SEQUENCE,
        presents="U→L2′ at the second host, which takes the tickets that the first gave out",
        expected=ALL_REJECT,
        guards="that a session is resumed with the host alone that it was made with",
        reference="CVE-2021-22890; RFC 8446 section 4.6.1",
        fix="keep sessions by host and port, and check the pins of a resumed one again",
        play=_resumption,
        exercise=_BOTH,
    ),
    Case(
        name="second-host-unpinned",
        family=Family.SEQUENCE,
        presents="I→L at the host, R2→L2′ at the second one",
        expected=PINS_REJECT,
        guards="that every host of the app is pinned, and not the first alone",
        reference="OWASP MASTG-TEST-0244",
        fix="give the second host pins, in the same place as the first; refuse hosts without any",
        play=_second_host,
        exercise=_BOTH,
    ),
    Case(
        name="http2-coalescing",
        family=Family.SEQUENCE,
        presents="I→L for both hosts, with the key that is pinned for the first alone",
        expected=PINS_REJECT_MAYBE_ALL,  # not every client shares connections
        guards="that HTTP/2 sends no request for a pinned host on the connection of another one",
        reference="RFC 9113 section 9.1.1",
        fix="check a host's pins before its requests share a connection, or do not let them share",
        play=_coalescing,
        protocol="http",
        exercise=_BOTH,
    ),
    Case(
        name="leak-before-check",
        family=Family.SEQUENCE,
        presents="R2→L′, and no answer ever",
        # Without pins there is nothing to be checked.
        expected=Expected(Expect.UNDEFINED, Expect.REJECT, Expect.REJECT),
        guards="that pins are checked before the request is sent, not when the answer is there",
        reference="dio issue 2418",
        fix="check in the handshake (a trust manager, a context), not in a hook on the response",
        play=_leak,
    ),
    Case(
        name="client-certificate-requested",
        family=Family.SEQUENCE,
        presents="a man in the middle who asks the client for its certificate",
        expected=ALL_REJECT,
        guards="that a client does not show who it is to whom it would not talk to",
        reference="RFC 8446 section 4.4.2",
        fix=(
            "trust no root but the pinned ones (certpin: trust = FILE), so that the handshake ends "
            "before a certificate is shown"
        ),
        play=_asks_certificate,
    ),
)
