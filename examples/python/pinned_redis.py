"""redis with pins: CERTPIN_PINS=pins.toml python pinned_redis.py HOST PORT"""

import sys
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import certpin


def main(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())

    class PinnedConnection(redis.SSLConnection):
        """redis accepts no context: this replaces the method that makes one."""

        def _wrap_socket_with_ssl(self, sock: Any) -> Any:
            return context.wrap_socket(sock, server_hostname=self.host)

    def require_pins(connection: Any) -> None:
        """Check before the password is sent. If redis changes, this fails, instead of the pins."""
        if connection._sock.context is not context:
            raise RuntimeError("redis made a TLS connection without pins")
        connection.on_connect()

    pool = redis.ConnectionPool(
        connection_class=PinnedConnection,
        redis_connect_func=require_pins,
        retry=Retry(NoBackoff(), 0),
        host=host,
        port=port,
    )
    with redis.Redis(connection_pool=pool) as client:
        print(client.ping())
    pool.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
