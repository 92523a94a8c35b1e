"""Mutations of the admission webhook for cert-manager, one for each of its rules.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_ADMISSION = "certpin/cli/rotate/admission.py"
_PROSPECT = "certpin/rotation/prospect.py"
_REQUEST = "certpin/x509/request.py"
_SERVER = "certpin/cli/rotate/webhook_server.py"
_SERVICE = "certpin/cli/rotate/webhook.py"

_IN_ADMISSION = "tests/cli/test_rotate_admission.py::"
_IN_WEBHOOK = "tests/cli/test_rotate_webhook.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "another kind is refused",
        _ADMISSION,
        '    if request.kind != f"{_GROUP}/{_VERSION}/{_KIND}":',
        "    if False:",
        _IN_ADMISSION + "test_another_kind_is_refused",
    ),
    Mutation(
        "another operation is refused",
        _ADMISSION,
        '    if request.operation not in {"CREATE", "UPDATE"}:',
        "    if False:",
        _IN_ADMISSION + "test_another_operation_is_refused",
    ),
    Mutation(
        "an update with another CSR is judged",
        _ADMISSION,
        '(request.operation == "UPDATE" and is_unchanged)',
        'request.operation == "UPDATE"',
        _IN_ADMISSION + "test_an_update_with_another_csr_is_judged",
    ),
    Mutation(
        "an update without a specification is no unchanged one",
        _ADMISSION,
        "is_unchanged = bool(spec) and spec ==",
        "is_unchanged = spec ==",
        _IN_ADMISSION + "test_an_update_without_a_specification_is_refused",
    ),
    Mutation(
        "a compromised key is refused",
        _ADMISSION,
        "        if self._is_compromised():",
        "        if False:",
        _IN_ADMISSION + "test_a_compromised_key_is_refused_for_every_name",
    ),
    Mutation(
        "a key that is compromised in the draft only is refused",
        _ADMISSION,
        "        if any(self.pin in policy.compromised for policy in self.facts.pins.policies):",
        "        if False:",
        _IN_ADMISSION + "test_a_key_that_is_compromised_in_the_draft_only_is_refused",
    ),
    Mutation(
        "an authority's key is refused",
        _ADMISSION,
        "if entry is not None and entry.role in _AUTHORITIES:",
        "if False:",
        _IN_ADMISSION + "test_an_authoritys_key_is_refused_for_a_server",
    ),
    Mutation(
        "the gate is asked",
        _ADMISSION,
        'check_step(situation, "activate", self.pin, self.prospects)',
        "()",
        _IN_ADMISSION + "test_a_new_key_is_refused_with_the_clients_at_risk",
    ),
    Mutation(
        "an adopted key is not ACTIVE",
        _ADMISSION,
        'entry.state != "active" and policy.match != "ca"',
        "False",
        _IN_ADMISSION + "test_an_adopted_key_is_refused_until_it_is_recorded_as_active",
    ),
    Mutation(
        "hosts that only old versions have are judged",
        _ADMISSION,
        "            *self._of_dropped_hosts(policies),\n",
        "",
        _IN_ADMISSION + "test_a_host_that_only_old_versions_have_is_judged",
    ),
    Mutation(
        "an issuer's chain is its own",
        _ADMISSION,
        '(in_cluster,) if kind == "ClusterIssuer" else (in_namespace,)',
        "(in_cluster, in_namespace)",
        _IN_ADMISSION + "test_the_names_of_an_issuer",
    ),
    Mutation(
        "clocks are compared",
        _ADMISSION,
        "if abs(created - now) > CLOCK_TOLERANCE:",
        "if False:",
        _IN_ADMISSION + "test_clocks_that_differ_are_refused",
    ),
    Mutation(
        "clock and journal are compared",
        _ADMISSION,
        "if newest - now > CLOCK_TOLERANCE:",
        "if False:",
        _IN_ADMISSION + "test_a_clock_behind_the_journal_is_refused",
    ),
    Mutation(
        "without a second clock no version has ended",
        _ADMISSION,
        "        return min(newest, now)",
        "        return now",
        _IN_ADMISSION + "test_without_the_api_servers_time_no_version_has_ended",
    ),
    Mutation(
        "reasons are printable",
        _ADMISSION,
        "reason=printable(reason)",
        "reason=reason",
        _IN_ADMISSION + "test_reasons_are_printable",
    ),
    Mutation(
        "a path above a CSR begins at its issuer",
        _PROSPECT,
        "if prospect.leaf and prospect.issued else above",
        "if prospect.leaf else above",
        _IN_ADMISSION + "test_a_new_key_under_a_pinned_root_is_allowed",
    ),
    Mutation(
        "an issuer that signs itself is above a CSR",
        _PROSPECT,
        "prospect.leaf is not None and prospect.issued",
        "prospect.leaf is not None",
        _IN_ADMISSION + "test_a_root_that_signs_itself_is_accepted_if_it_is_one_of_the_platform",
    ),
    Mutation(
        "a CSR is one block",
        _REQUEST,
        "if not _ONLY_BLOCK.fullmatch(pem):",
        "if not _ONLY_BLOCK.match(pem):",
        _IN_ADMISSION + "test_a_csr_that_cannot_be_read_is_refused",
    ),
    Mutation(
        "a CSR is signed by its key",
        _REQUEST,
        "if not is_signed:",
        "if False:",
        _IN_ADMISSION + "test_a_csr_with_a_wrong_signature_is_refused",
    ),
    Mutation(
        "a CSR has a limit",
        _REQUEST,
        "if len(pem) > MAX_CERTIFICATE_BYTES:",
        "if False:",
        _IN_ADMISSION + "test_a_csr_that_cannot_be_read_is_refused[too large]",
    ),
    Mutation(
        "a CSR has one list of extensions",
        _REQUEST,
        "    if kinds.count(_EXTENSION_REQUEST) > 1 or not",
        "    if not",
        "tests/x509/test_request.py::test_names_in_more_than_one_place_are_refused[two requests]",
    ),
    Mutation(
        "a CSR has no attribute of Microsoft that names hosts",
        _REQUEST,
        "    if kinds.count(_EXTENSION_REQUEST) > 1 or not _OF_MICROSOFT.isdisjoint(kinds):\n",
        "    if kinds.count(_EXTENSION_REQUEST) > 1:\n",
        "tests/x509/test_request.py::test_names_in_more_than_one_place_are_refused",
    ),
    Mutation(
        "each attribute of a CSR has one value",
        _REQUEST,
        "for each in parsed.attributes]",
        "for each in ()]",
        "tests/x509/test_request.py::"
        "test_an_attribute_that_programs_read_in_different_ways_is_refused",
    ),
    Mutation(
        "common names count",
        _REQUEST,
        "        *(str(each.value) for each in common),\n",
        "",
        _IN_ADMISSION + "test_the_common_name_counts",
    ),
    Mutation(
        "an internal error refuses",
        _SERVICE,
        "decision = Decision(allowed=False, reason=reason, code=500)",
        "decision = Decision(allowed=True, reason=reason)",
        _IN_WEBHOOK + "test_an_error_in_the_gate_refuses",
    ),
    Mutation(
        "an expired certificate is not ready",
        _SERVICE,
        "if not_after is not None and not_after <= utc_now():",
        "if False:",
        _IN_WEBHOOK + "test_an_expired_certificate_is_not_ready",
    ),
    Mutation(
        "a connection has a time limit",
        _SERVER,
        "            timer.start()\n",
        "",
        _IN_WEBHOOK + "test_a_slow_client_is_disconnected[trickle]",
    ),
    Mutation(
        "a body has a limit",
        _SERVER,
        "elif len(length) > 10 or int(length) > MAX_BODY_BYTES:",
        "elif False:",
        _IN_WEBHOOK + "test_other_requests_are_not_judged",
    ),
    Mutation(
        "a body is complete",
        _SERVER,
        "if len(body) < int(length):",
        "if False:",
        _IN_WEBHOOK + "test_a_body_that_ends_early_is_not_judged",
    ),
    Mutation(
        "the certificate is read again",
        _SERVER,
        "if signature(self._chain, self._key) != self._loaded:",
        "if False:",
        _IN_WEBHOOK + "test_its_certificate_is_read_again",
    ),
    Mutation(
        "a changed journal is read again",
        _SERVICE,
        "if read is None or read[0] != signed:",
        "if read is None:",
        _IN_WEBHOOK + "test_broken_files_refuse_everything_until_they_are_mended",
    ),
    Mutation(
        "the webhook's fix for an open conclusion is the chain of the issuer",
        _ADMISSION,
        'if violation.invariant != "open-chain":',
        "if True:",
        _IN_ADMISSION + "test_while_a_root_is_replaced_the_active_key_needs_the_issuers_chain",
    ),
    Mutation(
        "with a second journal beside a link nothing is allowed",
        _SERVICE,
        "return journal_of(self._path)",
        "from certpin.rotation import journal_path; return journal_path(self._path)",
        _IN_WEBHOOK + "test_with_a_second_journal_beside_a_link_nothing_is_allowed",
    ),
]
