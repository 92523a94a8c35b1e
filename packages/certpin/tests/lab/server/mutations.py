"""Source changes that remove a rule about the lab's TLS sessions or the order of its servers.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_JUDGE = "certpin/lab/verdict.py"
_LAB, _SESSIONS, _ATTACKS = "certpin/lab/", "certpin/lab/server/", "certpin/lab/attacks/"
_SEQUENCES = f"{_ATTACKS}sequences.py"

_J, _A, _S = "tests/lab/test_verdict.py::", "tests/lab/attacks/", "tests/lab/server/"

_VERDICTS = [
    Mutation(
        "a lax call is needed",
        _JUDGE,
        "    if not any(connection.said for connection in judged):\n",
        "    if not judged:\n",
        f"{_J}test_data_that_was_never_sent_proves_nothing",
    ),
    Mutation(
        "a canary is needed",
        _JUDGE,
        '    return "" if arrived else ',
        '    return "" if True else ',
        f"{_J}test_data_that_was_never_sent_proves_nothing",
    ),
    Mutation(
        "no request went astray",
        _JUDGE,
        "            return self.clear + self.astray\n",
        "            return self.clear + self.data\n",
        f"{_A}test_coalescing.py::"
        "test_a_request_for_a_pinned_host_on_another_ones_connection_is_caught[leaf]",
    ),
    Mutation(
        "one that went astray counts",
        _JUDGE,
        "return bool(self.clear or self.astray) or (",
        "return bool(self.clear) or (",
        f"{_J}test_on_an_honest_connection_requests_for_its_foreign_host_count",
    ),
    Mutation(
        "never asked the second host",
        _JUDGE,
        "        return any(connection.step in scenario.second for connection in met)\n",
        "        return bool(met)\n",
        f"{_J}test_on_an_honest_connection_requests_for_its_foreign_host_count",
    ),
    Mutation(
        "not to follow is to refuse",
        _JUDGE,
        "    if scenario.lures and _lured(scenario, met):\n",
        "    if False:\n",
        f"{_J}test_a_client_that_does_not_follow_has_refused",
    ),
    Mutation(
        "a certificate that was shown",
        _JUDGE,
        "    if found is Outcome.RIGHT and judgement.caution:\n",
        "    if False:\n",
        f"{_J}test_a_certificate_that_was_shown_makes_a_warning_of_a_refusal",
    ),
    Mutation(
        "a certificate that the lab does not know",
        f"{_SESSIONS}session.py",
        "        if self._tls.unknown_client:\n",
        "        if False:\n",
        f"{_A}test_client_certificates.py::test_unknown_client_certificate_counts_as_sent[1.2]",
    ),
    Mutation(
        "what to do",
        f"{_LAB}runner.py",
        '        why = f"{why}: {case.exercise}"\n',
        "        pass\n",
        f"{_A}test_sequences.py::"
        "test_unexercised_case_is_not_run_and_says_how_to_reach_it"
        "[swap-on-reconnect]",
    ),
]

_CASES = [
    Mutation(
        "tickets are shared",
        _SEQUENCES,
        'TLSSettings(tickets="shared")',
        "TLSSettings()",
        f"{_A}test_sequences.py::test_a_session_of_another_host_is_caught[none-1.3]",
    ),
    Mutation(
        "the pool's second connection is honest",
        _SEQUENCES,
        "Scenario.of(lax, pki.honest, canary_only=True)",
        "Scenario.of(lax, canary_only=True)",
        f"{_A}test_sequences.py::test_separate_pools_are_right",
    ),
    Mutation(
        "the pool's connection is kept",
        _SEQUENCES,
        "answer=Answer.KEEP)",
        "answer=Answer.OK)",
        f"{_A}test_sequences.py::test_a_strict_call_on_the_connection_of_a_lax_one_is_caught",
    ),
    Mutation(
        "no answer",
        _SEQUENCES,
        "pki.attacker_chain, answer=Answer.SILENT",
        "pki.attacker_chain, answer=Answer.OK",
        f"{_A}test_sequences.py::test_a_check_after_the_request_leaks_though_no_answer_comes[leaf]",
    ),
    Mutation(
        "five times",
        _SEQUENCES,
        "_RETRIES = 5\n",
        "_RETRIES = 4\n",
        f"{_A}test_sequences.py::test_retries_that_fail_open_are_caught[4]",
    ),
    Mutation(
        "redirects lead to the lab's port",
        f"{_SESSIONS}session.py",
        'self.direct if seen.via == "port" else self.answer_context',
        "self.answer_context",
        f"{_A}test_redirects.py::test_client_that_follows_every_redirect_gets_both_warnings[leaf]",
    ),
    Mutation(
        "the second host is honest",
        f"{_LAB}lab.py",
        "        if not scenario.second and not self.upstream:\n",
        "        if False:\n",
        f"{_A}test_sequences.py::test_pins_on_every_connection_hold[leaf]",
    ),
]

_SESSION = [
    Mutation(
        "once clear, always clear",
        f"{_SESSIONS}session.py",
        "(data[:1] != _TLS_RECORD or self._plain)",
        "data[:1] != _TLS_RECORD",
        f"{_S}test_session.py::test_a_client_that_speaks_in_clear_text_gives_all_of_it_away",
    ),
    Mutation(
        "so much and no more",
        f"{_SESSIONS}session.py",
        "        if not data or self._taken > MAX_RECEIVED:\n",
        "        if not data:\n",
        f"{_S}test_session.py::test_a_client_that_never_ends_is_cut_off",
    ),
    Mutation(
        "close_notify is answered",
        f"{_SESSIONS}tls.py",
        "            if not data:  # close_notify: many clients wait for the server's\n"
        "                self._close()\n",
        "            if not data:\n",
        f"{_S}test_session.py::test_close_notify_is_answered",
    ),
    Mutation(
        "case runs do not share tickets",
        f"{_SESSIONS}tls.py",
        "        self._keepers: dict[str, _Keeper] = {}\n",
        "        self._keepers = vars(Contexts).get('all') or {}\n"
        "        Contexts.all = self._keepers\n",
        f"{_S}test_context.py::test_case_runs_do_not_share_tickets[TLSv1_3]",
    ),
    Mutation(
        "each step has its chain",
        f"{_SESSIONS}tls.py",
        "        moving.to = context\n",
        "        moving.to = vars(self).setdefault('to', context)\n",
        f"{_S}test_context.py::test_steps_that_share_tickets_present_their_own_chains[TLSv1_3]",
    ),
    Mutation(
        "a long hello",
        f"{_SESSIONS}records.py",
        "        if self._length > LONGEST_HELLO or len(self.raw) > _LONGEST_RAW_HELLO:\n",
        "        if len(self.raw) > _LONGEST_RAW_HELLO:\n",
        f"{_S}test_hello.py::"
        f"test_one_of_more_octets_than_openssl_reads_is_refused_by_its_header[{0xFFFFFF}]",
    ),
    Mutation(
        "small records",
        f"{_SESSIONS}records.py",
        "        if self._length > LONGEST_HELLO or len(self.raw) > _LONGEST_RAW_HELLO:\n",
        "        if self._length > LONGEST_HELLO:\n",
        f"{_S}test_hello.py::test_the_headers_of_small_records_fill_no_memory",
    ),
]

_CLOSING = [
    Mutation(
        "Java closes TLS with two alerts",
        f"{_SESSIONS}tls.py",
        "if seen.secured and isinstance(exc, ssl.SSLEOFError):",
        "if False:",
        f"{_S}test_session.py::test_a_client_that_closes_tls_as_java_does_leaves_no_problem",
    ),
]

_HTTP = [
    Mutation(
        "requests of one connection",
        f"{_SESSIONS}http.py",
        " or self._answered >= MAX_REQUESTS",
        "",
        f"{_S}test_http.py::test_requests_of_one_connection_are_limited",
    ),
    Mutation(
        "a head without end",
        f"{_SESSIONS}http.py",
        "            self.closing = len(self._pending) > _LONGEST_HEAD\n",
        "",
        f"{_S}test_http.py::test_a_head_without_end_ends_the_connection",
    ),
    Mutation(
        "rapid resets",
        f"{_SESSIONS}h2.py",
        "            if self._requests > MAX_REQUESTS or self._resets > MAX_REQUESTS:\n",
        "            if False:\n",
        f"{_S}test_h2_hostile.py::test_rapid_resets_are_cut_off",
    ),
    Mutation(
        "a frame too long",
        f"{_SESSIONS}h2.py",
        "        self.broken = self.broken or length > _LONGEST\n",
        "",
        f"{_S}test_h2_hostile.py::test_a_frame_that_is_too_long_is_refused_by_its_header",
    ),
    Mutation(
        "half a request",
        f"{_SESSIONS}h2.py",
        "        if self.broken or self._kind in _WORDS:\n",
        "        if self.broken:\n",
        f"{_S}test_h2.py::test_any_cut_of_a_request_counts_from_its_first_octets_on",
    ),
    Mutation(
        "one frame at a time",
        f"{_SESSIONS}h2.py",
        "        for frame in self._frames:\n",
        "        for frame in [b''.join(self._frames)]:\n",
        f"{_S}test_h2.py::test_request_counts_although_junk_follows_at_once",
    ),
    Mutation(
        "no HTTP/2 at all",
        f"{_SESSIONS}h2.py",
        "        self.broken = not _PREFACE.startswith(came)\n",
        "",
        f"{_S}test_h2.py::"
        "test_bytes_that_are_not_http2_count_as_data[GET /canary HTTP/1.1\\r\\n\\r\\n]",
    ),
]

MUTATIONS = [*_VERDICTS, *_CASES, *_SESSION, *_CLOSING, *_HTTP]
