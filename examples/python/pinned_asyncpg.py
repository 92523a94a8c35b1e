"""asyncpg with pins: CERTPIN_PINS=pins.toml python pinned_asyncpg.py HOST PORT"""

import asyncio
import sys

import asyncpg

import certpin


async def query(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    connection = await asyncpg.connect(
        host=host, port=port, user="postgres", database="postgres", ssl=context
    )
    print(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    await connection.close()


def main(host: str, port: int) -> None:
    asyncio.run(query(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
