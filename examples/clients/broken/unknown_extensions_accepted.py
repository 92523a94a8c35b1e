"""Broken: an extension that the parser doesn't know skips the check.

certpin prove --style leaf --via port -- python unknown_extensions_accepted.py
"""

from _lab import Target, ask, check, connect, from_environment, leaf, trusting
from cryptography.x509.oid import ExtensionOID

_READERS = {
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: "key identifier",
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: "issuer's key identifier",
    ExtensionOID.BASIC_CONSTRAINTS: "authority or not",
    ExtensionOID.KEY_USAGE: "usage",
    ExtensionOID.EXTENDED_KEY_USAGE: "purposes",
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME: "names",
}


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        try:
            found = [_READERS[extension.oid] for extension in leaf(tls).extensions]
        except KeyError:  # here
            return ask(tls, target)
        print(*found, sep=", ")
        check(tls, target.pins)
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
