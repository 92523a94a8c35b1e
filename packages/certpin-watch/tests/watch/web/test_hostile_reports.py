"""Check that hostile text in any field of a report is harmless.

Reports in every format are posted without a token, counted, and then shown on pages.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from certpin.reports.codecs.fields import pem_of
from certpin_watch.alerts.run import Evaluator
from certpin_watch.collector.app import Collector, open_intake
from certpin_watch.store.chains import chain_record
from certpin_watch.store.queries.alerts import open_alerts
from certpin_watch.web.failures import DIMENSIONS
from tests.reports.codecs._documents import JSON, WHOLE, certpin
from tests.watch._pages import a_year, app_of
from tests.watch._year_pins import FIRST
from tests.watch.collector.asgi_client import Request, send_request
from tests.watch.web.hostile import BREAKING, SCRIPT, TURNED, chain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin_watch.context import Watch

HOST = FIRST[2]
ATTACK = f"{SCRIPT}{BREAKING}{TURNED}"
# Fields for any text. A report with hostile text in another field is invalid.
_TEXTS = {
    *("app", "app-version", "platform", "platform-version", "network", "library", "reason"),
    *("app-bundle-id", "app-platform", "app-platform-version", "app-vendor-id", "trustkit-version"),
    *("pin-set", "user_agent", "method", "protocol", "referrer", "server_ip"),
}


def _documents() -> Iterator[tuple[str, Any, str]]:
    """Yield a report for each field of each format, with hostile text in this field.

    Each result is the field's name, the report and its media type.
    """
    for whole, media in WHOLE.values():
        entry = whole[0] if isinstance(whole, list) else whole
        for name in entry:
            for attack in (ATTACK, [ATTACK]):
                changed = entry | {name: attack}
                yield name, [changed] if isinstance(whole, list) else changed, media
        for name in entry.get("body", ()):
            changed = entry | {"body": entry["body"] | {name: ATTACK}}
            yield name, [changed], media


def _chain_reports(ders: tuple[bytes, ...]) -> Iterator[tuple[str, Any, str]]:
    """Yield enough reports of this chain to open an alert, with hostile text in other fields.

    Each result is the word "chain", the report and its media type.
    """
    chains: dict[str, Any] = {
        "served-certificate-chain": list(map(pem_of, ders)),
        "validated-certificate-chain": [],
    }
    texts = dict.fromkeys(("app", "app-version", "network", "reason"), ATTACK)
    for number in range(6):
        named = {"id": f"{number:032d}", "hostname": HOST, "policy": "", "pin-set": ATTACK}
        yield "chain", certpin(**chains, **texts, **named), JSON


async def post_reports(watch: Watch, documents: list[tuple[str, Any, str]]) -> list[int]:
    async with open_intake(watch) as intake:
        collector = Collector(watch, intake)
        requests = [
            Request([json.dumps(document).encode()], media) for _, document, media in documents
        ]
        return [
            answer.status
            for answer in [await send_request(collector, request) for request in requests]
        ]


def _paths(watch: Watch, digest: str) -> list[str]:
    with watch.store.read() as connection:
        opened = [
            alert
            for alert in open_alerts(connection, watch.settings.alerts.hold)
            if "window.hacked" in alert.summary
        ]
    assert opened, "no alert contains the name of the issuer"
    return [
        *("/", "/live", "/alerts", "/pin-sets", "/pin-sets/bank-app", "/silences", "/audit"),
        *(f"/failures?range={time}&by={by}" for by in DIMENSIONS for time in ("24h", "365d")),
        *(f"/alerts/{alert.id}" for alert in opened),
        *(f"/hosts/{HOST}", f"/failures?app={quote(ATTACK)}&reason={quote(ATTACK)}"),
        *(f"/failures/chains/{digest}?host={HOST}", f"/failures/chains/{digest}"),
    ]


@pytest.mark.slow
def test_hostile_text_in_any_field_of_a_report_is_refused_or_escaped(tmp_path: Path) -> None:
    watch, year = a_year(tmp_path, hosts=4, groups=40)
    ders = chain(year.now)
    documents = [*_documents(), *_chain_reports(ders)]
    answers = asyncio.run(post_reports(watch, documents))
    assert set(answers) == {204, 422}
    taken = {name for (name, _, _), status in zip(documents, answers, strict=True) if status == 204}
    assert taken >= _TEXTS | {"chain"}
    Evaluator(watch).run_once()
    browser = TestClient(
        app_of(watch), "http://127.0.0.1:8460", headers={"accept": "text/html"},
        client=("127.0.0.1", 50000),
    )  # fmt: skip
    seen = 0
    for path in _paths(watch, chain_record(ders).digest.hex()):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        for raw in ("<script>window", "<img", "\u202e", "\u200b", "\0"):
            assert raw not in answer.text, (path, raw)
        seen += answer.text.count("&lt;script&gt;window.hacked")
    assert seen > 20
    watch.store.close()
