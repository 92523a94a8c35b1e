"""The client's command in a report: no secret of its user's in it."""

from __future__ import annotations

import pytest

from certpin.lab.report.words import shown


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
def test_what_is_harmless_is_shown(words: str, expected: str) -> None:
    assert " ".join(shown(words.split())) == expected


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
def test_what_may_be_a_secret_is_not(words: tuple[str, ...]) -> None:
    assert "hunter2" not in " ".join(shown(words))


def test_a_value_that_sticks_to_its_option_is_hidden_with_it() -> None:
    assert shown(("mysql", "-psecret", "--port={port}")) == ["mysql", "…", "--port={port}"]
