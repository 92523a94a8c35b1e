"""Source changes that remove a rule about hosts that are not under test; a test must fail for each.

``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_LAB, _WORDS = "certpin/lab/lab.py", "certpin/lab/report/words.py"
_VERDICT = "certpin/lab/verdict.py"
_CONVERSATION = "certpin/lab/server/conversation.py"
_T = "tests/lab/test_other_hosts.py::"
_FALLBACK = f"{_T}test_a_fallback_to_another_host_is_refused_and_named[connect]"

MUTATIONS = [
    Mutation(
        "other hosts are not relayed",
        _LAB,
        "        return None if relayed else RefusedHost(reached)\n",
        "        return None\n",
        _FALLBACK,
    ),
    Mutation(
        "a released app gets to other hosts",
        _LAB,
        "        return None if relayed else RefusedHost(reached)\n",
        "        return RefusedHost(reached)\n",
        f"{_T}test_a_released_app_gets_to_other_hosts_and_they_are_named",
    ),
    Mutation(
        "other hosts are recorded",
        _LAB,
        "            self._others[OtherHost(host, reached.port, relayed)] = None\n",
        "            pass\n",
        _FALLBACK,
    ),
    Mutation(
        "the recorded hosts are limited",
        _LAB,
        "        if len(self._others) < _MAX_OTHERS:\n",
        "        if True:\n",
        f"{_T}test_the_hosts_that_an_attempt_keeps_are_limited",
    ),
    Mutation(
        "a recorded host has the length of a name",
        _LAB,
        "            host = reached.host[:LONGEST_HOST]\n",
        "            host = reached.host\n",
        f"{_T}test_the_hosts_that_an_attempt_keeps_are_limited",
    ),
    Mutation(
        "a host adds no line to a report",
        "certpin/lab/verdict.py",
        "        host = printable(self.host)  # the client",
        "        host = self.host  # the client",
        f"{_T}test_a_host_is_named_in_one_line",
    ),
    Mutation(
        "the lab's own ports are no other hosts",
        _LAB,
        " in own | self._lab.list_addresses:",
        " in self._lab.list_addresses:",
        f"{_T}test_the_labs_own_port_is_reached_through_its_proxy",
    ),
    Mutation(
        "lists of revoked certificates are fetched through the proxy",
        _LAB,
        " in own | self._lab.list_addresses:",
        " in own:",
        "tests/lab/attacks/test_revocation_lists.py::test_a_request_for_a_list_is_no_leak[True]",
    ),
    Mutation(
        "the answer to the greeting is sent before the refusal",
        _CONVERSATION,
        "        del self._out[len(self._out) - len(self._success) :]\n",
        "        self._out.clear()\n",
        f"{_T}test_socks_refuses_by_its_rules[with the greeting]",
    ),
    Mutation(
        "a SOCKS client gets no HTTP",
        _CONVERSATION,
        '_NOT_ALLOWED if reached.via == "socks5" else refuse_host()',
        "refuse_host()",
        f"{_T}test_socks_refuses_by_its_rules[after the greeting]",
    ),
    Mutation(
        "the reason of a verdict names other hosts",
        "certpin/lab/verdict.py",
        "    notes = [other.note for other in attempt.others]\n",
        "    notes = [other.note for other in ()]\n",
        f"{_T}test_a_client_that_needs_another_host_fails_the_control_with_the_reason",
    ),
    Mutation(
        "the summary names other hosts",
        _WORDS,
        "        *other_host_lines(run),\n",
        "",
        _FALLBACK,
    ),
    Mutation(
        "the advice after a good result is to attack other hosts",
        _WORDS,
        "    if other_host_lines(run):\n",
        "    if False:\n",
        _FALLBACK,
    ),
    Mutation(
        "only hosts of the control are needed",
        _WORDS,
        "    controls = [result for result in run.results if result.case is CONTROL]\n",
        "    controls = run.results\n",
        f"{_T}test_only_hosts_that_the_control_requested_are_needed",
    ),
    Mutation(
        "a relayed host needs no advice",
        _WORDS,
        "        if not other.relayed and (other.is_ip_address",
        "        if (other.is_ip_address",
        f"{_T}test_a_relayed_host_needs_no_advice",
    ),
    Mutation(
        "only a host is written into a command",
        _WORDS,
        " and (other.is_ip_address or _NAME.fullmatch(other.host))\n",
        "\n",
        f"{_T}test_only_a_host_is_written_into_a_command",
    ),
    Mutation(
        "no zone is written into a command",
        _VERDICT,
        'return "%" not in self.host',
        "return True",
        f"{_T}test_only_a_host_is_written_into_a_command",
    ),
    Mutation(
        "the advice has the variable that Python prefers",
        _WORDS,
        " no_proxy={direct} before",
        " before",
        f"{_T}test_a_client_that_needs_another_host_fails_the_control_with_the_reason[urllib]",
    ),
    Mutation(
        "the advice keeps the host under test in the lab",
        _WORDS,
        " if name.endswith(host)}\n",
        " if name == host}\n",
        f"{_T}test_no_advice_takes_a_host_under_test_out_of_the_lab",
    ),
    Mutation(
        "the advice keeps the second host under test in the lab",
        _WORDS,
        "    tested = (*(name for made in attempts for name in made.hosts), run.host)\n",
        "    tested = (run.host,)\n",
        f"{_T}test_no_advice_takes_a_host_under_test_out_of_the_lab",
    ),
    Mutation(
        "the lab's further ports are no other hosts",
        _LAB,
        "for port in (direct, *further)}",
        "for port in (direct,)}",
        f"{_T}test_the_labs_further_port_is_reached_through_its_proxy",
    ),
    Mutation(
        "the JSON names other hosts",
        "certpin/lab/report/json.py",
        "            for other in attempt.others\n",
        "            for other in ()\n",
        _FALLBACK,
    ),
    Mutation(
        "the table names other hosts",
        "certpin/cli/prove_result.py",
        "            for other in other_hosts(result):\n",
        "            for other in ():\n",
        f"{_T}test_the_command_names_them_in_each_output",
    ),
]
