"""The interface of all commands to their caller: exit codes and environment variables.

The pages "Exit codes" and "Environment variables" of the documentation and the man page of certpin
are made from these declarations. A test fails if the code uses an exit code or a variable that is
not declared here, or if nothing uses a declared one.
"""

from __future__ import annotations

from dataclasses import dataclass

from certpin.cli.main import CLOSED, INCONCLUSIVE, INTERRUPTED, PROBLEM_FOUND, SUCCESS, USAGE


@dataclass(frozen=True)
class ExitCode:
    """An exit code with which every command can end: its number, its name and its meaning."""

    number: int
    name: str
    meaning: str


EXIT_CODES = (
    ExitCode(SUCCESS, "success", "done, and no problem found"),
    ExitCode(
        PROBLEM_FOUND,
        "problem found",
        "pins don't match, a chain doesn't verify, something has expired, a mistake that lint "
        "fails on, a change that breaks",
    ),
    ExitCode(
        USAGE,
        "usage",
        "wrong usage, or a file that must not be used, or can't be read or written; nothing was "
        "written",
    ),
    ExitCode(
        INCONCLUSIVE,
        "inconclusive",
        "the network failed, a server did not answer, or standard output could not be written",
    ),
    ExitCode(INTERRUPTED, "interrupted", "stopped with Ctrl-C"),
    ExitCode(
        CLOSED,
        "closed",
        "the program that reads the output has closed it (`certpin … | head`); no message is "
        "printed",
    ),
)


@dataclass(frozen=True)
class Variable:
    """One or more environment variables with the same meaning.

    Attributes:
        names: the names of the variables.
        meaning: a sentence without its full stop; code is in backquotes.
        readers: the commands, functions or libraries that read the variables; empty if certpin sets
            them.
        see: the page below ``docs`` that explains more, with its anchor; empty if there is none.
    """

    names: tuple[str, ...]
    meaning: str
    readers: str = ""
    see: str = ""


# Set by the user.
OWN = (
    Variable(("CERTPIN_PINS",), "the pin file", "every command with `--file`, `PinSet.from_env()`"),
    Variable(
        ("CERTPIN_PASSPHRASE",),
        "the passphrase of an encrypted input file, or of a new key file",
        "`pin`, `add`, `rotate`, `publish`, `prove --sign-key`",
    ),
    Variable(
        ("CERTPIN_PKCS11_PIN",),
        "the PIN of the token, if the URI has no `pin-source`",
        "every command that takes a PKCS#11 URI",
        see="guides/pkcs11.md",
    ),
    Variable(
        ("PKCS11_MODULE",),
        "the module that accesses tokens, if the URI has no `module-path`",
        "every command that takes a PKCS#11 URI",
        see="guides/pkcs11.md",
    ),
    Variable(
        ("CERTPIN_SIGNING_KEYS",),
        "your signing keys, if none is named: files and URIs, quoted as in a shell",
        "`publish sign`",
    ),
    Variable(
        ("CERTPIN_WHO",),
        "the name of the person who takes a step, for the journal",
        "`rotate`, `publish sign`, `publish propose`, `publish push`",
    ),
    Variable(
        ("CERTPIN_WATCH_TOKEN",),
        "the token with the scope `read`, or that of the worker",
        "`rotate --watch`, `watch worker`",
    ),
    Variable(
        ("CERTPIN_WATCH_URL",),
        "the address of the monitoring service, if `--url` is not given",
        "`watch worker`",
    ),
    Variable(
        ("CERTPIN_DEBUG",),
        "`1` enables the `[debug]` section of the pin file. Never set it for a release",
        "every pinned context",
        see="concepts/matching.md#debugging-with-a-proxy",
    ),
)

# Standard variables.
STANDARD = (
    Variable(
        ("SSL_CERT_FILE", "SSL_CERT_DIR"),
        "the authorities that this machine trusts",
        "OpenSSL, for every connection that trusts the system",
    ),
    Variable(
        ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        "the proxy; pins are checked through it",
        "the HTTP libraries of the clients",
        see="guides/python-clients.md",
    ),
    Variable(
        ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        "not used: the pin file and the system decide which authorities are trusted",
        "`certpin.clients.requests`, `certpin.clients.niquests`",
    ),
    Variable(
        ("SSLKEYLOGFILE",),
        "only its presence is reported: programs that use it write TLS secrets to a file",
        "`doctor`",
    ),
    Variable(("NO_COLOR",), "no colours", "every command"),
    Variable(("COLUMNS",), "the width for long lines on a terminal", "every command"),
    Variable(
        ("XDG_DATA_HOME",), "the folder for data, in which the lab keeps its roots", "`lab serve`"
    ),
    Variable(
        ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES"),
        "kept for the client, beside the library that moves its clock",
        "`prove`",
    ),
)

# Set by other programs.
OF_PROGRAMS = (
    Variable(
        (
            *("EVENT", "LOG_URI", "SUMMARY", "LEAF_HASH", "TBS_SHA256", "PUBKEY_SHA256"),
            *("CERT_FILENAME", "NOT_AFTER_UNIXTIME", "WATCH_ITEM"),
        ),
        "the event of certspotter",
        "`watch ct`",
        see="operate/monitor.md#certificates-in-logs-ct",
    ),
    Variable(
        ("_CERTPIN_COMPLETE",), "set by the scripts of `certpin completion` at a TAB", "`certpin`"
    ),
    Variable(("CERTPIN_NATS",), "no longer supported: refused with a hint", "`watch worker`"),
)

# Set for a client under test (``certpin.lab.client``).
OF_CLIENTS = (
    Variable(
        (
            *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
            *("NODE_EXTRA_CA_CERTS", "DENO_CERT", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE"),
            "CERTPIN_LAB_CA",
        ),
        "the roots to trust, under the name that each client reads",
    ),
    Variable(
        (
            *("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
            *("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"),
        ),
        "the lab's proxy",
    ),
    Variable(
        ("NODE_USE_ENV_PROXY",),
        "`1` with the HTTP proxy: Node.js uses it only then, and only from 22.21 and 24.5 on",
    ),
    Variable(("JAVA_TOOL_OPTIONS",), "roots and proxy for Java"),
    Variable(("CERTPIN_PINS",), "the pin file of the case"),
    Variable(
        (
            *("CERTPIN_LAB_URL", "CERTPIN_LAB_URL2", "CERTPIN_LAB_HOST", "CERTPIN_LAB_HOST2"),
            *("CERTPIN_LAB_ADDRESS", "CERTPIN_LAB_PORT", "CERTPIN_LAB_PROXY"),
        ),
        "where to connect; those with a 2 are of the second host",
    ),
    Variable(("CERTPIN_LAB_CASE",), "the name of the case"),
    Variable(
        (
            *("CERTPIN_LAB_PINS", "CERTPIN_LAB_COMPROMISED", "CERTPIN_LAB_CERT"),
            *("CERTPIN_LAB_FINGERPRINT", "CERTPIN_LAB_EXPORTS"),
        ),
        "the pins, a compromised key, the pinned certificate and its fingerprint, the folder of "
        "exported files",
    ),
    Variable(("CERTPIN_LAB_ECH",), "in the cases `ech-…`: an ECHConfigList, as base64"),
    Variable(("CERTPIN_LAB_CLIENT_CERT", "CERTPIN_LAB_CLIENT_KEY"), "a client certificate"),
    Variable(
        (
            *("FAKETIME", "FAKETIME_FMT", "FAKETIME_DONT_FAKE_MONOTONIC"),
            *("FAKETIME_FORCE_MONOTONIC_FIX", "FAKETIME_DISABLE_SHM", "NO_FAKE_STAT"),
            *("LD_PRELOAD", "DYLD_INSERT_LIBRARIES"),
        ),
        "the client's clock, moved by libfaketime",
    ),
)
