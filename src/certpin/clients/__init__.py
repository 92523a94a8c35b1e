"""Pinned clients, one module for each HTTP library: thin, over a ``PinnedSSLContext``.

    from certpin.clients.httpx import PinnedClient, AsyncPinnedClient, PinnedTransport
    from certpin.clients.httpx2 import …                       # the same names
    from certpin.clients.requests import PinnedSession, PinnedAdapter
    from certpin.clients.urllib3 import PinnedPoolManager, PinnedProxyManager
    from certpin.clients.niquests import PinnedSession, AsyncPinnedSession
    from certpin.clients.aiohttp import PinnedConnector
    from certpin.clients.stdlib import opener                  # urllib.request

Each takes a pin set, or a ``PinnedSSLContext`` (for ``strict=False``, failure hooks, a clock), and
keeps it as ``context``: ``context.swap(pins)`` takes effect with the next connection. What they add
to handing the context to the library:

1. A refusal is the library's own error and a ``PinError`` in one.
2. A request in clear text (``http://``), also by a redirect, is refused before it is sent.
3. Options that would weaken the verification, or go past the context, raise ``ConfigError``. The
   connection that came out must be one that the context checked.
4. A proxy is reached with TLS of its own; behind it, the pins of the host itself hold.

Importing this package loads none of the libraries. Importing a module without its library
raises ``MissingExtraError``, which names the extra of certpin that brings it.
"""

from __future__ import annotations

# The registry: each is a module of this package.
CLIENTS = ("aiohttp", "httpx", "httpx2", "niquests", "requests", "stdlib", "urllib3")
