"""Options that several commands share, and the functions that use their values.

The functions connect to a server and explain why its chain did not verify, read files, find out in
which kind of place a key is (a file, a token or a key service), and ask for passphrases and PINs.
"""

from __future__ import annotations

import math
import os
import re
import sys
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from certpin.cli.candidates import completions
from certpin.cli.choices import PIN_FILE, PINS_VARIABLE, PROBE_SECONDS, STARTTLS
from certpin.cli.main import unknown
from certpin.cli.reply import CommandReply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from click.shell_completion import CompletionItem

    from certpin.probe import Endpoint, Observation

    Decorator = Callable[[Any], Any]
    KeyPlace = Literal["file", "token", "service"]

PASSPHRASE_VARIABLE = "CERTPIN_PASSPHRASE"  # noqa: S105  # the name of a variable
PIN_VARIABLE = "CERTPIN_PKCS11_PIN"
KEYS_VARIABLE = "CERTPIN_SIGNING_KEYS"
KEYS_PLACEHOLDER = "KEY…"  # for the keys in a printed command

# RFC 3986 section 3.1. A single letter is a drive on Windows.
URI_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:", re.ASCII)

_PRIVATE_AUTHORITY = "If its authority is private, name it: --ca-file ROOT.pem"

# X509_V_ERR_… of openssl/x509_vfy.h.
_NO_ISSUER = {2, 20, 21}
_OTHER_NAME = {62, 64}
_NOT_YET_VALID, CERT_HAS_EXPIRED = 9, 10
_CHAIN_FIXES = {
    18: "the certificate is self-signed. If it is yours, trust only it: --ca-file CERTIFICATE.pem",
    19: f"this machine does not trust the root of the chain. {_PRIVATE_AUTHORITY}",
}


def option_group(
    argument: str, options: Sequence[Decorator], make: Callable[..., Any]
) -> Decorator:
    """Return a decorator that adds several options to a command, as one argument of the command.

    Args:
        argument: the name of the argument.
        options: ``click.option`` decorators, in the order of the help.
        make: a function that makes the argument from the values of the options, which it gets as
            keyword arguments.
    """

    def decorate(command: Any) -> Any:
        @wraps(command)
        def with_group(**values: Any) -> Any:
            value = make(**{name: values.pop(name) for name in names})
            return command(**{argument: value}, **values)

        known = {option.name for option in getattr(command, "__click_params__", ())}
        wrapped: Any = with_group
        for option in reversed(options):
            wrapped = option(wrapped)
        names = [param.name for param in wrapped.__click_params__ if param.name not in known]
        return wrapped

    return decorate


class Seconds(click.FloatRange):
    """Click parameter type: a number of seconds within limits.

    ``nan`` is refused, because a comparison with a limit doesn't exclude it.
    """

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of the option as a number of seconds."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class NameType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """Click parameter type: a name from a long list, such as that of a format or a lint rule.

    The list is loaded only when the user gives a value, so that help is fast.

    Args:
        kind: the noun for such a name, for errors.
        known: a function that returns the list of names.
        listing: the command that lists all names, for an error without a similar name.
    """

    name = "name"

    def __init__(self, kind: str, known: Callable[[], Collection[str]], listing: str) -> None:
        self._kind = kind
        self._known = known
        self._listing = listing

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` if it is a known name.

        Otherwise raise ``click.BadParameter`` with a similar name, or the command that lists all.
        """
        known = self._known()
        if value not in known:
            self.fail(unknown(self._kind, value, list(known), self._listing), param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin with the typed text."""
        return completions(dict.fromkeys(self._known()), incomplete)


def _formats() -> Collection[str]:
    from certpin.formats import FORMATS

    return FORMATS


def _providers() -> Collection[str]:
    from certpin.providers import load_providers

    return load_providers().providers


format_name = NameType("format", _formats, "`certpin export --list`")
provider_name = NameType("provider", _providers, "`certpin providers`")


def _want_json(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> bool:
    reply = ctx.find_root().obj
    if reply is not None:  # a command that runs without certpin's group has none
        reply.wanted = wanted
    return wanted


json_option: Decorator = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_want_json,
    help="Print JSON, for programs.",
)


def _name_in_commands(ctx: click.Context, _: click.Parameter, path: Path) -> Path:
    name_pin_file(ctx, path)
    return path


def name_pin_file(ctx: click.Context, path: Path | None) -> None:
    """Add ``--file PATH`` to the certpin commands that the output of this run suggests.

    Nothing is added for the default pin file. If ``path`` is None, nothing is added from now on.
    """
    if isinstance(reply := ctx.find_root().obj, CommandReply):
        reply.file_option = file_option(path) if path else ""


pin_file_option: Decorator = click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=PIN_FILE,
    envvar=PINS_VARIABLE,
    show_default=True,
    show_envvar=True,
    callback=_name_in_commands,
    help="The pin file.",
)


def require_one_file(ctx: click.Context, named: Path | None) -> None:
    """Refuse a command that gets a pin file both as an argument and as ``--file``.

    certpin would read only one of them. The printed commands of this run name the argument.

    Args:
        ctx: the context of a command with ``pin_file_option``.
        named: the argument, or the first one; None if the user gave none.

    Raises:
        click.UsageError: the user gave both. A pin file that the variable ``CERTPIN_PINS`` names is
            no option, and causes no error.
    """
    is_option = ctx.get_parameter_source("path") is ParameterSource.COMMANDLINE
    if named and is_option:
        raise click.UsageError("name the pin file once: as an argument, or with --file")
    if named:
        name_pin_file(ctx, named)


def file_option(path: Path) -> str:
    """Return `` --file PATH``, to append to a command that an output suggests to the user.

    It is empty for the default pin file, ``pins.toml``, unless the environment variable
    ``CERTPIN_PINS`` names another one, which the suggested command would read. For that other file
    it is not empty: the variable may be set for this run only.
    """
    import shlex

    default = Path(os.environ.get(PINS_VARIABLE) or PIN_FILE)
    return "" if path == PIN_FILE == default else f" --file {shlex.quote(str(path))}"


def sign_command(path: Path | None) -> str:
    """Return the command ``certpin publish sign`` for a pin file, to suggest it to the user.

    The command has a placeholder for the signing keys, unless environment variables name them.

    Args:
        path: the pin file; None for a command that the caller appends ``--file`` to.
    """
    keys = "" if os.environ.get(KEYS_VARIABLE) else f" {KEYS_PLACEHOLDER}"
    return f"certpin publish sign{keys}{file_option(path) if path else ''}"


def unused_path(wanted: str) -> str:
    """Return the path of a file that does not exist yet.

    Args:
        wanted: the path. If it is in use, the name gets a number: ``next-2.key`` for ``next.key``.
    """
    from certpin.support.text import numbered_names

    return next(name for name in numbered_names(wanted) if not os.path.lexists(name))


def unused_name(wanted: str) -> str:
    """Return the path of a file that does not exist yet, quoted for a shell: ``unused_path``."""
    import shlex

    return shlex.quote(unused_path(wanted))


timeout_option: Decorator = click.option(
    "--timeout",
    type=Seconds(min=0.05, max=600),
    default=PROBE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long each step may take: resolving the name, connecting, STARTTLS, the handshake.",
)

ca_file_option: Decorator = click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Trust only the authorities in this file (PEM), not those of this machine.",
)

_CONNECTION: tuple[Decorator, ...] = (
    click.option(
        "--starttls",
        type=click.Choice(STARTTLS),
        metavar="PROTOCOL",
        help=f"Begin with this protocol, then start TLS inside it: {', '.join(STARTTLS)}.",
    ),
    click.option(
        "--connect",
        metavar="ADDRESS[:PORT]",
        help="Connect to this address instead of the host's.",
    ),
    click.option(
        "--server-name",
        metavar="NAME",
        help="Request and verify this name (SNI) instead of HOST.",
    ),
    ca_file_option,
    timeout_option,
)


@dataclass(frozen=True)
class ConnectionOptions:
    """The values of the options for a connection to a server: ``--connect``, ``--starttls`` etc.

    Attributes:
        starttls: the STARTTLS protocol, such as ``smtp``; None for TLS from the first byte.
        connect: the address to contact, ``ADDRESS[:PORT]``; None to resolve the host's name.
        server_name: the name to send (SNI) and to verify; None for the host.
        ca_file: the PEM file of the only trust anchors; None for the platform's roots.
        timeout: seconds for each step of the connection.
        strict: True to verify the chain by strict X.509 rules, False not to; None to let the Python
            version decide. It is ``strict_x509`` of the pin file.
    """

    starttls: str | None
    connect: str | None
    server_name: str | None
    ca_file: Path | None
    timeout: float
    strict: bool | None = None  # like `strict_x509` in the pin file

    def endpoint(self, target: str) -> Endpoint:
        """Return the endpoint to connect to, from the argument ``HOST[:PORT]`` and these options.

        Raises:
            HostError: the argument, or the value of an option, is not a host.
        """
        from certpin.probe import PROTOCOLS, Endpoint, split_address

        host, port = split_address(target, PROTOCOLS[self.starttls].port if self.starttls else 443)
        name = None if self.server_name is None else split_address(self.server_name)[0]
        connect = None if self.connect is None else split_address(self.connect, port)
        return Endpoint(host, port, connect, name, self.starttls)

    def observe(self, target: str) -> Observation:
        """Connect to a server; return the served chain, and the verified chain if it verifies.

        Args:
            target: the server, as ``HOST[:PORT]``.

        Raises:
            HostError: ``target`` is not a host.
            ProbeError: the server does not answer, or serves no chain.
            CertificateParseError: the file of ``--ca-file`` is invalid.
        """
        from certpin.probe import observe, probe_context

        context = probe_context(anchors_pem(self.ca_file), strict=self.strict)
        return observe(self.endpoint(target), context, timeout=self.timeout)

    def arguments(self) -> list[str]:
        """Return these options as command-line arguments, for a command suggested to the user.

        Options that the user did not give are left out; so are the time limit and ``strict``.
        """
        options = {
            "--starttls": self.starttls,
            "--connect": self.connect,
            "--server-name": self.server_name,
            "--ca-file": str(self.ca_file) if self.ca_file else None,
        }
        return [argument for name, value in options.items() if value for argument in (name, value)]


connection_options = option_group("connection", _CONNECTION, ConnectionOptions)


def anchors_pem(ca_file: Path | None) -> str | None:
    """Return the certificates of a trust anchor file as PEM text; None without a file.

    Raises:
        CertificateParseError: the file can't be read, or has no certificates.
    """
    import ssl

    from certpin.errors import CertificateParseError, InputError
    from certpin.support.text import printable
    from certpin.x509.certificate import read_certificates

    if ca_file is None:
        return None
    data = read_file(ca_file)
    try:
        certificates = read_certificates(data)
    except InputError as exc:
        raise CertificateParseError(
            f"{printable(str(ca_file))} is not a file of certificates: {exc.problem}",
            fix=exc.fix or "give the authority's certificate, as PEM",
        ) from exc
    return "".join(ssl.DER_cert_to_PEM_cert(certificate.der) for certificate in certificates)


def chain_fix(observation: Observation, *, strict: str = "", pinned: bool = False) -> str:
    """Return the ``fix:`` text of an error for a server with a chain that did not verify.

    Args:
        observation: the chain that was read from the server, and why it did not verify.
        strict: the advice for a chain that only strict X.509 rules refuse; if empty, the advice is
            to set ``strict_x509 = false`` in the pin file.
        pinned: True if clients use the host by this name, such as a host of a pin file. False for a
            host that the user wants to pin. It matters if the certificate is for other names: the
            advice for True is to get another certificate, and for False to pin one of these names.
    """
    from certpin.x509.openssl import strict_advice

    code = observation.code
    if code in _NO_ISSUER:
        return _missing_issuer(observation)
    if code in _OTHER_NAME:
        return _other_name(observation, pinned=pinned)
    if code in {_NOT_YET_VALID, CERT_HAS_EXPIRED}:
        return _wrong_date(observation)
    by_rule = strict_advice(code, strict) if strict else strict_advice(code)
    return by_rule or _CHAIN_FIXES.get(code, "ask the server's operator to repair the chain")


def _missing_issuer(observation: Observation) -> str:
    from certpin.x509 import issuer_of, name_of, served_path

    if len(observation.served.certificates) == 1:
        return (
            "the server sent only its certificate: configure it to send the intermediate "
            f"certificates too (the full chain). {_PRIVATE_AUTHORITY}"
        )
    path = served_path(observation.served.certificates)
    issuer = issuer_of(path.end)
    if not path.issuer_missing:
        return f"no authority that this machine trusts has issued the chain. {_PRIVATE_AUTHORITY}"
    if len(path.certificates) > 1:  # the issuer of an intermediate is mostly a root
        return (
            f"the chain ends at {issuer}, which is not trusted. If it is a private root, name it: "
            "--ca-file ROOT.pem. If it is an intermediate, configure the server to send its "
            "certificate too (the full chain)"
        )
    return (
        f"the server did not send the certificate of {issuer} that issued "
        f"{name_of(path.end)}: configure it to send the intermediate certificates of its "
        f"certificate (the full chain). {_PRIVATE_AUTHORITY}"
    )


def _wrong_date(observation: Observation) -> str:
    """Return the fix for a chain with a certificate that has expired, or is not valid yet.

    ``observation`` has the chain that the server sent. The fix has the name and the date of the
    certificate. If all certificates that the server sent are valid now, the fix names none: the
    cause is then another certificate, such as the root. A wrong clock of this machine has the same
    effect as a wrong date, so the fix names it, too.
    """
    from certpin.errors import CertificateParseError
    from certpin.pins import utc_now
    from certpin.probe.checkup import wrong_clock
    from certpin.x509 import name_of, served_path

    now = utc_now()
    ahead = wrong_clock(now, "ahead")
    leaf, *authorities = served_path(observation.served.certificates).certificates
    try:
        if observation.code == _NOT_YET_VALID:
            early = [each for each in (leaf, *authorities) if each.not_before > now]
            names = [
                f"{name_of(each)} is valid from {each.not_before:%Y-%m-%d} on" for each in early
            ]
            found = "; ".join(names) or "a certificate of the chain is not valid yet"
            return f"{found}: wait{wrong_clock(now, 'behind')}"
        if leaf.not_after < now:
            return f"the server's certificate expired on {leaf.not_after:%Y-%m-%d}: renew it{ahead}"
        ended = [each for each in authorities if each.not_after < now]
        names = [f"{name_of(each)} expired on {each.not_after:%Y-%m-%d}" for each in ended]
    except CertificateParseError:
        return f"a certificate of the chain has expired: renew it, then try again{ahead}"
    if not names:
        return (
            "no certificate that the server sent has expired, but the one of an authority above "
            f"them has, such as the root: get a certificate from a current authority{ahead}"
        )
    return (
        f"{'; '.join(names)}, and the server's own certificate has not: let it send the current "
        f"intermediate certificates, or get a certificate from a current authority{ahead}"
    )


def _other_name(observation: Observation, *, pinned: bool) -> str:
    from certpin.errors import CertificateParseError
    from certpin.pins import HostPattern
    from certpin.pins.certificate_names import name_fault
    from certpin.probe import join_address

    name = observation.endpoint.name
    names: tuple[str, ...] = ()
    shown = "none"
    try:
        leaf = observation.served.leaf
        names = leaf.names
        shown = ", ".join(names) or shown
        if fault := name_fault(HostPattern.parse(name), leaf):
            return f"the certificate is not for {name}: {fault.problem}; {fault.fix}"
    except CertificateParseError:
        shown = "unreadable"
    problem = f"the certificate is not for {name}; its names: {shown}"
    if shown == "none":
        return (
            f"{problem}. Get a certificate with {name} in its subjectAltName: clients don't read "
            "the common name"
        )
    address = join_address(*observation.endpoint.address)
    if pinned:
        return (
            f"{problem}. Install a certificate for {name} at {address}, or correct the address of "
            "the server"
        )
    return f"{problem}. Pin one of them: certpin pin NAME --connect {address}"


def read_file(path: Path) -> bytes:
    """Return the content of a file, or only the beginning of a file that is too large.

    Of a large file, one byte more than the certificate parsers accept is returned. So the parsers
    notice that it is too large, and refuse it.

    Raises:
        CertificateParseError: the file can't be read.
    """
    from certpin.errors import CertificateParseError
    from certpin.support.text import printable
    from certpin.x509.certificate import MAX_FILE_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise CertificateParseError(
            f"{printable(str(path))} cannot be read: {exc.strerror}",
            fix="check the path and its permissions",
        ) from exc


def key_place(text: str) -> KeyPlace:
    """Return where a key is, ``file``, ``token`` or ``service``, from its path or URI.

    Args:
        text: the path of a file; or a URI, valid or not.

    Raises:
        TokenError: the text is a URI with an unknown scheme. It is not taken for a path, because a
            command could then write a new key to a file of this name.
    """
    if URI_SCHEME.match(text) is None:
        return "file"
    from certpin.hsm import is_token_uri
    from certpin.kms import is_service_uri, unsupported_scheme

    if is_token_uri(text):
        return "token"
    if is_service_uri(text):
        return "service"
    raise unsupported_scheme(text)


def is_on_token(place: str) -> bool:
    """Return True if a text names a key on a PKCS#11 token, False for a file or a key service.

    Raises:
        TokenError: the text is a URI with an unknown scheme.
    """
    return key_place(place) == "token"


def makes_on_token(place: str) -> bool:
    """Return True if a new key at this place is made on a PKCS#11 token, False for a file.

    Raises:
        TokenError: the place is a URI with an unknown scheme, or in a key service: certpin makes no
            keys there.
    """
    from certpin.errors import TokenError
    from certpin.kms import ServiceURI

    found = key_place(place)
    if found == "service":
        title = ServiceURI.parse(place).service.title
        raise TokenError(
            f"certpin makes no key in {title}",
            fix=f"make it with the tools of {title}, and give its URI to the command that takes an "
            "existing key",
        )
    return found == "token"


def ask_passphrase(file: str = "") -> bytes | None:
    """Return the passphrase of a key file, from the environment or the terminal.

    The variable ``CERTPIN_PASSPHRASE`` counts if it is set, even if it is empty. Otherwise the user
    is asked. Return None if there is neither this variable nor a terminal.

    Args:
        file: the name of the file, for the question; empty if only one file can be meant.
    """
    from certpin.support.text import printable

    if PASSPHRASE_VARIABLE in os.environ:
        return os.fsencode(os.environ[PASSPHRASE_VARIABLE])
    if not sys.stdin.isatty():
        return None
    which = f"Passphrase of {printable(file)}" if file else "Passphrase"
    text: str = click.prompt(which, hide_input=True, err=True)
    return os.fsencode(text)


def ask_pin(token: str) -> str:
    """Return the PIN of a PKCS#11 token, from the environment or the terminal.

    Args:
        token: the name of the token, with its serial number.

    Raises:
        TokenError: the environment has no PIN, and there is no terminal; or this command has
            already used the PIN from the environment for another token. It is not tried on a second
            token, because tokens lock after a few wrong PINs.
    """
    from certpin.errors import TokenError
    from certpin.support.text import printable

    if PIN_VARIABLE in os.environ:
        first = click.get_current_context().find_root().meta.setdefault(PIN_VARIABLE, token)
        if first != token:  # tokens lock after a few wrong PINs
            raise TokenError(
                f"{PIN_VARIABLE} is the PIN of one token, and this command also needs that of "
                f"{printable(token)}",
                fix="name the file with the PIN of each token in its URI: ?pin-source=file:/PATH",
            )
        return os.environ[PIN_VARIABLE]
    if not sys.stdin.isatty():
        raise TokenError(
            f"the token {printable(token)} needs its PIN, and there is no terminal to ask on",
            fix=f"set {PIN_VARIABLE}, or add ?pin-source=file:/PATH to the URI",
        )
    pin: str = click.prompt(f"PIN of the token {printable(token)}", hide_input=True, err=True)
    return pin
