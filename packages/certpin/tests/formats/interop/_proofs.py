"""Each export with the real client that uses it, and the lab's cases that this client fails."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.formats import FORMATS
from certpin.lab.attacks import CASES
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome
from tests.formats.interop import _programs
from tests.formats.interop._proxies import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from certpin.lab.client import ClientUnderTest
    from certpin.lab.runner import Run


@dataclass(frozen=True)
class Proof:
    """The run of an export in a real client over cases of the lab.

    ``make`` returns the client under test, for a folder of its own. ``fails`` has the verdict of
    each case that the client is expected to fail, including warnings. ``cases`` are the cases to
    run; if it is empty, all.
    """

    format: str
    client: str
    style: Style
    peers: tuple[str, ...]
    make: Callable[[Path], ClientUnderTest]
    version: tuple[str, ...]  # the command that prints its version
    fails: Mapping[str, str] = field(default_factory=dict)
    cases: tuple[str, ...] = ()
    host: str = "api.bank.example"

    @property
    def name(self) -> str:
        """The name for lists: the format, the client and the lab's style."""
        return f"{self.format}, {self.client}, {self.style}"

    def run(self, folder: Path, jobs: int = 2) -> Run:
        """Start the client, run the cases of the lab, and stop the client. Return the results.

        Args:
            folder: a new folder for the client.
            jobs: the number of cases at a time.
        """
        chosen = [case for case in CASES if not self.cases or case.name in self.cases]
        with _ended(self.make(folder)) as client, Lab(self.host, self.style, stall=0.2) as lab:
            return prove(lab, client, chosen, jobs=jobs)


@contextmanager
def _ended(client: ClientUnderTest) -> Iterator[ClientUnderTest]:
    try:
        yield client
    finally:
        client.stop()


def failed(run: Run) -> dict[str, str]:
    """Return the verdict of each case that the client of a run failed, including warnings."""
    bad = {Outcome.WRONG, Outcome.WARNING}
    return {each.case.name: f"{each.verdict}" for each in run.results if each.outcome in bad}


# The reasons for the failures of each client; the first entry with the case counts.
REASONS = {
    "cn-only": "uses the common name if a certificate has no names in subjectAltName",
    "extended-key-usage": "GnuTLS checks the purpose only if the program names one; wget does not",
    "wrong-host-wildcard-part": "accepts a wildcard as part of a label",
    "wrong-host-idn": "accepts a wildcard inside the encoding of an internationalised name",
    "nul-in-name": "HAProxy reads a name of a certificate only up to its first NUL octet",
    "nul-in-common-name": "HAProxy reads the common name only up to its first NUL octet",
    "ipv6-san": "OkHttp before 4.5 compares addresses as text, and refuses the honest server; "
    "Debian's Node.js 20.19.2+dfsg-1+deb13u3, which did not run here, refuses every IPv6 address",
    "rogue-trailing-dot": "OkHttp finds no pins for a host that ends with a dot, and accepts it",
    "cn-beside-other-san": "HAProxy compares the common name if no name fits",
    "wrong-host-public-suffix": "accepts a wildcard over a top-level domain",
    "extended-key-usage-empty": "reads an empty list of purposes like a missing one",
    "non-ca-switch": "OkHttp before its pull request 6921 accepts a leaf as an issuer",
    "weak-leaf-rsa-512": "Go accepts RSA keys below 1024 bits if go.mod names a version below 1.24 "
    "(GODEBUG rsa1024min)",
}
NO_NAMES = {"cn-only": "ACCEPT"}
PARTIAL = {"wrong-host-wildcard-part": "ACCEPT"}
IDN = {"wrong-host-idn": "ACCEPT"}
NUL = {"nul-in-name": "ACCEPT", "nul-in-common-name": "ACCEPT"}
IPV6 = {"ipv6-san": "REJECT"}
SUFFIX = {"wrong-host-public-suffix": "ACCEPT"}
PURPOSES = {"extended-key-usage-empty": "ACCEPT"}
SMALL_KEYS = {"weak-leaf-rsa-512": "ACCEPT"}
OKHTTP = IPV6 | SUFFIX | {"rogue-trailing-dot": "ACCEPT"}
JAVA = ("javac", "libokhttp-java")
FEW = ("rogue-ca-in-store", "same-ca-new-key", "wrong-host-pinned-ca", "rot-backup-live")

PROOFS = (
    Proof(
        "okhttp-kotlin",
        "OkHttp 3.13, by Kotlin 1.3",
        Style.LEAF,
        (*JAVA, "kotlinc", "java"),
        _programs.okhttp_kotlin,
        ("kotlinc", "-version"),
        cases=FEW,
    ),
    Proof(
        "okhttp-java",
        "OkHttp 3.13",
        Style.LEAF,
        JAVA,
        _programs.okhttp_java,
        ("javac", "-version"),
        OKHTTP,
    ),
    Proof(
        "okhttp-java",
        "OkHttp 3.13",
        Style.CA,
        JAVA,
        _programs.okhttp_java,
        ("javac", "-version"),
        OKHTTP | {"non-ca-switch": "ACCEPT"},
    ),
    Proof(
        "curl",
        "curl",
        Style.LEAF,
        ("curl",),
        lambda _: _programs.curl(),
        ("curl", "--version"),
        NO_NAMES,
    ),
    Proof(
        "wget",
        "wget",
        Style.LEAF,
        ("wget",),
        lambda _: _programs.wget(),
        ("wget", "--version"),
        NO_NAMES | PURPOSES | {"extended-key-usage": "ACCEPT"},
    ),
    Proof(
        "node",
        "Node.js, node:https",
        Style.LEAF,
        ("node",),
        lambda _: _programs.node(),
        ("node", "--version"),
        NO_NAMES | PARTIAL | IDN,
    ),
    *(
        Proof(
            "flutter",
            "Dart, dart:io",
            style,
            ("dart", "unshare"),
            lambda _: _programs.dart(),
            ("dart", "--version"),
            NO_NAMES,
            host=_programs.LOCAL,
        )
        for style in (Style.LEAF, Style.CA)
    ),
    *(
        Proof(
            "go",
            "Go, net/http",
            style,
            ("go",),
            lambda _: _programs.go(),
            ("go", "version"),
            SUFFIX | PURPOSES | (SMALL_KEYS if style is Style.CA else {}),
        )
        for style in (Style.LEAF, Style.CA)
    ),
    Proof(
        "nginx",
        "nginx",
        Style.CA,
        ("nginx",),
        lambda _: Proxy("nginx"),
        ("nginx", "-v"),
        NO_NAMES | PARTIAL,
    ),
    Proof(
        "nginx",
        "Java's HttpClient, by its anchors",
        Style.CA,
        JAVA,
        _programs.http_client,
        ("javac", "-version"),
        NO_NAMES | PARTIAL | SUFFIX,
    ),
    Proof(
        "haproxy",
        "HAProxy",
        Style.CA,
        ("haproxy",),
        lambda _: Proxy("haproxy"),
        ("haproxy", "-v"),
        NO_NAMES | PARTIAL | IDN | NUL | SUFFIX | {"cn-beside-other-san": "ACCEPT"},
    ),
)

# Clients that could not be run, and the alternative.
_ELSEWHERE = "its platform does not run here: separate tests check the exported file"
_INSTEAD = {
    "ktor": "Debian has no Ktor: the file is parsed with a Kotlin grammar",
    "flutter-pins": "covered by `flutter`: the file of pins is the same",
    "dotnet": "Debian has no .NET: the file is parsed with a C# grammar",
    "envoy": "Debian has no Envoy: a test checks the field names",
    "json": "certpin reads it back",
}
NOT_RUN = {
    name: _INSTEAD.get(name, _ELSEWHERE)
    for name in FORMATS
    if name not in {proof.format for proof in PROOFS}
}
