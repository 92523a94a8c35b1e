"""Go: a package with the pins and an ``http.RoundTripper`` (crypto/tls, ``VerifyConnection``).

Go calls ``VerifyConnection`` for every connection, including resumed ones. ``VerifiedChains`` are
the chains that Go built itself (https://pkg.go.dev/crypto/tls#Config).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.formats import _languages
from certpin.formats._program import TableSyntax, program
from certpin.formats.code import read_table
from certpin.formats.format import File, Format
from certpin.formats.limits import NoDebug, NoReports, NoTransparency

if TYPE_CHECKING:
    from certpin.pins import PinSet

# The column widths of gofmt, which aligns consecutive fields with one-line values.
_WIDTH = {"pattern": 9, "mode": 9, "match": 9, "expires": 10, "onExpiry": 10}


def _field(name: str) -> str:
    return f"{name}: ".ljust(_WIDTH.get(name, 0))


_GO = TableSyntax(
    row=("{", "}"), field=_field, list=("[]string{", "}"), long=("`", "`"), indent="\t"
)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a Go file with functions that make clients check the pins.

    ``Transport`` is for net/http, and ``Config`` for other TLS connections. ``pins`` is a pin set
    that ``project`` has reduced to the settings that this platform can express.
    """
    return (program(pins, GO.name, GO.file, "go.go", _GO),)


GO = Format(
    name="go",
    title="Go",
    use="Add it as `pins/` to the module: `http.Client{Transport: pins.Transport(nil)}`.",
    file="pins.go",
    limits=(
        NoDebug("debug builds can use another transport"),
        NoReports("the package calls OnFailure, and sends no reports itself"),
        NoTransparency("crypto/tls checks no SCTs"),
    ),
    write=write,
    read=partial(read_table, language=_languages.GO),
    needs=(
        "Go 1.21 or newer. It uses only the standard library.",
        "Request hosts by their ASCII names: `xn--bcher-kva.example`. `bücher.example` is refused.",
    ),
)
