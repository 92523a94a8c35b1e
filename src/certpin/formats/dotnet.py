""".NET: a handler for ``HttpClient`` over ``SocketsHttpHandler``, in C#.

The callback is given the chain that .NET built, and what was wrong with it
(https://learn.microsoft.com/dotnet/api/system.net.security.remotecertificatevalidationcallback);
``CertificateChainPolicy`` names the only roots. It was never run by certpin's own tests: they have
no .NET. They check that it parses, and that its table is read back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats._program import Language, program
from certpin.formats.format import File, Format
from certpin.formats.limits import NoDebug, NoReports
from certpin.formats.table import read_table

if TYPE_CHECKING:
    from certpin.pins import PinSet


def _field(name: str) -> str:
    return f"{name[0].upper()}{name[1:]} = "


_CSHARP = Language(
    row=("new Policy\n        {", "}"),
    field=_field,
    list=("\n            [", "]"),
    long=('"""\n', '"""'),
    indent="    ",
)


def write(pins: PinSet) -> tuple[File, ...]:
    """A class, ``Certpin.PinnedHandler``."""
    return (program(pins, DOTNET.name, DOTNET.file, "dotnet.cs", _CSHARP),)


DOTNET = Format(
    name="dotnet",
    title=".NET",
    use="Add it to the project: `new HttpClient(new Certpin.PinnedHandler())`.",
    file="PinnedHandler.cs",
    limits=(
        NoDebug("a build for debugging gives the client another handler"),
        NoReports("the handler tells Failed, and sends nothing itself"),
    ),
    write=write,
    read=read_table,
    needs=(
        ".NET 8 or newer (C# 12). certpin's tests parse this file, and have no .NET to run it.",
        "Trust anchors must be roots: .NET trusts no others.",
    ),
)
