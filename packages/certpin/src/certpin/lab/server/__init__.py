"""The server side of a lab case: ports, connections, TLS, and the protocols above TLS.

``port`` owns the sockets, and ``relay`` forwards connections that are not under test. The other
modules do no I/O: a ``conversation`` is the lab's side of a client's connection, a ``session`` that
may be behind a proxy; ``records`` reads TLS without its keys, ``tls`` is the server's side of TLS,
and ``protocols`` lists the application protocols, each of which has a file.
"""
