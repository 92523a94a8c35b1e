"""``make docs-serve``: serve the built site over HTTP on 127.0.0.1 until Ctrl-C."""

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
    """An HTTP handler that serves files, and logs only requests that fail."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if not str(code).startswith(("2", "3")):
            super().log_request(code, size)


def server(site: Path, port: int) -> ThreadingHTTPServer:
    """Return an HTTP server of a built site, at ``port`` or, if that is in use, at a free port."""
    handler = partial(_Quiet, directory=str(site))
    try:
        return ThreadingHTTPServer((_ADDRESS, port), handler)
    except OSError:
        return ThreadingHTTPServer((_ADDRESS, 0), handler)


def main() -> None:
    """Serve build/docs over HTTP until Ctrl-C; exit with status 2 if it is not built."""
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
