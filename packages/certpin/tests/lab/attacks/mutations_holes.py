"""Source changes in the cases that catch clients with a single fault.

``tests/test_mutations.py`` applies each of them, and the test of a client with that fault must
fail.
"""

from __future__ import annotations

from tests._mutation import Mutation

_ATTACKS, _SERVER = "certpin/lab/attacks", "certpin/lab/server"
_CAUGHT = "tests/lab/gallery/test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
_LEAVES = "tests/lab/attacks/test_leaves.py"
_PROXIES = "tests/lab/attacks/test_proxies.py"
_INTERRUPTED = "tests/lab/server/test_interruptions.py"


def _by(client: str, file: str, rule: str, old: str, new: str) -> Mutation:
    return Mutation(f"holes: {rule}", f"{_ATTACKS}/{file}.py", old, new, f"{_CAUGHT}[{client}]")


def _in(file: str, rule: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(f"holes: {rule}", file, old, new, test)


MUTATIONS = [
    _in(
        f"{_ATTACKS}/connections.py",
        "only the n-th connection is attacked",
        "ServerStep.of(pki.attacker_chain), pki.honest)",
        "ServerStep.of(pki.attacker_chain))",
        "tests/lab/attacks/test_connections.py::test_only_the_nth_connection_is_attacked[2]",
    ),
    _by(
        "pin_checked_twice",
        "connections",
        "the connections before the n-th are honest",
        "*[again] * (number - 1)",
        "*[again] * 1",
    ),
    _in(
        f"{_ATTACKS}/connections.py",
        "a man in the middle on another kind of connection",
        "other_kind=(pki.man_in_the_middle,)",
        "other_kind=(pki.honest,)",
        "tests/lab/attacks/test_connections.py::test_the_attack_is_on_no_ordinary_connection",
    ),
    _by(
        "other_port_unpinned",
        "connections",
        "a man in the middle on another port",
        "other_port=(pki.man_in_the_middle,)",
        "other_port=(pki.honest,)",
    ),
    _by(
        "pins_in_tls13_only",
        "handshakes",
        "one version of TLS",
        "TLSSettings(oldest=VERSIONS[name], newest=VERSIONS[name])",
        "TLSSettings()",
    ),
    _by(
        "pins_in_http2_only",
        "handshakes",
        "HTTP/1.1 for a client of HTTP/2",
        "but(alpn=(HTTP1,))",
        "but(alpn=(HTTP2, HTTP1))",
    ),
    _by(
        "pins_in_http1_only",
        "handshakes",
        "HTTP/2 for a client of HTTP/1.1",
        "but(alpn=(HTTP2,))",
        "but(alpn=(HTTP1,))",
    ),
    _by("pins_need_alpn", "handshakes", "no ALPN", "but(alpn=())", "but(alpn=None)"),
    _by(
        "http_after_close",
        "handshakes",
        "the handshake is interrupted",
        'return lambda _: Scenario.of(ServerStep((), b"", opening=opening))',
        "return lambda pki: Scenario.of(pki.man_in_the_middle)",
    ),
    _by(
        "unchecked_after_drop",
        "handshakes",
        "the first connection is dropped",
        'Scenario.of(ServerStep((), b"", opening=Opening.CLOSE), pki.man_in_the_middle)',
        "Scenario.of(pki.man_in_the_middle)",
    ),
    _by(
        "unchecked_after_timeout",
        "handshakes",
        "the attacker is slow",
        "rogue.but(opening=Opening.SLOW)",
        "rogue.but()",
    ),
    _by(
        "one_pool_of_pins",
        "lookalikes",
        "the key of the second host",
        "key=pki.second_leaf.key",
        "key=None",
    ),
    _by(
        "pins_compared_in_part",
        "lookalikes",
        "a pin with the same beginning",
        "key=similar_key(pin.digest)",
        "key=None",
    ),
    _by(
        "pins_by_text",
        "hosts",
        "a trailing dot",
        'lambda host: f"{host}."',
        "str",
    ),
    _by("pins_by_text", "hosts", "upper case", "_spelled(str.upper)", "str"),
    _by(
        "pins_by_text",
        "hosts",
        "a Unicode label",
        'return f"{_U_LABEL}.{rest}"',
        "return host",
    ),
    _by("addresses_unpinned", "hosts", "an IPv4 address", "host=ipv4", "host=str"),
    _by("addresses_unpinned", "hosts", "an IPv6 address", "host=ipv6", "host=str"),
    _by(
        "unknown_keys_accepted",
        "leaves",
        "a key of the declared kind",
        "pki.rogue.issue(pki.host, key=make())",
        "pki.rogue.issue(pki.host)",
    ),
    _by(
        "extensions_needed",
        "leaves",
        "version 1",
        "chain=(version_1(identity.chain[0], pki.rogue),)",
        "chain=(identity.chain[0],)",
    ),
    _by("common_name_needed", "leaves", "the subject", "subject=name", "subject=None"),
    _by(
        "large_certificates_accepted",
        "leaves",
        "many names",
        "range(_MANY_NAMES)",
        "range(9)",
    ),
    _by(
        "authorities_left_out",
        "leaves",
        "an authority as the server",
        "ServerStep.of(Identity(authority.key, (authority.x509,)))",
        "ServerStep.of(pki.attacker_chain)",
    ),
    _by(
        "http_after_large_certificate",
        "exhaustion",
        "more than libraries read",
        "range(_NAMES)",
        "range(99)",
    ),
    _by(
        "constraints_given_up",
        "exhaustion",
        "a product of constraints",
        "_FACTOR = 1_020",
        "_FACTOR = 10",
    ),
    _by(
        "length_of_the_chain",
        "chains",
        "rogue intermediates",
        "for number in range(authorities):",
        "for number in range(0 * authorities):",
    ),
    _by(
        "pin_at_position",
        "paths",
        "a shorter chain",
        "pki.root.issue(pki.host, key=pki.leaf.key)",
        "pki.intermediate.issue(pki.host, key=pki.leaf.key)",
    ),
    _by(
        "common_name_first",
        "spellings",
        "another name in the SAN",
        "return _with_san(pki, pki.host, x509.DNSName(_ATTACKER))",
        "return _with_san(pki, _ATTACKER, x509.DNSName(_ATTACKER))",
    ),
    _by(
        "names_by_pattern",
        "names",
        "a wildcard over the top-level domain",
        '        scenario=_named(lambda host: f"*.{parent(host)}"),\n        host=registered,',
        "        scenario=_named(parent),\n        host=registered,",
    ),
    _by(
        "constraints_of_one_authority",
        "constraints",
        "the lower authority widens",
        "change=_limit(_permits(pki.host))",
        "change=_limit(*_OTHERS)",
    ),
    _by(
        "purposes_compared_one_by_one",
        "constraints",
        "an empty list of purposes",
        'b"\\x30\\x00")',
        'b"\\x30\\x0a\\x06\\x08\\x2b\\x06\\x01\\x05\\x05\\x07\\x03\\x02")',
    ),
    _in(
        f"{_ATTACKS}/leaves.py",
        "a key for PSS only",
        "return Scenario.of(ServerStep(chain, key_pem))",
        "return Scenario.of(ServerStep.of(issued))",
        f"{_LEAVES}::test_the_keys_are_of_the_declared_kinds",
    ),
    _in(
        f"{_ATTACKS}/leaves.py",
        "names of other kinds",
        "            *hosts,\n",
        "",
        f"{_LEAVES}::test_the_certificates_have_the_declared_form",
    ),
    _in(
        f"{_SERVER}/session.py",
        "a reset",
        "self.resets = step.opening is Opening.RESET",
        "self.resets = False",
        f"{_INTERRUPTED}::test_an_interrupted_handshake_sends_nothing_and_is_over",
    ),
    _in(
        f"{_SERVER}/port.py",
        "the socket is reset",
        "if self.conversation.resets:",
        "if False:",
        f"{_INTERRUPTED}::test_a_client_sees_the_end_that_the_step_declares",
    ),
    _in(
        f"{_SERVER}/session.py",
        "no byte before the end of a pause",
        "_SHORTEST_PAUSE)\n            return\n",
        "_SHORTEST_PAUSE)\n",
        f"{_INTERRUPTED}::test_a_slow_server_begins_tls_after_its_pause",
    ),
    _in(
        f"{_SERVER}/session.py",
        "no delay is a short one",
        "max(self._case_run.stall, _SHORTEST_PAUSE)",
        "self._case_run.stall",
        f"{_INTERRUPTED}::test_no_delay_is_a_short_one",
    ),
    _in(
        f"{_SERVER}/records.py",
        "GREASE is no kind",
        "return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF",
        "return False",
        f"{_INTERRUPTED}::test_random_values_and_the_order_do_not_change_the_kind",
    ),
    _in(
        f"{_SERVER}/records.py",
        "the offered protocols are part of the kind",
        'return f"{fixed} {protocols}"',
        'return f"{fixed}"',
        f"{_INTERRUPTED}::test_other_settings_are_another_kind[protocols]",
    ),
    _in(
        "certpin/lab/device/turn.py",
        "a device has time for a connection of another kind",
        "if self.scenario.lures or self.scenario.other_kind:",
        "if self.scenario.lures:",
        "tests/lab/test_serve_kinds.py::test_a_websocket_without_pins_is_found",
    ),
    _in(
        "certpin/lab/device/schedule.py",
        "an app is not given another spelling of its host",
        "asked = case.spelling(case.host(host))",
        "asked = case.host(host)",
        "tests/lab/test_serve_kinds.py::test_cases_that_a_device_cannot_meet_are_not_run",
    ),
    _in(
        "certpin/lab/verdict.py",
        "a client that refuses a spelling is not undecided",
        "not attempt.scenario.odd_host or ending.broken or ending.content",
        "True",
        "tests/lab/test_verdict.py::test_a_client_may_refuse_an_odd_spelling_before_it_connects",
    ),
    _in(
        "certpin/lab/runner.py",
        "only refused connections count",
        "seen.hostile and seen.hello is not None and not seen.said",
        "seen.hostile and seen.hello is not None",
        "tests/lab/test_bound.py::"
        "test_connections_that_gave_data_or_may_be_accepted_are_not_counted",
    ),
    _in(
        "certpin/lab/runner.py",
        "an attack that gets through in a later round is a finding",
        "    if again.outcome is Outcome.RIGHT:\n        return replace(before",
        "    if True:\n        return replace(before",
        "tests/lab/test_bound.py::"
        "test_an_attack_that_gets_through_later_is_a_finding_and_ends_the_rounds",
    ),
    _in(
        "certpin/lab/report/words.py",
        "a missed bound is inconclusive",
        "and not open_cases and not _missed(run)",
        "and not open_cases",
        "tests/lab/report/test_words.py::test_a_run_that_misses_its_bound_is_inconclusive",
    ),
    _in(
        "certpin/lab/report/words.py",
        "no bound after a finding",
        "if not run.controlled or run.count(Outcome.WRONG):",
        "if not run.controlled:",
        "tests/lab/report/test_words.py::test_no_bound_follows_from_a_run_with_a_finding",
    ),
    _in(
        "certpin/lab/client.py",
        "each way in turn",
        "commands[number % len(commands)]",
        "commands[0]",
        "tests/cli/test_prove.py::test_both_ways_are_tried_in_one_run",
    ),
    _in(
        f"{_SERVER}/conversation.py",
        "no tunnel is opened beside a refusal",
        "            self._front.data_to_send()  # no tunnel",
        "            pass  # no tunnel",
        f"{_PROXIES}::test_the_answer_is_the_proxys_and_no_tunnel_is_opened[403]",
    ),
    _in(
        f"{_SERVER}/conversation.py",
        "clear text to a proxy that refused",
        'or not data.startswith((b"\\x16", b"CONNECT "))',
        "and data",
        f"{_PROXIES}::test_clear_text_after_the_answer_is_data_and_tls_is_not",
    ),
    _in(
        f"{_SERVER}/conversation.py",
        "a password that answers a proxy",
        "        if asked and status ==",
        "        if not asked and status ==",
        f"{_PROXIES}::test_a_password_that_answers_the_proxy_is_data[Authorization]",
    ),
    _in(
        f"{_SERVER}/http.py",
        "the redirect of a proxy",
        "302: f",
        "303: f",
        f"{_CAUGHT}[proxy_redirect_followed]",
    ),
    _in(
        f"{_SERVER}/http.py",
        "a proxy that asks for a password",
        "407: _BASIC",
        "401: _BASIC",
        f"{_PROXIES}::test_the_answer_is_the_proxys_and_no_tunnel_is_opened[407]",
    ),
    _in(
        "certpin/lab/lab.py",
        "a hostile proxy answers itself",
        'if self.scenario.proxy_status and reached.via == "connect"',
        'if False and reached.via == "connect"',
        f"{_CAUGHT}[proxy_answer_shown]",
    ),
    _in(
        "certpin/lab/lab.py",
        "plain requests are answered by the lab",
        'reached.via == "connect" and not reached.plain:',
        'reached.via == "connect":',
        f"{_PROXIES}::test_plain_requests_are_not_answered_by_the_proxy",
    ),
    _in(
        "certpin/lab/verdict.py",
        "success with a proxy's answer",
        "content = attempt.ending.content\n",
        "content = False\n",
        f"{_CAUGHT}[proxy_answer_shown]",
    ),
    _in(
        "certpin/lab/client.py",
        "only a client of the proxy meets it",
        'if target.only_by_proxy and self.via != "connect":',
        "if False:",
        f"{_PROXIES}::test_other_ways_to_the_lab_do_not_meet_the_proxy",
    ),
    _in(
        "certpin/lab/client.py",
        "of several ways only the proxy",
        "proxied if target.only_by_proxy and proxied else self._commands",
        "self._commands",
        f"{_PROXIES}::test_of_several_ways_only_the_proxy_is_taken",
    ),
    _in(
        "certpin/lab/device/schedule.py",
        "no verdict on an app's proxy",
        "    if scenario.proxy_status:\n",
        "    if False:\n",
        "tests/lab/test_serve_kinds.py::test_an_app_shows_no_sign_that_it_refused_its_proxy",
    ),
    _in(
        "certpin/lab/report/faults/model.py",
        "clear text by a proxy's answer is another fault",
        "if result.case.matrix_name not in PROXY_ANSWERS]",
        "]",
        f"{_CAUGHT}[proxy_redirect_followed]",
    ),
    _in(
        "certpin/lab/trial.py",
        "a client that asked the proxy has met the attack",
        "connection.hello or connection.clear or connection.tampered\n",
        "connection.hello or connection.clear\n",
        f"{_PROXIES}::test_a_man_in_the_middle_is_met_by_its_proxy",
    ),
]
