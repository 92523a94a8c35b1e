"""The server side of a case: ports, connections, TLS, and the protocols above it.

``port`` owns the sockets, and ``relay`` joins connections that are not under test. The rest has no
I/O: a ``conversation`` is a ``session`` behind an optional proxy; ``records`` reads TLS from
outside, ``tls`` is the server's side of TLS, and ``protocols`` lists the application protocols, of
which each has a file.
"""
