"""Export and import OkHttp's ``CertificatePinner`` in Java (https://square.github.io/okhttp/)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import _okhttp
from certpin.formats.format import File, Format
from certpin.formats.header import commented

if TYPE_CHECKING:
    from certpin.pins import PinSet

_SOURCE = """\
{header}
import okhttp3.CertificatePinner;

/** Pass it to the client: {{@code builder.certificatePinner(CertpinPinner.create())}}. */
public final class CertpinPinner {{
    private CertpinPinner() {{
    }}

    public static CertificatePinner create() {{
        return new CertificatePinner.Builder()
{calls}
            .build();
    }}
}}
"""


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a Java class with the function ``CertpinPinner.create()``.

    The function returns an OkHttp ``CertificatePinner`` with the pins. ``pins`` is a pin set that
    ``project`` has reduced to the settings that this platform can express.
    """
    calls = _okhttp.calls(pins, indent=12)
    text = _SOURCE.format(header=commented(pins, OKHTTP_JAVA.name, "//"), calls=calls)
    return (File(OKHTTP_JAVA.file, text),)


OKHTTP_JAVA = Format(
    name="okhttp-java",
    title="OkHttp, Java",
    use="Add it to the sources, and pass `CertpinPinner.create()` to the builder of your client.",
    file="CertpinPinner.java",
    limits=_okhttp.LIMITS,
    package=_okhttp.java_package,
    write=write,
    read=_okhttp.read_java,
    needs=_okhttp.NEEDS,
)
