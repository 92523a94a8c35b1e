"""Source changes that remove a rule about the lab's ports, connections and relays.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_AT, _T = "certpin/lab/server/", "tests/lab/server/"
_P, _F, _R = f"{_T}test_port.py::", f"{_T}test_front.py::", f"{_T}test_relay.py::"
_W = f"{_T}test_waiting.py::"

MUTATIONS = [
    Mutation(
        "a half-closed client",
        f"{_AT}port.py",
        "        if self._unsent and self._open:\n",
        "        if False:\n",
        f"{_P}test_a_client_that_closed_its_side_gets_the_whole_answer",
    ),
    Mutation(
        "unsent bytes are dropped after an error",
        f"{_AT}port.py",
        "            self._unsent.clear()  # the client no longer reads",
        "            self.close()  # it takes no more",
        f"{_P}test_an_answer_that_cannot_be_sent_does_not_end_the_listening",
    ),
    Mutation(
        "a client that never reads",
        f"{_AT}port.py",
        "        if len(self._unsent) > _MAX_UNSENT:\n",
        "        if False:\n",
        f"{_P}test_a_client_that_never_reads_costs_bounded_memory",
    ),
    Mutation(
        "the last words",
        f"{_AT}port.py",
        "                if not link.read():\n                    break\n",
        "                break\n",
        f"{_P}test_unread_data_is_read_at_the_end",
    ),
    Mutation(
        "those who wait",
        f"{_AT}port.py",
        "        self._accept()\n        self._closed = True\n",
        "        self._closed = True\n",
        f"{_P}test_client_in_the_backlog_is_read",
    ),
    Mutation(
        "one that was gone",
        f"{_AT}port.py",
        "                return True  # closed",
        "                return False  # gone",
        f"{_P}test_closed_connection_in_the_backlog_does_not_hide_others",
    ),
    Mutation(
        "first the answer, then the check",
        f"{_AT}conversation.py",
        "    if not host or not 0 < port <= 65_535:",
        "    if not host:",
        f"{_F}test_connect_to_nowhere_is_refused[a:0]",
    ),
    Mutation(
        "two protocols in one",
        f"{_AT}conversation.py",
        "            if self._greeted or self.rest[0] == _SOCKS5:\n",
        "            if self.rest[0] == _SOCKS5:\n",
        f"{_F}test_connection_does_not_change_from_socks5_to_http",
    ),
    Mutation(
        "each side by itself",
        f"{_AT}relay.py",
        "    writer.write_eof()",
        "    writer.close()",
        f"{_R}test_each_side_may_finish_before_the_other",
    ),
    Mutation(
        "a relay that has not begun",
        f"{_AT}relay.py",
        "    task.add_done_callback(lambda _: sock.close())",
        "    # nothing",
        f"{_R}test_nothing_is_left_of_a_relay_whose_lab_ends",
    ),
    Mutation(
        "a relay that is left when its program has ended",
        f"{_AT}port.py",
        "    if left:\n        loop.run_until",
        "    if False:\n        loop.run_until",
        f"{_W}test_nothing_is_left_of_a_relay_when_the_loop_is_closed",
    ),
    Mutation(
        "a thread in which an event loop runs",
        "certpin/lab/runner.py",
        " or case_server.needs_thread or _is_serving():\n",
        " or case_server.needs_thread:\n",
        f"{_W}test_where_an_event_loop_runs_the_thread_of_the_lab_serves",
    ),
    Mutation(
        "a case with QUIC",
        "certpin/lab/lab.py",
        "return self.scenario.http3 is not None or",
        "return",
        "tests/lab/attacks/test_http3.py::test_curl_checks_its_pins_over_http3",
    ),
    Mutation(
        "a server that reads nothing",
        f"{_AT}relay.py",
        "    if task and task.cancelling() and",
        "    if task and not task.cancelling() and",
        f"{_W}test_a_server_that_reads_nothing_does_not_keep_the_loop_open",
    ),
]
