"""Ktor: a client with the OkHttp engine (https://ktor.io/docs/client-engines.html).

Only the engines OkHttp and Darwin (with its own ``CertificatePinner``) support pins. CIO and Java
accept an ``X509TrustManager`` or an ``SSLContext``, but check no pins.
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
    """Return a Kotlin file with the function ``pinnedHttpClient``.

    The function returns a Ktor client that checks the pins. ``pins`` is a pin set that ``project``
    has reduced to the settings that this platform can express.
    """
    calls = _okhttp.calls(pins, indent=4) + "\n"
    template = files("certpin.formats").joinpath("ktor.kt").read_text(encoding="utf-8")
    text = fill(template, {"header": commented(pins, KTOR.name, "//"), "calls": calls})
    return (File(KTOR.file, text),)


KTOR = Format(
    name="ktor",
    title="Ktor",
    use="Add it to the sources, and create clients with `pinnedHttpClient { … }`.",
    file="CertpinKtor.kt",
    limits=_okhttp.LIMITS,
    package=_okhttp.kotlin_package,
    write=write,
    read=_okhttp.read_kotlin,
    needs=(
        "`--package` with the package of your sources, if they have one.",
        "The OkHttp engine (`io.ktor:ktor-client-okhttp`, JVM and Android), OkHttp 4.3 or newer.",
        "CIO, Java and Apache support no pins, only the anchors of `trust` as a trust manager.",
        "The Darwin engine has its own CertificatePinner, which accepts the same lines.",
        "certpin's tests parse this file, but do not run it with Ktor.",
    ),
)
