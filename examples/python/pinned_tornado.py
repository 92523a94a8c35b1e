"""tornado with pins: CERTPIN_PINS=pins.toml python pinned_tornado.py HOST PORT"""

import asyncio
import sys

from tornado.httpclient import AsyncHTTPClient

import certpin


async def fetch(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    client = AsyncHTTPClient(
        force_instance=True,  # or tornado may return a client that exists, without these defaults
        # Without redirects: one to http:// would send headers and the body in clear text.
        defaults={"ssl_options": context, "follow_redirects": False},
    )
    response = await client.fetch(f"https://{host}:{port}/")
    print(response.code)
    client.close()


def main(host: str, port: int) -> None:
    asyncio.run(fetch(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
