"""Broken: a request without verification leaves its connection in a pool, for all later requests.

The lab asks for such a request in the case pool-reuse only: in others it would be a fault itself.

certpin prove --style none --via port -- python lax_connection_kept.py
"""

import ssl
from http.client import HTTPConnection

from _lab import Target, connect, from_environment, trusting


def request(pool: HTTPConnection, target: Target, path: str, context: ssl.SSLContext) -> str:
    if not pool.sock:  # here: otherwise the context of the request makes no difference
        pool.sock = connect(target, context)
    pool.request("GET", f"/{path}", headers={"Host": target.host})
    return pool.getresponse().read().decode()


def main(target: Target) -> str:
    pool, lax = HTTPConnection(target.host), trusting(target)
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    try:
        if target.case == "pool-reuse":
            request(pool, target, "", lax)
        return request(pool, target, target.canary, trusting(target))
    finally:
        pool.close()


if __name__ == "__main__":
    print(main(from_environment()))
