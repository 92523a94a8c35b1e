"""TLS contexts with several trust stores, and with ALPN protocols for each connection.

``certpin.tls.context`` derives ``PinnedSSLContext`` from the two classes:

- ``MirroredContext`` contains several contexts, its *stores*, one for each trust file. It is
  configured like a single context: settings and the client certificate are applied to all stores.
  The certificate itself is in other contexts, their *client identities*.
- ``AlpnContext`` can offer other ALPN protocols for each connection, because the client libraries
  that share a context can support different ones.
"""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from certpin.errors import ConfigError
from certpin.support.files import as_file
from certpin.support.forks import AwaitedLock, ForkedLock
from certpin.x509.certificate import Certificate
from certpin.x509.openssl import STRICT_BY_DEFAULT, OpenSSLContext, OwnSSLContext, trust_alone
from certpin.x509.revocation import lists_in, load_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Of the settings of verification, only those that refuse more are mirrored: an inner context always
# verifies.
_MIRRORED = (
    "keylog_filename",
    "maximum_version",
    "minimum_version",
    "options",
    "post_handshake_auth",
)

# Flags of OpenSSL that make it refuse more (X509_V_FLAG_CRL_CHECK, _CRL_CHECK_ALL, _POLICY_CHECK,
# _EXPLICIT_POLICY, _INHIBIT_ANY, _INHIBIT_MAP, _USE_DELTAS, _CHECK_SS_SIGNATURE, _SUITEB_192_LOS,
# openssl/x509_vfy.h), and _EXTENDED_CRL_SUPPORT, so that lists have the same meaning everywhere.
STRICTER_FLAGS = 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x4000 | 0x30000
_NO_WILDCARDS = 0x2  # X509_CHECK_FLAG_NO_WILDCARDS, openssl/x509v3.h

# As numbers, without the enumeration that Python makes of them, which takes twenty times as long.
flags_of: Any = OpenSSLContext.verify_flags.__get__
host_flags_of: Any = OpenSSLContext._host_flags.__get__

# A call of one of these setters is repeated on each inner context, as a call of that for ALPN is.
# Python 3.15 added four of them. Two setters set the same value, the groups of the key exchange: a
# call of one overwrites the value of the other.
_REPEATED = {"set_ciphers", "set_ciphersuites", "set_client_sigalgs", "set_server_sigalgs"}
_OVERWRITES = {"set_ecdh_curve": "set_groups", "set_groups": "set_ecdh_curve"}
# The setters for servers and roots, for pre-shared keys, and for NPN, which does nothing.
_NOT_REPEATED = {
    *("set_default_verify_paths", "set_npn_protocols", "set_psk_client_callback"),
    *("set_psk_server_callback", "set_servername_callback"),
}


class _Call(NamedTuple):
    """A call of a setter of ``MirroredContext``: the name of the setter and its arguments.

    The call is repeated on each inner context (a trust store) that is created later.
    """

    name: str
    args: tuple[Any, ...]


class _ClientCertificate:
    """A client certificate with its key, kept in memory to be loaded into several contexts.

    The files are read once, because they can be missing or changed later. ``password`` is the
    argument of ``ssl.SSLContext.load_cert_chain``. If it is a function, it is called at most once.
    OpenSSL never asks for a password on the terminal, unlike with Python's own class. It would ask
    for each context, also later, in a thread that replaces the pins and holds up a fork.
    """

    def __init__(self, certfile: Any, keyfile: Any, password: Any) -> None:
        self._chain = Path(os.fsdecode(certfile)).read_bytes()
        self._key = self._chain if keyfile is None else Path(os.fsdecode(keyfile)).read_bytes()
        if password is None:
            password = _require_password
        self._password = _once(password) if callable(password) else password

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load the certificate and its key into a context.

        Raises ``ssl.SSLError`` if OpenSSL can't read them, and ``ConfigError`` if the key is
        encrypted and there is no password.
        """
        with as_file(self._chain) as certfile, as_file(self._key) as keyfile:
            OpenSSLContext.load_cert_chain(context, certfile, keyfile, self._password)

    def key_type(self) -> str:
        """Return the type of the certificate's key: the OID of its algorithm.

        A context has at most one client certificate of each type: a new one replaces the old one of
        the same type. For a certificate that can't be parsed, return its content instead, so that
        it replaces no other.
        """
        from cryptography.x509 import load_pem_x509_certificate

        try:
            return load_pem_x509_certificate(self._chain).public_key_algorithm_oid.dotted_string
        except ValueError:
            return self._chain.hex()


def _require_password() -> NoReturn:
    """Raise ``ConfigError``. OpenSSL calls this function if the key is encrypted."""
    raise ConfigError(
        "the key of the client certificate is encrypted, and there is no password",
        key="password",
        fix="load_cert_chain(…, password=getpass.getpass) asks for it on the terminal",
    )


def _once(password: Any) -> Any:
    """Return a function that calls ``password`` only at its first call, and keeps the result."""
    kept: list[Any] = []

    def call() -> Any:
        if not kept:
            kept.append(password())
        return kept[0]

    return call


class MirroredContext(OwnSSLContext):
    """An ``SSLContext`` for clients with several trust stores and one configuration.

    OpenSSL ties the trusted roots to a context. So each ``trust = FILE`` of a pin file has its own
    inner context, called a store; other hosts use the platform's roots. Settings of a client
    library (ALPN, cipher suites, client certificate, versions) are applied to this context and to
    all stores. Roots are not applied to the stores: if a library loads its CA bundle into this
    context, nothing changes for a host with a trust file. Revocation lists (CRLs) of a file, and
    the ``verify_flags`` that make OpenSSL refuse more, are applied to all stores. See rule 8 of
    docs/concepts/matching.md.

    This context and its stores never contain the client certificate, so that a connection can't
    send it by mistake. Each of them has a *client identity* instead: a context with the certificate
    and the same settings, to which a connection changes after the pin check. OpenSSL verifies no
    server with it.
    """

    # Whether a folder (capath) was loaded. OpenSSL finds its lists during handshakes, so that they
    # can't be loaded into the stores.
    _has_folder = False

    def __init__(self) -> None:
        # For changes of settings; no handshake ever waits for it.
        self._configuring = AwaitedLock()
        self._calls: list[_Call] = []
        self._certificates: dict[str, _ClientCertificate] = {}  # by type of key, the newest last
        self._lists: list[bytes] = []  # revocation lists, as PEM
        self._stores: dict[bytes, ssl.SSLContext] = {}
        self._strict: dict[bytes, bool | None] = {}  # of each store

    def _store_for(
        self, digest: bytes, anchors: tuple[bytes, ...], strict: bool | None
    ) -> ssl.SSLContext:
        """Return the inner context that trusts only these anchors. It is made on first use.

        Args:
            digest: identifies the inner context. Other anchors, or another ``strict``, have another
                digest.
            anchors: certificates in DER.
            strict: True to require chains to follow RFC 5280 (``VERIFY_X509_STRICT``); ``None`` for
                the default of the running Python.
        """
        with self._configuring.held:
            if digest not in self._stores:
                self._strict[digest] = strict
                self._stores[digest] = self._make_store(anchors, strict)
            return self._stores[digest]

    def _make_store(self, anchors: tuple[bytes, ...], strict: bool | None) -> ssl.SSLContext:
        store = trust_alone(list(map(Certificate.from_der, anchors)), strict=strict)
        self._repeat_settings(store)
        load_lists(store, self._lists)
        self._tighten(store, strict)
        if self._certificates:
            self._give_identity(store, self._make_identity(store, self._certificates.values()))
        return store

    def _repeat_settings(self, inner: ssl.SSLContext) -> None:
        for name in _MIRRORED:
            if (value := getattr(self, name)) is not None:
                setattr(inner, name, value)
        for call in self._calls:
            getattr(inner, call.name)(*call.args)

    def _make_identity(
        self, context: ssl.SSLContext, certificates: Iterable[_ClientCertificate]
    ) -> ssl.SSLContext:
        """Return the client identity of a context: a new context with the client certificates.

        Args:
            context: this context, or one of its stores.
            certificates: the newest last: OpenSSL prefers it to those with another type of key.
        """
        identity = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._repeat_settings(identity)
        _copy_roots(context, identity)
        for certificate in certificates:
            certificate.load_into(identity)
        return identity

    def _give_identity(self, context: Any, identity: ssl.SSLContext) -> None:
        self._guard_certificate(context)
        context._client_identity = identity  # last: a connection that sees it has the callback

    def _inner_contexts(self) -> Iterator[ssl.SSLContext]:
        """Yield the stores, and the client identities of this context and of its stores."""
        outer: list[Any] = [self, *self._stores.values()]
        yield from outer[1:]
        for context in outer:
            if context._client_identity is not None:
                yield context._client_identity

    def _tighten(self, store: ssl.SSLContext, strict: bool | None) -> None:
        """Make a store refuse all that the flags of this context make OpenSSL refuse.

        Args:
            store: one of the inner contexts.
            strict: whether chains have to follow RFC 5280 (``VERIFY_X509_STRICT``) in this store,
                whatever the flags of this context are; ``None`` for the stricter one of the default
                of the running Python and those flags.
        """
        mirrored = STRICTER_FLAGS
        if strict is None and not STRICT_BY_DEFAULT:
            mirrored |= ssl.VERIFY_X509_STRICT
        store.verify_flags = flags_of(store) & ~mirrored | flags_of(self) & mirrored
        unmirrored = host_flags_of(store) & ~_NO_WILDCARDS
        store._host_flags = unmirrored | host_flags_of(self) & _NO_WILDCARDS  # type: ignore[attr-defined]

    def _guard_certificate(self, context: ssl.SSLContext) -> None:
        """Change a context so that connections check the pins before sending a client certificate.

        It is called before the context gets its client identity. Subclasses implement it.

        Args:
            context: this context, or one of its stores.
        """
        raise NotImplementedError

    def _set_everywhere(self, name: str, *args: Any) -> None:
        """Call a setter on this context and its stores, and later on each new store.

        A call that repeats the last call of the same setter is ignored. Libraries repeat their
        calls for each connection, while another thread can be in a handshake with this context.
        ``name`` is the name of the setter, and ``args`` are the arguments of the call.
        """
        call = _Call(name, args)
        with self._configuring.held:
            if call not in self._calls:
                getattr(super(), name)(*args)
                for context in self._inner_contexts():
                    getattr(context, name)(*args)
                overwritten = {name, _OVERWRITES.get(name)}
                self._calls = [each for each in self._calls if each.name not in overwritten]
                self._calls.append(call)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _MIRRORED:
            with self._configuring.held:
                for context in self._inner_contexts():
                    setattr(context, name, value)
        elif name in {"verify_flags", "_host_flags"}:
            with self._configuring.held:
                for digest, store in self._stores.items():
                    self._tighten(store, self._strict[digest])

    def load_verify_locations(
        self, cafile: Any = None, capath: Any = None, cadata: Any = None
    ) -> None:
        """Load trust anchors and revocation lists into this context, as in ``ssl.SSLContext``.

        The stores get only the revocation lists (CRLs) of ``cafile``. Lists in the folder
        ``capath`` can't be applied to them: while ``verify_flags`` require lists, a context with
        such a folder refuses hosts with a trust file. ``cadata`` has no lists.

        Raises:
            OSError: the file can't be read.
            ssl.SSLError: OpenSSL can't read the file or the data.
            ConfigError: certpin can't separate the revocation lists from the rest of the file.
        """
        lists: list[bytes] = []
        source: Any = nullcontext(cafile)
        if cafile is not None:
            file = Path(os.fsdecode(cafile))
            content = file.read_bytes()
            lists = lists_in(content)
            if lists or not file.is_file():  # the same bytes: it may change, or be a pipe
                source = as_file(content)
        if capath is not None:
            self._has_folder = True
        with self._configuring.held, source as readable:
            super().load_verify_locations(readable, capath, cadata)
            if self._client_identity is not None:
                _copy_roots(self, self._client_identity)
            self._keep_lists(lists)

    def _keep_lists(self, lists: list[bytes]) -> None:
        new = [each for each in dict.fromkeys(lists) if each not in self._lists]
        for store in self._stores.values():
            load_lists(store, new)
        self._lists += new

    def follow_revocation(self, source: ssl.SSLContext) -> None:
        """Apply the stricter flags and the revocation lists of another context to this one.

        The lists of a context of another class, and those of a folder, can't be read. If the flags
        require them, this context then refuses all chains, unless it has them already.
        """
        if isinstance(source, MirroredContext):
            with source._configuring.held:
                lists, has_folder = list(source._lists), source._has_folder
            with self._configuring.held:
                load_lists(self, lists)
                self._keep_lists(lists)
                self._has_folder = self._has_folder or has_folder
        self.verify_flags = flags_of(self) | int(source.verify_flags) & STRICTER_FLAGS

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Set the ALPN protocols of this context and its stores, as in ``ssl.SSLContext``."""
        self._set_everywhere("set_alpn_protocols", list(alpn_protocols))

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        """Load a client certificate into this context and its stores, as in ``ssl.SSLContext``.

        The certificate is loaded into new client identities of this context and of each store. The
        files are read once, and kept in memory for later stores. If ``password`` is a function, it
        is called without a lock: other threads can use the context meanwhile.

        Raises:
            OSError: a file can't be read.
            ssl.SSLError: OpenSSL can't read the certificate or the key, or they don't match. The
                context and its stores are unchanged.
            ConfigError: the key is encrypted, and ``password`` was not given.
        """
        certificate = _ClientCertificate(certfile, keyfile, password)
        kind = certificate.key_type()
        # Without the lock: a function for the password may wait for a user, or connect.
        certificate.load_into(self._trial_context())
        with self._configuring.held:
            others = {each: kept for each, kept in self._certificates.items() if each != kind}
            certificates = {**others, kind: certificate}
            contexts = (self, *self._stores.values())
            identities = [self._make_identity(each, certificates.values()) for each in contexts]
            self._certificates = certificates
            for context, identity in zip(contexts, identities, strict=True):
                self._give_identity(context, identity)

    def _trial_context(self) -> ssl.SSLContext:
        """Return a new context for testing whether this one can load a client certificate.

        It has the cipher list of this context, because that list can set OpenSSL's security level
        (``@SECLEVEL``). The level decides which client certificates are too weak to load.
        """
        trial = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for call in self._calls:
            if call.name == "set_ciphers":  # may contain the security level, such as "@SECLEVEL=0"
                trial.set_ciphers(*call.args)
        return trial


def _copy_roots(source: ssl.SSLContext, target: ssl.SSLContext) -> None:
    """Load the roots of a context into its client identity.

    OpenSSL completes the chain of a client certificate with certificates of this kind, if the
    client's file has no intermediates. ``source`` is the context, and ``target`` is its client
    identity: another context, which has the client certificates.
    """
    if roots := OpenSSLContext.get_ca_certs(source, binary_form=True):
        target.load_verify_locations(cadata=b"".join(roots))


def _setter(name: str) -> Any:
    """Return the method that replaces a setter of ``ssl.SSLContext`` in ``MirroredContext``.

    The method calls the setter on the context and all its stores. But for a setter that this code
    doesn't know, from a newer Python, the method raises ``ConfigError``: the setting would be
    missing in the stores, and so for hosts with a trust file.

    Args:
        name: the name of the setter.
    """

    def repeated(self: MirroredContext, value: Any, /) -> None:
        self._set_everywhere(name, value)

    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigError(
            f"certpin does not know {name}(): hosts with `trust` would not have this setting",
            key=name,
            fix="update certpin, or leave out this call",
        )

    return repeated if name in {*_REPEATED, *_OVERWRITES} else refused


for _name in dir(OwnSSLContext):
    if _name.startswith("set_") and _name not in {*vars(MirroredContext), *_NOT_REPEATED}:
        setattr(MirroredContext, _name, _setter(_name))


# A client library sets ALPN protocols (RFC 7301) on its context before each connection: ``h2`` and
# ``http/1.1`` by httpx, ``http/1.1`` by urllib3. OpenSSL copies the list when it makes the
# object of a connection. If the libraries that share a pinned context shared this list too, a
# server could choose HTTP/2 for a client that speaks only HTTP/1.1. So a client adapter gives its
# library a wrapper (``ContextWrapper`` in ``certpin.clients``) that has its own list, and offers it
# for each connection.

# The list for the connection that a wrapper begins, until the context takes it.
_offered: ContextVar[list[str] | None] = ContextVar("certpin_alpn_offered", default=None)


class _AlpnLock(ForkedLock):
    """The lock for all changes of ALPN lists of pinned contexts. No I/O happens while it is held.

    A signal handler can interrupt a thread that begins a connection, and begin another connection
    in it, which replaces the ALPN list. So the lock is reentrant, and ``begun`` counts the
    connections: if the number has changed meanwhile, the interrupted connection sets its list
    again. After a fork, no list needs a repair, because each connection sets its list first.
    """

    begun = 0


alpn_lock = _AlpnLock()


@contextmanager
def offering(protocols: list[str]) -> Iterator[None]:
    """Context manager: the first connection that begins in the block offers these ALPN protocols.

    Wrappers of a pinned context (``ContextWrapper``) begin their connections in such a block. A
    context without wrappers (``_has_wrappers`` is False) ignores the protocols.
    """
    token = _offered.set(protocols)
    try:
        yield
    finally:
        _offered.reset(token)


class AlpnContext(MirroredContext):
    """A context that can offer other ALPN protocols for each connection.

    Client adapters give their libraries wrappers (``ContextWrapper``) of this context. A connection
    that begins through a wrapper offers the protocols of the wrapper. All other connections offer
    those of this context. If it has no wrapper, no lock is taken to begin a connection.
    """

    _alpn_protocols: Sequence[str] = ()
    _has_wrappers = False  # whether a wrapper makes connections with this context

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Set the ALPN protocols of this context and its stores, as in ``ssl.SSLContext``.

        But connections that begin through a wrapper (``ContextWrapper``) offer the wrapper's.
        """
        protocols = list(alpn_protocols)
        # In this order: a thread that waits for the settings of a context must not hold up others.
        with self._configuring.held, alpn_lock.held:
            super().set_alpn_protocols(protocols)
            self._alpn_protocols = protocols

    def _begin_with_alpn(
        self, make: Callable[..., Any], store: ssl.SSLContext, *args: Any, **options: Any
    ) -> Any:
        """Create OpenSSL's object for a connection that offers the right ALPN protocols.

        The protocols are those of the wrapper through which the connection begins (``offering``),
        or otherwise those of this context.

        Args:
            make: the function that creates the object. Its first argument is ``store``.
            store: the context from which OpenSSL copies the list of protocols: this one, or one of
                its stores.
            args: the further arguments of ``make``.
            options: the keyword arguments of ``make``.

        Returns:
            The object.
        """
        offered = _offered.get()
        _offered.set(None)  # it is not for connections that this one causes
        protocols = self._alpn_protocols if offered is None else offered
        with alpn_lock.held:
            while True:
                begun = alpn_lock.begun = alpn_lock.begun + 1
                with suppress(MemoryError):  # by OpenSSL 1.1.1 for an empty list, which it sets
                    OwnSSLContext.set_alpn_protocols(store, protocols)
                raw = make(store, *args, **options)
                if begun == alpn_lock.begun:
                    return raw
