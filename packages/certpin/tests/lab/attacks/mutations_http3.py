"""Source changes in the HTTP/3 cases and in the lab's server on UDP.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_HTTP3 = "tests/lab/attacks/test_http3.py"
_CAUGHT = "tests/lab/gallery/test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
_OFFER = f"{_HTTP3}::test_each_answer_over_tcp_offers_http3[rot-http3]"
_LAB, _CASES, _QUIC = "certpin/lab", "certpin/lab/attacks/http3.py", "certpin/lab/server/quic.py"


def _rule(file: str, rule: str, old: str, new: str, test: str) -> Mutation:
    path = test if "/" in test else f"{_HTTP3}::{test}"
    return Mutation(f"HTTP/3: {rule}", file, old, new, path)


MUTATIONS = [
    _rule(
        _CASES,
        "an attacker answers over QUIC",
        "ServerStep.of(pki.attacker_chain)",
        "pki.honest",
        "test_the_evidence_of_a_request",
    ),
    _rule(
        _CASES,
        "an unknown authority over QUIC",
        "pki.untrusted.issue(pki.host)",
        "pki.rogue.issue(pki.host)",
        "test_a_refusal_over_quic_counts_as_one",
    ),
    _rule(
        _CASES,
        "to stay on TCP is a refusal",
        "lures=over_quic.role is not offering.role",
        "lures=False",
        "test_a_client_that_stays_on_tcp_is_right[http3-rogue-leaf]",
    ),
    _rule(
        _CASES,
        "a missing library",
        "    need_http3()\n",
        "",
        "test_a_missing_library_leaves_the_cases_out",
    ),
    _rule(
        f"{_LAB}/server/protocols.py",
        "the library is looked for",
        'if not find_spec("aioquic")',
        "if False",
        "test_a_missing_library_leaves_the_cases_out",
    ),
    _rule(
        f"{_LAB}/scenario.py",
        "only some servers offer it",
        'if step.offers_http3 else ""',
        'if self.http3_port else ""',
        _OFFER,
    ),
    _rule(
        f"{_LAB}/scenario.py",
        "a redirect once",
        '"" if path == self.same else self.same',
        "self.same",
        _OFFER,
    ),
    _rule(
        f"{_LAB}/server/http.py",
        "the offer of an answer",
        "            alt_svc=self._alt_svc,\n",
        "",
        _OFFER,
    ),
    _rule(
        f"{_LAB}/server/http.py",
        "the offer of a redirect",
        "return redirect(to, keep=not self.closing, alt_svc=self._alt_svc)",
        "return redirect(to, keep=not self.closing)",
        _OFFER,
    ),
    _rule(
        f"{_LAB}/server/h2.py",
        "the offer on HTTP/2",
        '[*headers, ("alt-svc", alt_svc)] if alt_svc else headers',
        "headers",
        "test_http2_offers_it_too[True]",
    ),
    _rule(
        f"{_LAB}/lab.py",
        "the offer through a proxy",
        "for answers in (self._answer_context, self._case_run.direct):",
        "for answers in (self._case_run.direct,):",
        "test_the_offer_names_the_port_in_every_way",
    ),
    _rule(
        f"{_LAB}/device/schedule.py",
        "no QUIC of a device",
        "    if scenario.http3:\n",
        "    if False:\n",
        "tests/lab/test_serve_kinds.py::test_a_device_has_no_way_to_the_lab_over_quic",
    ),
    _rule(
        f"{_LAB}/verdict.py",
        "an error before HTTP/3",
        "if judged.verdict is Verdict.REJECT and not tried:",
        "if False:",
        "test_an_error_before_http3_is_no_lock_out",
    ),
    _rule(
        f"{_LAB}/verdict.py",
        "an error in HTTP/3",
        "if judged.verdict is Verdict.REJECT and not tried:",
        "if judged.verdict is Verdict.REJECT:",
        "test_an_error_in_the_handshake_of_http3_is_a_lock_out",
    ),
    _rule(
        f"{_LAB}/report/faults/holes.py",
        "one fault for a library that verifies nothing",
        'also=("http3-rogue",)',
        "also=()",
        f"{_CAUGHT}[http3_unverified]",
    ),
    _rule(
        _QUIC,
        "TCP and UDP have one number",
        "(address, port.number)",
        "(address, 0)",
        "test_a_number_that_is_taken_for_udp_is_left",
    ),
    _rule(
        _QUIC,
        "another number if it is taken",
        "if exc.errno != errno.EADDRINUSE or not left:",
        "if exc:",
        "test_a_number_that_is_taken_for_udp_is_left",
    ),
    _rule(
        _QUIC,
        "a number that is taken is closed",
        "            port.close()\n",
        "",
        "test_a_number_that_is_taken_for_udp_is_left",
    ),
    _rule(
        _QUIC,
        "data that has arrived is read",
        "        self._closed = True\n        self._read()\n",
        "        self._closed = True\n",
        "test_data_that_arrived_before_the_end_is_read",
    ),
    _rule(
        _QUIC,
        "hostile datagrams are dropped",
        "with suppress(Exception):\n                self._server",
        "with suppress(OSError):\n                self._server",
        "test_a_datagram_that_the_library_fails_at_is_dropped",
    ),
    _rule(
        _QUIC,
        "the headers of a request are data",
        "self._words += words[: KEPT - len(self._words)]",
        "pass",
        f"{_CAUGHT}[http3_unpinned]",
    ),
    _rule(
        _QUIC,
        "the body of a request is data",
        "                self._say(each.stream_id, each.data)\n",
        "                pass\n",
        "test_the_body_of_a_request_is_data_and_an_answer_to_head_has_none",
    ),
    _rule(
        _QUIC,
        "a request that can't be parsed is data",
        "(known + event.data)[:KEPT]",
        'b""',
        "test_a_request_that_cannot_be_parsed_is_data",
    ),
    _rule(
        _QUIC,
        "only requests are data",
        "return stream % 4 == 0",
        "return True",
        "test_a_handshake_is_no_data",
    ),
    _rule(
        _QUIC,
        "alerts",
        "event.error_code in _CRYPTO_ERRORS",
        "not event",
        "test_the_alert_of_a_client_is_recorded",
    ),
    _rule(
        _QUIC,
        "an error of HTTP/3 is no alert",
        "event.frame_type is not None and ",
        "",
        "test_another_error_of_a_client_is_recorded",
    ),
    _rule(
        _QUIC,
        "the end of a connection is reported",
        "                self._quic.handle_timer(due)\n",
        "                break\n",
        "test_the_alert_of_a_client_is_recorded",
    ),
    _rule(
        _QUIC,
        "no timer is left",
        "            self.transmit()  # ends the timer\n",
        "",
        "test_no_timer_is_left_at_the_end",
    ),
    _rule(
        f"{_LAB}/report/words.py",
        "the report says whether it was used",
        "seen.step is tried.scenario.http3 for tried",
        "seen.step is None for tried",
        "test_the_report_says_whether_a_client_uses_http3",
    ),
    _rule(
        _QUIC,
        "what arrived counts without an answer",
        "        try:\n            self._answer(http, event)\n        finally:",
        "        self._answer(http, event)\n        if True:",
        "test_a_request_whose_answer_is_stopped_is_data",
    ),
    _rule(
        _QUIC,
        "the bytes of a client are limited",
        "            if self._taken > MAX_RECEIVED:",
        "            if False:",
        "test_a_client_that_sends_without_end_is_left",
    ),
]
