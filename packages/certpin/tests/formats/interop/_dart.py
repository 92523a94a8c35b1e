"""Clients that use the Dart package, and clients with common mistakes, run on the cases of the lab.

The clients of the package are those of ``example/prove.dart``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from certpin.lab.attacks import CASES
from certpin.lab.attacks.connections import CONNECTIONS
from certpin.lab.attacks.ech import ECH
from certpin.lab.attacks.exhaustion import EXHAUSTION
from certpin.lab.attacks.handshakes import HANDSHAKES
from certpin.lab.attacks.hosts import HOSTS
from certpin.lab.attacks.http3 import HTTP3
from certpin.lab.attacks.leaves import LEAVES
from certpin.lab.attacks.lookalikes import LOOKALIKES
from certpin.lab.attacks.post_quantum import POST_QUANTUM
from certpin.lab.attacks.proxies import PROXIES
from certpin.lab.attacks.revocation import REVOCATION
from certpin.lab.attacks.roots import ROOTS
from certpin.lab.attacks.weak_keys import WEAK_KEYS
from certpin.lab.case import CONTROL, Expect
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.json import run_facts
from certpin.lab.runner import prove
from tests.formats.flutter import _vm
from tests.formats.interop import _programs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from certpin.lab.case import Case
    from certpin.lab.pki import TestPKI
    from certpin.lab.target import Target
    from certpin.lab.verdict import Ending
    from scripts.dart import DartVM

PROGRAM = _vm.PACKAGE / "example/prove.dart"
_MISTAKES = _programs.PROGRAMS / "mistakes.dart"
_PATIENCE = 60.0  # seconds of one run of a client: other tests may use all processors
_MINUTES = 20
_STALL = 0.2  # seconds for which cases keep a client waiting

# The cases that these clients can't be given, and the reasons.
_LEAF_ONLY = (
    "`dart:io` shows only the server's own certificate, so the export of such pins is refused"
)
INAPPLICABLE = {
    "pin-set-expired": "the clock of the 32-bit VM can't be moved",
    "compromised-intermediate": _LEAF_ONLY,
    "rot-compromised-sent": _LEAF_ONLY,
}
# The cases that catch clients with one hole: they add nothing about a client without any check.
_HOLES = frozenset(
    case.name
    for family in (
        CONNECTIONS,
        ECH,
        EXHAUSTION,
        HANDSHAKES,
        HOSTS,
        HTTP3,
        LEAVES,
        LOOKALIKES,
        POST_QUANTUM,
        PROXIES,
        REVOCATION,
        ROOTS,
        WEAK_KEYS,
    )
    for case in family
) | {
    *("rogue-chain-as-long", "rogue-chain-longer", "rot-shorter-chain"),
    "rot-renewed-other-extensions",
    *("wrong-host-public-suffix", "cn-beside-other-san"),
    *("name-constraints-widened", "extended-key-usage-empty"),
}
GIVEN = tuple(case for case in CASES if case.name not in INAPPLICABLE)
MISTAKE_CASES = tuple(case for case in GIVEN if case.name not in _HOLES)
# The cases that `certpin prove` reports as not run, and the reasons.
_NEVER_RUN = {
    "starttls-strip": "not for a client of HTTP",
    "starttls-injection": "not for a client of HTTP",
    "pool-reuse": "a pinned client makes no call without verification",
}
_REFUSED_NAME = "the client refuses this spelling of the host as unpinned, and doesn't connect"
_TLS_PROXY = "`dart:io` has no proxies over TLS"
_NO_ECH = "`dart:io` offers no ECH"
NOT_RUN = _NEVER_RUN | {
    "ech-rejected-then-rogue": _NO_ECH,
    "ech-rejected-by-rogue": _NO_ECH,
    "https-proxy-untrusted": _TLS_PROXY,
    "https-proxy-wrong-name": _TLS_PROXY,
    "https-proxy-untrusted-inside": _TLS_PROXY,
    "https-proxy-rogue-inside": _TLS_PROXY,
    "rogue-connection-5": "the clients make fewer connections",
    "rogue-connection-6": "the clients make fewer connections",
    "other-kind-of-connection": "all connections of a client are of one kind",
    "rogue-trailing-dot": _REFUSED_NAME,
    "rogue-unicode-host": _REFUSED_NAME,
}
_WITH_PROXY = "only for the client with a proxy"
NOT_WITHOUT_PROXY = dict.fromkeys(
    ("proxy-answers-403", "proxy-answers-502", "proxy-redirects", "proxy-asks-password"),
    _WITH_PROXY,
)
_TWO_CONNECTIONS = "the WebSocket and the socket make fewer connections"
NOT_IN_TWO_CONNECTIONS = dict.fromkeys(
    ("rogue-connection-3", "rogue-connection-4"), _TWO_CONNECTIONS
)
WARNINGS = ("cn-only",)
# Those for the owner's policy.
TOLD = (
    *("weak-digest-md5", "weak-digest-sha1", "weak-key-rsa-1024"),
    *("suite-3des", "suite-cbc", "suite-static-rsa", "dh-1024"),
    *("must-staple", "revoked-crl", "revoked-staple"),
)
TOLD_WITHOUT_PINNED_KEY = ("weak-leaf-dsa", "weak-leaf-p192", "weak-leaf-rsa-1024")

_PINS = ("--pins", "{pin},{backup}", "--pins2", "{pin2},{backup2}")
_URLS = ("--url", "{url}", "--url2", "{url2}", "--compromised", "{compromised}")


@dataclass(frozen=True)
class DartClient:
    """A client of the Dart package in ``example/prove.dart``, and its ``certpin prove`` options.

    ``own_check`` means that it has its own code path to the check of the pins, or to its server.
    Without it, it reaches the check as the first client does.
    """

    name: str
    title: str
    style: Style = Style.LEAF
    words: tuple[str, ...] = _PINS
    proxied: bool = False
    vms: tuple[DartVM, ...] = (_vm.NEWEST,)
    own_check: bool = False
    connections: int = 4  # the most that one run makes, one after the other

    @property
    def not_run(self) -> dict[str, str]:
        """The cases that ``certpin prove`` can't run with this client, and the reasons."""
        more = {} if self.proxied else NOT_WITHOUT_PROXY
        return NOT_RUN | more | (NOT_IN_TWO_CONNECTIONS if self.connections < 3 else {})

    @property
    def told(self) -> set[str]:
        """The cases with a verdict that is not judged, because the owner's policy decides."""
        return {*TOLD, *(TOLD_WITHOUT_PINNED_KEY if self.style is Style.CA else ())}

    def run(self, folder: Path, vm: DartVM, given: Sequence[Case] = GIVEN) -> dict[str, Any]:
        """Run this client over the given cases, and return the lab's report.

        On the newest VM each run is an isolate, which is several times faster. On an older VM,
        ``certpin prove`` starts the program for each case, as it does for users.

        Args:
            folder: keeps the compiled program for the next run.
            vm: the Dart VM.
            given: the cases.
        """
        run = self._in_isolates if vm is _vm.NEWEST else self._started
        return run(folder, vm, given)

    def _in_isolates(self, folder: Path, vm: DartVM, given: Sequence[Case]) -> dict[str, Any]:
        program = _programs.compile_isolates(PROGRAM, folder)
        command = _programs.Isolates(
            self._command(vm, program), via=self._via, patience=_PATIENCE, program=program
        )
        with Lab(_programs.LOCAL, self.style, stall=_STALL) as lab, closing(command):
            return run_facts(prove(lab, command, given))

    def _started(self, folder: Path, vm: DartVM, given: Sequence[Case]) -> dict[str, Any]:
        cases = [word for case in given for word in ("--case", case.name)]
        options = [
            *("--host", _programs.LOCAL, "--via", self._via, "--stall", f"{_STALL}"),
            *("--style", self.style, "--jobs", "2", "--timeout", f"{_PATIENCE}"),
        ]
        command = self._command(vm, _programs.compiled(PROGRAM, folder, vm))
        done = subprocess.run(
            [sys.executable, "-m", "certpin", "prove", "--json", *options, *cases, "--", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=_MINUTES * 60,
        )
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["exit_code"] == done.returncode, done.stderr
        return report

    @property
    def _via(self) -> str:
        return "connect" if self.proxied else "port"

    def _command(self, vm: DartVM, program: str) -> tuple[str, ...]:
        """Return the command that runs the client from ``program``, its compiled file."""
        words = (program, self.name, *_URLS, *self.words)
        if self.proxied:  # the lab answers for every name, so there is nothing to resolve
            return (str(vm.program), _vm.BRIEF, "--root-certs-file={ca}", *words)
        return _programs.dart_words(vm, *words)


CLIENTS = (
    DartClient("http", "`PinnedHttpClient`", vms=tuple(_vm.VERSIONS), own_check=True),
    DartClient("websocket", "`WebSocket.connect` with a `PinnedHttpClient`", connections=2),
    DartClient("socket", "`PinnedSecureSocket.connect`", own_check=True, connections=2),
    DartClient(
        "anchors",
        "`PinnedHttpClient` with the pins in `trust`",
        Style.CA,
        ("--anchors", "{anchors}", "--anchors2", "{anchors2}"),
        own_check=True,
    ),
    DartClient(
        "proxy",
        "`PinnedHttpClient` over a proxy (`findProxy`)",
        words=(*_PINS, "--proxy", "{proxy}"),
        proxied=True,
        own_check=True,
    ),
    DartClient("isolate", "`HttpClient` in `PinnedHttpOverrides.runInIsolate`"),
)


def outcomes(report: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the names of the cases in a report of ``certpin prove``, by their outcome.

    The control, a connection to the honest server, is left out.
    """
    found: dict[str, set[str]] = {}
    for result in report["results"]:
        if result["case"] != CONTROL.name:
            found.setdefault(result["outcome"], set()).add(result["case"])
    return found


@dataclass(frozen=True)
class Mistake:
    """A Dart client in ``mistakes.dart`` that pins wrongly, and the lab's cases that it fails.

    ``fails`` has the verdict of each of these cases. ``accepted`` returns the pins that the client
    compares with. If ``works`` is false, it refuses even the honest server, and no case is run.
    """

    name: str
    title: str
    style: Style
    accepted: Callable[[TestPKI, Target], str]
    fails: Mapping[str, str] = field(default_factory=dict)
    works: bool = True

    @property
    def telling(self) -> list[Case]:
        """The cases that the client fails, and a few that it must pass."""
        return [case for case in MISTAKE_CASES if case.name in self.fails or case.name in _PASSED]

    def run(self, folder: Path, given: Sequence[Case] = MISTAKE_CASES) -> dict[str, Any]:
        """Run the client over the given cases, and return the lab's report.

        Args:
            folder: keeps the compiled program for the next run.
            given: the cases.
        """
        program = _programs.compile_isolates(_MISTAKES, folder)
        words = _programs.dart_words(_vm.NEWEST, program, self.name.split()[0], "{url}")
        isolates = _programs.Isolates(words, via="port", patience=_PATIENCE, program=program)
        with Lab(_programs.LOCAL, self.style) as lab, closing(isolates):
            return run_facts(prove(lab, _Mistaken(self, lab, isolates), given))


@dataclass(frozen=True)
class _Mistaken:
    """A client under test for the lab that runs the Dart program of a ``Mistake``."""

    mistake: Mistake
    lab: Lab
    isolates: _programs.Isolates

    def run(self, target: Target) -> Ending:
        accepted = self.mistake.accepted(self.lab.pki(target.host), target)
        return replace(self.isolates, words=(*self.isolates.words, accepted)).run(target)

    def stop(self) -> None:
        self.isolates.stop()


def _fingerprint(pki: TestPKI, target: Target) -> str:
    return target.fingerprint


def _pins(pki: TestPKI, target: Target) -> str:
    return f"{target.pin},{target.backup}"


def _all_keys(pki: TestPKI, target: Target) -> str:
    """Return the pins of the server's key, its backup key, and its issuer's key.

    The callback of the client gets the issuer's certificate. The text is empty for a target without
    a pin.
    """
    pins = (pki.leaf.pin, pki.backup.pin, pki.intermediate.pin)
    return ",".join(map(str, pins)) if target.pin else ""  # raises if the client can't know a key


# The attacks that only a pin refuses.
_ONLY_PINS = (
    *("rogue-ca-in-store", "same-ca-new-key", "pinned-leaf-appended"),
    *("pinned-intermediate-appended", "non-ca-switch", "non-ca-switch-last", "pathlen-split"),
    *("swap-on-reconnect", "bad-then-good", "retry-x5", "second-host-unpinned"),
    *(
        "rogue-on-both-hosts",
        "leak-before-check",
        "client-certificate-requested",
        "rot-new-key-pinned-ca",
    ),
)
_REDIRECTS = ("redirect-to-http", "redirect-to-unpinned-host")
_UNPINNED = dict.fromkeys((*_ONLY_PINS, *WARNINGS, *_REDIRECTS), "ACCEPT") | {
    "leak-before-check": "LEAK",  # there is no answer, so the client reports an error
}
# Every mistake refuses these attacks, except for the listed ones.
_PASSED = ("untrusted-ca", "self-signed", "wrong-host-sibling", "expired", "rogue-ca-in-store")
# Honest chains with another top than the listed one.
_OTHER_TOP = ("rot-new-intermediate", "rot-dual-rsa", "rot-cross-signed", "rot-order-root-sent")
_CALLBACK = {"cn-only": "ACCEPT", "redirect-to-http": "ACCEPT"} | dict.fromkeys(
    _OTHER_TOP, "REJECT"
)
# The certificate has the server's own key, so the callback accepts whatever else is wrong with it.
_OWN_KEY = (
    *("bad-signature-leaf", "bad-signature-intermediate", "wrong-host-parent"),
    *("wrong-host-sibling", "wrong-host-wildcard", "wrong-host-wildcard-below"),
    *("wrong-host-wildcard-part", "wrong-host-idn", "nul-in-name", "nul-in-common-name"),
    *("ip-without-ip-san", "expired", "not-yet-valid", "extended-key-usage"),
    "unknown-critical-extension",
)
# Honest servers with another certificate than the listed one.
_OTHER_CERTIFICATE = (
    *("rot-renewed-same-key", "rot-backup-live", "rot-new-intermediate", "rot-dual-ecdsa"),
    *("rot-dual-rsa", "rot-cross-signed", "rot-order-reordered"),
)

MISTAKES = (
    Mistake(
        "callback (leaf)",
        "`badCertificateCallback` on the server's fingerprint",
        Style.LEAF,
        _fingerprint,
        works=False,
    ),
    Mistake(
        "callback (authority)",
        "`badCertificateCallback` on the issuer's fingerprint",
        Style.CA,
        _fingerprint,
        _CALLBACK,
    ),
    Mistake(
        "callback-on-keys",
        "`badCertificateCallback` on the keys of server, backup and issuer",
        Style.CA,
        _all_keys,
        _CALLBACK | dict.fromkeys(_OWN_KEY, "ACCEPT"),
    ),
    Mistake(
        "validate-certificate",
        "dio's `validateCertificate`, rebuilt, on the server's fingerprint",
        Style.LEAF,
        _fingerprint,
        dict.fromkeys((*_ONLY_PINS, *WARNINGS, *_REDIRECTS), "LEAK")
        | dict.fromkeys(_OTHER_CERTIFICATE, "REJECT"),
    ),
    Mistake("unpinned", "`HttpClient` without pins", Style.LEAF, _pins, _UNPINNED),
    Mistake(
        "isolate",
        "`HttpClient` in `Isolate.run`, with `HttpOverrides.global` outside",
        Style.LEAF,
        _pins,
        _UNPINNED,
    ),
)


# The cases that show whether the pins are compared at all: `make test` runs the clients that reach
# the check as another one does on these only.
DECISIVE_CASES = tuple(
    case
    for case in GIVEN
    if case.name in {*_UNPINNED, *_PASSED, *_OTHER_CERTIFICATE, *_OTHER_TOP, *_NEVER_RUN}
)


def failures(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the verdict of each case in a report that the client fails, including warnings."""
    return {
        result["case"]: result["verdict"]
        for result in report["results"]
        if result["outcome"] in {"wrong", "warning"}
    }


def attacks(report: Mapping[str, Any]) -> set[str]:
    """Return the names of the attacks in a report that were run and had to be refused."""
    return {
        result["case"]
        for result in report["results"]
        if result["expected"] == Expect.REJECT.value and result["outcome"] != "not_run"
    }
