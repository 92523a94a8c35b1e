"""aiosmtplib with pins: CERTPIN_PINS=pins.toml python pinned_aiosmtplib.py HOST PORT"""

import asyncio
import sys

from aiosmtplib import SMTP

import certpin


async def greet(host: str, port: int) -> None:
    context = certpin.PinnedSSLContext(certpin.PinSet.from_env())
    async with SMTP(hostname=host, port=port, start_tls=True, tls_context=context) as smtp:
        print(await smtp.ehlo())


def main(host: str, port: int) -> None:
    asyncio.run(greet(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
