"""Write htmx.min.js, a script in the web pages of certpin-watch, from the npm package ``htmx.org``.

The version and the SHA-256 of the script are constants in this module: an update means to review
the changes and write both constants. The licence of htmx is the Zero-Clause BSD (0BSD), which
requires no notice. LICENSES has one nevertheless.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
import tempfile
from pathlib import Path

from scripts import npm

TARGET = Path(__file__).parent.parent / "packages/certpin-watch/src/certpin_watch/html/static"
VERSION = "2.0.11"
SHA256 = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"


def fetch(folder: Path) -> bytes:
    """Download the npm package into a folder, and return the content of its htmx.min.js.

    npm checks the integrity of the package.
    """
    with tarfile.open(npm.pack("htmx.org", VERSION, folder)) as opened:
        member = opened.extractfile("package/dist/htmx.min.js")
        return member.read() if member else b""


def main() -> None:
    """Write htmx.min.js into certpin-watch; exit with an error if its SHA-256 is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        script = fetch(Path(folder))
    if (found := hashlib.sha256(script).hexdigest()) != SHA256:
        sys.exit(
            f"error: its SHA-256 is {found}\n  fix: look at it, and write that into {__file__}"
        )
    (TARGET / "htmx.min.js").write_bytes(script)
    sys.stdout.write(f"htmx.min.js: version {VERSION}, {len(script)} bytes\n")


if __name__ == "__main__":
    main()
