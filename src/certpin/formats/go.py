"""Go: a package with the pins and an ``http.RoundTripper`` (crypto/tls, ``VerifyConnection``).

``VerifyConnection`` is called for every connection, resumed ones too, and ``VerifiedChains`` holds
the chains that Go built itself (https://pkg.go.dev/crypto/tls#Config).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats._program import Language, program
from certpin.formats.format import File, Format
from certpin.formats.limits import NoDebug, NoReports
from certpin.formats.table import read_table

if TYPE_CHECKING:
    from certpin.pins import PinSet

# As gofmt aligns them: lines that follow each other, each with a value of one line.
_WIDTH = {"pattern": 9, "mode": 9, "match": 9, "expires": 10, "onExpiry": 10}


def _field(name: str) -> str:
    return f"{name}: ".ljust(_WIDTH.get(name, 0))


_GO = Language(row=("{", "}"), field=_field, list=("[]string{", "}"), long=("`", "`"), indent="\t")


def write(pins: PinSet) -> tuple[File, ...]:
    """A package with two functions: ``Transport`` for net/http, ``Config`` for the rest."""
    return (program(pins, GO.name, GO.file, "go.go", _GO),)


GO = Format(
    name="go",
    title="Go",
    use="Put it into a folder `pins` of the module: `http.Client{Transport: pins.Transport(nil)}`.",
    file="pins.go",
    limits=(
        NoDebug("a build for debugging gives the client another transport"),
        NoReports("the package tells OnFailure, and sends nothing itself"),
    ),
    write=write,
    read=read_table,
    needs=("Go 1.21 or newer. It uses the standard library alone.",),
)
