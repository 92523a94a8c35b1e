"""Source changes in the cases of legitimate changes, revocation and weak keys.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_ATTACKS = "certpin/lab/attacks"
_CAUGHT = "tests/lab/gallery/test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
_REVOCATION = "tests/lab/attacks/test_revocation.py"
_CRL, _LISTS = "certpin/lab/server/crl.py", "tests/lab/attacks/test_revocation_lists.py"
_STAPLING, _STAPLES = "certpin/lab/server/stapling.py", "tests/lab/server/test_stapling.py"
_WEAK = "tests/lab/attacks/test_weak_keys.py"
_FOREIGN, _FOREIGNS = "certpin/lab/own/foreign.py", "tests/lab/own/test_foreign.py"
_WORDS = "certpin/lab/report/words.py"
_CLEARS = "tests/lab/report/test_clear_text.py"
_CONVERSATION, _FRONT = "certpin/lab/server/conversation.py", "tests/lab/server/test_front.py"
_ROOTS = "tests/lab/attacks/test_roots.py"


def _in(file: str, rule: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(f"changes: {rule}", file, old, new, test)


MUTATIONS = [
    _in(
        f"{_ATTACKS}/roots.py",
        "the cross-sign has expired",
        "issuer=legacy, key=pki.root.key, days=_EXPIRED)",
        "issuer=legacy, key=pki.root.key)",
        f"{_CAUGHT}[served_dates_checked]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "the root above the cross-sign has expired",
        'Authority("Legacy root", now=pki.now, days=_EXPIRED)',
        'Authority("Legacy root", now=pki.now)',
        f"{_CAUGHT}[served_dates_checked]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "a new root is in the trust store",
        "return (pki.authorities.new_root,)",
        "return ()",
        f"{_CAUGHT}[pin_at_top]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "an intermediate is in the trust store",
        "return (pki.intermediate,)",
        "return ()",
        f"{_CAUGHT}[self_signed_top_needed]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "a namesake of the root is in the trust store",
        "return (pki.authorities.namesake,)",
        "return ()",
        f"{_CAUGHT}[roots_by_name]",
    ),
    _in(
        f"{_ATTACKS}/rotation.py",
        "the renewed certificate has no common name",
        "subject=x509.Name([]),",
        "subject=None,",
        f"{_CAUGHT}[common_name_shown]",
    ),
    _in(
        f"{_ATTACKS}/revocation.py",
        "the response says that the certificate is revoked",
        "ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD",
        "ocsp.OCSPCertStatus.REVOKED",
        f"{_REVOCATION}::test_the_response_is_about_the_certificate_and_signed_by_its_issuer",
    ),
    _in(
        f"{_ATTACKS}/revocation.py",
        "the certificate requires a staple",
        "builder.add_extension(feature, critical=False)",
        "builder",
        f"{_REVOCATION}::test_the_certificate_requires_a_staple_and_none_is_sent",
    ),
    _in(
        _WORDS,
        "the report names the check that a client doesn't make",
        "if checks and result.outcome",
        "if False and result.outcome",
        f"{_REVOCATION}::test_a_client_that_accepts_has_no_finding",
    ),
    _in(
        _WORDS,
        "a client that refuses makes the check",
        " and result.verdict is not Verdict.REJECT:",
        ":",
        f"{_REVOCATION}::test_a_client_that_refuses_has_no_finding_either",
    ),
    _in(
        "certpin/lab/server/tls.py",
        "a step with a response is stapled",
        "        if step.staple:\n",
        "        if False:\n",
        f"{_REVOCATION}::test_curl_reads_the_staple_if_it_asks_for_one",
    ),
    _in(
        _STAPLING,
        "only a client that asks gets a response",
        "place == 0 and offer.asks_status and self._step.staple",
        "place == 0 and self._step.staple",
        f"{_STAPLES}::test_without_a_question_there_is_no_response",
    ),
    _in(
        _STAPLING,
        "the client's Finished is compared",
        "if not hmac.compare_digest(bytes(self._messages), expected):",
        "if False:",
        f"{_STAPLES}::test_the_finished_message_is_compared",
    ),
    _in(
        _STAPLING,
        "a malformed ClientHello is an error of TLS",
        "except (IndexError, ValueError) as exc:",
        "except ZeroDivisionError as exc:",
        f"{_STAPLES}::test_hostile_bytes_raise_no_other_errors",
    ),
    _in(
        _STAPLING,
        "TLS 1.2 is not stapled",
        'if settings.newest != "TLSv1_3":',
        "if False:",
        f"{_STAPLES}::test_settings_that_the_server_does_not_have_are_refused",
    ),
    _in(
        f"{_ATTACKS}/weak_keys.py",
        "the factored key is small",
        "key=small_rsa_key())",
        "key=new_rsa_key())",
        f"{_WEAK}::test_the_keys_are_of_the_declared_sizes",
    ),
    _in(
        f"{_ATTACKS}/rotation.py",
        "only pins on the server make a new weak key an attack",
        "Role.ATTACKER if pki.style is Style.LEAF else Role.HONEST",
        "Role.HONEST",
        f"{_WEAK}::test_a_new_key_is_an_attack_on_pins_of_the_server_only",
    ),
    _in(
        f"{_ATTACKS}/weak_keys.py",
        "one suite is served",
        'TLSSettings(newest="TLSv1_2", ciphers=ciphers, dh_params=dh_params)',
        'TLSSettings(newest="TLSv1_2")',
        f"{_WEAK}::test_a_client_that_allows_the_suite_gets_it",
    ),
    _in(
        "certpin/lab/server/tls.py",
        "the group of the step is served",
        "        if settings.dh_params:\n",
        "        if False:\n",
        f"{_WEAK}::test_a_client_that_allows_the_suite_gets_it[dh-1024-DHE-RSA-AES128-GCM-SHA256]",
    ),
    _in(
        _FOREIGN,
        "a certificate for the host is no attack",
        "        if any(_covers(name, host) for name in names):",
        "        if False:",
        f"{_FOREIGNS}::test_a_certificate_for_the_host_itself_is_refused",
    ),
    _in(
        _FOREIGN,
        "a wildcard covers one label",
        'name[2:] == host.partition(".")[2]',
        "host.endswith(name[2:])",
        f"{_FOREIGNS}::test_a_certificate_for_a_similar_name_is_another_domain",
    ),
    _in(
        _FOREIGN,
        "the key belongs to the certificate",
        "    if public != leaf.public_key():",
        "    if False:",
        f"{_FOREIGNS}::test_another_key_is_refused",
    ),
    _in(
        _WORDS,
        "bytes outside of TLS are searched",
        "        if seen.clear:\n",
        "        if False:\n",
        f"{_CLEARS}::test_clear_text_without_a_proxy_is_reported",
    ),
    _in(
        _WORDS,
        "requests to the proxy are searched",
        "    for request in attempt.requests:\n",
        "    for request in ():\n",
        f"{_CLEARS}::test_a_header_in_the_request_to_the_proxy_is_reported",
    ),
    _in(
        _CONVERSATION,
        "a request for an https:// URL in clear text",
        "        url = _URL.match(target)\n",
        '        url = _URL.match(target) if target.startswith("http://") else None\n',
        f"{_CLEARS}::test_a_refused_request_that_a_proxy_gets_in_clear_text_is_a_finding[https]",
    ),
    _in(
        _CONVERSATION,
        "a request to the proxy as if it were the server",
        'if url is None and not target.startswith("/")',
        "if url is None",
        f"{_CLEARS}::test_a_refused_request_that_a_proxy_gets_in_clear_text_is_a_finding[path]",
    ),
    _in(
        _CONVERSATION,
        "the user in a URL is no part of its host",
        'authority.rpartition("@")[2]',
        "authority",
        f"{_FRONT}::test_a_request_in_clear_text_keeps_its_bytes"
        "[http://user:pass@a.example/x@y-a.example-80]",
    ),
    _in(
        _CONVERSATION,
        "a query ends the host of a URL",
        "://([^/?#]*)",
        "://([^/]*)",
        f"{_FRONT}::test_a_request_in_clear_text_keeps_its_bytes"
        "[http://a.example?token=x-a.example-80]",
    ),
    _in(
        _CONVERSATION,
        "a head without its end is evidence",
        "not (whole or closed or ",
        "not (whole or ",
        f"{_FRONT}::test_a_request_in_clear_text_without_the_end_of_its_head_is_read_at_the_end",
    ),
    _in(
        _CONVERSATION,
        "no server gets a request that belongs into TLS",
        'self.relayable = scheme == "http" and whole',
        "self.relayable = whole",
        f"{_CLEARS}::test_no_server_gets_in_clear_text_what_belongs_into_tls",
    ),
    _in(
        _CONVERSATION,
        "a request to no host is reported",
        "            self._note_unserved(self._front.head)\n",
        "",
        f"{_CLEARS}::test_no_server_gets_in_clear_text_what_belongs_into_tls",
    ),
    _in(
        "certpin/lab/lab.py",
        "the heads of requests to the proxy are limited",
        "self._requests.append(ProxyHead(receiver, head[:left]))",
        "self._requests.append(ProxyHead(receiver, head))",
        f"{_CLEARS}::test_the_heads_that_a_case_keeps_are_limited",
    ),
    _in(
        "certpin/lab/lab.py",
        "added authorities are in the trust store",
        "added + self.authorities.trusted_pem",
        "self.authorities.trusted_pem",
        f"{_ROOTS}::test_the_added_authorities_come_before_the_roots_in_the_trust_store",
    ),
    _in(
        "certpin/lab/device/schedule.py",
        "a device keeps its trust store",
        "    if case.anchors:",
        "    if False:",
        "tests/lab/test_serve_kinds.py::test_a_device_keeps_its_trust_store",
    ),
    _in(
        "certpin/lab/own/matrix.py",
        "a case with another trust store is not exported",
        "    if case.anchors:",
        "    if False:",
        "tests/lab/own/test_matrix.py::test_a_case_with_another_trust_store_is_left_out",
    ),
    _in(
        f"{_ATTACKS}/revocation.py",
        "only a revoked certificate is in the list",
        "serial if revoked else x509.random_serial_number()",
        "serial",
        f"{_LISTS}::test_the_list_is_of_the_issuer_and_has_the_certificate_if_it_is_revoked[rot-crl]",
    ),
    _in(
        f"{_ATTACKS}/revocation.py",
        "a list needs a running lab",
        "if not pki.authorities.add_list:",
        "if False:",
        f"{_LISTS}::test_without_a_running_lab_there_is_no_address",
    ),
    _in(
        _CRL,
        "a fetched list is noted",
        "        found.fetched = True\n",
        "",
        f"{_LISTS}::test_a_request_for_a_list_is_no_leak[False]",
    ),
    _in(
        _CRL,
        "a list through a proxy",
        ".rpartition('/')[2]",
        ".removeprefix('/')",
        f"{_LISTS}::test_a_request_in_pieces_is_answered[http://127.0.0.1:1/1.crl]",
    ),
    _in(
        "certpin/lab/lab.py",
        "all lists have one port",
        "            if self._lists is None:",
        "            if True:",
        f"{_LISTS}::test_each_attempt_has_its_own_list_on_one_port_that_ends_with_the_lab",
    ),
    _in(
        "certpin/lab/lab.py",
        "the port of the lists is closed",
        "                self._leaving.callback(self._lists.close)\n",
        "",
        f"{_LISTS}::test_each_attempt_has_its_own_list_on_one_port_that_ends_with_the_lab",
    ),
    _in(
        "certpin/lab/verdict.py",
        "the reason says whether a list was fetched",
        "    if not scenario.crl:\n",
        "    if True:\n",
        f"{_LISTS}::test_a_client_that_fetches_no_list_has_no_finding[leaf]",
    ),
    _in(
        _WORDS,
        "the report says whether a list was fetched",
        'return f"{did} ({used})" if used and',
        'return f"{did} ({used})" if False and',
        f"{_LISTS}::test_a_client_that_fetches_a_list_and_ignores_it_is_reported",
    ),
]
