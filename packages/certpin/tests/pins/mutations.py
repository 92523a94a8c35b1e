"""Code changes, each of which breaks a rule of Certificate Transparency or of `certpin diff`.

``tests/test_mutations.py`` applies each change, and requires that the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_DECISION = "certpin/pins/transparency.py"
_VERDICT = "certpin/pins/verdict.py"
_LIST, _SCT = "certpin/x509/log_list.py", "certpin/x509/sct.py"
_READER = "certpin/pinfile/reader.py"
_T, _L = "tests/pins/test_transparency.py::test_", "tests/x509/test_log_list.py::test_"
_CHANGES, _C = "certpin/pins/changes.py", "tests/pins/test_changes.py::test_"
_GATE = "tests/tls/test_rule_15_transparency.py::test_"
_READING = "tests/pinfile/test_log_lists.py::test_"


def _ct(what: str, old: str, new: str, test: str, file: str = _DECISION) -> Mutation:
    return Mutation(f"CT: {what}", file, old, new, test)


MUTATIONS = [
    Mutation(
        "the pin of a key in hexadecimal has its own error",
        "certpin/pins/policy.py",
        "if len(text) != _BASE64_LENGTH and _HEX.fullmatch(text):",
        "if False:",
        "tests/pins/test_pin.py::test_hexadecimal_of_a_key_is_refused_with_its_pin",
    ),
    Mutation(
        "clients refuse nothing in report mode",
        "certpin/pins/policy.py",
        'if mode == "report" and on_expiry == "fail-closed":',
        "if False:",
        "tests/pins/test_policy.py::test_what_clients_do_after_the_expiry_depends_on_the_mode",
    ),
    _ct(
        "an unknown log counts not",
        "    if log is None:\n        return",
        "    if False:\n        return",
        f"{_T}an_unknown_log_does_not_count",
    ),
    _ct(
        "no future", "if sct.moment > now:", "if False:", f"{_T}an_sct_of_the_future_does_not_count"
    ),
    _ct(
        "temporal interval",
        "if not log.covers(leaf.not_after):",
        "if False:",
        f"{_T}a_log_takes_certificates_of_its_interval",
    ),
    _ct(
        "signature",
        "if not is_signed(leaf, issuer, sct, log):",
        "if False:",
        f"{_T}a_signature_of_another_key_does_not_count",
    ),
    _ct(
        "a precertificate has no SCTs",
        "        return parsed.tbs_precertificate_bytes\n",
        "        return parsed.tbs_certificate_bytes\n",
        f"{_T}a_certificate_has_its_scts_in_addition_to_its_precertificate",
        _SCT,
    ),
    _ct(
        "test logs",
        'if log is None or log.kind == "test":',
        "if log is None:",
        f"{_T}a_test_log_does_not_count",
    ),
    _ct(
        "states",
        "if log.state in _RECOGNISED else",
        "if log.state else",
        f"{_T}the_state_of_a_log_decides",
    ),
    _ct(
        "retired before",
        "log.since is None or earliest >= log.since",
        "log.since is None",
        f"{_T}a_retired_log_counts_for_earlier_certificates",
    ),
    _ct(
        "only valid SCTs date a certificate",
        "[sct.moment for sct, _, problem in found if not problem]",
        "[sct.moment for sct, _, problem in found]",
        f"{_T}an_sct_that_is_not_valid_dates_nothing",
    ),
    _ct(
        "a rejected log dates nothing",
        "_invalid(leaf, issuer, sct, log, now) or _never_counts(log)) for",
        "_invalid(leaf, issuer, sct, log, now)) for",
        f"{_T}a_rejected_log_dates_nothing",
    ),
    _ct("number", "if len(logs) < required:", "if False:", f"{_T}a_log_counts_once"),
    _ct(
        "distinct logs",
        "logs = {each.log_id for each in counted}",
        "logs = counted",
        f"{_T}a_log_counts_once",
    ),
    _ct(
        "lifetime",
        "lifetime > _LONG_LIVED",
        "lifetime < _LONG_LIVED",
        f"{_T}the_number_depends_on_the_lifetime",
    ),
    _ct(
        "180 days are short",
        "lifetime > _LONG_LIVED",
        "lifetime >= _LONG_LIVED",
        f"{_T}a_lifetime_of_exactly_180_days_is_short",
    ),
    _ct(
        "a current log",
        'if all(each.log is not None and each.log.state == "retired" for each in counted):',
        "if False:",
        f"{_T}not_all_logs_may_be_retired",
    ),
    _ct(
        "distinct operators",
        "if len({each.operator for each in counted}) < _MIN_OPERATORS:",
        "if False:",
        f"{_T}two_operators_are_needed",
    ),
    _ct(
        "the operator of that time",
        "self.log.operator_at(self.moment)",
        "self.log.operator",
        f"{_T}the_operator_at_the_time_of_the_sct_counts",
    ),
    _ct(
        "an issuer",
        "if not chain.authorities:",
        "if False:",
        f"{_T}a_path_of_one_certificate_has_no_issuer",
    ),
    _ct(
        "an old list reports",
        "reported = found.stale or ",
        "reported = ",
        f"{_T}an_old_list_only_reports",
        _VERDICT,
    ),
    _ct(
        "the mode of the host",
        'found.stale or policy.mode == "report" or policy.expired(now)',
        "found.stale or policy.expired(now)",
        f"{_T}the_mode_of_the_host_decides",
        _VERDICT,
    ),
    _ct(
        "expired pins report",
        'policy.mode == "report" or policy.expired(now)\n',
        'policy.mode == "report"\n',
        f"{_T}expired_pins_that_only_report_refuse_no_certificate",
        _VERDICT,
    ),
    _ct(
        "refused by the gate",
        "if found.satisfied:",
        "if True:",
        f"{_GATE}a_certificate_without_scts_is_refused_before_any_application_byte",
        _VERDICT,
    ),
    _ct(
        "asked for each connection",
        "policy, clock(), debug_anchors=debug_anchors",
        "policy, clock(), debug_anchors=debug_anchors, pins_only=True",
        f"{_GATE}a_certificate_without_scts_is_refused_before_any_application_byte",
        "certpin/tls/check.py",
    ),
    _ct(
        "its own error",
        '    "too-few-scts": TransparencyError,\n',
        "",
        f"{_GATE}a_certificate_without_scts_is_refused_before_any_application_byte",
        _VERDICT,
    ),
    _ct(
        "the key of the issuer",
        "precert_data(tbs, issuer_key_hash, sct.timestamp",
        "precert_data(tbs, certificate.spki_sha256, sct.timestamp",
        f"{_T}two_scts_of_two_operators_are_enough",
        _SCT,
    ),
    _ct(
        "the algorithm of the key",
        'if sct.algorithm != ("rsa" if isinstance(key, rsa.RSAPublicKey) else "ecdsa"):',
        "if False:",
        f"{_T}an_algorithm_of_another_key_does_not_count",
        _SCT,
    ),
    _ct(
        "a key that RFC 6962 allows",
        "key.key_size >= 2048",
        "key.key_size",
        f"{_L}a_log_has_a_key_that_rfc_6962_allows",
        _LIST,
    ),
    _ct(
        "the ID is that of the key",
        'if node.get("log_id").base64() != hashlib.sha256(key).digest():',
        "if False:",
        f"{_L}a_mistake_is_an_error_that_names_it",
        _LIST,
    ),
    _ct(
        "the size of a list",
        "if len(data) > MAX_LOG_LIST_BYTES:",
        "if False:",
        f"{_L}anything_else_is_refused",
        _LIST,
    ),
    _ct(
        "the number of logs in a list",
        "if len(logs) == MAX_LOGS:",
        "if False:",
        f"{_L}the_number_of_logs_is_limited",
        _LIST,
    ),
    _ct(
        "each log once",
        "if log.log_id in logs:",
        "if False:",
        f"{_L}a_log_that_is_listed_twice_is_refused",
        _LIST,
    ),
    _ct(
        "require_ct needs a list",
        "if required and logs is None:",
        "if False:",
        f"{_READING}require_ct_needs_a_list",
        _READER,
    ),
    Mutation(
        "diff: a removed wildcard is compared at the hosts below it",
        _CHANGES,
        "_removed(policy, new.policies_at(pattern, old), now)",
        "_removed(policy, (new.policy_for(pattern.name),), now)",
        f"{_C}patterns_are_compared_at_the_hosts_that_they_cover",
    ),
    Mutation(
        "diff: an added wildcard is compared at the hosts below it",
        _CHANGES,
        "covering = old.policies_at(pattern, new)",
        "covering = (old.policy_for(pattern.name),)",
        f"{_C}patterns_are_compared_at_the_hosts_that_they_cover",
    ),
    Mutation(
        "diff: a host that moved is compared as a whole",
        _CHANGES,
        "    if not _no_key_satisfies_both(old, new):\n        yield from _pins(old, new)\n",
        "",
        f"{_C}a_host_with_another_policy_is_compared_as_a_whole",
    ),
    Mutation(
        "diff: the mode of the new set decides about a removed pin",
        _CHANGES,
        "dead.get(pin), new.mode)",
        "dead.get(pin), old.mode)",
        f"{_C}a_removed_pin_counts_in_the_mode_of_the_new_set",
    ),
    Mutation(
        "diff: expired pins that clients begin to enforce break",
        _CHANGES,
        "if _refuses_all(new, now) and not (_refuses_all(old, now) and",
        "if _refuses_all(new, now) and not (",
        f"{_C}expired_pins_that_are_enforced_now_break",
    ),
    Mutation(
        "diff: a new host with expired pins breaks",
        _CHANGES,
        "        if _refuses_all(policy, now):\n",
        "        if False:\n",
        f"{_C}a_new_host_with_expired_pins_breaks",
    ),
    Mutation(
        "diff: a narrower match that leaves out every key in use breaks",
        _CHANGES,
        "    elif out := _left_out(old, new):",
        "    elif out := _left_out(old, new)[:0]:",
        f"{_C}a_narrower_match_breaks_if_it_leaves_out_every_pin_in_use",
    ),
    Mutation(
        "diff: a backup doesn't replace a key in use",
        _CHANGES,
        'each.role in reached and each.state == "active" for',
        'each.role in {*reached, "backup"} and each.state == "active" for',
        f"{_C}a_narrower_match_breaks_if_it_leaves_out_every_pin_in_use",
    ),
    Mutation(
        "diff: match refuses nothing in report mode",
        _CHANGES,
        '    elif new.mode == "report":\n        text = f\'match',
        "    elif False:\n        text = f'match",
        f"{_C}a_narrower_match_locks_no_client_out_if_the_new_set_only_reports",
    ),
    Mutation(
        "diff: another name needs another version",
        _CHANGES,
        "old.name != new.name or meaning",
        "meaning",
        f"{_C}another_name_needs_a_new_version",
    ),
    Mutation(
        "diff: a stolen key that loses its mark is trusted again",
        _CHANGES,
        'yield ("breaks" if can_match else "careful")',
        'yield "careful"',
        f"{_C}a_stolen_key_without_its_mark_is_accepted_again[left0-leaf-live0-fields0-breaks]",
    ),
    Mutation(
        "diff: no pin of an authority can match a leaf",
        _CHANGES,
        " & _REACHED[new.match]\n    for pin",
        "\n    for pin",
        f"{_C}a_stolen_key_without_its_mark_is_accepted_again",
    ),
    Mutation(
        "diff: a host that only reports is protected by no match",
        _CHANGES,
        'is_weaker = old.mode == "enforce" and roles',
        "is_weaker = roles",
        f"{_C}a_wider_match_of_a_host_that_only_reports_protects_no_less",
    ),
    Mutation(
        "diff: a new authority protects less",
        _CHANGES,
        "if entry.role in _AUTHORITIES & _REACHED[new.match]",
        "if False",
        f"{_C}a_new_pin_of_an_authority_protects_less",
    ),
    Mutation(
        "diff: a wider match protects less",
        _CHANGES,
        'yield ("careful", f"{text} (weaker)") if is_weaker else',
        "yield",
        f"{_C}a_wider_match_protects_less_if_more_pins_can_match[leaf-root-found0]",
    ),
    Mutation(
        "diff: a change that clients notice needs a new version",
        _CHANGES,
        "or meaning(old) != meaning(new)",
        "or False",
        f"{_C}a_state_that_clients_refuse_needs_a_new_version",
    ),
    Mutation(
        "diff: a change that clients don't notice needs no new version",
        _CHANGES,
        "new.version == old.version and _noticed(old, new)",
        "new.version == old.version and old != new",
        f"{_C}a_change_that_clients_do_not_notice_needs_no_new_version",
    ),
    Mutation(
        "trust anchors: OpenSSL can load each",
        "certpin/pins/policy.py",
        "            require_loadable(certificates)\n",
        "            pass\n",
        "tests/pinfile/test_reading.py::test_an_anchor_that_openssl_cannot_read_is_refused",
    ),
    Mutation(
        "a clock has a time zone",
        "certpin/pins/policy.py",
        "or now.utcoffset() is None:",
        "or False:",
        "tests/pins/test_policy.py::test_a_clock_without_a_time_zone_is_refused",
    ),
    Mutation(
        "a context has a clock with a time zone",
        "certpin/tls/context.py",
        "        require_clock(clock)\n",
        "",
        "tests/clients/test_common.py::test_a_clock_without_a_time_zone_is_refused",
    ),
    Mutation(
        "a reporter has a clock with a time zone",
        "certpin/reports/reporter/reporter.py",
        "        require_clock(clock)\n",
        "",
        "tests/reports/reporter/test_reporter.py::test_a_clock_without_a_time_zone_is_refused",
    ),
]
