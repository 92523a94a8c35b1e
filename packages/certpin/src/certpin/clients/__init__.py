"""Pinned clients, one module for each HTTP library. Each is a thin layer over ``PinnedSSLContext``.

    from certpin.clients.httpx import PinnedClient, AsyncPinnedClient, PinnedTransport
    from certpin.clients.httpx2 import …                       # the same names
    from certpin.clients.requests import PinnedSession, PinnedAdapter
    from certpin.clients.urllib3 import PinnedPoolManager, PinnedProxyManager
    from certpin.clients.niquests import PinnedSession, AsyncPinnedSession
    from certpin.clients.aiohttp import PinnedConnector
    from certpin.clients.stdlib import opener                  # urllib.request

Each client takes a pin set, or a ``PinnedSSLContext`` (for ``strict=False``, failure hooks, a
clock), and stores the context as ``context``: ``context.swap(pins)`` takes effect with the next
request. In addition to passing the context to the library, the clients guarantee:

1. A refused request raises an error that is both the library's own error and a ``PinError``.
2. A request in clear text (``http://``), also after a redirect, raises this error before it is
   sent. But with ``strict=False``, it is allowed for a host without enforced pins.
3. Options that would weaken the verification, or bypass the context, raise ``ConfigError``. Every
   connection in use must have been checked by the context, and a connection that is used again must
   match the pins in force.
4. The pins apply to the host behind a proxy. The TLS to the proxy is separate, and not pinned by
   default.

Importing this package imports none of the libraries. Importing a module without its library raises
``MissingExtraError``, which names the extra of certpin that installs the library.
"""

from __future__ import annotations

# The registry: the modules of this package.
CLIENTS = ("aiohttp", "httpx", "httpx2", "niquests", "requests", "stdlib", "urllib3")
