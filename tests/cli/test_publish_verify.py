"""``certpin publish verify``: what an app would say to a list, and why."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.cli import _documented
from tests.updates.wultra._bank import DIGEST, HOST, Bank, entry, listing, with_signature
from tests.updates.wultra._sdk import SDK, RefusedError

if TYPE_CHECKING:
    from certpin.lab import Authority
    from tests.cli.conftest import Done, Run

LIST = "fingerprints.json"
SECONDS = int((datetime.now(UTC) + timedelta(days=60)).timestamp())
CHALLENGE = base64.b64encode(b"0123456789abcdef").decode()


@pytest.fixture
def bank(run: Run) -> Bank:
    """Its key is in ``wultra.key``."""
    made = Bank()
    Path("wultra.key").write_bytes(made.pem)
    return made


def verify(run: Run, bank: Bank, *words: str | Path, typed: str | None = None) -> Done:
    return run("publish", "verify", *words, "--public-key", bank.public_key, typed=typed)


def signed(bank: Bank, text: str | None = None, **fields: Any) -> dict[str, Any]:
    return bank.signed(text, **{"expires": SECONDS, **fields})


def test_a_list_that_an_app_accepts(run: Run, bank: Bank) -> None:
    Path(LIST).write_bytes(listing(signed(bank)))
    done = verify(run, bank, LIST)
    assert done.code == 0, done.out
    assert done.out.startswith(f"holds  {HOST}  until ")
    assert verify(run, bank, "-", typed=Path(LIST).read_text()).code == 0


def test_a_mistake_is_told_with_its_cure(run: Run, bank: Bank) -> None:
    made = entry(expires=SECONDS)
    wrong = signed(bank, f"{HOST}&{SECONDS}&{made['fingerprint']}\n")
    Path(LIST).write_bytes(listing(signed(bank, name="a.example"), wrong))
    done = verify(run, bank, LIST)
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[1].startswith(f"REFUSED  {HOST}")
    assert lines[2].startswith("  order: name & expires & fingerprint is what was signed")
    assert lines[3].startswith("  line-break: a text with a line break at its end")
    assert lines[4].startswith("fix: sign it anew")


def test_json_is_as_documented(run: Run, bank: Bank) -> None:
    odd = (signed(bank, fingerprint=DIGEST.hex()), signed(bank, name="a.example", expires=10**400))
    made = listing(signed(bank), *odd, timestamp=1)
    Path(LIST).write_bytes(made)
    done = verify(run, bank, LIST, "--json")
    _documented.check("checked list", done.json)
    assert (done.code, done.json["timestamp"]) == (1, 1)
    assert done.json["public_key"] == bank.public_key
    right, wrong, never = done.json["entries"]
    assert [each["rule"] for each in never["findings"]] == ["milliseconds"]
    assert never["expires"] is None
    assert (right["findings"], wrong["pin"]) == ([], None)
    assert [each["rule"] for each in wrong["findings"]] == ["hexadecimal"]


def test_the_key_may_be_in_a_file(run: Run, bank: Bank) -> None:
    Path(LIST).write_bytes(listing(signed(bank)))
    Path("wultra.pub").write_bytes(
        bank.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    for file in ("wultra.pub", "wultra.key"):
        assert run("publish", "verify", LIST, "--public-key", file).code == 0


@pytest.mark.parametrize("key", ["none.pub", "", "AAAA", "A" * 5000, "a\0b", LIST])
def test_what_is_no_key(run: Run, bank: Bank, key: str) -> None:
    Path(LIST).write_bytes(listing(signed(bank)))
    done = run("publish", "verify", LIST, "--public-key", key)
    assert (done.code, done.out) == (2, "")


def test_a_certificate_is_looked_up(run: Run, bank: Bank, intermediate: Authority) -> None:
    server, other = intermediate.issue(HOST), intermediate.issue(HOST)
    fingerprint = base64.b64encode(server.certificate.sha256).decode()
    Path(LIST).write_bytes(listing(signed(bank, fingerprint=fingerprint)))
    Path("server.pem").write_bytes(server.chain_pem)
    Path("other.pem").write_bytes(other.chain_pem)
    assert verify(run, bank, LIST, "--certificate", "server.pem").code == 0
    words = ("--certificate", "server.pem", "--certificate", "other.pem")
    done = verify(run, bank, LIST, *words)
    assert (done.code, "not-listed: no entry is for this" in done.out) == (1, True)
    facts = verify(run, bank, LIST, *words, "--json").json
    _documented.check("checked list", facts)
    assert [len(each["findings"]) for each in facts["certificates"]] == [0, 1]


def test_the_body_of_an_answer(run: Run, bank: Bank) -> None:
    body = listing(entry(expires=SECONDS), timestamp=1)
    Path(LIST).write_bytes(body)
    signature = base64.b64encode(bank.sign(CHALLENGE.encode() + b"&" + body)).decode()
    words = (LIST, "--challenge", CHALLENGE, "--signature", signature)
    assert verify(run, bank, *words).code == 0
    assert verify(run, bank, LIST).code == 1
    Path(LIST).write_bytes(body + b"\n")
    assert verify(run, bank, *words).code == 2  # nobody signs that: it is not a body
    Path(LIST).write_bytes(body.replace(HOST.encode(), b"evil.example"))
    changed = verify(run, bank, *words)
    assert (changed.code, "answer: the answer is not signed by this key" in changed.out) == (
        1,
        True,
    )
    assert verify(run, bank, LIST, "--challenge", CHALLENGE).code == 2


def test_what_is_no_list(run: Run, bank: Bank) -> None:
    Path(LIST).write_text("{}")
    assert verify(run, bank, LIST).code == 2
    assert verify(run, bank, "none.json").code == 2


def test_a_hostile_list_does_not_reach_the_terminal(run: Run, bank: Bank) -> None:
    Path(LIST).write_bytes(listing(signed(bank, name="\x1b[2J\n\u202eholds")))
    done = verify(run, bank, LIST)
    assert done.code == 1
    assert not {"\x1b", "\u202e"} & set(done.out)
    assert "holds" not in {line.split()[0] for line in done.out.splitlines()}


FINGERPRINT = "openssl x509 -in cert.pem -outform DER | openssl dgst -sha256"
SIGN = "openssl dgst -sha256 -sign wultra.key | openssl base64 -A > sign.txt"
# What is known of the published recipe: its fields stand in another order, echo ends each line, and
# the digest is text.
RECIPE = f"""
set -e
{FINGERPRINT} | openssl base64 -A > fingerprint.txt
{{ echo "$NAME"; echo "&"; echo "$EXPIRES"; echo "&"; cat fingerprint.txt; }} | {SIGN}
"""
CURE = f"""
set -e
{FINGERPRINT} -binary | openssl base64 -A > fingerprint.txt
printf '%s&%s&%s' "$NAME" "$(cat fingerprint.txt)" "$EXPIRES" | {SIGN}
"""


def by_recipe(bank: Bank, recipe: str, intermediate: Authority) -> dict[str, Any]:
    """The entry that comes out of it."""
    Path("cert.pem").write_bytes(intermediate.issue(HOST).chain_pem)
    env = {"NAME": HOST, "EXPIRES": str(SECONDS), "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", "-c", recipe], env=env, check=True, timeout=60)
    fields = {"fingerprint": Path("fingerprint.txt").read_text(), "expires": SECONDS}
    return with_signature(entry(**fields), base64.b64decode(Path("sign.txt").read_text()))


@pytest.mark.peer("openssl")
def test_the_recipe_that_was_published_and_the_one_that_is_told(
    run: Run, bank: Bank, intermediate: Authority
) -> None:
    made = by_recipe(bank, RECIPE, intermediate)
    Path(LIST).write_bytes(listing(made))
    with pytest.raises(RefusedError):
        SDK(bank.public_key).take(Path(LIST).read_bytes())
    done = verify(run, bank, LIST, "--json")
    (facts,) = done.json["entries"]
    assert done.code == 1
    assert [each["rule"] for each in facts["findings"]] == ["hexadecimal", "order", "line-break"]

    Path(LIST).write_bytes(listing(by_recipe(bank, CURE, intermediate)))
    SDK(bank.public_key).take(Path(LIST).read_bytes())
    assert verify(run, bank, LIST).code == 0
    assert json.loads(Path(LIST).read_text())["fingerprints"]
