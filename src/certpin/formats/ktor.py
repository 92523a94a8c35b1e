"""Ktor: a client on its OkHttp engine (https://ktor.io/docs/client-engines.html).

Of its engines that one has pins, and Darwin's (``CertificatePinner`` of its own). CIO and Java take
an ``X509TrustManager`` or an ``SSLContext``, and look for no pin.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from certpin.formats import _okhttp
from certpin.formats._program import fill
from certpin.formats.format import File, Format
from certpin.formats.header import commented

if TYPE_CHECKING:
    from certpin.pins import PinSet


def write(pins: PinSet) -> tuple[File, ...]:
    """A file with one function, ``pinnedHttpClient``."""
    calls = _okhttp.calls(pins, indent=4) + "\n"
    template = files("certpin.formats").joinpath("ktor.kt").read_text(encoding="utf-8")
    text = fill(template, {"header": commented(pins, KTOR.name, "//"), "calls": calls})
    return (File(KTOR.file, text),)


KTOR = Format(
    name="ktor",
    title="Ktor",
    use="Put it among the sources, and make clients with `pinnedHttpClient { … }`.",
    file="CertpinKtor.kt",
    limits=_okhttp.LIMITS,
    package="package {}",
    write=write,
    read=_okhttp.read,
    needs=(
        "`--package` with the package of your sources, where they have one.",
        "The engine OkHttp (`io.ktor:ktor-client-okhttp`, JVM and Android), OkHttp 4.3 or newer.",
        "CIO, Java and Apache know no pins: they take the anchors of `trust`, as a trust manager.",
        "Darwin has a CertificatePinner of its own, which takes the same lines.",
        "certpin's tests parse this file, and have no Ktor to run it.",
    ),
)
