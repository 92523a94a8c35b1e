"""The lab's web page for a device, with its roots and pins to download, and QR codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.case import LabError
from certpin.pinfile.editor import PinFileEditor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Group

    from certpin.lab.pki import TestPKI
    from certpin.pins import HostPolicy


HOST = "certpin.lab"  # the name of the lab for a device behind the proxy
# The type that Android and iOS install as an authority; RFC 2585 has none for that.
_CERTIFICATE = "application/x-x509-ca-cert"
_REQUEST = re.compile(rb"(GET|HEAD) (?:http://[^/ \r\n]*)?(/[^ \r\n]*) HTTP/1\.[01]\r?\n")
_INDEX = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>certpin lab</title>
<meta name="viewport" content="width=device-width">
<h1>certpin lab</h1>
<p><strong>Remove these authorities from the device when you are done.</strong> An attacker with
their keys can read its traffic.</p>
<ul>%s</ul>
</html>
"""
_OWN = """\
<li><a href="/r.cer">Root R</a> and <a href="/r2.cer">rogue root R2</a>: install both</li>
<li><a href="/roots.pem">Both as PEM</a>, to build into a debug version of the app</li>
<li><a href="/pins.toml">The pins</a> of the hosts under test</li>"""
_REAL = """\
<li><a href="/r2.cer">Rogue root R2</a>: install it</li>
<li><a href="/roots.pem">The same as PEM</a>, to build into a debug version of the app</li>"""


def is_own(host: str) -> bool:
    """Return True if a host name is ``certpin.lab``, the name of the lab, or a name below it.

    Devices request the web page of the lab by such a name. ``host`` is a normalised name.
    """
    return host == HOST or host.endswith(f".{HOST}")


@dataclass(frozen=True)
class Page:
    """The lab's web page, and the files that it links to. All of these files are public.

    Attributes:
        r: the root R as DER, the root of the honest server; empty if the hosts have real servers.
        r2: the root R2 as DER, the root of the attacker.
        roots_pem: the roots as PEM: R and R2, or only R2 if the hosts have real servers.
        pins: the text of a pin file for the hosts under test; empty if they have real servers.
    """

    r: bytes
    r2: bytes
    roots_pem: bytes
    pins: str

    def answer(self, request: bytes) -> bytes:
        """Return the HTTP response to a request: the page or one of its files.

        The status is 405 for methods other than GET and HEAD, and 404 for unknown files.
        ``request`` is the head of the request.
        """
        asked = _REQUEST.match(request)
        if not asked:
            return _respond("405 Method Not Allowed", "text/plain", b"GET only\n")
        path = asked[2].partition(b"?")[0].decode("ascii", "replace")
        kind, body = self._files().get(path, ("", b""))
        if not kind:
            return _respond("404 Not Found", "text/plain", b"not here\n", head=asked[1] == b"HEAD")
        return _respond("200 OK", kind, body, head=asked[1] == b"HEAD")

    def _files(self) -> dict[str, tuple[str, bytes]]:
        index = _INDEX % (_OWN if self.r else _REAL)
        files = {
            "/": ("text/html; charset=utf-8", index.encode()),
            "/r.cer": (_CERTIFICATE, self.r),
            "/r2.cer": (_CERTIFICATE, self.r2),
            "/roots.pem": (_CERTIFICATE, self.roots_pem),
            "/pins.toml": ("application/toml", self.pins.encode()),
        }
        return {path: file for path, file in files.items() if file[1]}


def _respond(status: str, kind: str, body: bytes, *, head: bool = False) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + (b"" if head else body)


def pin_file(pkis: Iterable[TestPKI]) -> str:
    """Return the text of a pin file for the hosts under test. No file is written.

    ``pkis`` has the keys and certificates of each host.
    """
    head = _editor()
    head.raise_version()
    policies = (pki.pins.policy_for(pki.host) for pki in pkis if pki.pins)
    return head.text + "".join(_host(policy) for policy in policies if policy)


def _host(policy: HostPolicy) -> str:
    """Return the policy of one host as text in the syntax of a pin file.

    A new editor is used for each policy, because one editor for all would parse the earlier
    policies again each time.
    """
    editor = _editor()
    before = len(editor.text)
    editor.add_host(policy)
    return editor.text[before:]


def _editor() -> PinFileEditor:
    return PinFileEditor.new(Path("pins.toml"), "lab")


# Both colours are set, so that the code is dark on light in any terminal.
_STYLE = "#000000 on #ffffff"
_QUIET = 4  # modules of white around the code (ISO/IEC 18004 section 9.1)
_BLOCKS = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def qr_lines(text: str) -> list[str]:
    """Return the QR code of a text as lines of block characters.

    Each line shows two rows of the code. A block is a dark square of the code.

    Raises:
        LabError: the package segno is missing.
    """
    try:
        import segno
    except ImportError as exc:
        fix = "pip install 'certpin[wireguard]', or copy the configuration by hand"
        raise LabError("the QR code needs the package segno", fix=fix) from exc
    code = segno.make_qr(text, error="l", boost_error=False)
    rows = [tuple(row) for row in code.matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append((0,) * len(rows[0]))
    return [
        "".join(_BLOCKS[bool(above), bool(below)] for above, below in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def qr_text(text: str) -> Group:
    """Return the QR code of a text to print on a rich console, in fixed colours, unwrapped."""
    from rich.console import Group
    from rich.text import Text

    code = Text(no_wrap=True, overflow="ignore")
    for line in qr_lines(text):
        code.append(line, _STYLE)
        code.append("\n")
    return Group(code)  # rich ignores no_wrap of a text that is printed directly
