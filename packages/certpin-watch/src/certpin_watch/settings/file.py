"""Read the file ``watch.toml``: the settings at its top level, and all of its tables."""
# ruff: noqa: RUF009  # `setting` and `table_setting` are `dataclasses.field`

from __future__ import annotations

import shlex
import ssl
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.errors import ConfigError, HostError, InputError, PinFileError
from certpin.pinfile.file import Table, load_toml, locate_errors
from certpin.probe import split_address
from certpin.support.text import printable
from certpin.x509 import quoted
from certpin_watch.addresses import is_local_only
from certpin_watch.secret import Secret, read_secret
from certpin_watch.settings.access import AuthSettings
from certpin_watch.settings.reader import (
    read_values,
    setting,
    table_setting,
    text,
    texts,
)
from certpin_watch.settings.tables import (
    AlertSettings,
    CollectorSettings,
    LogSettings,
    MonitorSettings,
    RetentionSettings,
    TelemetrySettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_PORT = 8460
DEFAULT_FILE = Path("watch.toml")
STORE_OPTION = "--store"
DEFAULT_STORE = "sqlite:///watch.db"
_TLS = ("tls_certificate", "tls_key")
_TRUSTED = "tls=disable"  # in the address of a NATS server
_MAX_BYTES = 1024 * 1024
_TOML_FIX = (
    'see https://toml.io, or compare with the page "Settings of watch.toml" of the documentation'
)


def parse_listen(address: str, key: str = "listen") -> tuple[str, int]:
    """Parse an address to listen on, such as ``127.0.0.1:8460``; the port may be missing.

    Returns:
        Host and port.

    Raises:
        ConfigError: the text is not an address. The error names ``key``, a setting or option.
    """
    try:
        return split_address(address, DEFAULT_PORT)
    except HostError as exc:
        raise ConfigError(exc.problem, key=key, fix=f"as in 127.0.0.1:{DEFAULT_PORT}") from exc


@dataclass(frozen=True)
class Thresholds:
    """The settings that decide which expiries are near and which probe results are old.

    The limits on reports, and the days for which identities are stored, are included too.

    Attributes:
        certificates: the time before a certificate expires at which pages and alerts begin to warn.
            For short-lived certificates, ``warning_period`` shortens it.
        pins: the time before pins expire at which pages and alerts begin to warn.
        stale: the age from which a probe result counts as old.
        collector: the limits on reports.
        identities: for how many days the identities of reports are stored, which recognise repeats
            (``[retention] identities``).
    """

    certificates: timedelta = timedelta(days=30)
    pins: timedelta = timedelta(days=60)
    stale: timedelta = timedelta(hours=1)
    collector: CollectorSettings = field(default_factory=CollectorSettings)
    identities: int = 8


DEFAULT_THRESHOLDS = Thresholds()


def _public_url(table: Table, name: str) -> str:
    """Read the setting with the address at which users reach the pages. An empty text is valid.

    An address without a host is refused. With it, the service would accept requests for any host,
    which permits DNS rebinding, and links in messages would lead nowhere. ``name`` is the key of
    the setting in ``table``.

    Raises:
        ConfigError: the text is not empty, and not a plain http or https URL with a host. User,
            path, query and fragment are not permitted.
    """
    address = text(table, name)
    if not address:
        return address
    try:
        url = urlsplit(address)
        host, _ = url.hostname, url.port  # raises ValueError for an invalid port
    except ValueError:
        host, url = None, urlsplit("")
    clean = not (url.username or url.password or url.query or url.fragment)
    if url.scheme not in {"https", "http"} or not host or not clean:
        raise ConfigError(
            f"not the address of the pages: {quoted(address)}",
            key=name,
            fix='write scheme and host, for example public_url = "https://watch.bank.example"',
        )
    if url.path.strip("/"):
        raise ConfigError(
            f"the pages work under no path: {quoted(address)}",
            key=name,
            fix="give the service a separate host name: the pages link /login and /static",
        )
    return address


@dataclass(frozen=True)
class ServiceSettings:
    """All settings of the monitoring service; each has a default.

    Attributes:
        folder: the folder from which a relative path of the database file starts; None for the
            current folder.
        file: the file that the settings were read from, for errors.
        listen: the host and port to listen on.
        pins: the monitored pin files.
        store: the address of the database.
        nats: the address of a NATS server with JetStream; None without one.
        nats_ca: a PEM file with the only authorities that are trusted for the certificate of the
            NATS server; None for those of the platform.
        public_url: the address of the pages for users, for links in messages.
        tls: the files of the certificate chain and of the key; None for plain HTTP.

    Each of the other fields has the settings of the table with its name: ``monitor`` those of
    ``[monitor]``.
    """

    folder: Path | None = None
    file: Path | None = None
    listen: tuple[str, int] = setting(
        ("127.0.0.1", DEFAULT_PORT), lambda table, name: parse_listen(table.text(name))
    )
    pins: tuple[Path, ...] = setting(
        (Path("pins.toml"),), lambda table, name: tuple(map(Path, texts(table, name)))
    )
    store: Secret = setting(Secret(DEFAULT_STORE), read_secret)
    nats: Secret | None = setting(None, read_secret)
    nats_ca: Path | None = setting(None, lambda table, name: Path(table.text(name)))
    public_url: str = setting("", _public_url)
    tls: tuple[Path, Path] | None = None
    access: AuthSettings = table_setting(AuthSettings)
    alerts: AlertSettings = table_setting(AlertSettings)
    collector: CollectorSettings = table_setting(CollectorSettings)
    log: LogSettings = table_setting(LogSettings)
    monitor: MonitorSettings = table_setting(MonitorSettings)
    retention: RetentionSettings = table_setting(RetentionSettings)
    telemetry: TelemetrySettings = table_setting(TelemetrySettings)

    @property
    def same_database(self) -> str:
        """Return this database's options as text, to append to a command that an error suggests.

        The text begins with a space. It is ``--config FILE`` if the settings come from a file other
        than the default. Otherwise, it is ``--store URL`` if the address of the database was given
        with that option. The word ``URL`` is literal, because the address can contain a password.
        In all other cases the text is empty.
        """
        if self.file is not None and self.file != DEFAULT_FILE:
            return f" --config {shlex.quote(str(self.file))}"
        return f" {STORE_OPTION} URL" if self.store.key == STORE_OPTION else ""

    @property
    def thresholds(self) -> Thresholds:
        """The settings that decide which expiries are near and which probe results are old."""
        monitor = self.monitor
        return Thresholds(
            monitor.certificate_warning,
            monitor.pins_warning,
            monitor.interval * monitor.silent_after,
            self.collector,
            self.retention.identities,
        )


def load(path: Path, check_rule: Callable[[str], None]) -> ServiceSettings:
    """Read the settings file ``watch.toml``. Paths in the file are relative to its folder.

    Args:
        path: the file.
        check_rule: raises ``InputError`` for a name that no alert rule has.

    Raises:
        PinFileError: the file can't be read, or a setting is invalid. The error names the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        content = data.decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise PinFileError(
            f"it cannot be read: {getattr(exc, 'strerror', None) or exc}",
            path=path,
            fix="check the path in --config; the user of the service must be able to read the file",
        ) from exc
    if len(data) > _MAX_BYTES:
        raise PinFileError(
            f"it has more than {_MAX_BYTES} bytes", path=path, fix="name the settings file"
        )
    with locate_errors(content, path):
        settings = _read(Table(load_toml(content, path, fix=_TOML_FIX)), path)
        _check_rules(settings, check_rule)
        return settings


def _read(table: Table, path: Path) -> ServiceSettings:
    folder = path.parent
    values: dict[str, Any] = read_values(ServiceSettings, table, *_TLS)
    values |= {"file": path, "folder": folder, "tls": _tls(table, folder)}
    if "pins" in values:
        values["pins"] = tuple(folder / file for file in values["pins"])
    if "nats_ca" in values:
        values["nats_ca"] = folder / values["nats_ca"]
    access = values.get("access")
    if access is not None and access.oidc is not None and access.oidc.ca_file is not None:
        oidc = replace(access.oidc, ca_file=folder / access.oidc.ca_file)
        values["access"] = replace(access, oidc=oidc)
    return ServiceSettings(**values)


def _tls(table: Table, folder: Path) -> tuple[Path, Path] | None:
    names = [table.text(name, "") for name in _TLS]
    if not any(names):
        return None
    if not all(names):
        raise ConfigError("one without the other", key="tls_key", fix="name both files, or none")
    return folder / names[0], folder / names[1]


def _check_rules(settings: ServiceSettings, check_rule: Callable[[str], None]) -> None:
    """Check that the settings of notification services name only alert rules that exist.

    Without this check, a misspelt name would match no alert. ``check_rule`` is a function that
    raises ``InputError`` if no rule has the given name.

    Raises:
        ConfigError: a name is not that of an alert rule.
    """
    for number, service in enumerate(settings.alerts.tell):
        for rule in service.rules:
            try:
                check_rule(rule)
            except InputError as exc:
                key = f"alerts.tell[{number}].rules"
                raise ConfigError(exc.problem, key=key, fix=exc.fix) from exc


def nats_address(secret: Secret) -> str:
    """Check ``secret``, the address of the NATS server; return it in the form that nats-py needs.

    Reports and the password are sent to this address. Without ``tls://``, the client uses TLS only
    if the server asks for it, and an attacker on the network can remove that request. So the
    address has to start with ``tls://``, be that of this machine, or end with ``?tls=disable``,
    which states that the network is trusted. This ending is removed from the result.

    Raises:
        ConfigError: the text is not an address, or could lead to clear text in an untrusted
            network. The error contains no part of the address, because it has a password.
    """
    key, text = secret.key or "nats", secret.reveal()
    scheme, host, query = _parts(text)
    if not host or scheme not in {"nats", "tls"} or query not in {"", _TRUSTED}:
        raise ConfigError(
            "this is not the address of a NATS server",
            key=key,
            fix="write tls://USER:PASSWORD@HOST:4222, with %40, %3A, %2F for @, :, / in a password",
        )
    if scheme == "nats" and not query and not is_local_only(host):
        raise ConfigError(
            "the address does not say whether the connection to the NATS server is protected",
            key=key,
            fix=f"write tls://; or nats://…?{_TRUSTED} if the network itself is trusted",
        )
    return text.removesuffix(f"?{_TRUSTED}")


def nats_authorities(path: Path | None) -> ssl.SSLContext | None:
    """Return the TLS settings that trust only the authorities in a file (``nats_ca``).

    Return None if ``path`` is None: then nats-py trusts the authorities of the platform.

    Raises:
        ConfigError: the file can't be read, or has no certificate.
    """
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(
            f"{printable(str(path))} has no authorities that can be used",
            key="nats_ca",
            fix="name a PEM file that this user can read, beside watch.toml or with its path",
        ) from exc


def _parts(text: str) -> tuple[str, str, str]:
    """Return the scheme, host and query of a URL; three empty texts if it can't be parsed.

    They decide if the connection to the NATS server at this URL is encrypted or local.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port  # urlsplit checks the port only on access
    except ValueError:
        return "", "", ""
    return parts.scheme, parts.hostname or "", parts.query


def require_nats() -> None:
    """Check that nats-py, the client library of NATS, is installed.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("nats") is None:
        raise ConfigError(
            "JetStream needs the package nats-py", key="nats", fix="pip install 'certpin[cluster]'"
        )
