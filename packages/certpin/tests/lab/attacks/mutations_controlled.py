"""Source changes in the cases of TLS to a proxy, and of ECH that the server rejects.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_LAB = "certpin/lab"
_CAUGHT = "tests/lab/gallery/test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
_CASES = "tests/lab/attacks/test_https_proxies.py"
_SERVED = "tests/lab/server/test_tls_proxy.py"
_ECH = "tests/lab/attacks/test_ech.py"


def _in(file: str, rule: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(f"https proxies: {rule}", f"{_LAB}/{file}", old, new, test)


def _ech(file: str, rule: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(f"ech: {rule}", f"{_LAB}/{file}", old, new, f"{_ECH}::{test}")


MUTATIONS = [
    _in(
        "attacks/proxies.py",
        "the trusted proxy has its own names",
        "pki.intermediate.issue(*_PROXY_NAMES), role=Role.HONEST",
        "pki.intermediate.issue(pki.host), role=Role.HONEST",
        f"{_CASES}::test_each_case_has_the_certificates_that_it_describes",
    ),
    _in(
        "attacks/proxies.py",
        "a hostile proxy is an attacker",
        "tls_proxy=ServerStep.of(issuer(pki).issue(*names))",
        "tls_proxy=ServerStep.of(issuer(pki).issue(*names), role=Role.HONEST)",
        f"{_CASES}::test_each_case_has_the_certificates_that_it_describes",
    ),
    _in(
        "attacks/proxies.py",
        "a name of another proxy",
        'pki.intermediate, "proxy.evil.example"',
        "pki.intermediate, *_PROXY_NAMES",
        f"{_CASES}::test_each_case_has_the_certificates_that_it_describes",
    ),
    _in(
        "attacks/proxies.py",
        "a man in the middle behind the proxy",
        "_in_tunnel(lambda pki: ServerStep.of(pki.attacker_chain))",
        "_in_tunnel(lambda pki: pki.honest)",
        f"{_CASES}::test_each_case_has_the_certificates_that_it_describes",
    ),
    _in(
        "attacks/proxies.py",
        "an unknown authority behind the proxy",
        "_in_tunnel(lambda pki: ServerStep.of(pki.untrusted.issue(pki.host)))",
        "_in_tunnel(lambda pki: pki.honest)",
        f"{_CASES}::test_each_case_has_the_certificates_that_it_describes",
    ),
    _in(
        "lab.py",
        "the proxy speaks TLS",
        "        if self.scenario.tls_proxy:\n            return TlsProxied",
        "        if False:\n            return TlsProxied",
        f"{_CAUGHT}[https_proxy_any_name]",
    ),
    _in(
        "target.py",
        "the scheme of the proxy",
        'scheme = "https" if self.tls_proxy else "http"',
        'scheme = "http"',
        f"{_CASES}::test_the_client_gets_the_address_of_the_proxy_with_its_scheme",
    ),
    _in(
        "scenario.py",
        "only a client of the proxy meets it",
        "self.proxy_status > 0 or self.tls_proxy is not None",
        "self.proxy_status > 0",
        f"{_CASES}::test_other_ways_to_the_lab_have_no_tls_with_a_proxy",
    ),
    _in(
        "runner.py",
        "a client that doesn't support it is not judged",
        "        if case.control:\n",
        "        if False:\n",
        f"{_CASES}::test_a_client_that_refuses_the_trusted_proxy_is_not_judged",
    ),
    _in(
        "runner.py",
        "the control must be accepted",
        'if result.outcome is Outcome.RIGHT:\n            return ""\n        return f"{control',
        'if True:\n            return ""\n        return f"{control',
        f"{_CASES}::test_a_client_that_refuses_the_trusted_proxy_is_not_judged",
    ),
    _in(
        "verdict.py",
        "a client that leaves the proxy out is not judged",
        "unmet = _unproxied(attempt) or",
        "unmet =",
        f"{_CASES}::test_a_client_that_leaves_the_proxy_out_is_not_judged",
    ),
    _in(
        "verdict.py",
        "a tunnel must be requested",
        "proxy.role is Role.HONEST and not any(seen.data for seen in begun)",
        "False",
        f"{_CASES}::test_without_a_tunnel_there_is_no_verdict_on_the_host",
    ),
    _in(
        "scenario.py",
        "a hostile proxy is an attack",
        "(self.http3, self.tls_proxy)",
        "(self.http3,)",
        f"{_SERVED}::test_a_scenario_with_a_hostile_proxy_is_an_attack",
    ),
    _in(
        "server/tls_proxy.py",
        "the request for a tunnel is evidence",
        "            self.data += data[: KEPT - len(self.data)]\n",
        "            pass\n",
        f"{_SERVED}::test_a_request_that_is_none_ends_the_connection",
    ),
    _in(
        "server/tls_proxy.py",
        "an encrypted head is no clear text",
        'self._serve(reached, b"")',
        "self._serve(reached, head)",
        f"{_SERVED}::test_the_host_is_served_inside_the_tls_with_the_proxy",
    ),
    _in(
        "server/tls_proxy.py",
        "data after the end of a tunnel",
        "    listens = True",
        "    listens = False",
        f"{_SERVED}::test_data_after_the_end_of_a_tunnel_counts",
    ),
    _in(
        "server/tls_proxy.py",
        "the end of TLS with the proxy",
        "            tls.end()\n",
        "            pass\n",
        f"{_SERVED}::test_data_after_the_end_of_a_tunnel_counts",
    ),
    _in(
        "server/tls_proxy.py",
        "no other host is reached",
        "        if to:\n",
        "        if False:\n",
        f"{_SERVED}::test_another_host_is_not_relayed_and_the_case_is_not_run",
    ),
    _in(
        "device/schedule.py",
        "a device has no TLS with its proxy",
        "    if scenario.tls_proxy:\n",
        "    if False:\n",
        "tests/lab/test_serve_kinds.py::test_a_device_has_no_tls_with_its_proxy",
    ),
    _in(
        "own/matrix.py",
        "no case of a chain only",
        "    if scenario.needs_proxy:\n",
        "    if scenario.proxy_status:\n",
        f"{_CASES}::test_it_is_no_case_of_a_chain_only",
    ),
    _in(
        "report/flaws.py",
        "the certificate of a proxy has the names of the proxy",
        "    if seen.step and seen.step is attempt.scenario.tls_proxy:\n",
        "    if False:\n",
        "tests/lab/report/test_flaws_of_the_matrix.py::"
        "test_picture_marks_only_chains_that_must_be_refused[https-proxy-rogue-inside-leaf]",
    ),
    _ech(
        "attacks/ech.py",
        "the rejection is authenticated",
        "pki.intermediate.issue(PUBLIC_NAME), role=Role.HONEST",
        "pki.untrusted.issue(PUBLIC_NAME), role=Role.HONEST",
        "test_the_rejection_has_a_certificate_for_the_public_name",
    ),
    _ech(
        "attacks/ech.py",
        "the rejection is not authenticated",
        "ServerStep.of(pki.untrusted.issue(PUBLIC_NAME)),)",
        "ServerStep.of(pki.intermediate.issue(PUBLIC_NAME)),)",
        "test_the_rejection_has_a_certificate_for_the_public_name",
    ),
    _ech(
        "attacks/ech.py",
        "a man in the middle after the rejection",
        "Scenario((pki.man_in_the_middle,)",
        "Scenario((pki.honest,)",
        "test_the_connection_without_ech_is_honest_or_not",
    ),
    _ech(
        "attacks/ech.py",
        "the relayed connection leaks the name",
        "pki.honest.but(role=Role.ATTACKER)",
        "pki.honest",
        "test_a_connection_without_ech_after_an_unauthenticated_rejection_is_a_finding",
    ),
    _ech(
        "scenario.py",
        "a hostile rejection is an attack",
        "*self.ech, *(",
        "*(",
        "test_each_case_is_an_attack_and_the_control_is_none",
    ),
    _ech(
        "server/session.py",
        "the public name has other steps",
        "        if scenario.ech:\n",
        "        if False:\n",
        "test_only_a_client_hello_with_the_public_name_meets_the_rejection",
    ),
    _ech(
        "lab.py",
        "a configuration only if it is rejected",
        "ech_configs if self.scenario.ech else",
        "ech_configs if True else",
        "test_only_these_cases_give_the_client_a_configuration",
    ),
    _ech(
        "pki.py",
        "the configuration names the public name",
        "vector(1, PUBLIC_NAME.encode())",
        'vector(1, b"")',
        "test_the_configuration_is_what_rfc_9849_section_4_describes",
    ),
    _ech(
        "verdict.py",
        "a client without ECH is not judged",
        "or _unoffered(attempt) or",
        "or",
        "test_a_client_without_ech_is_not_judged",
    ),
    Mutation(
        "ech: a device has no configuration",
        f"{_LAB}/device/schedule.py",
        "    if scenario.ech:\n",
        "    if False:\n",
        "tests/lab/test_serve_kinds.py::test_a_device_has_no_ech_of_the_lab",
    ),
    Mutation(
        "ech: the certificate of a rejection is for the public name",
        f"{_LAB}/report/flaws.py",
        "    if attempt.scenario.ech and said == PUBLIC_NAME:\n",
        "    if False:\n",
        "tests/lab/report/test_flaws_of_the_matrix.py::"
        "test_picture_marks_only_chains_that_must_be_refused[ech-rejected-then-rogue-leaf]",
    ),
    Mutation(
        "ech: an alert without a name",
        f"{_LAB}/server/tls.py",
        'if reason.startswith("UNKNOWN_ERROR") else',
        "if False else",
        "tests/lab/server/test_reason.py::test_an_alert_without_a_name_is_called_so",
    ),
    _in(
        "server/tls_proxy.py",
        "clear text after TLS failed is data",
        "if any(each.hello for each in before if each.step is self.seen.step):",
        "if False:",
        f"{_SERVED}::test_a_request_in_clear_text_is_data_only_after_tls_failed",
    ),
    _in(
        "server/tls_proxy.py",
        "clear text without TLS shows no support",
        "if any(each.hello for each in before if each.step is self.seen.step):",
        "if True:",
        f"{_SERVED}::test_a_request_in_clear_text_is_data_only_after_tls_failed",
    ),
    _in(
        "verdict.py",
        "a client that was stopped has not refused",
        "return undone if ending.broken else Judgement(None, unmet)",
        "return Judgement(None, unmet)",
        f"{_CASES}::test_without_a_tunnel_there_is_no_verdict_on_the_host",
    ),
    _in(
        "runner.py",
        "a control that was not run refuses nothing",
        "        if not result.attempts:\n            return result.why\n        if result.outcome",
        "        if result.outcome",
        f"{_CASES}::test_a_client_of_another_way_reads_that_it_is_not_tried",
    ),
    _ech(
        "verdict.py",
        "it comes first",
        "bool(begun) and begun[0].step in rejecting",
        "any(seen.step in rejecting for seen in begun)",
        "test_a_connection_without_ech_after_an_unauthenticated_rejection_is_a_finding",
    ),
    Mutation(
        "the bound: no certificate, no refusal",
        f"{_LAB}/runner.py",
        " and not disagrees(seen.problem)",
        "",
        "tests/lab/test_bound.py::test_a_connection_without_a_certificate_is_not_counted",
    ),
]
