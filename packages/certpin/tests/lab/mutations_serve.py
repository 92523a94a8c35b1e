"""Source changes that remove a rule of the interactive lab; a test must fail for each.

``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_S = "certpin/lab/device/"
_RECORDS, _RELAY = "certpin/lab/server/records.py", "certpin/lab/server/relay.py"
_R, _U = "tests/lab/server/test_records.py::test_", "tests/lab/test_serve_upstream.py::test_"
_P, _W = "tests/lab/test_serve_queue.py::test_", "tests/lab/test_serve_signals.py::test_"
_H, _V = "tests/lab/test_serve_hostile.py::test_", "tests/lab/test_serve_visitor.py::test_"

_WORDS = [
    Mutation(
        "silence is no refusal",
        f"{_S}turn.py",
        'return ClientSignal.CLOSED if hung_up and seen.problem in {"", _IN_CLEAR} else',
        "return ClientSignal.CLOSED if True else",
        f"{_W}silence_until_the_lab_gave_up_is_no_refusal",
    ),
    Mutation(
        "junk is nothing",
        f"{_S}turn.py",
        "if not seen.hello or seen.problem in _JUNK:",
        "if not seen.hello:",
        f"{_W}junk_after_the_hello_is_nothing[bad record type]",
    ),
    Mutation(
        "data counts first",
        f"{_S}turn.py",
        "    if seen.said or seen.passed:\n",
        "    if (seen.said or seen.passed) and not seen.alert:\n",
        f"{_W}data_counts_whatever_else_was_said",
    ),
]

_TURNS = [
    Mutation(
        "silence twice",
        f"{_S}turn.py",
        "(needed if firm else max(needed, 2))",
        "needed",
        f"{_P}silent_close_must_happen_twice",
    ),
    Mutation(
        "a sequence runs to its end",
        f"{_S}turn.py",
        "return [visit for visit in said if is_judged(self.scenario, visit.seen)]",
        "return said",
        f"{_P}data_on_the_honest_connection_of_a_sequence_is_no_finding",
    ),
    Mutation(
        "a silent client does not block others",
        f"{_S}turn.py",
        ">= _MAX_UNCLEAR",
        ">= 10**9",
        f"{_P}silence_and_junk_move_a_case_on_without_a_verdict",
    ),
    Mutation(
        "unrelated clear text is no evidence",
        f"{_S}turn.py",
        "return visit.seen.hello is not None or visit.attack is self",
        "return True",
        f"{_P}unrelated_clear_text_gives_no_verdict",
    ),
    Mutation(
        "connections without a signal are dropped",
        f"{_S}turn.py",
        "            self.visits.remove(visit)\n",
        "            pass\n",
        f"{_P}connections_that_never_say_hello_change_nothing",
    ),
]

_PROGRAMMES = [
    Mutation(
        "a refusal waits for the control",
        f"{_S}queue.py",
        "            self._doubtful.append(turn)\n",
        "            self._settle(turn, judgement)\n",
        f"{_P}refusal_is_not_reported_before_the_next_control",
    ),
    Mutation(
        "a failed control invalidates refusals",
        f"{_S}queue.py",
        "                self._again(refused, failed)\n",
        "                self._settle(refused, refused.judgement())\n",
        f"{_P}refusals_are_repeated_after_a_failed_control",
    ),
    Mutation(
        "doubt at the end stays",
        f"{_S}queue.py",
        "            self._settle(turn, _NO_CONTROL)\n",
        "            self._settle(turn, turn.judgement())\n",
        f"{_P}unconfirmed_refusals_stay_undecided",
    ),
    Mutation(
        "late data counts",
        f"{_S}queue.py",
        "        self._revise(turn)\n",
        "        return\n",
        f"{_P}late_data_turns_a_refusal_into_a_finding",
    ),
    Mutation(
        "an accepted attack isn't run again",
        f"{_S}queue.py",
        "        if self.current and self.current.case is case:\n            self.current = None\n",
        "",
        f"{_P}late_data_ends_a_run_that_repeats_the_attack",
    ),
    Mutation(
        "a later refusal doesn't replace an accepted attack",
        f"{_S}queue.py",
        "[turn for turn in self._doubtful if turn.case is not case]",
        "[*self._doubtful]",
        f"{_P}late_data_drops_a_repeated_refusal_that_is_not_confirmed",
    ),
    Mutation(
        "the control comes first",
        f"{_S}queue.py",
        "CONTROL if not self._trusted else self._queue.pop(0)",
        "self._queue.pop(0)",
        f"{_P}the_control_comes_first_then_each_case_then_the_control",
    ),
]

_EDGES = [
    Mutation(
        "not to this machine",
        "certpin/lab/server/relay.py",
        "    if peer and (to.via == UPSTREAM or allow(peer[0])):\n",
        "    if peer:\n",
        f"{_H}another_device_is_not_relayed_to_this_machine",
    ),
    Mutation(
        "nor for another device",
        f"{_S}lab.py",
        "here or not is_local(address)",
        "True",
        f"{_H}another_device_reaches_nothing_of_this_machine[192.168.1.7]",
    ),
    Mutation(
        "so many at once",
        f"{_S}lab.py",
        "        while len(self._links) + 2 * self._relays < self._limit:\n",
        "        while True:\n",
        f"{_H}connections_beyond_the_limit_wait",
    ),
    Mutation(
        "only hosts under test",
        f"{_S}connection.py",
        "    if schedule.tests(reached.host):\n",
        "    if True:\n",
        f"{_V}hosts_that_are_not_under_test_pass_through_with_all_they_said[b.example]",
    ),
    Mutation(
        "no key on a disk",
        "certpin/support/files.py",
        "descriptor = _open(content)",
        "descriptor = os.open(__import__('tempfile').mkstemp()[1], os.O_RDWR)",
        "tests/lab/test_loading.py::test_loading_keys_creates_no_file",
    ),
]

_REAL = [
    Mutation(
        "the handshake is no data",
        _RECORDS,
        "        if self._finished:\n            self.data += 1\n",
        "        if True:\n            self.data += 1\n",
        f"{_R}a_client_that_refuses_after_the_handshake_gives_nothing[1.3]",
    ),
    Mutation(
        "an alert is no data",
        _RECORDS,
        "        if any(said - padding in _NO_WORD for padding in self._padding):\n",
        "        if False:\n",
        f"{_R}possible_alerts_and_key_updates_are_not_data[2]",
    ),
    Mutation(
        "a certificate is no data",
        _RECORDS,
        "        self._flight = self._flight or said\n",
        "        self._finished = True\n",
        f"{_R}certificate_of_a_client_that_then_refuses_is_not_data[1.3]",
    ),
    Mutation(
        "Java's padding is no data",
        _RECORDS,
        "_PADDINGS = (0, 16)",
        "_PADDINGS = (0,)",
        f"{_R}padding_of_java_is_not_data",
    ),
    Mutation(
        "whole blocks",
        _RECORDS,
        "        if said != self._flight:\n",
        "        if True:\n",
        f"{_R}records_that_fill_whole_blocks_hide_no_alert",
    ),
    Mutation(
        "the length of the last signal",
        _RECORDS,
        "(48 if number in _SHA384 else 32)",
        "32",
        f"{_R}a_client_that_refuses_after_the_handshake_gives_nothing[1.3]",
    ),
    Mutation(
        "behind the change of the cipher",
        _RECORDS,
        "            self.data += self._changed\n",
        "            self.data += 1\n",
        f"{_R}in_an_older_version_data_comes_behind_a_change_of_the_cipher",
    ),
    Mutation(
        "an unclear end is no refusal",
        f"{_S}turn.py",
        "    if seen.unclear:\n        return ClientSignal.NONE\n",
        "",
        f"{_W}silence_with_unclear_records_is_no_refusal",
    ),
    Mutation(
        "a server that has gone",
        "certpin/lab/server/session.py",
        "        if back and not (data or self._left or self.seen.passed):\n",
        "        if False:\n",
        f"{_U}close_by_the_real_server_is_no_refusal",
    ),
    Mutation(
        "no connection is kept for ever",
        _RELAY,
        "_QUIET if to.via == UPSTREAM else None",
        "None",
        f"{_U}a_connection_that_is_kept_is_ended_once_it_is_quiet",
    ),
    Mutation(
        "the last answer",
        f"{_S}schedule.py",
        "            self._answering.add(visit)\n",
        "            pass\n",
        f"{_U}the_last_answer_arrives_before_the_lab_ends",
    ),
    Mutation(
        "the lab stops after its answers",
        "certpin/cli/lab/serve.py",
        "        lab.let_answer()\n",
        "",
        "tests/cli/test_lab_serve.py::test_open_requests_are_answered_before_the_lab_stops",
    ),
    Mutation(
        "a refusal that passed through is seen",
        f"{_S}lab.py",
        "        conversation.ended()\n        self._listen_on()\n",
        "        self._listen_on()\n",
        f"{_U}unreachable_real_server_is_no_refusal",
    ),
]

_PARALLEL = "tests/lab/test_serve_parallel.py::test_"
_CALLS = [
    Mutation(
        "parallel requests count once",
        f"{_S}turn.py",
        "[visit.after + 1 for visit in self.visits if visit.is_answered]",
        "[0, *(visit.after + 1 for visit in self.visits if visit.is_call)]",
        f"{_PARALLEL}parallel_requests_all_have_time_to_follow[4]",
    ),
    Mutation(
        "requests with an answer end no case that redirects",
        f"{_S}turn.py",
        "            reached = [visit for visit in reached if not visit.is_call]\n",
        "            pass\n",
        f"{_PARALLEL}parallel_requests_all_have_time_to_follow[20]",
    ),
    Mutation(
        "the other port belongs to the case that redirected",
        f"{_S}schedule.py",
        "            self._led[turn.hosts[0], OTHER_PORT] = turn\n",
        "            pass\n",
        f"{_PARALLEL}a_redirect_to_another_port_that_is_followed_late_is_noticed",
    ),
    Mutation(
        "each host has its host without pins",
        f"{_S}schedule.py",
        "{sha256(self.host.encode()).hexdigest()[:12]}.",
        "",
        f"{_PARALLEL}redirects_of_two_hosts_to_a_host_without_pins_are_kept_apart",
    ),
    Mutation(
        "the latest run that redirected",
        f"{_S}schedule.py",
        "            self._led[turn.hosts[2], 0] = turn\n",
        "            self._led.setdefault((turn.hosts[2], 0), turn)\n",
        f"{_PARALLEL}a_second_redirect_of_a_host_is_followed_to_the_second_run",
    ),
    Mutation(
        "a request follows another's answer",
        f"{_S}turn.py",
        "            calls = [visit.after + 1 for visit in self.visits if visit.is_call]\n",
        "            calls = [sum(visit.is_call for visit in self.visits)]\n",
        f"{_PARALLEL}parallel_requests_all_have_time_to_follow[4]",
    ),
]

_SCREEN = "tests/cli/test_lab_screen.py::test_"
_OUTPUT = [
    Mutation(
        "the latest control counts",
        "certpin/cli/lab/screen.py",
        '    if progress.accepts:\n        return "accepted"\n',
        '    if progress.controlled:\n        return "accepted"\n',
        f"{_SCREEN}a_pipe_gets_a_line_when_the_reaction_to_the_honest_server_changes",
    ),
    Mutation(
        "without a case nothing is proven",
        "certpin/cli/lab/serve.py",
        "host.finished and host.tried for",
        "host.finished for",
        f"{_SCREEN}the_exit_code_is_3_if_no_case_of_a_host_could_be_run[hosts2-3]",
    ),
]

_NAMES = [
    Mutation(
        "the names of the lab are not tested",
        "certpin/cli/lab/serve.py",
        "    for host in filter(is_own, hosts):\n",
        "    for host in ():\n",
        "tests/cli/test_lab_serve.py::test_an_invalid_option_is_a_usage_error"
        "[words4-second.certpin.lab belongs to the lab]",
    ),
]

_C = "tests/lab/test_serve_clear_text.py::test_"
_CLEAR_TEXT = [
    Mutation(
        "a fallback to clear text is a finding",
        f"{_S}schedule.py",
        "        if self._attack and not usual:\n",
        "        if False:\n",
        f"{_C}a_refused_request_that_is_repeated_in_clear_text_is_a_finding",
    ),
    Mutation(
        "usual clear text is no fallback",
        f"{_S}schedule.py",
        "        if self._attack and not usual:\n",
        "        if self._attack:\n",
        f"{_C}clear_text_before_every_request_is_no_finding_of_a_case",
    ),
    Mutation(
        "usual clear text has the usual credentials",
        f"{_S}schedule.py",
        "self._usual is not None and credentials <= self._usual",
        "self._usual is not None",
        f"{_C}clear_text_that_gains_a_credential_is_a_fallback",
    ),
    Mutation(
        "a fallback from the honest server is not usual",
        f"{_S}schedule.py",
        "        if not (self._attack or self._failed):\n",
        "        if not self._attack:\n",
        f"{_C}clear_text_after_a_failed_control_is_not_the_usual_clear_text",
    ),
    Mutation(
        "clear text after a redirect into clear text is not usual",
        f"{_S}schedule.py",
        " or turn in self._redirecting:",
        ":",
        f"{_C}clear_text_with_another_url_after_a_redirect_is_not_the_usual_clear_text",
    ),
    Mutation(
        "a redirect into clear text is recognised by its URL",
        f"{_S}schedule.py",
        "            if turn.token in clear:\n",
        "            if False:\n",
        f"{_C}the_url_of_a_redirect_is_recognised_beside_the_usual_clear_text",
    ),
    Mutation(
        "only redirects into clear text attract clear text",
        f"{_S}turn.py",
        "step.answer is Answer.REDIRECT_PLAIN",
        "step.answer is not Answer.OK",
        f"{_C}a_redirect_that_stays_in_tls_attracts_no_clear_text",
    ),
    Mutation(
        "clear text ends no case",
        f"{_S}turn.py",
        "if visit.signal and not visit.in_clear]",
        "if visit.signal]",
        f"{_C}clear_text_does_not_end_a_case",
    ),
]

MUTATIONS = [
    *_WORDS,
    *_TURNS,
    *_PROGRAMMES,
    *_EDGES,
    *_REAL,
    *_CALLS,
    *_OUTPUT,
    *_NAMES,
    *_CLEAR_TEXT,
]
