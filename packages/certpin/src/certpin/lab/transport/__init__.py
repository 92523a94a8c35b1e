"""Thin shells that bring clients to the lab: ports, proxies, relays."""
