"""Reports and evidence contain no secrets of the user's command and environment."""

from __future__ import annotations

import base64
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.html import to_html
from certpin.lab.report.json import to_json
from certpin.lab.report.masking import (
    HIDDEN,
    mask_run,
    safe_arguments,
    safe_environment,
    secrets_in,
)
from certpin.lab.report.words import clear_text_lines
from certpin.lab.runner import try_case
from certpin.lab.verdict import KEPT, LONGEST_HOST, Ending, OtherHost, ProxyHead
from tests.lab.report import _runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.runner import Run


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("curl -sS {url}", "curl -sS {url}"),
        ("/opt/app/bin/curl -sS --cacert {ca} {url}", "curl -sS --cacert {ca} {url}"),
        ("python client.py --port={port} {host}", "python client.py --port={port} {host}"),
        (
            "java -jar app/client.jar https://{host}:{port}/",
            "java -jar app/client.jar https://{host}:{port}/",
        ),
    ],
)
def test_harmless_arguments_are_shown(words: str, expected: str) -> None:
    assert " ".join(safe_arguments(words.split())) == expected


@pytest.mark.parametrize(
    "words",
    [
        ("curl", "-H", "Authorization: Bearer hunter2", "{url}"),
        ("curl", "-uadmin:hunter2", "{url}"),
        ("curl", "-u", "hunter2", "{url}"),
        ("curl", "--password=hunter2", "{url}"),
        ("curl", "--password", "hunter2", "{url}"),
        ("curl", "https://admin:hunter2@{host}/"),
        ("curl", "{url}?token=hunter2"),
        ("curl", "--url=https://hunter2.{host}/"),
        ("mysql", "-phunter2"),
        ("sh", "-c", "curl -H 'X-Key: hunter2' {url}"),
        ("env", "TOKEN=hunter2", "curl", "{url}"),
        ("/home/hunter2/bin/curl", "{url}"),
    ],
)
def test_possible_secrets_are_hidden(words: tuple[str, ...]) -> None:
    assert "hunter2" not in " ".join(safe_arguments(words))


def test_option_with_attached_value_is_hidden() -> None:
    assert safe_arguments(("mysql", "-psecret", "--port={port}")) == ["mysql", "…", "--port={port}"]


def test_the_export_of_a_case_is_a_placeholder_and_shown() -> None:
    words = ("curl", "--config", "{export:curl}", "{url}")
    assert safe_arguments(words) == list(words)


def test_the_environment_shows_switches_and_hides_values() -> None:
    found = safe_environment(
        {
            "NODE_TLS_REJECT_UNAUTHORIZED": "0",
            "HTTPS_PROXY": "http://admin:hunter2@proxy.example",
            "CERTPIN_PASSPHRASE": "abc",
            "HOME": "/home/hunter2",
            "NODE_AUTH_TOKEN": "1",
        }
    )
    assert found == {
        "CERTPIN_PASSPHRASE": "…",
        "HTTPS_PROXY": "…",
        "NODE_AUTH_TOKEN": "…",
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    }


WORDS = ("curl", "-H", "Authorization: Bearer hunter2hunter2", "-u", "admin:pass-word", "{url}")
ENVIRONMENT = {"API_TOKEN": "token-of-the-environment", "LANG": "some_language.UTF-8"}
BASIC = base64.b64encode(b"admin:pass-word").decode()


def test_secrets_are_the_hidden_arguments_their_parts_and_secret_variables() -> None:
    found = secrets_in(WORDS, ENVIRONMENT, ())
    assert {"hunter2hunter2", "pass-word", BASIC, "token-of-the-environment"} <= set(found)
    assert not {"some_language.UTF-8", "curl", "{url}", "admin"} & set(found)
    assert found == sorted(found, key=lambda text: (-len(text), text))


def test_the_value_in_one_word_with_its_option_is_secret() -> None:
    found = secrets_in(("mysql", "-phunter22x", "-ubobby77:other-one", "{host}"), {}, ())
    assert {"hunter22x", "bobby77", "other-one"} <= set(found)


@pytest.mark.parametrize(
    "name",
    ["DB_PASS", "SMTPPASS", "PASS_DB", "MYSQL_PWD", "DBPWD", "GH_PAT", "DB_PW", "SENTRY_DSN"],
)
def test_names_that_abbreviate_password_are_secret(name: str) -> None:
    assert secrets_in((), {name: "wert1234"}, ()) == ["d2VydDEyMzQ=", "wert1234"]


@pytest.mark.parametrize(
    "name",
    [
        *("GOOGLE_CREDS", "GOOGLE_CREDS_JSON", "AWS_CRED", "ENCRYPTION_KEYS", "KEYS", "SSH_KEY"),
        *("AZURE_STORAGE_CONNECTION_STRING", "DB_CONNSTR", "JWT", "APP_JWT", "BEARER", "LOGIN"),
        *("AZURE_SAS", "SAS_URL", "WIFI_PSK", "TOTP", "MY_OTP", "SLACK_WEBHOOK", "AccountKey"),
        *("AWS_ACCESS_KEY_ID", "ACCESSKEY", "SIGNINGKEY", "HMAC", "WALLET_MNEMONIC"),
    ],
)
def test_common_names_of_credentials_are_secret(name: str) -> None:
    assert secrets_in((), {name: "wert1234"}, ()) == ["d2VydDEyMzQ=", "wert1234"]


@pytest.mark.parametrize(
    "name", ["SACRED", "INCREDIBLE", "MONKEY", "HOTKEYS", "BLOGIN", "SASL", "KEYBOARD", "SSLKEYLOG"]
)
def test_names_that_only_resemble_those_of_credentials_are_no_secret(name: str) -> None:
    assert secrets_in((), {name: "wert1234"}, ()) == []


def test_the_values_in_a_connection_string_are_secret() -> None:
    text = (
        "Endpoint=sb://bank.example/;AccountKey=a2V5LW9mLXRoZS1hY2NvdW50==; Pwd=p;Two Words=second"
    )
    found = secrets_in((), {"AZURE_STORAGE_CONNECTION_STRING": text}, ())
    assert {text, "a2V5LW9mLXRoZS1hY2NvdW50==", "second"} <= set(found)
    assert not {"AccountKey", "Endpoint", "p"} & set(found)
    assert secrets_in((), {"LS_COLORS": "a=01;directory=second"}, ()) == []


def test_the_values_in_a_connection_string_may_have_spaces() -> None:
    text = "Server=db;Password=hunter 2x; Encrypt=true"
    assert "hunter 2x" in secrets_in((), {"DB_CONNSTR": text}, ())


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("Server=db;Password=hunter2x", "hunter2x"),
        ('Server=db;User Id=app;Password="hunter2x"', "hunter2x"),
        ("Server=db;Password = 'hunter2x' ;Encrypt=true", "hunter2x"),
        ('Server=db;Password="hun;ter2x"', "hun;ter2x"),
        ('Server=db;Password="hun""ter2x"', 'hun"ter2x'),
        ("Driver={ODBC};Pwd={p4ss;w0rd1};", "p4ss;w0rd1"),
        ("Driver={ODBC};Pwd={p4ss}}w0rd1}", "p4ss}w0rd1"),
        ("host=db user=app password=hunter2x", "hunter2x"),
        ("host=db password=hunter2x dbname=bank", "hunter2x"),
        ("host=db password = 'hunter 2x' dbname=bank", "hunter 2x"),
        (r"host=db password='hun\'ter2x' user=app", "hun'ter2x"),
        ('Password="hunter2x', '"hunter2x'),
    ],
)
def test_the_password_in_a_connection_string_is_secret_without_its_quotes(
    text: str, password: str
) -> None:
    found = secrets_in((), {"DB_CONNSTR": text}, ())
    assert {text, password} <= set(found)
    assert not {"user", "app", "dbname", "Encrypt", "password"} & set(found)


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "PASSAGE", "PATH", "LANG", "UNAUTHORIZED"])
def test_names_that_only_resemble_password_are_no_secret(name: str) -> None:
    assert secrets_in((), {name: "wert1234"}, ()) == []


def test_passwords_in_urls_are_secret_whatever_the_name() -> None:
    found = secrets_in((), {"DATABASE_URL": "postgres://admin:p%40ss-word@db.example/bank"}, ())
    basic = base64.b64encode(b"admin:p@ss-word").decode()
    assert {"p%40ss-word", "p@ss-word", "admin:p@ss-word", basic} <= set(found)
    assert not {"postgres", "db.example", "bank"} & set(found)


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("redis://:hunter2secret@redis:6379/0", "hunter2secret"),
        ("postgres://u:p@ssw0rd-long@h/db", "p@ssw0rd-long"),
        ("amqp://a:first-one@b;amqp://c:second-one@d", "second-one"),
    ],
)
def test_passwords_in_urls_may_have_no_user_or_odd_characters(url: str, password: str) -> None:
    assert password in secrets_in((), {"URL": url}, ())
    assert secrets_in((), {"URL": "http://h.example:80/long-path@y"}, ()) == []


def test_texts_that_a_report_needs_are_no_secrets() -> None:
    words = ("client", "api.bank.example")
    assert "api.bank.example" in secrets_in(words, {}, ())
    assert not {"api.bank.example", "bank"} & set(secrets_in(words, {}, ("api.bank.example",)))


@pytest.mark.parametrize("secret", ["hunter2hunter2", BASIC, "token-of-the-environment"])
@pytest.mark.parametrize("place", ["output", "problem", "data", "clear", "base64"])
def test_evidence_has_no_secret_in_what_the_client_sent(secret: str, place: str) -> None:
    made = _runs.met(_runs.BY_NAME["untrusted-ca"], gives=True)
    connection = made.attempts[0].connections[0]
    connection.data += f"\nX: {secret}\n".encode() if place in {"data", "base64"} else b""
    connection.clear = secret.encode() if place == "clear" else b""
    connection.problem = secret if place == "problem" else ""
    output = f"sent {secret}" if place == "output" else ""
    again = _runs.attempt(made.attempts[0].scenario, connection, output=output)
    run = _runs.run((_runs.result(made.case, again),))
    text = to_json(run)
    assert secret in text
    masked = to_json(mask_run(run, secrets_in(WORDS, ENVIRONMENT, ())))
    assert secret not in masked
    encoded = base64.b64encode(connection.data).decode()
    assert place != "base64" or encoded not in masked
    assert _runs.CANARY in masked


def _evidence(ending: Ending, secrets: Sequence[str], data: bytes = b"") -> tuple[str, bytes]:
    """Return the output and the data of a client as they are in its evidence."""
    made = _runs.met(_runs.BY_NAME["untrusted-ca"], gives=True)
    connection = replace(made.attempts[0].connections[0], data=data)
    attempt = replace(made.attempts[0], connections=(connection,), ending=ending)
    masked = mask_run(_runs.run((_runs.result(made.case, attempt),)), secrets)
    shown = masked.results[1].attempts[0]
    return shown.ending.output, shown.connections[0].data


@pytest.mark.medium
@pytest.mark.parametrize("kept", [1, 20, 44])
def test_a_secret_at_the_cut_of_a_long_output_is_not_in_evidence(kept: int) -> None:
    secret = "sk_live_0123456789_abcdefghijklmnopqrstuvwxyz"
    rest = "x" * (8192 - kept - 2)
    program = f"print('log {secret}'); print('{rest}')"
    with Lab() as lab:
        case_server = lab.case_server(CONTROL)
        ending = Command((sys.executable, "-c", program)).run(case_server.open())
        case_server.close()
    assert ending.output == f"{secret[-kept:]}\n{rest}\n"
    assert _evidence(ending, [secret]) == (f"…\n{rest}\n", b"")


def test_the_rest_of_a_cut_line_is_not_in_evidence() -> None:
    ending = Ending(1, "c2VjcmV0\nrefused\n", cut=True)  # after "Authorization: Basic"
    assert _evidence(ending, [])[0] == "…\nrefused\n"


def test_a_secret_of_several_lines_at_the_cut_is_not_in_evidence() -> None:
    ending = Ending(1, "line-2\nline-3\nrefused: pins\n", cut=True)
    assert _evidence(ending, ["line-1\nline-2\nline-3"])[0] == "…\nrefused: pins\n"


def test_only_the_output_of_a_stopped_client_can_end_within_a_secret() -> None:
    stopped = Ending(None, "refused\nkey: hunter2hun", "the client did not end within 20 s")
    assert _evidence(stopped, ["hunter2hunter2"])[0] == "refused\nkey: …"
    assert _evidence(Ending(1, "rush"), ["hunter2hunter2", "crush-it"])[0] == "rush"


def test_a_secret_at_the_end_of_the_kept_data_is_not_in_evidence() -> None:
    data = b"x" * (KEPT - 12) + b"hunter2hunte"
    _, shown = _evidence(Ending(1), ["hunter2hunter2"], data)
    assert shown == b"x" * (KEPT - 12) + "…".encode()


def test_secrets_that_overlap_are_not_in_evidence() -> None:
    assert _evidence(Ending(1, "-abcdefghij-"), ["abcdefgh", "defghij"])[0] == "-…-"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Authorization: Basic {BASIC}\r\nAccept: */*", "Authorization: …\r\nAccept: */*"),
        (f"proxy-authorization: basic {BASIC}\r\nA: b", "proxy-authorization: …\r\nA: b"),
        ('Authorization: Digest username="bobby77", response="1"\r\n', "Authorization: …\r\n"),
        ("Authorization: Digest a=b,\r\n response=1\r\nA: b", "Authorization: …\r\nA: b"),
        ("authorization: word\r\n", "authorization: …\r\n"),
        ("Cookie: id=bobby77\r\n", "Cookie: …\r\n"),
        ("X-Api-Key: bobby77\r\n", "X-Api-Key: …\r\n"),
        ("x-auth-token: bobby77\r\n", "x-auth-token: …\r\n"),
        ("X-CSRF-Token: bobby77\r\n", "X-CSRF-Token: …\r\n"),
        (f"{{'Authorization': 'Basic {BASIC}'}}", "{'Authorization': …"),
        (f"> Authorization: Basic {BASIC}\n", "> Authorization: …\n"),
        (f"sent Basic {BASIC} to it", "sent Basic … to it"),
        ("sent Basic YTpi to it", "sent Basic … to it"),
        ("sent Bearer eyJhbGciOi.eyJz-dW_Ii.sig~ to it", "sent Bearer … to it"),
        ("sent bearer hunter2x", "sent bearer …"),
        ("sent bearer hunter-two", "sent bearer …"),
        ("Negotiate YIIZ; NTLM TlRMTVNTUAAB", "Negotiate …; NTLM …"),
        ("AUTH PLAIN AGJvYmJ5NzcA\r\n", "AUTH PLAIN …\r\n"),
        ("a1 AUTHENTICATE PLAIN AGJvYmJ5NzcA\r\n", "a1 AUTHENTICATE PLAIN …\r\n"),
        (
            "AUTH PLAIN\r\nAGJvYmJ5NzcA\r\nMAIL FROM:<me@a.b>",
            "AUTH PLAIN\r\n…\r\nMAIL FROM:<me@a.b>",
        ),
        ("AUTH LOGIN dXNlcg==\r\ncGFzc3dvcmQ=", "AUTH LOGIN …\r\n…"),
        ("AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\nDATA\r\n", "AUTH LOGIN\r\n…\r\n…\r\nDATA\r\n"),
        ("auth login\ndXNlcg==\n*\ncGFzcw==\n", "auth login\n…\n*\ncGFzcw==\n"),
        ("AUTH PLAIN\r\nQUIT\r\n", "AUTH PLAIN\r\nQUIT\r\n"),
        (
            "A001 AUTHENTICATE PLAIN\r\nAGJvYmJ5NzcA\r\nA2 NOOP",
            "A001 AUTHENTICATE PLAIN\r\n…\r\nA2 NOOP",
        ),
        (
            "> AUTH LOGIN\n{ [5 bytes data]\n< 334 VXNl\n> dXNlcg==\n< 334 UGFz\n> cGFzcw==\n< 235",
            "> AUTH LOGIN\n{ [5 bytes data]\n< 334 VXNl\n> …\n< 334 UGFz\n> …\n< 235",
        ),
        (
            "send: 'AUTH PLAIN\\r\\n'\nreply: b'334 \\r\\n'\nsend: 'AGJvYmJ5NzcA\\r\\n'\n",
            "send: 'AUTH PLAIN\\r\\n'\nreply: b'334 \\r\\n'\nsend: '…\\r\\n'\n",
        ),
        ("a LOGIN user hunter2secret\r\nb NOOP", "a LOGIN …\r\nb NOOP"),
        ("> a1 login user hunter2\n", "> a1 login …\n"),
        ("a LOGIN {4}\r\nuser {7+}\r\nhunter2\r\nb NOOP", "a LOGIN …\r\nb NOOP"),
        ("auth failed\nrefused\n", "auth failed\nrefused\n"),
        ("the login failed: wrong key\n", "the login failed: wrong key\n"),
        ("basic constraints check failed", "basic constraints check failed"),
        ("Basic Constraints of CA cert", "Basic Constraints of CA cert"),
        ("bearer token: expired", "bearer token: expired"),
        (":authority: api.bank.example\r\n", ":authority: api.bank.example\r\n"),
    ],
)
def test_credentials_that_the_client_encodes_are_not_in_evidence(text: str, shown: str) -> None:
    assert _evidence(Ending(1, text), [], text.encode()) == (shown, shown.encode())


@pytest.mark.peer("curl")
@pytest.mark.medium
@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        *(
            ("smtps", (f"--login-options=AUTH={name}", *further))
            for name in ("PLAIN", "LOGIN")
            for further in ((), ("--sasl-ir",), ("-v",))
        ),
        ("imaps", ("--login-options=AUTH=PLAIN",)),
        ("imaps", ("--login-options=AUTH=+LOGIN",)),
    ],
)
def test_credentials_of_curl_for_mail_are_not_in_evidence(
    protocol: str, words: Sequence[str]
) -> None:
    mail = ("--mail-from", "me@a.example", "--mail-rcpt", "you@b.example", "-T", "{ca}")
    url = f"{protocol}://{{host}}:2525/"
    options = [part for word in words for part in word.split("=", 1)]
    client = ("curl", "-sS", "--max-time", "10", "--cacert", "{ca}", *options)
    client += ("-u", "bobby77:hunter22x", "--connect-to", "{host}::127.0.0.1:{port}")
    client += (*mail, url) if protocol == "smtps" else (url,)
    with Lab(style=Style.NONE, protocol=protocol) as lab:
        result = try_case(lab, Command(client, "port"), CONTROL)
    sent = result.attempts[0].connections[0].data
    encoded = [base64.b64encode(each).decode() for each in _CREDENTIALS]
    assert any(text.encode() in sent for text in ("hunter22x", *encoded)), sent
    attempt = mask_run(_runs.run((result,)), []).results[1].attempts[0]
    shown = attempt.connections[0].data.decode() + attempt.ending.output
    assert HIDDEN in shown
    for text in ("hunter22x", *encoded):
        assert text not in shown


_CREDENTIALS = (b"\0bobby77\0hunter22x", b"bobby77", b"hunter22x")


def _masked(secrets: Sequence[str], **fields: Any) -> Run:
    """Return the masked run of a client that refused an attacker, with these facts of it."""
    made = _runs.met(_runs.BY_NAME["untrusted-ca"], gives=False, **fields)
    return mask_run(_runs.run((made,)), secrets)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("hunter2-token.hooks.example", "….hooks.example"),
        ("login.example", "login.example"),
        (f"{'a' * (LONGEST_HOST - 9)}hunter2-t", f"{'a' * (LONGEST_HOST - 9)}…"),
    ],
)
def test_the_name_of_another_host_has_no_secret_in_evidence(host: str, shown: str) -> None:
    run = _masked(["Hunter2-Token"], others=(OtherHost(host, 443, relayed=False),))
    result = run.results[1]
    assert [other.host for other in result.attempts[0].others] == [shown]
    assert result.why.endswith(f"; the client also asked for {shown}:443: refused, and not judged")
    assert host == shown or host not in to_json(run) + to_html(run)


def test_the_receiver_of_clear_text_has_no_secret_in_evidence() -> None:
    request = ProxyHead("hunter2-token.hooks.example", b"GET / HTTP/1.1\r\nCookie: a\r\n")
    (line,) = clear_text_lines(_masked(["Hunter2-Token"], requests=(request,)))
    assert "the header cookie to ….hooks.example" in line


def test_the_labs_messages_have_no_secret_in_evidence() -> None:
    """The problem of a client that did not start, and the reason of a case that was not run."""
    case = _runs.BY_NAME["untrusted-ca"]
    problem = "hunter2-token did not start: No such file or directory"
    made = _runs.attempt(case.scenario(_runs.pki()), status=None, problem=problem)
    run = _runs.run((_runs.result(case, made), _runs.not_run(case, "no hunter2-token here")))
    masked = mask_run(run, ["hunter2-token"]).results
    assert masked[1].attempts[0].ending.problem == "… did not start: No such file or directory"
    assert masked[2].why == "no … here"


@pytest.mark.peer("curl")
@pytest.mark.medium
@pytest.mark.parametrize(
    "words",
    [
        ("-ubobby77:hunter22x", "{url}"),
        ("https://bobby77:hunter22x@{host}/{canary}",),
        ("--oauth2-bearer", "bobby77hunter22x", "{url}"),
        ("-H", "Cookie: id=bobby77; key=hunter22x", "{url}"),
        ("-v", "-ubobby77:hunter22x", "{url}"),
    ],
)
def test_credentials_of_curl_are_not_in_evidence(words: Sequence[str]) -> None:
    with Lab() as lab:
        result = try_case(lab, Command(("curl", "-sS", *words)), CONTROL)
    sent = result.attempts[0].connections[0].data
    assert any(each in sent for each in (b"authorization: ", b"cookie: "))  # HTTP/2
    secrets = secrets_in(("curl", *words), {}, (_runs.HOST, result.attempts[0].canary))
    attempt = mask_run(_runs.run((result,)), secrets).results[1].attempts[0]
    shown = attempt.connections[0].data.decode() + attempt.ending.output
    assert attempt.canary in shown
    for secret in ("bobby77", "hunter22x", base64.b64encode(b"bobby77:hunter22x").decode()):
        assert secret not in shown
