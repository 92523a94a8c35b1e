"""aiomysql with pins: CERTPIN_PINS=pins.toml python pinned_aiomysql.py HOST PORT"""

import asyncio
import sys

from aiomysql import Connection
from pymysql.constants import CLIENT

import certpin


class PinnedConnection(Connection):
    """aiomysql goes on in clear text if the server, or an attacker, offers no TLS."""

    async def _request_authentication(self) -> None:
        if not self.server_capabilities & CLIENT.SSL:
            raise certpin.InsecureRequestError(
                f"{self.host} refused: the server offers no TLS", host=self.host
            )
        await super()._request_authentication()


async def query(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    connection = PinnedConnection(host=host, port=port, user="root", ssl=context)
    await connection._connect()
    async with connection, connection.cursor() as cursor:
        await cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
        print(await cursor.fetchone())


def main(host: str, port: int) -> None:
    asyncio.run(query(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
