"""The server side of a lab case: ports, connections, TLS, and the protocols above TLS.

``port`` has the TCP sockets, ``quic`` the UDP sockets of HTTP/3, ``dns`` resolves names, and
``relay`` forwards connections that are not under test. The other modules open no network
connection: a ``conversation`` is the lab's side of a client's connection, a ``session`` that may be
behind a proxy; ``records`` reads TLS without its keys, ``tls`` is the server's side of TLS, and
``protocols`` lists the application protocols, each of which has a file.
"""
