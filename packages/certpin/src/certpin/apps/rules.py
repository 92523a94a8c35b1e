"""The kinds of mistakes that certpin finds in an app's source: severity, reason, fix, examples.

A rule says why some code is wrong. The code that finds it depends on the programming language, so
the checks are in the package of the language (``dart``), which names the rule by its ID. The checks
of Android's and Apple's files are in ``platforms``. The examples are tests: the check finds exactly
one mistake in ``bad``, at the line that ends with ``HERE``, and none in ``good``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from certpin.apps import platform_examples
from certpin.apps.dart import examples as dart_examples
from certpin.apps.model import Mistake, Place, Unknown

if TYPE_CHECKING:
    from certpin.apps.model import FileFindings
    from certpin.support.sarif import Severity


@dataclass(frozen=True)
class Example:
    """An example of a mistake in one kind of file.

    Attributes:
        file: the name of the file.
        bad: the code with the mistake.
        good: the same code without it.
    """

    file: str
    bad: str
    good: str


@dataclass(frozen=True)
class AppRule:
    """One kind of mistake in the source of an app.

    Attributes:
        id: the name of the rule, as in ``pin-in-callback``.
        severity: ``error``, ``warning`` or ``note``.
        summary: a sentence that describes the mistake.
        why: sentences that say why the code is wrong.
        fix: an instruction without a full stop.
        source: a document or package that confirms ``why``; may be empty.
        examples: at most one for each kind of file; may be empty.
    """

    id: str
    severity: Severity
    summary: str
    why: str
    fix: str
    source: str = ""
    examples: tuple[Example, ...] = ()


def _examples(rule: str) -> tuple[Example, ...]:
    """Return the examples of a rule (by its ID): at most one for each kind of file."""
    return tuple(
        Example(kind.FILE, *kind.EXAMPLES[rule])
        for kind in (dart_examples, platform_examples)
        if rule in kind.EXAMPLES
    )


_SECURITY_CONFIG = "https://developer.android.com/privacy-and-security/security-config"
_CALLBACK = "https://api.dart.dev/dart-io/HttpClient/badCertificateCallback.html"

_RULES = (
    AppRule(
        "accept-any-certificate",
        "error",
        summary="badCertificateCallback returns true: every certificate is accepted.",
        why=(
            "Dart calls badCertificateCallback only for a certificate that it has refused: from an "
            "unknown authority, for another name, or expired. If the callback returns true, "
            "everyone on the network can answer as the server, and read and change all traffic."
        ),
        fix=(
            "remove the callback; if the server has its own authority, name its certificate with "
            "SecurityContext.setTrustedCertificatesBytes, or trust in pins.toml"
        ),
        source=_CALLBACK,
    ),
    AppRule(
        "pin-in-callback",
        "error",
        summary="badCertificateCallback compares a pin.",
        why=(
            "Dart calls badCertificateCallback only for a certificate that it has refused. It is "
            "not called for a valid certificate of a rogue authority, which a pin has to refuse. "
            "If it returns true, chain, name and dates are ignored, and the certificate may be one "
            "of the chain that isn't the server's."
        ),
        fix=(
            "remove the callback, and compare the key after the handshake and before the request: "
            "the Dart package certpin has such a client, PinnedHttpClient"
        ),
        source=_CALLBACK,
    ),
    AppRule(
        "on-bad-certificate",
        "error",
        summary="onBadCertificate of a socket or a library accepts certificates.",
        why=(
            "SecureSocket, grpc, mqtt_client and others call onBadCertificate only for a "
            "certificate that failed verification. If it returns true, or compares a pin, chain, "
            "name and dates are ignored; for a valid certificate of a rogue authority it isn't "
            "called."
        ),
        fix=(
            "remove it; name the server's own authority in the SecurityContext, and compare the "
            "key before you write to the socket: PinnedSecureSocket.connect of the Dart package "
            "certpin does"
        ),
        source="https://api.dart.dev/dart-io/SecureSocket/connect.html",
    ),
    AppRule(
        "overrides-with-callback",
        "error",
        summary="HttpOverrides gives every HttpClient of the app a badCertificateCallback.",
        why=(
            "The override applies to each HttpClient that any code of the app creates, in packages "
            "and Image.network too, in every build that sets it. Each of them then accepts the "
            "certificates that the callback accepts, for every host."
        ),
        fix=(
            "remove the override; HttpOverrides.global = PinnedHttpOverrides(pins) pins all "
            "clients, and keeps the checks of the platform"
        ),
        source="https://api.dart.dev/dart-io/HttpOverrides-class.html",
    ),
    AppRule(
        "debug-only-gate",
        "warning",
        summary="Only kDebugMode or an assert decides whether certificates are checked.",
        why=(
            "Every debug build, on the networks that developers use, is open to an attacker, and "
            "the pins are first used in the build for the store: a wrong pin locks out all users. "
            "A build script that enables asserts releases the gap."
        ),
        fix=(
            "check in every build; for a debugging proxy, trust its one certificate behind a "
            "second condition that a developer has to set ([debug] in pins.toml)"
        ),
        source="OWASP MASTG-TEST-0021",
    ),
    AppRule(
        "pins-in-debug-only",
        "error",
        summary="The pins are compared in debug builds only.",
        why=(
            "An assert, and code behind kDebugMode, is not part of a release build: the app in the "
            "store compares no pin."
        ),
        fix="compare the pins in every build",
        source="https://dart.dev/language/error-handling#assert",
    ),
    AppRule(
        "no-such-getter",
        "error",
        summary="X509Certificate of dart:io has no such getter.",
        why=(
            "It has der, pem, sha1, subject, issuer, startValidity and endValidity. Code that uses "
            "another name compiles only with an extension, so the check was never tried. The SHA-1 "
            "of a certificate is not a pin either."
        ),
        fix=(
            "hash the public key in cert.der; PinnedHttpClient of the Dart package certpin does, "
            "and compares it before the request"
        ),
        source="https://api.dart.dev/dart-io/X509Certificate-class.html",
    ),
    AppRule(
        "no-anchors",
        "error",
        summary="SecurityContext(withTrustedRoots: false) has no trust anchors.",
        why=(
            "Without an anchor every chain fails. The connection then works only if a callback "
            "accepts what failed, so that only the callback decides: names and dates are not "
            "checked."
        ),
        fix=(
            "add your authority's certificate with setTrustedCertificatesBytes, or use the default "
            "context"
        ),
        source="https://api.dart.dev/dart-io/SecurityContext/SecurityContext.html",
    ),
    AppRule(
        "check-after-response",
        "error",
        summary="The pin is compared when the response is there.",
        why=(
            "The request, with its tokens and passwords, has been sent before the check begins: a "
            "man in the middle has read it. dio calls validateCertificate with the response (issue "
            "2418), and onResponse of an interceptor comes later still."
        ),
        fix=(
            "compare the key before the request: IOHttpClientAdapter(createHttpClient: …) with a "
            "client that checks first, such as PinnedHttpClient of the Dart package certpin"
        ),
        source="https://github.com/cfug/dio/issues/2418",
    ),
    AppRule(
        "check-on-other-connection",
        "error",
        summary="The pin is compared on another connection than that of the request.",
        why=(
            "The check opens a connection, compares its certificate and closes it. The request "
            "then goes over a new connection, which nothing checks: an attacker lets the first one "
            "pass, and answers the second."
        ),
        fix=(
            "compare the key on the connection that carries the request: replace the plugin with "
            "PinnedHttpClient of the Dart package certpin"
        ),
        source="http_certificate_pinning 3.0.1, ssl_pinning_plugin 2.0.0: checkConnexion",
    ),
    AppRule(
        "pins-from-build-option",
        "warning",
        summary="A pin comes from an option of the build (String.fromEnvironment).",
        why=(
            "A build without the option uses the default, or an empty text, without a warning: a "
            "release can have the pins of development, or none. The pins are then not in the "
            "history of the code, and no test of the repository sees them."
        ),
        fix=(
            "write both pin sets as constants, and choose with a constant that names the flavour "
            "(certpin export flutter-pins)"
        ),
        source="https://api.dart.dev/dart-core/String/String.fromEnvironment.html",
    ),
    AppRule(
        "error-by-text",
        "warning",
        summary="A certificate error is recognised by the text of its message.",
        why=(
            "Messages differ by platform, language and version. A time-out is then taken for an "
            "attack, or an attack for a time-out after which the app tries again."
        ),
        fix="distinguish errors by type: HandshakeException, or those of certpin's Dart library",
    ),
    AppRule(
        "plain-http",
        "warning",
        summary="A URL begins with http:// or ws://.",
        why=(
            "Without TLS there is no certificate to compare. An attacker on the network reads and "
            "changes the traffic, with the session's token in it."
        ),
        fix="write https:// or wss://",
        source="RFC 6797 section 2.3.1",
    ),
    AppRule(
        "asset-expires-soon",
        "warning",
        summary="A certificate in the assets or the code of the app expires soon, or has expired.",
        why=(
            "An app that pins or trusts only this certificate refuses the server from that day on, "
            "and users of old releases can't be reached."
        ),
        fix=(
            "pin the key, which stays the same when the certificate is renewed, or ship the new "
            "certificate beside this one in the next release"
        ),
        source="RFC 5280 section 4.1.2.5",
    ),
    AppRule(
        "private-key-in-app",
        "error",
        summary="A private key is part of the app.",
        why="Each user of the app can extract it, and use it as the app or as the server.",
        fix=(
            "remove the key from the app, and replace it on the server; a client certificate "
            "belongs into the device's key store"
        ),
        source="OWASP MASTG-TEST-0212",
    ),
    AppRule(
        "missing-plugin",
        "error",
        summary="A package that guides name was not found on pub.dev in November 2026.",
        why="The build fails, or contains the code that a stranger publishes under this name.",
        fix="remove it, and pin with certpin's package",
    ),
    AppRule(
        "platform-pins-overridden",
        "error",
        summary="overridePins switches the pins of Android off in a release.",
        why=(
            "Android doesn't compare the pins of a chain that ends at such a certificate. With "
            'src="user", the pins are off for every authority that the user, or a program with '
            "access to the device, has installed. Guides to the inspection of traffic recommend it."
        ),
        fix=(
            "remove overridePins; to inspect debug builds, use debug-overrides, or a file in "
            "app/src/debug"
        ),
        source=f"{_SECURITY_CONFIG}#certificates",
    ),
    AppRule(
        "only-user-authorities",
        "error",
        summary="Android trusts only authorities that the user installed.",
        why=(
            "The chain of the server is refused on every device without the authority: the app "
            "reaches the server only through a proxy that the user trusts."
        ),
        fix='add <certificates src="system"/>, or the file of your authority (@raw/…)',
        source=f"{_SECURITY_CONFIG}#certificates",
    ),
    AppRule(
        "user-authorities",
        "warning",
        summary="Android trusts authorities that the user installed, for hosts without pins.",
        why=(
            "An app for Android 7 or newer doesn't trust them by default. With them, an attacker "
            "who makes the user install an authority reads and changes the traffic to every host "
            "without pins."
        ),
        fix='remove <certificates src="user"/>; to inspect debug builds, use debug-overrides',
        source=f"{_SECURITY_CONFIG}#certificates",
    ),
    AppRule(
        "cleartext-permitted",
        "warning",
        summary="Android permits http:// to all hosts, or to a host with pins.",
        why=(
            "Without TLS there is no certificate to compare. A link or a redirect to http:// then "
            "sends the request, with the session's token in it, to the attacker."
        ),
        fix='write cleartextTrafficPermitted="false"; permit it only for hosts of the development',
        source=f"{_SECURITY_CONFIG}#CleartextTrafficPermitted",
    ),
    AppRule(
        "platform-pins-expired",
        "error",
        summary="The pins of network_security_config.xml have expired.",
        why="After the date in pin-set, Android no longer checks the pins.",
        fix="write a later date, after which you ship new pins",
        source=f"{_SECURITY_CONFIG}#pin-set",
    ),
    AppRule(
        "platform-pins-ignored",
        "warning",
        summary="Pins of Android or Apple don't apply to requests of Dart.",
        why=(
            "dart:io has its own TLS, which reads neither file. It isn't reported if the app has "
            "certpin's export for these hosts in Dart too, and a client that uses it."
        ),
        fix="pin in Dart too: certpin export flutter",
    ),
)

# The order of the documentation.
RULES: dict[str, AppRule] = {rule.id: replace(rule, examples=_examples(rule.id)) for rule in _RULES}


def _phrase(summary: str) -> str:
    """Return a rule's summary without its full stop, and with its first word in lower case.

    A name as first word, such as ``SecurityContext``, keeps its capitals.
    """
    first, _, rest = summary.rstrip(".").partition(" ")
    return f"{first.lower() if first == first.capitalize() else first} {rest}"


@dataclass
class FileReporter:
    """Adds mistakes to the results of one file: at most one for each rule and line.

    Attributes:
        path: the path of the file, for the place of each mistake.
        findings: the results, to which mistakes and questions are added.
    """

    path: str
    findings: FileFindings
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def report(self, rule: str, line: int, message: str = "") -> None:
        """Add a mistake, unless the rule is already reported for this line.

        ``rule`` is the rule's ID. If ``message`` is empty, the rule's summary is used.
        """
        if (rule, line) not in self._seen:
            self._seen.add((rule, line))
            text = message or _phrase(RULES[rule].summary)
            place = Place(self.path, line)
            self.findings.mistakes.append(Mistake(rule, place, text))

    def ask(self, line: int, question: str) -> None:
        """Add a question for the user about a line of the file."""
        self.findings.unknown.append(Unknown(question, Place(self.path, line)))
