"""The client's command in a report contains no secrets of the user."""

from __future__ import annotations

import pytest

from certpin.lab.report.words import safe_arguments


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
