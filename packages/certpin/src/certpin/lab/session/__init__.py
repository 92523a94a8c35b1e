"""One connection, without I/O: the ClientHello, TLS, and the application protocol."""
