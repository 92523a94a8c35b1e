"""The server side of a lab case: ports, connections, TLS, and the protocols above TLS.

``port`` has the TCP sockets, ``quic`` the UDP sockets of HTTP/3, ``dns`` resolves names, and
``relay`` forwards connections that are not under test. The other modules open no network
connection: ``session`` serves a client's connection to a host under test, and ``conversation``
handles the connections in which this traffic comes through the lab's proxy or is routed to the lab.
``records`` reads TLS records without the keys, ``tls`` is the server's side of TLS, and
``protocols`` lists the application protocols, each of which has a file.
"""
