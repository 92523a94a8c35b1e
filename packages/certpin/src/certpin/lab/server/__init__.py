"""The server side of a case: ports, connections, TLS, and the protocols above it.

``port`` and ``wireguard`` own the sockets, and ``relay`` joins connections that are not under test.
The rest has no I/O: a ``conversation`` is a ``session`` behind an optional ``proxy``; ``hello`` and
``records`` read TLS from outside, ``tls`` makes the OpenSSL contexts, and ``protocols`` lists the
application protocols, of which each has a file.
"""
