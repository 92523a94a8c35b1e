"""Envoy: the transport socket of a cluster (``UpstreamTlsContext``, API v3), in YAML.

    https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/

Without ``trusted_ca`` Envoy verifies nothing, so the export always sets the path of the system's
roots. The tests have no Envoy to run the configuration; they check its field names.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError, HostError
from certpin.formats._lines import beside, pattern_of
from certpin.formats._proxy import name_key
from certpin.formats.format import File, Format
from certpin.formats.header import commented, read_header
from certpin.formats.limits import (
    LeafOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    NoTransparency,
    OneHost,
)
from certpin.formats.parsed import Found, ParsedFile, Shape, pass_over, pem, pins_from, read_anchors
from certpin.pins import HostPattern
from certpin.pins.hosts import is_address
from certpin.support.yaml import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.parsed import Source
    from certpin.pins import HostPolicy, PinSet, TrustAnchors

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
# The path of the system's roots in Envoy's images, Debian and Alpine.
_SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
_SYSTEMS = {_SYSTEM, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

_SOCKET = """\
name: envoy.transport_sockets.tls
typed_config:
  "@type": {type}
{name}  max_session_keys: 0
  common_tls_context:
    validation_context:
      trusted_ca:
        {trust}
{matchers}{pins}"""
# Envoy sends the server name that the cluster resolved by DNS, and requires it in the certificate
# (Envoy 1.33).
_ANY_NAME = "  auto_host_sni: true\n  auto_sni_san_validation: true\n"
_MATCHERS = """\
      match_typed_subject_alt_names:
      - san_type: {kind}
        matcher:
          exact: "{name}"
"""


_NOTHING = Shape([])
_VALIDATION = "common_tls_context.validation_context."
_PIN_FIELDS = {kind: f"verify_certificate_{kind}" for kind in ("spki", "hash")}
_PIN_LISTS = tuple(f"{_VALIDATION}{name}[" for name in _PIN_FIELDS.values())
# Fields that are no settings to compare: the anchors, because they are compared as certificates,
# and those that an operator adds for the server.
_NOT_COMPARED = (
    f"{_VALIDATION}trusted_ca.inline_string:",
    "common_tls_context.alpn_protocols[",
    "common_tls_context.tls_certificates[",
    "common_tls_context.tls_certificate_sds_secret_configs[",
)
# A list of pins, in each spelling that Envoy accepts.
_HAS_PINS = re.compile(r"\bverify_?certificate_?(?:spki|hash)\b", re.IGNORECASE)
# A secret discovery service (SDS) has some or all of the settings.
_ELSEWHERE = ("combined_validation_context", "validation_context_sds_secret_config")


def write(pins: PinSet) -> tuple[File, ...]:
    """Return the YAML transport socket of one Envoy cluster, with TLS session resumption off.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    [policy] = pins.policies
    socket = _SOCKET.format(
        type=_TYPE,
        name=_name(policy),
        trust=_trusted(policy),
        matchers=_matchers(policy),
        pins=_lists(policy),
    )
    return (
        File(ENVOY.file, f"{commented(pins, ENVOY.name, '#')}# for {policy.pattern}\n{socket}"),
    )


def _name(policy: HostPolicy) -> str:
    if policy.pattern.wildcard:
        return _ANY_NAME
    # An address is not a server name (RFC 6066 section 3).
    return "" if is_address(policy.pattern.name) else f'  sni: "{policy.pattern.name}"\n'


def _matchers(policy: HostPolicy) -> str:
    if policy.pattern.wildcard:
        return ""
    kind = "IP_ADDRESS" if is_address(policy.pattern.name) else "DNS"
    return _MATCHERS.format(kind=kind, name=policy.pattern.name)


def _trusted(policy: HostPolicy) -> str:
    if policy.trust is None:
        return f"filename: {_SYSTEM}"
    lines = pem(policy.trust).splitlines(keepends=True)
    return "inline_string: |\n" + " " * 10 + (" " * 10).join(lines).rstrip("\n")


def _lists(policy: HostPolicy) -> str:
    keys = [base64.b64encode(digest).decode() for digest in policy.keys]
    whole = [digest.hex() for digest in policy.certificates]
    lists = {_PIN_FIELDS["spki"]: keys, _PIN_FIELDS["hash"]: whole}
    return "".join(
        f"      {name}:\n" + "".join(f'      - "{each}"\n' for each in values)
        for name, values in lists.items()
        if values
    )


def read(source: Source) -> ParsedFile:
    """Parse every ``UpstreamTlsContext`` with pins in a complete or partial Envoy configuration.

    ``source`` is the file; the result has the settings of its hosts. Other contexts are skipped.
    Issues a ``FormatWarning`` about those that take their verification from another place, about
    settings with which Envoy accepts other chains or names, and about other settings of the
    verification, such as a CRL.

    Raises ``FormatError``, and ``ConfigError`` if PyYAML is not installed.
    """
    name, version = read_header(source.text)
    contexts = [each for each in _mappings(source.text) if _is_context(Shape(each))]
    pinned: list[Shape] = []
    others: list[Shape] = []
    for each in contexts:
        (pinned if _has_pins(each) else others).append(Shape(each))
    for other in others:
        _skip(other, is_only=not pinned)
    pattern = pattern_of(source.text) if len(pinned) == 1 else ""
    if pattern:
        _refuse_other_names(pinned[0], pattern)
    hosts = [_named(each, pattern, source, is_only=len(contexts) == 1) for each in pinned]
    return ParsedFile(tuple(found for found in hosts if found.pins), name, version)


def _has_pins(context: dict[Any, Any]) -> bool:
    return any(_HAS_PINS.search(field) for field in _fields(context))


def _skip(context: Shape, *, is_only: bool) -> None:
    """Issue a ``FormatWarning`` if a TLS context has its verification settings in another place.

    The context has no pins, and is not imported. Raises ``FormatError`` instead if no context of
    the file has pins (``is_only``): the pins can be in that place. ``context`` is an
    ``UpstreamTlsContext``.
    """
    common = context.get("common_tls_context") or Shape({})
    for name in _ELSEWHERE:
        if common.get(name) is not None:
            if is_only:
                raise _elsewhere(name)
            sni = _text(context, "sni")[:260] or "a cluster without sni"
            pass_over(f"{name} of {sni}: its settings are not in this file", unrelated=True)


def _elsewhere(name: str) -> FormatError:
    return FormatError(
        f"{name} takes settings from another place, which are not in this file",
        fix="import a copy of the file in which validation_context has all of them",
    )


def _named(context: Shape, pattern: str, source: Source, *, is_only: bool) -> Found:
    """Return the pinning settings of a TLS context with pins. Raises ``FormatError``.

    Args:
        context: the ``UpstreamTlsContext``.
        pattern: the host pattern in certpin's comment; empty if there is none, or several contexts.
        source: the file.
        is_only: True if the file has no other context. Otherwise, the message of an error names the
            ``sni`` of the context.
    """
    try:
        return _found(context, pattern, source)
    except FormatError as exc:
        if is_only:
            raise
        sni = _text(context, "sni")[:260] or "without sni"
        raise FormatError(f"UpstreamTlsContext of {sni}: {exc.problem}", fix=exc.fix) from exc


def settings(text: str) -> list[set[str]]:
    """Return the fields of each ``UpstreamTlsContext`` with pins, one set each, without the pins.

    ``certpin lint --exported`` compares them with those of a new export. A field is a text with its
    location and value (``_fields``). ``text`` is the content of the file. Raises ``FormatError``,
    and ``ConfigError`` if PyYAML is not installed.
    """
    contexts = [set(_fields(each)) for each in _mappings(text) if _is_context(Shape(each))]
    return [
        {field for field in fields if not field.startswith((*_PIN_LISTS, *_NOT_COMPARED))}
        for fields in contexts
        if any(field.startswith(_PIN_LISTS) for field in fields)
    ]


def _fields(value: object, place: str = "") -> Iterator[str]:
    """Yield each field of a YAML value as text, with its location and value: ``a.b[].c: d``.

    ``place`` is the location of ``value`` in the file; empty for the top level.
    """
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _fields(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _fields(inner, f"{place}[]")
    else:
        yield f"{place}: {value}"


def _is_context(value: Shape) -> bool:
    named = value.get("@type")
    return named is not None and named.is_text and named.text() == _TYPE


def _found(context: Shape, pattern: str, source: Source) -> Found:
    common = context.get("common_tls_context") or Shape({})
    for name in _ELSEWHERE:
        if common.get(name) is not None:
            raise _elsewhere(name)
    validation = common.get("validation_context")
    if validation is None:
        raise _misplaced("pins that are not in common_tls_context.validation_context")
    if validation.names().isdisjoint(_PIN_FIELDS.values()):
        raise _misplaced("pins in another spelling, or in another place of the context")
    texts = {kind: validation.get(name) or _NOTHING for kind, name in _PIN_FIELDS.items()}
    pins = [f"sha256/{each}" for each in texts["spki"].texts()]
    pins += [f"cert-sha256/{each}" for each in texts["hash"].texts()]
    trust = _trust(validation, source)
    sni = _text(context, "sni")
    names = _names(validation)
    if pins:
        _report_unverified(validation)
        _report_names(context, sni, names)
        for place in validation.unread():
            pass_over(place)
    only = names[0] if len(names) == 1 else ""
    return Found(pattern or sni or only, pins_from(pins), match="leaf", trust=trust)


def _misplaced(problem: str) -> FormatError:
    return FormatError(
        problem,
        fix="import a copy of the file with the fields in the place and the spelling of Envoy's "
        "documentation: common_tls_context.validation_context.verify_certificate_spki",
    )


def _text(value: Shape, name: str) -> str:
    found = value.get(name)
    return found.text() if found else ""


def _names(validation: Shape) -> list[str]:
    """Return the names that Envoy accepts in a certificate: one for each matcher.

    The name is empty for a matcher that can accept several names, such as a prefix, or names that
    are neither DNS names nor IP addresses. The matchers of the deprecated
    ``match_subject_alt_names`` apply to names of any type. ``validation`` is the
    ``validation_context`` in the file.
    """
    matchers = validation.get("match_typed_subject_alt_names") or _NOTHING
    found = []
    for each in matchers.items():
        kind, matcher = _text(each, "san_type"), each.need("matcher")
        matcher.get("ignore_case")  # clients ignore it, too
        found.append(_text(matcher, "exact") if kind in {"DNS", "IP_ADDRESS"} else "")
    for matcher in (validation.get("match_subject_alt_names") or _NOTHING).items():
        matcher.get("ignore_case")
        found.append(_text(matcher, "exact"))
    return found


def _is_name_of(name: str, host: str) -> bool:
    """Return True if certpin's clients accept a certificate with the name ``name`` at ``host``.

    If no name that Envoy accepts is valid for its ``sni``, the import refuses the file, because
    certpin's clients would refuse the server. ``name`` can be a wildcard, ``*.name``.
    """
    try:
        pattern = HostPattern.parse(name)
        return pattern.wildcard != "**." and pattern.covers(HostPattern.parse(host))
    except HostError:
        return name == host


def _refuse_other_names(context: Shape, pattern: str) -> None:
    """Raise ``FormatError`` if an exported file's settings contradict the host in its comment.

    Envoy obeys only the settings. ``context`` has the settings, and ``pattern`` is the pattern in
    the comment.
    """
    common = context.get("common_tls_context") or Shape({})
    names = _names(common.get("validation_context") or Shape({}))
    sni = _text(context, "sni")
    if pattern.startswith("*"):
        right = _verifies_sni(context) and not names and not sni
    else:
        right = names == [pattern] and sni in {"", pattern}
    if not right:
        verified = ", ".join(each[:260] or "several names" for each in names) or "no literal name"
        raise FormatError(
            f"the file is for {pattern}, but Envoy verifies {verified}"
            + (f" and sends {sni[:260]}" if sni else ""),
            fix="export it again; or remove certpin's comments, to import the settings",
        )


def _verifies_sni(context: Shape) -> bool:
    flags = [context.get(name) for name in ("auto_host_sni", "auto_sni_san_validation")]
    return all(flag is not None and flag.text().lower() == "true" for flag in flags)


def _report_names(context: Shape, sni: str, names: list[str]) -> None:
    """Issue a ``FormatWarning`` if Envoy accepts certificates for other names than the host's.

    Args:
        context: the TLS settings of a cluster.
        sni: the server name that Envoy sends; empty if there is none.
        names: the names that Envoy accepts, from ``_names``. If one of them is empty, Envoy can
            accept several names.

    Raises:
        FormatError: Envoy accepts no certificate for ``sni``, the name that certpin's clients would
            verify.
    """
    if sni and names and "" not in names and not any(_is_name_of(each, sni) for each in names):
        raise FormatError(
            f"sni is {sni[:260]}, and Envoy requires the name {names[0][:260]} in the certificate",
            fix="import a copy of the file in which both are the host of the requests",
        )
    if not names and not _verifies_sni(context):
        pass_over(
            f"no match_typed_subject_alt_names of {sni[:260] or 'a cluster'}, so Envoy verifies no "
            "name"
        )
    if "" in names or len({name_key(each) for each in names}) > 1:
        accepted = ", ".join(dict.fromkeys(each[:260] or "several names" for each in names))
        pass_over(f"matchers of subject_alt_names, with which Envoy accepts {accepted}")


def _report_unverified(validation: Shape) -> None:
    """Warn about settings with which Envoy accepts chains that it did not verify.

    ``validation`` is the ``validation_context`` in the file. Each warning is a ``FormatWarning``.
    """
    verification = validation.get("trust_chain_verification")
    if verification is not None and verification.text() not in {"VERIFY_TRUST_CHAIN", "0"}:
        pass_over("trust_chain_verification, so Envoy also accepts chains that do not verify")
    expired = validation.get("allow_expired_certificate")
    if expired is not None and expired.text().lower() == "true":
        pass_over("allow_expired_certificate, so Envoy also accepts expired certificates")


def _trust(validation: Shape, source: Source) -> TrustAnchors | None:
    trusted = validation.get("trusted_ca")
    if trusted is None:
        raise FormatError(
            "a validation_context has no trusted_ca, so Envoy would verify nothing",
            fix=f"set the roots: trusted_ca: {{filename: {_SYSTEM}}}",
        )
    if inline := trusted.get("inline_string"):
        return read_anchors(inline.text())
    file = _text(trusted, "filename")
    if not file:
        raise FormatError(
            f"{trusted.place} has neither filename nor inline_string",
            fix="import a copy of the file with the certificates: trusted_ca: {filename: root.pem}",
        )
    return None if file in _SYSTEMS else read_anchors(source.beside(beside(file)), file)


def _mappings(text: str) -> Iterator[dict[Any, Any]]:
    """Yield all mappings in a YAML document, at any depth. Raises ``FormatError``."""
    waiting: list[Any] = [load_yaml(text)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)


ENVOY = Format(
    name="envoy",
    title="Envoy",
    use="Use it as the `transport_socket` of the cluster for the host.",
    file="envoy-pins.yaml",
    limits=(
        NoCompromised("a validation context has no list of keys to refuse, except a CRL"),
        NoDebug("Envoy has no debug override"),
        OneHost("a transport socket belongs to one cluster"),
        NoReportOnly("Envoy always enforces"),
        NoExpiry("Envoy checks only the dates of certificates"),
        NoReports("Envoy counts ssl.fail_verify_cert_hash, and sends no reports"),
        NoTransparency("Envoy checks no SCTs"),
        LeafOnly("verify_certificate_spki and _hash compare only the leaf"),
    ),
    write=write,
    read=read,
    needs=(
        f"Without `trust`, {_SYSTEM} must contain the system's roots.",
        "For `*.name` and `**.name`: Envoy 1.33, and a cluster that resolves its servers by DNS.",
        "certpin's tests parse this file, but do not run it in Envoy.",
        "The import needs PyYAML: `pip install 'certpin[yaml]'`.",
    ),
    settings=settings,
)
