"""httpx, with certpin and without it: certpin prove -- python python_httpx.py pinned {url}"""

import os
import ssl
import sys

import httpx

import certpin
from certpin.clients.httpx import PinnedClient


def pinned(url: str, proxy: str) -> str:
    with PinnedClient(certpin.PinSet.from_env(), proxy=proxy) as client:
        return client.get(url).text


def unpinned(url: str, proxy: str) -> str:
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    with httpx.Client(verify=context, proxy=proxy) as client:
        return client.get(url).text


if __name__ == "__main__":
    print(
        {"pinned": pinned, "unpinned": unpinned}[sys.argv[1]](
            sys.argv[2], os.environ["HTTPS_PROXY"]
        )
    )
