"""Broken: a name is compared by a function for C strings, which ends at the first NUL byte.

certpin prove --style none --via port -- python name_up_to_nul.py
"""

import ssl
from ctypes import c_char_p

from _lab import Target, ask, connect, from_environment, is_address, leaf, trusting
from cryptography import x509
from cryptography.x509.oid import NameOID


def names_of(certificate: x509.Certificate, *, addresses: bool) -> list[str]:
    """Return the names or the addresses in the SAN; the common names if it is missing."""
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [name.value for name in names]
    if addresses:
        return [str(address) for address in san.get_values_for_type(x509.IPAddress)]
    return san.get_values_for_type(x509.DNSName)


def main(target: Target) -> str:
    context = trusting(target)
    context.check_hostname = False
    with connect(target, context) as tls:
        names = names_of(leaf(tls), addresses=is_address(target.host))
        host = target.host.removesuffix(".")
        if host.encode() not in [c_char_p(name.encode()).value for name in names]:  # here
            raise ssl.SSLError("another host")
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
