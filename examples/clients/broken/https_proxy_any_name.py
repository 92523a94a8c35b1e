"""Broken: an https:// proxy may have a certificate for any name.

certpin prove --style leaf --via connect -- python https_proxy_any_name.py
"""

from _lab import Target, ask_in_tunnel, from_environment, open_tunnel, trusting


def main(target: Target) -> str:
    proxy = trusting(target)
    proxy.check_hostname = False  # here
    return ask_in_tunnel(open_tunnel(target, proxy), target)


if __name__ == "__main__":
    print(main(from_environment()))
