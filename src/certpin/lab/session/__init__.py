"""One connection, without I/O: the ClientHello, TLS, and what is spoken in it."""
