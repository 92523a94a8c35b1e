"""The server side of a lab case: ports, connections, TLS, and the protocols above TLS.

``port`` owns the sockets, and ``relay`` forwards connections that are not under test. The other
modules do no I/O: a ``conversation`` is a ``session`` behind an optional proxy; ``records`` reads
TLS without its keys, ``tls`` is the server's side of TLS, and ``protocols`` lists the application
protocols, each of which has a file.
"""
