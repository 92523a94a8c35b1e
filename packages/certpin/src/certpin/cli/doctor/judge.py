"""Judges the facts that ``certpin doctor`` has collected, and examines nothing itself.

Each judgement has a status. A problem needs a repair. A note needs none: it explains an effect that
a user may see. A part of the machine that was not examined is never reported as good.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from certpin.cli.doctor.facts import DEBUG, KEY_LOG, PROXIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.cli.doctor.facts import (
        Facts,
        MachineFacts,
        PinFileFacts,
        PythonFacts,
        ReplacedFacts,
        ServerFacts,
        TLSFacts,
    )
    from certpin.cli.doctor.packages import Package

Status = Literal["ok", "note", "unchecked", "problem"]

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 15)  # that the tests run on

# A synchronised clock differs by less than a second, and the default --skew of a rotation allows
# an hour.
MAX_CLOCK_ERROR = timedelta(minutes=5)
_MIN_SECURITY_LEVEL = 1  # SSL_CTX_set_security_level(3): below it, keys of any size are accepted
_OTHER_SOCKETS = "use gevent, threads or asyncio, or don't patch the modules socket and ssl"


@dataclass(frozen=True)
class Check:
    """The judgement of one part of the machine, such as Python or the clock.

    Attributes:
        subject: the name of the part.
        status: ``ok``, ``note``, ``unchecked`` or ``problem``.
        text: the reason, as one sentence.
        fix: how to repair the problem; empty if nothing has to be done.
    """

    subject: str
    status: Status
    text: str
    fix: str = ""


def judge(facts: Facts) -> tuple[Check, ...]:
    """Return a judgement for each part of this machine, such as Python, the network or the clock.

    ``facts`` are the collected facts about this machine. ``judge_parts`` judges the parts of
    certpin.
    """
    checks = [
        _python(facts.python),
        *_tls(facts.tls),
        *judge_replaced(facts.replaced),
        *_packages(facts.packages),
        _clock(facts.servers),
        *_network(facts.machine, facts.servers),
        *_machine(facts.machine),
        _pin_file(facts.pin_file),
    ]
    return tuple(checks)


def judge_replaced(replaced: ReplacedFacts) -> Iterator[Check]:
    """Yield a judgement for each library that replaced Python's TLS classes.

    If no library did, yield one that says so. See docs/decisions, numbers 34 and 36.
    """
    modules = {replaced.context, replaced.tls_socket, replaced.socket}
    by = sorted({module.partition(".")[0] for module in modules} - {"ssl", "socket"})
    if not by:
        yield Check("ssl", "ok", "Python's own classes: no library replaced them in this process")
    for name in by:
        yield _replacement(name)
    if replaced.urllib3_future:
        text = (
            "urllib3-future has taken the place of urllib3: certpin.clients.urllib3, requests and "
            "niquests switch its HTTP/3 off, which would bypass the pins"
        )
        yield Check("urllib3", "note", text)


def describe(package: Package) -> str:
    """Return why certpin can't use a Python package, such as "is not installed".

    The text is the end of a sentence that begins with the name of the package. It is empty if
    certpin can use the package.
    """
    if package.needed.python:
        return f"needs {package.needed.python}"
    if package.version is None:
        return "is not installed"
    if package.wrong_version:
        return f"{package.version} is installed, and certpin needs {package.needed.bounds}"
    return f"fails at import: {package.problem}" if package.problem else ""


def _python(python: PythonFacts) -> Check:
    version = ".".join(map(str, python.version))
    text = f"{python.implementation} {version} on {python.system}"
    if python.version[:2] < OLDEST_PYTHON:
        return Check("Python", "problem", text, "use Python 3.11 or newer")
    if python.implementation != "CPython":
        fix = "use CPython: certpin reads chains from an object that only CPython's ssl has"
        return Check("Python", "problem", text, fix)
    if python.system == "win32":
        return Check("Python", "note", f"{text}; certpin is tested on Linux and macOS only")
    if python.version[:2] > NEWEST_PYTHON:
        return Check("Python", "note", f"{text}; certpin is not tested with this version yet")
    return Check("Python", "ok", text)


def _tls(tls: TLSFacts) -> Iterator[Check]:
    if tls.problem:
        fix = "install a Python that has the module ssl, and check its OpenSSL"
        yield Check("OpenSSL", "problem", f"the module ssl can't be used: {tls.problem}", fix)
        return
    yield _openssl(tls)
    if tls.authorities or tls.directory:
        loaded = f"{tls.authorities} authorities" if tls.authorities else "a folder of authorities"
        yield Check("trusted authorities", "ok", f"OpenSSL finds {loaded} of this machine")
    else:
        text = "OpenSSL finds no authority, so no chain of a public server verifies"
        fix = (
            "install the system's package ca-certificates, or name a file of authorities in "
            "SSL_CERT_FILE"
        )
        yield Check("trusted authorities", "problem", text, fix)


def _openssl(tls: TLSFacts) -> Check:
    if problem := _unusable(tls):
        return Check("OpenSSL", "problem", f"{tls.version}: {problem}", "use another Python")
    text = f"{tls.version}, security level {tls.security_level}"
    if tls.security_level < _MIN_SECURITY_LEVEL:
        fix = "set @SECLEVEL=1 or more in OpenSSL's configuration (openssl.cnf)"
        return Check("OpenSSL", "problem", f"{text}: keys of any size are accepted", fix)
    if not tls.tls13:
        return Check("OpenSSL", "note", f"{text}, without TLS 1.3")
    if tls.version.startswith("OpenSSL 1."):
        return Check("OpenSSL", "note", f"{text}; it has had no security updates since 2023-09-11")
    return Check("OpenSSL", "ok", text)


def _replacement(name: str) -> Check:
    if name == "gevent":
        return Check("ssl", "note", "gevent replaced it: certpin checks pins on gevent's sockets")
    if name == "truststore":
        text = (
            "truststore replaced ssl.SSLContext: pinned contexts still use Python's own, and the "
            "authorities of OpenSSL or of the pin file"
        )
        return Check("ssl", "note", text)
    text = f"{name} replaced Python's sockets: a pinned context refuses to connect with them"
    return Check("ssl", "problem", text, _OTHER_SOCKETS)


def _unusable(tls: TLSFacts) -> str:
    if not tls.verified_chain:
        return "this Python can't report the chain that OpenSSL verified"
    if not tls.version.startswith("OpenSSL "):
        return "Python supports only OpenSSL 1.1.1 or newer (PEP 644)"
    return "" if tls.tls12 else "it was built without TLS 1.2"


def _packages(packages: tuple[Package, ...] | None) -> Iterator[Check]:
    if packages is None:
        text = "certpin was not installed by pip, so its requirements are unknown"
        yield Check("packages", "unchecked", text, "pip install certpin")
        return
    own = [package for package in packages if not package.needed.extra]
    wrong = [package for package in own if describe(package)]
    for package in wrong:
        text = f"{package.needed.package} {describe(package)}"
        yield Check("packages", "problem", text, "pip install --force-reinstall certpin")
    if not wrong:
        count = len(own)
        yield Check("packages", "ok", f"the {count} packages that certpin itself needs are usable")


def _clock(servers: tuple[ServerFacts, ...] | None) -> Check:
    """Judge this machine's clock by the times that servers sent.

    The clock is right if it agrees with at least one server.
    """
    if not servers:
        fix = "certpin doctor --host HOST compares it with the clock of a server"
        return Check("clock", "unchecked", "it was compared with no server", fix)
    errors = {
        server.name: server.local - server.date
        for server in servers
        if server.date is not None and server.local is not None
    }
    if not errors:
        fix = "certpin doctor --host HOST, with a host that answers by HTTPS"
        return Check("clock", "unchecked", "no server sent the time of day", fix)
    name, error = min(errors.items(), key=lambda item: abs(item[1]))
    if abs(error) <= MAX_CLOCK_ERROR:
        return Check("clock", "ok", f"it differs by {_seconds(error)} from {name}")
    side = "ahead of" if error > timedelta() else "behind"
    text = f"it is {_seconds(error)} {side} {name}: certificates and pins expire at wrong times"
    return Check("clock", "problem", text, "set the clock, and synchronise it (NTP)")


def _seconds(error: timedelta) -> str:
    seconds = abs(int(error.total_seconds()))
    if seconds < 120:  # two minutes
        return f"{seconds} s"
    whole = timedelta(seconds=seconds)
    return f"{whole} h" if whole.days == 0 else str(whole)


def _network(machine: MachineFacts, servers: tuple[ServerFacts, ...] | None) -> Iterator[Check]:
    if not servers:
        fix = "certpin doctor --host HOST"
        yield Check("network", "unchecked", "no server was contacted", fix)
    proxied = any(name in machine.variables for name in PROXIES)
    for server in servers or ():
        yield _server(server, proxied=proxied)
    if machine.loopback6:
        text = f"there is none ({machine.loopback6}): servers with only IPv6 can't be reached"
        yield Check("IPv6", "note", text)
    else:
        yield Check("IPv6", "ok", "this machine has it")
    if proxied:
        names = ", ".join(name for name in PROXIES if name in machine.variables)
        text = (
            f"{names} is set: certpin's own commands connect directly. The HTTP clients of your "
            "programs use the proxy, and check the pins of the server behind it"
        )
        yield Check("proxy", "note", text)


def _server(server: ServerFacts, *, proxied: bool) -> Check:
    subject = f"server {server.name}"
    if server.problem:
        fix = server.fix
        if proxied:
            fix += (
                ". certpin connects directly, not through the proxy: certpin check --connect "
                "HOST=ADDRESS names another address"
            )
        return Check(subject, "problem", server.problem, fix)
    if server.chain_problem:
        text = f"its chain does not verify: {server.chain_problem}"
        return Check(subject, "problem", text, server.chain_fix)
    return Check(subject, "ok", "it answers, and its chain verifies")


def _machine(machine: MachineFacts) -> Iterator[Check]:
    if machine.loopback:
        text = f"a program can't listen on 127.0.0.1: {machine.loopback}"
        fix = "allow it in the sandbox or container: prove, lab, demo and serve need it"
        yield Check("loopback", "problem", text, fix)
    else:
        yield Check("loopback", "ok", "a program can listen on a free port")
    if machine.temporary:
        text = f"no temporary file can be made: {machine.temporary}"
        fix = "set TMPDIR to a folder that can be written to: prove, lab and demo need it"
        yield Check("temporary files", "problem", text, fix)
    yield from _variables(machine)


def _variables(machine: MachineFacts) -> Iterator[Check]:
    for name in machine.missing_files:
        text = f"{name} names a path that does not exist: OpenSSL finds no authority through it"
        yield Check(name, "problem", text, f"correct it, or unset {name}")
    for name in machine.variables:
        if name == KEY_LOG:
            text = "it is set: Python writes the keys of TLS connections to that file"
            yield Check(KEY_LOG, "problem", text, f"unset {KEY_LOG}, unless you are debugging")
        elif name == DEBUG:
            text = "it is 1: the section [debug] of a pin file is in force"
            yield Check(DEBUG, "note", text)
        elif name not in PROXIES and name not in machine.missing_files:
            kind, rest = ("file", "directory") if name == "SSL_CERT_FILE" else ("directory", "file")
            other = "SSL_CERT_DIR" if name == "SSL_CERT_FILE" else "SSL_CERT_FILE"
            text = (
                f"it replaces OpenSSL's default {kind} of authorities; the default {rest} is still "
                f"searched, unless {other} is set"
            )
            yield Check(name, "note", text)


def _pin_file(file: PinFileFacts) -> Check:
    if not file.exists:
        text = f"there is no {file.path} here"
        return Check("pin file", "note", f"{text}; certpin add HOST makes one")
    if file.problem:
        text = f"{file.path} can't be used: {file.problem}"
        return Check("pin file", "problem", text, "certpin lint")
    return Check("pin file", "ok", f"{file.path} can be used; certpin check compares its servers")
