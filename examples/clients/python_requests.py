"""requests, with certpin and without it: certpin prove -- python python_requests.py pinned {url}"""

import os
import sys

import requests

import certpin
from certpin.clients.requests import PinnedSession


def pinned(url: str, proxy: str) -> str:
    with PinnedSession(certpin.PinSet.from_env()) as session:
        return session.get(url, proxies={"https": proxy}, timeout=10).text


def unpinned(url: str, proxy: str) -> str:
    with requests.Session() as session:
        ca = os.environ["SSL_CERT_FILE"]
        return session.get(url, proxies={"https": proxy}, verify=ca, timeout=10).text


if __name__ == "__main__":
    print(
        {"pinned": pinned, "unpinned": unpinned}[sys.argv[1]](
            sys.argv[2], os.environ["HTTPS_PROXY"]
        )
    )
