"""Cases of handshakes with an unusual TLS version or protocol, a delay, or an early end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks.sequences import FIX_FALLBACK
from certpin.lab.case import ALL_REJECT, Case, Family
from certpin.lab.scenario import VERSIONS, Opening, Role, Scenario, ServerStep, TLSSettings
from certpin.lab.server.protocols import HTTP1, HTTP2, need_http2

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI


def _version(name: str) -> Callable[[TestPKI], Scenario]:
    only = TLSSettings(oldest=VERSIONS[name], newest=VERSIONS[name])
    return lambda pki: Scenario.of(pki.man_in_the_middle.but(settings=only))


def _http1(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.man_in_the_middle.but(alpn=(HTTP1,)))


def _http2(pki: TestPKI) -> Scenario:
    need_http2()
    return Scenario.of(pki.man_in_the_middle.but(alpn=(HTTP2,)))


def _no_alpn(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.man_in_the_middle.but(alpn=()))


def _interrupted(opening: Opening) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario in which the server ends each handshake early.

    ``opening`` is how the server ends it, such as by a TCP reset. The attack succeeds if the client
    then repeats its request without TLS.
    """
    return lambda _: Scenario.of(ServerStep((), b"", opening=opening))


def _dropped(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep((), b"", opening=Opening.CLOSE), pki.man_in_the_middle)


def _second_host(pki: TestPKI) -> Scenario:
    # The step is no attacker's, so that a client without a fallback is "not run".
    gone = ServerStep((), b"", role=Role.HONEST, opening=Opening.CLOSE)
    return Scenario.of(gone, second=(pki.man_in_the_middle_second,))


def _slow(pki: TestPKI) -> Scenario:
    rogue = pki.man_in_the_middle
    return Scenario.of(rogue.but(opening=Opening.SLOW), rogue)


_FIX_CODE = (
    "check the pins in the TLS library's verification, which runs for every version and protocol, "
    "and not in code of one of them"
)
_FIX_CLEAR = (
    "let the request fail: look for code that catches the error of https:// and repeats the "
    "request with http:// (OkHttp: no ConnectionSpec.CLEARTEXT), and for usesCleartextTraffic"
)
_FIX_RETRY = (
    "repeat an interrupted request with the same checks: look for a second client, a fallback "
    "host, or a flag that is cleared after an error"
)

HANDSHAKES = (
    Case(
        name="rogue-tls-1.2",
        family=Family.PROTOCOL,
        presents="a man in the middle who speaks TLS 1.2 only",
        expected=ALL_REJECT,
        guards="that the checks don't depend on TLS 1.3: an attacker chooses the version",
        reference="RFC 8446 section 4.2.1; RFC 5246 section 7.4.2",
        fix=_FIX_CODE,
        scenario=_version("1.2"),
    ),
    Case(
        name="rogue-tls-1.3",
        family=Family.PROTOCOL,
        presents="a man in the middle who speaks TLS 1.3 only",
        expected=ALL_REJECT,
        guards="that the checks don't depend on TLS 1.2, which sends certificates in clear text "
        "and has other callbacks",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX_CODE,
        scenario=_version("1.3"),
    ),
    Case(
        name="rogue-http-1.1",
        family=Family.PROTOCOL,
        presents="a man in the middle who negotiates HTTP/1.1, whatever the client offers",
        expected=ALL_REJECT,
        guards="that a client of HTTP/2 is pinned in its code for HTTP/1.1 too",
        reference="RFC 7301 section 3.2",
        fix=_FIX_CODE,
        scenario=_http1,
        protocol="http",
    ),
    Case(
        name="rogue-http-2",
        family=Family.PROTOCOL,
        presents="a man in the middle who negotiates HTTP/2 with a client that offers it",
        expected=ALL_REJECT,
        guards="the reverse: that HTTP/2 is pinned, although the real server may not speak it",
        reference="RFC 7301 section 3.2; RFC 9113 section 3.2",
        fix=_FIX_CODE,
        scenario=_http2,
        protocol="http",
    ),
    Case(
        name="rogue-without-alpn",
        family=Family.PROTOCOL,
        presents="a man in the middle who negotiates no protocol (ALPN)",
        expected=ALL_REJECT,
        guards="that a missing extension of TLS doesn't disable a check",
        reference="RFC 7301 section 3.1",
        fix=_FIX_CODE,
        scenario=_no_alpn,
        protocol="http",
    ),
    Case(
        name="closed-then-clear-text",
        family=Family.PROTOCOL,
        presents="no answer to the ClientHello: the connection is closed. Clear text is answered",
        expected=ALL_REJECT,
        guards="that the client doesn't fall back to http:// if TLS doesn't work: an attacker who "
        "drops packets can cause that at any time",
        reference="CWE-757; RFC 6797 section 12.1; OWASP MASTG-TEST-0235",
        fix=_FIX_CLEAR,
        scenario=_interrupted(Opening.CLOSE),
    ),
    Case(
        name="reset-then-clear-text",
        family=Family.PROTOCOL,
        presents="a TCP reset as the answer to the ClientHello. Clear text is answered",
        expected=ALL_REJECT,
        guards="the same for a reset, which is another error for most clients",
        reference="CWE-757; OWASP MASTG-TEST-0235",
        fix=_FIX_CLEAR,
        scenario=_interrupted(Opening.RESET),
    ),
    Case(
        name="stalled-then-clear-text",
        family=Family.PROTOCOL,
        presents="silence after the ClientHello. Clear text is answered",
        expected=ALL_REJECT,
        guards="the same for a time-out: of the client if it is shorter than the option --stall, "
        "and otherwise by the end of the connection",
        reference="CWE-757; OWASP MASTG-TEST-0235",
        fix=_FIX_CLEAR,
        scenario=_interrupted(Opening.STALL),
    ),
    Case(
        name="dropped-then-rogue",
        family=Family.SEQUENCE,
        presents="the first connection is closed in the handshake, and a man in the middle answers "
        "the second one",
        expected=ALL_REJECT,
        guards="that a repeated connection is checked like the first one",
        reference="CWE-636: not failing securely",
        fix=_FIX_RETRY,
        scenario=_dropped,
    ),
    Case(
        name="dropped-then-second-host",
        family=Family.SEQUENCE,
        presents="each connection to the host is closed in the handshake, and a man in the middle "
        "answers at the second host",
        expected=ALL_REJECT,
        guards="that a fallback host is checked like the first one: an attacker decides when the "
        "client uses it",
        reference="CWE-636: not failing securely; OWASP MASTG-TEST-0244",
        fix=FIX_FALLBACK,
        scenario=_second_host,
        exercise="if your client has a second host, let it request {url2} after {url} failed",
    ),
    Case(
        name="slow-rogue",
        family=Family.SEQUENCE,
        presents="a man in the middle who answers the first ClientHello late, and later ones at "
        "once",
        expected=ALL_REJECT,
        guards="that no check is skipped because it takes long: a time-out must end the "
        "connection. The option --stall sets the delay; it should exceed the client's time-outs",
        reference="CWE-636: not failing securely",
        fix=_FIX_RETRY,
        scenario=_slow,
    ),
)
