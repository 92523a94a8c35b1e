"""Export and import OkHttp's ``CertificatePinner`` in Kotlin (https://square.github.io/okhttp/)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import _okhttp
from certpin.formats.format import File, Format
from certpin.formats.header import commented

if TYPE_CHECKING:
    from certpin.pins import PinSet

_SOURCE = """\
{header}
import okhttp3.CertificatePinner

/** Pass it to the client: `OkHttpClient.Builder().certificatePinner(certpinPinner)`. */
val certpinPinner: CertificatePinner = CertificatePinner.Builder()
{calls}
    .build()
"""


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a Kotlin file with the value ``certpinPinner``, an OkHttp pinner with the pins.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    calls = _okhttp.calls(pins, indent=4)
    text = _SOURCE.format(header=commented(pins, OKHTTP_KOTLIN.name, "//"), calls=calls)
    return (File(OKHTTP_KOTLIN.file, text),)


OKHTTP_KOTLIN = Format(
    name="okhttp-kotlin",
    title="OkHttp, Kotlin",
    use="Add it to the sources, and pass `certpinPinner` to the builder of your client.",
    file="CertpinPinner.kt",
    limits=_okhttp.LIMITS,
    package=_okhttp.kotlin_package,
    write=write,
    read=_okhttp.read_kotlin,
    needs=_okhttp.NEEDS,
)
