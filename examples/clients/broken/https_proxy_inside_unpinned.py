"""Broken: behind an https:// proxy, the pins are not compared once more.

certpin prove --style leaf --via connect -- python https_proxy_inside_unpinned.py
"""

from _lab import (
    Target,
    ask,
    ask_in_tunnel,
    begin_tls,
    from_environment,
    open_tunnel,
    trusting,
)


def main(target: Target) -> str:
    sock = open_tunnel(target)
    if not target.tls_proxy:
        return ask_in_tunnel(sock, target)
    with begin_tls(sock, target, trusting(target)) as tls:  # here
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
