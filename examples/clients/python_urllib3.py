"""urllib3, with certpin and without it: certpin prove -- python python_urllib3.py pinned {url}"""

import os
import sys

import urllib3

import certpin
from certpin.clients.urllib3 import PinnedProxyManager


def pinned(url: str, proxy: str) -> str:
    with PinnedProxyManager(certpin.PinSet.from_env(), proxy) as http:
        return http.request("GET", url, retries=False).data.decode()


def unpinned(url: str, proxy: str) -> str:
    with urllib3.ProxyManager(proxy, ca_certs=os.environ["SSL_CERT_FILE"]) as http:
        return http.request("GET", url, retries=False).data.decode()


if __name__ == "__main__":
    print(
        {"pinned": pinned, "unpinned": unpinned}[sys.argv[1]](
            sys.argv[2], os.environ["HTTPS_PROXY"]
        )
    )
