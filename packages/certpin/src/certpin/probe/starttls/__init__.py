"""Begin TLS inside another protocol, such as SMTP or LDAP.

    negotiate(sock, PROTOCOLS["smtp"], "mail.example", 25)
    tls = context.wrap_socket(sock, server_hostname="mail.example")

Each protocol is one module without I/O, and one entry in ``PROTOCOLS``. ``Dialogue`` runs it over
any kind of I/O; ``negotiate`` runs it over a blocking socket.

The server's messages before TLS are not authenticated, so an attacker can answer in its place. Only
the TLS handshake that follows, and the check of its chain, authenticates the server. A client must
not continue without TLS, and must not treat bytes that arrived before TLS as protected. In both
cases, this package raises ``StartTLSError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Dialogue, Protocol, negotiate, not_tls_error
from certpin.probe.starttls.ftp import FTP
from certpin.probe.starttls.imap import IMAP
from certpin.probe.starttls.ldap import LDAP
from certpin.probe.starttls.mysql import MYSQL
from certpin.probe.starttls.pop3 import POP3
from certpin.probe.starttls.postgres import POSTGRES
from certpin.probe.starttls.smtp import SMTP
from certpin.probe.starttls.xmpp import XMPP

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROTOCOLS", "Dialogue", "Protocol", "negotiate", "not_tls_error"]

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol for protocol in (SMTP, IMAP, POP3, FTP, LDAP, XMPP, POSTGRES, MYSQL)
}
