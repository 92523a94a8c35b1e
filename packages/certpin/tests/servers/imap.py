"""Real IMAP and POP3 servers with STARTTLS: Dovecot 2.4, in the foreground."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from tests.servers._run import LOOPBACK, free_port, install, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Dovecot separates its processes by user and chroot; an ordinary user can do neither.
_CONFIGURATION = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {directory}/run
log_path = /dev/stderr
listen = {address}
protocols = imap pop3
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
ssl = {ssl}
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
mail_driver = maildir
mail_path = {directory}/mail
passdb static {{
  password = secret
}}
userdb static {{
}}

service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


class Ports(NamedTuple):
    """The ports of a running Dovecot server for IMAP and POP3."""

    imap: int
    pop3: int


@contextlib.contextmanager
def dovecot(certificate: Path, key: Path, *, tls: bool = True) -> Iterator[Ports]:
    """Run Dovecot with this certificate and key (PEM) while the block runs, and yield its ports.

    Without ``tls`` it offers no STARTTLS.
    """
    program = require("dovecot")
    ports = Ports(free_port(), free_port())
    with scratch(drop_root=True) as directory:
        configuration = directory / "dovecot.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                address=LOOPBACK,
                user=directory.owner(),
                group=directory.group(),
                ssl="yes" if tls else "no",
                certificate=install(certificate, directory),
                key=install(key, directory),
                **ports._asdict(),
            )
        )
        configuration.chmod(0o644)
        with running([program, "-F", "-c", configuration], ports, drop_root=True):
            yield ports
