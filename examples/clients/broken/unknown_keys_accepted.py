"""Broken: keys get a fixed ASN.1 header, and those of another kind are not checked.

certpin prove --style leaf --via port -- python unknown_keys_accepted.py
"""

from _lab import Target, ask, check, connect, from_environment, leaf, trusting

_HEADERS = (
    bytes.fromhex("30820122300d06092a864886f70d01010105000382010f00"),  # RSA 2048
    bytes.fromhex("30820222300d06092a864886f70d01010105000382020f00"),  # RSA 4096
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),  # P-256
)


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        certificate = leaf(tls).tbs_certificate_bytes
        if any(header in certificate for header in _HEADERS):  # here
            check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
