"""``make docs-serve``: show the built site on this machine only, until Ctrl-C."""

from __future__ import annotations

import argparse
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scripts.console import fail

SITE = Path("build/docs")
_ADDRESS = "127.0.0.1"
_PORT = 8000


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files, and prints a request only if its file is missing."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if not str(code).startswith(("2", "3")):
            super().log_request(code, size)


def server(site: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a built site, at this port or, if it is in use, at a free one."""
    handler = partial(_Quiet, directory=str(site))
    try:
        return ThreadingHTTPServer((_ADDRESS, port), handler)
    except OSError:
        return ThreadingHTTPServer((_ADDRESS, 0), handler)


def main() -> None:
    """Serve the site."""
    parser = argparse.ArgumentParser(description="Show the built documentation.")
    parser.add_argument("--port", type=int, default=_PORT)
    given = parser.parse_args()
    if not (SITE / "index.html").exists():
        fail(f"{SITE} has no site", "make docs")
    with server(SITE, given.port) as found, suppress(KeyboardInterrupt):
        print(f"The documentation is at http://{_ADDRESS}:{found.server_port}/", flush=True)
        print("Ctrl-C ends it.", flush=True)
        found.serve_forever()


if __name__ == "__main__":
    main()
