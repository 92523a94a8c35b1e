"""Hide the user's secrets in reports: in the command that starts the client, and its environment.

Users share reports with other people. So a report shows only arguments that are known to be
harmless, and ``…`` in place of all others. For evidence that leaves the company, ``mask_run`` also
replaces secrets in the data that the client sent and printed.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from certpin.lab.client import EXPORT_FORMAT, SUBSTITUTIONS
from certpin.lab.verdict import KEPT, LONGEST_HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from certpin.lab.runner import Result, Run
    from certpin.lab.verdict import Attempt, Connection, Ending, OtherHost

HIDDEN = "…"

_NAMES = "|".join((*map(re.escape, SUBSTITUTIONS), f"export:{EXPORT_FORMAT}"))
_PLACEHOLDER = re.compile(rf"(\{{(?:{_NAMES})\}})")
_HARMLESS_AROUND = re.compile(r"(?:--?[A-Za-z-]{1,32}=?)?|[:/;,]{1,3}|https://|http://")
_LONG_OPTION = re.compile(r"--[A-Za-z][A-Za-z-]{0,40}")
_SHORT_OPTION = re.compile(r"-[A-Za-z]{1,4}")  # -sSfL; a longer one may include a value
_JAVA_OPTION = re.compile(r"-(?:jar|cp|classpath|Xmx\d+m)")
PROGRAM_SUFFIXES = (
    "py|pyw|pyz|js|cjs|mjs|jsx|ts|cts|mts|tsx|rb|pl|php|phar|lua|tcl|sh|bash|zsh|ksh|ps1|bat|cmd|exe"
    "|jar|java|class|kt|kts|groovy|scala|clj|go|dart|swift|jl|exs|cs|csx|fsx|dll"
)
_PROGRAM = re.compile(rf"(?:[\w.-]{{1,64}}/)*[\w-]{{1,64}}\.(?:{PROGRAM_SUFFIXES})")


def safe_arguments(words: Sequence[str]) -> list[str]:
    """Return the words of the client's command, with ``…`` in place of possible secrets.

    The program, its options, placeholders such as ``{url}``, and program files are kept.
    """
    return list(_safe_arguments(words))


def _safe_arguments(words: Sequence[str]) -> Iterator[str]:
    for number, word in enumerate(words):
        if number == 0:
            yield word.rpartition("/")[2]
        elif _PLACEHOLDER.search(word):
            yield _safe_around_placeholders(word)
        else:
            yield _safe_argument(word)


def _safe_argument(word: str) -> str:
    for harmless in (_LONG_OPTION, _SHORT_OPTION, _JAVA_OPTION, _PROGRAM):
        if harmless.fullmatch(word):
            return word
    option, equals, _ = word.partition("=")
    return f"{option}={HIDDEN}" if equals and _LONG_OPTION.fullmatch(option) else HIDDEN


def _safe_around_placeholders(word: str) -> str:
    """Return a word of a command, with ``…`` in place of the parts that may be secret.

    Placeholders (names in braces, such as ``{url}``) are kept, and so are parts that are known to
    be harmless, such as ``https://`` and the name of an option.
    """
    pieces = _PLACEHOLDER.split(word)
    return "".join(
        piece if number % 2 or _HARMLESS_AROUND.fullmatch(piece) else HIDDEN
        for number, piece in enumerate(pieces)
    )


# Variables that change how a client uses TLS, and so belong to the evidence.
_RELEVANT = re.compile(
    r"(?:.*_PROXY|SSL_CERT_\w+|SSLKEYLOGFILE|OPENSSL_\w+|CURL_\w+|REQUESTS_CA_BUNDLE|NODE_\w+"
    r"|PYTHON\w+|JAVA_\w+|JDK_JAVA_OPTIONS|_JAVA_OPTIONS|GO\w*|GIT_SSL_\w+|DENO_\w+|LD_PRELOAD"
    r"|DYLD_INSERT_LIBRARIES|CERTPIN_\w+)",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|PRIVATE|CREDENTIAL|COOKIE|SESSION|(?<!UN)AUTH|JWT|BEARER|HMAC"
    r"|WEBHOOK|MNEMONIC|CONN(?:ECTION)?_?STR|(?:API|ACCESS|ACCOUNT|ENCRYPTION|SIGNING|MASTER)_?KEY"
    r"|PASS$|PASS_|(?<!^)(?<!OLD)PWD$|_(?:PIN|PAT|PW|DSN)$"
    r"|(?:^|_)(?:CREDS?|KEYS?|LOGIN|SAS|PSK|T?OTP)(?:$|_(?:VALUE|URL|URI|STRING|JSON|B64|BASE64)$)",
    re.IGNORECASE,
)
# The values in a connection string, as of Azure or ODBC: ``AccountName=…;AccountKey=…``.
_ASSIGNED = re.compile(r"(?:^|;)\s*\w[\w ]*=([^;]+)")
# A value of ODBC ({…}), ADO.NET ("…" or '…') or libpq ('…') without its quotes, which the client
# doesn't send, and a value of libpq, which ends at a space. A quoted value may contain ";".
_QUOTED = re.compile(
    r"""(?:^|[;\s])[\w.-]+\s*=\s*
    (?: "((?:[^"]|"")*)" | '((?:[^'\\]|''|\\.)*)' | \{((?:[^}]|\}\})*)\} | ([^;\s]+) )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"""(["'}])\1|\\(.)""", re.DOTALL)  # in a quoted value: "", '', }}, \'
# The user name and password in a URL (RFC 3986 section 3.2.1), as in DATABASE_URL or HTTPS_PROXY.
_USERINFO = re.compile(r"://([^/?#@:\s]*:([^/?#\s]+))@")
# Credentials in headers (RFC 9110 section 11.6.2, RFC 6265), also in a log, a dictionary or JSON. A
# value may be continued in the next line (RFC 9112 section 5.2).
_HEADER = re.compile(
    r"""\b(?:authorization|cookie|x-api-key|x-auth-token|x-csrf-token)["']?[ \t]*:[ \t]*
    ([^\r\n]+(?:\r?\n[ \t]+[^\r\n]+)*)""",
    re.IGNORECASE | re.VERBOSE,
)
# Credentials behind the name of their scheme. A plain word, as in "Basic Constraints" or "bearer
# token", is none.
_SCHEME = re.compile(
    r"""\b(?:basic|bearer|negotiate|ntlm|auth(?:enticate)?[ ]+[\w-]+)[ \t]+
    (?!(?-i:[A-Za-z][a-z]*)\b(?![+/=.~-]))([\w.~+/-]+=*)""",
    re.IGNORECASE | re.VERBOSE,
)
# The credentials of SMTP (RFC 4954) and IMAP (RFC 9051) are in the line of the command, or in the
# next lines in Base64. In the output of a client, other lines can be between them, as those of the
# server, and the client's lines can be marked, as by ``curl -v`` ("> ") or Python ("send: '").
_END = r"""(?:\\r\\n['"])?(?:\r?\n|\Z)"""
_RESPONSE = rf"""
    (?:(?:[<{{}}*][ ]|reply:)[^\r\n]*\r?\n){{0,8}}
    (?:>[ ]|send:[ ]b?['"])?
    (?!(?-i:QUIT|RSET|NOOP|DATA|STARTTLS)(?![\w+/=]))([a-z\d+/]+=*)(?={_END})"""
_SASL = re.compile(
    rf"""\bauth(?:enticate)?[ ]+
    (?:plain|login|cram-md5|digest-md5|ntlm|xoauth2?|oauthbearer|(?-i:[A-Z][A-Z\d_-]+))
    (?:[ ]+([^\s'"\\]+))?{_END}(?:{_RESPONSE}(?:{_END}{_RESPONSE})?)?""",
    re.IGNORECASE | re.VERBOSE,
)
# The user name and password of IMAP's LOGIN, also as literals (RFC 9051 section 4.3), which begin
# in the next line.
_IMAP_LOGIN = re.compile(
    r"""(?:^|(?<=['"]))(?:>[ ])?[\w.+-]+[ ](?-i:LOGIN|(?<=\d[ ])login)[ ]+
    ([^\r\n]+(?:(?<=\})\r?\n(?:[<+][^\r\n]*\r?\n)*[^\r\n]*)*)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_GLUED = re.compile(r"-[A-Za-z]")  # an option and its value in one word, such as -pSECRET
_SHORTEST = 6  # characters of a secret: replacing a shorter text would damage unrelated words
_LONGEST_SWITCH = 5  # characters of a value such as 0, true or 1.3, which is no secret


def safe_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that change how clients use TLS, sorted by name.

    Short values such as ``0`` or ``true`` are kept. All other values may be secret, and are
    replaced by ``…``.
    """
    return {
        name: value if _is_switch(name, value) else HIDDEN
        for name, value in sorted(variables.items())
        if _RELEVANT.fullmatch(name)
    }


def _is_switch(name: str, value: str) -> bool:
    short = len(value) <= _LONGEST_SWITCH and re.fullmatch(r"[\w.-]*", value, re.ASCII)
    return bool(short) and not _SECRET_NAME.search(name)


def secrets_in(
    words: Sequence[str], variables: Mapping[str, str], public: Iterable[str]
) -> list[str]:
    """Return the texts that must not appear in evidence, the longest first.

    From the command, they are the arguments that ``safe_arguments`` hides, such as the value of
    ``--password``, and the parts of these arguments, such as a password after a colon, or the value
    after an option of one letter.

    From the environment, they are the values of variables with a name such as ``API_TOKEN``, the
    single values in such a value if it is a connection string, and the credentials in URLs in any
    variable.

    The Base64 of each argument and value is a secret too, because HTTP Basic authentication uses
    it. Texts of fewer than 6 characters are left out, because they could be any word.

    Args:
        words: the client's command, as the user wrote it.
        variables: the environment of the client.
        public: texts that the report needs, such as the host under test. These texts, and parts of
            them, are never secrets.
    """
    hidden = [
        word for word, shown in zip(words, safe_arguments(words), strict=True) if HIDDEN in shown
    ]
    values = [value for name, value in variables.items() if _SECRET_NAME.search(name)]
    values += [text for value in values for text in _assigned(value)]
    values += [text for value in variables.values() for text in _credentials(value)]
    parts = {part for word in hidden for part in re.split(r"[\s=:;,&?@/\"'{}]+", word)}
    parts |= {part[2:] for part in parts if _GLUED.match(part)}
    whole = {*hidden, *values}
    encoded = {base64.b64encode(text.encode(errors="surrogateescape")).decode() for text in whole}
    known = {text.lower() for text in public}
    found = {text for text in whole | parts | encoded if len(text) >= _SHORTEST}
    found = {text for text in found if not any(text.lower() in needed for needed in known)}
    return sorted(found, key=lambda text: (-len(text), text))


def _assigned(value: str) -> Iterator[str]:
    """Yield the values in a connection string, such as passwords.

    A quoted value is yielded twice: as it is written, and without escapes, as the client sends it.
    """
    yield from (text.strip() for text in _ASSIGNED.findall(value))
    for groups in _QUOTED.findall(value):
        text = "".join(groups)
        yield text
        yield _ESCAPED.sub(lambda match: match[1] or match[2], text)


def _credentials(value: str) -> list[str]:
    """Return the credentials in the URLs of a text: ``user:password``, and the password.

    ``value`` is the text. Each credential is returned as it is written, and with its
    percent-encoding decoded.
    """
    found = [text for pair in _USERINFO.findall(value) for text in pair]
    return [*found, *map(unquote, found)]


def mask_run(run: Run, secrets: Sequence[str]) -> Run:
    """Return a lab run with ``…`` in place of secrets in all output and data of the client.

    The credentials in headers, such as ``Authorization``, are replaced even if they are unknown.
    The lab's messages that quote the client are changed too, and the names of hosts that are not
    under test. Verdicts, chains and the sizes of certificates stay the same, but the reported
    number of bytes of the client's data can change.

    Args:
        run: the run.
        secrets: the texts to replace.
    """

    def attempt(made: Attempt) -> Attempt:
        ending = replace(
            made.ending,
            output=_masked_output(made.ending, secrets),
            problem=_masked(made.ending.problem, secrets),
        )
        connections = tuple(_masked_connection(seen, secrets) for seen in made.connections)
        others = tuple(_masked_other(other, secrets) for other in made.others)
        requests = tuple(
            replace(request, receiver=_masked_host(request.receiver, secrets))
            for request in made.requests
        )
        return replace(
            made, ending=ending, connections=connections, others=others, requests=requests
        )

    results = tuple(
        replace(
            result,
            why=_masked_why(result, secrets),
            attempts=tuple(map(attempt, result.attempts)),
        )
        for result in run.results
    )
    return replace(run, results=results)


def _masked_why(result: Result, secrets: Sequence[str]) -> str:
    """Return the reason of a verdict without secrets, also in the names of hosts not under test.

    ``result`` has the verdict, and ``secrets`` are the texts to hide.
    """
    why = result.why
    for made in result.attempts:
        for other in made.others:
            why = why.replace(other.note, _masked_other(other, secrets).note)
    return _masked(why, secrets)


def _masked_other(other: OtherHost, secrets: Sequence[str]) -> OtherHost:
    return replace(other, host=_masked_host(other.host, secrets))


def _masked_host(host: str, secrets: Sequence[str]) -> str:
    """Return a host's name without secrets, in lower case. Secrets are found in any case.

    ``secrets`` are the texts to hide.
    """
    known = [secret.lower() for secret in secrets]
    return _masked(host.lower(), known, unfinished=len(host) >= LONGEST_HOST)


def _masked_output(ending: Ending, secrets: Sequence[str]) -> str:
    """Return a client's output without secrets, also without those that are only partly in it.

    ``ending`` has the output, and ``secrets`` are the texts to hide.
    """
    # A client that was stopped may not have written the rest of a secret.
    text = _masked(ending.output, secrets, begun=ending.cut, unfinished=bool(ending.broken))
    if not ending.cut:
        return text
    # The beginning of the first line is missing: it may have named the credentials that follow.
    _, newline, rest = text.partition("\n")
    return f"{HIDDEN}{newline}{rest}"


def _masked(
    text: str, secrets: Sequence[str], *, begun: bool = False, unfinished: bool = False
) -> str:
    """Return a text with ``…`` in place of each secret and credential, also if they overlap.

    Args:
        text: the text.
        secrets: the texts to replace.
        begun: True if the beginning of the text is missing: it may begin within a secret.
        unfinished: True if the end of the text is missing: it may end within a secret.
    """
    pieces = []
    end = 0
    for first, last in sorted(_places(text, secrets, begun=begun, unfinished=unfinished)):
        if first >= end:
            pieces += [text[end:first], HIDDEN]
        end = max(end, last)
    return "".join([*pieces, text[end:]])


def _places(
    text: str, secrets: Sequence[str], *, begun: bool, unfinished: bool
) -> Iterator[tuple[int, int]]:
    """Yield where secrets are in a text: the index at which each begins, and the index after it.

    Credentials in headers, such as ``Authorization: Basic …``, are found also if ``secrets`` lacks
    them, because a client can read them from a file, or encode them.

    Args:
        text: the text.
        secrets: the known secrets.
        begun: True if the beginning of the text was cut off. Then the end of a secret at the
            beginning of the text is found, too.
        unfinished: True if the end of the text was cut off. Then the beginning of a secret at the
            end of the text is found, too.
    """
    for pattern in (_HEADER, _SCHEME, _SASL, _IMAP_LOGIN):
        for match in pattern.finditer(text):
            yield from (match.span(group) for group in range(1, pattern.groups + 1) if match[group])
    for secret in secrets:
        place = text.find(secret)
        while place >= 0:
            yield place, place + len(secret)
            place = text.find(secret, place + 1)
        parts = range(min(len(secret) - 1, len(text)), 0, -1)
        length = next((n for n in parts if begun and secret.endswith(text[:n])), 0)
        if length:
            yield 0, length
        length = next((n for n in parts if unfinished and secret.startswith(text[-n:])), 0)
        if length:
            yield len(text) - length, len(text)


def _masked_connection(seen: Connection, secrets: Sequence[str]) -> Connection:
    def data(sent: bytes) -> bytes:
        text = sent.decode("utf-8", "surrogateescape")
        masked = _masked(text, secrets, unfinished=len(sent) >= KEPT)
        return masked.encode("utf-8", "surrogateescape")

    return replace(
        seen,
        data=data(seen.data),
        astray=data(seen.astray),
        clear=data(seen.clear),
        problem=_masked(seen.problem, secrets),
    )
