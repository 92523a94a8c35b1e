"""The server side of a case: ports, connections, TLS, and the protocols above it."""
