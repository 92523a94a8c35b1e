""".NET: a handler for ``HttpClient`` over ``SocketsHttpHandler``, in C#.

The certificate callback gets the chain that .NET built, and .NET's errors
(https://learn.microsoft.com/dotnet/api/system.net.security.remotecertificatevalidationcallback);
``CertificateChainPolicy`` replaces the system's roots. The tests have no .NET to run the handler;
they check that it parses, and that the import reads its table of policies.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.formats._languages import CSHARP
from certpin.formats._program import TableSyntax, program
from certpin.formats.code import read_table
from certpin.formats.format import File, Format
from certpin.formats.limits import NoDebug, NoReports, NoTransparency, RootsOnly

if TYPE_CHECKING:
    from certpin.pins import PinSet


def _field(name: str) -> str:
    return f"{name[0].upper()}{name[1:]} = "


_CSHARP = TableSyntax(
    row=("new Policy\n        {", "}"),
    field=_field,
    list=("\n            [", "]"),
    long=('"""\n', '"""'),
    indent="    ",
)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a C# file with the class ``Certpin.PinnedHandler``.

    The class is a handler for ``HttpClient`` that checks the pins. ``pins`` is a pin set that
    ``project`` has reduced to the settings that this platform can express.
    """
    return (program(pins, DOTNET.name, DOTNET.file, "dotnet.cs", _CSHARP),)


DOTNET = Format(
    name="dotnet",
    title=".NET",
    use="Add it to the project: `new HttpClient(new Certpin.PinnedHandler())`.",
    file="PinnedHandler.cs",
    limits=(
        NoDebug("debug builds can use another handler"),
        NoReports("the handler raises Failed, and sends no reports itself"),
        NoTransparency("SslStream checks no SCTs"),
        RootsOnly(".NET refuses chains that end at another certificate"),
    ),
    write=write,
    read=partial(read_table, language=CSHARP),
    needs=(".NET 8 or newer (C# 12). certpin's tests parse this file, but do not run it.",),
)
