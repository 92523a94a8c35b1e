"""Mutations of the queries, the API, the metrics and the measured adoption of pin sets.

Each removes one rule from the code. ``test_mutations.py`` applies them in turn, and checks that a
test fails for each.
"""

from __future__ import annotations

from tests._mutation import Mutation

_MEASURED = "tests/rotation/test_measured.py::test_"
_API = "tests/watch/api/test_api.py::test_"
_METRICS = "tests/watch/metrics/test_metrics.py::test_"

_QUERIES = "tests/watch/store/queries/test_queries.py::test_"
_COUNTING = "tests/watch/collector/test_counting.py::test_"
_SIGNATURES = "tests/x509/test_chain.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a time in the future is replaced",
        "certpin_watch/store/probes.py",
        " in awaited_since(connection).items() if since <= moment}",
        " in awaited_since(connection).items()}",
        _QUERIES + "targets_that_were_awaited_in_the_future_are_awaited_from_now_on",
    ),
    Mutation(
        "a time in the future is deleted",
        "certpin_watch/store/probes.py",
        "    connection.execute(delete(AWAITED).where(columns.since > moment))\n",
        "",
        _QUERIES + "targets_that_were_awaited_in_the_future_are_awaited_from_now_on",
    ),
    Mutation(
        "measured: a late report delays the end",
        "certpin/rotation/situation.py",
        "        if version.last_reported is None or not self.is_overdue(version, timing):\n",
        "        if True:\n",
        _MEASURED + "a_version_reported_after_its_expected_end_stays_alive",
    ),
    Mutation(
        "measured: nothing shortens by default",
        "certpin/rotation/measured.py",
        "timing, now, threshold)\n            if threshold\n            else None,",
        "timing, now, threshold or Threshold(Fraction(1), 1)),",
        _MEASURED + "without_a_threshold_no_flood_shortens_the_wait",
    ),
    Mutation(
        "measured: the share is of the number that the user gave",
        "certpin/rotation/measured.py",
        "left > threshold.max_lost:",
        "left > (1 - threshold.share) * sum(usage.values()):",
        _MEASURED + "a_flood_of_the_new_version_does_not_hide_reports_of_the_old_one",
    ),
    Mutation(
        "measured: machines are waited for",
        "certpin/rotation/measured.py",
        "    if days[-1] < cycle_from:\n",
        "    if False:\n",
        _MEASURED + "the_delays_of_machines_are_never_shortened",
    ),
    Mutation(
        "measured: a binary is ended by people",
        "certpin/rotation/measured.py",
        "    if out is None or version.bundled is not None:\n",
        "    if out is None:\n",
        _MEASURED + "a_threshold_never_ends_a_binary",
    ),
    Mutation(
        "api: unknown parameters",
        "certpin_watch/api/protocol.py",
        "        if name not in known:\n",
        "        if name not in known:\n            continue\n        if False:\n",
        _API + "an_invalid_parameter_is_refused",
    ),
    Mutation(
        "api: every route needs read",
        "certpin_watch/api/routes.py",
        'resource: Resource) -> BaseRoute:\n    @require("read")\n',
        'resource: Resource) -> BaseRoute:\n    @require("anyone")\n',
        _API + "every_resource_needs_the_scope_read",
    ),
    Mutation(
        "api: hosts that are not monitored",
        "certpin_watch/api/resources.py",
        "    require_found(request.snapshot.policies_of(name) or None)\n",
        "",
        _API + "unknown_things_are_not_found",
    ),
    Mutation(
        "metrics: texts of reports are no labels",
        "certpin_watch/metrics/exporter.py",
        "            _known(kind, get_args(Kind)),\n",
        "            kind,\n",
        _METRICS + "texts_of_reports_never_become_labels",
    ),
    Mutation(
        "telemetry: attributes of a list",
        "certpin_watch/_otel.py",
        "        ATTRIBUTES[name]: value if isinstance(value, int) else str(value)[:_MAX_VALUE]\n"
        "        for name, value in recorded.items()\n"
        "        if name in ATTRIBUTES\n",
        "        ATTRIBUTES.get(name, name): value\n        for name, value in recorded.items()\n",
        "tests/watch/test_telemetry.py::test_spans_and_counters_reach_the_collector",
    ),
    Mutation(
        "telemetry: the instrumentation gets a request without its values",
        "certpin_watch/telemetry.py",
        '{"type": "http", "method": method, _REQUEST: scope}',
        '{**scope, "method": method, _REQUEST: scope}',
        "tests/watch/test_telemetry.py::test_a_client_cannot_join_a_trace",
    ),
    Mutation(
        "telemetry: a span has no message of an exception",
        "certpin_watch/_otel.py",
        "        status=Status(span.status.status_code),\n",
        "        status=span.status,\n        events=span.events,\n",
        "tests/watch/test_telemetry.py::"
        "test_a_span_has_only_method_route_and_status_of_a_request[http]",
    ),
    Mutation(
        "sums: with the counts, or not at all",
        "certpin_watch/collector/counting.py",
        "        _add_to_sums(connection, rows, sums)\n",
        "",
        _COUNTING + "day_sums_change_together_with_the_groups[sqlite]",
    ),
    Mutation(
        "sums: a day has an end",
        "certpin_watch/collector/counting.py",
        "        step = fold_step(counts[day], ",
        "        step = 0 and fold_step(counts[day], ",
        _COUNTING + "hostile_reports_can_only_fill_the_sums_of_a_day[sqlite]",
    ),
    Mutation(
        "sums: a group is listed although its daily sum has less detail",
        "certpin_watch/store/queries/report_counts.py",
        "where(or_(equal, folded) if listed else equal)",
        "where(equal)",
        "tests/watch/store/queries/test_failures.py::test_a_group_is_listed_although_its_daily_sum_has_less_detail",
    ),
    Mutation(
        "sums: a day with later reports is not full",
        "certpin_watch/store/queries/report_counts.py",
        "    if until < end and connection.execute(later).first() is None:",
        "    if until < end:",
        "tests/watch/store/queries/test_failures.py::"
        "test_the_last_day_is_read_from_its_sum_only_without_later_reports[sqlite]",
    ),
    Mutation(
        "soon: by the life of a certificate",
        "certpin_watch/store/queries/sightings.py",
        "min(warning, (certificate.not_after - certificate.not_before) / _FRACTION)",
        "warning",
        "tests/watch/store/queries/test_expiry.py::test_the_shorter_of_the_setting_and_a_quarter_of_the_lifetime_counts[47-11.75]",
    ),
    Mutation(
        "gaps: a time without a collector is not a time without reports",
        "certpin_watch/store/queries/failures.py",
        "            and begun - ended > LISTENING_PAUSE\n",
        "            and False\n",
        "tests/watch/store/queries/test_failures.py::test_a_series_lists_its_unknown_buckets",
    ),
    Mutation(
        "an RSA exponent that no authority has is not used",
        "certpin/x509/chain.py",
        " or key.public_numbers().e > _MAX_RSA_EXPONENT",
        "",
        _SIGNATURES + "an_rsa_key_that_no_authority_has_verifies_nothing[exponent]",
    ),
    Mutation(
        "an RSA modulus that no authority has is not used",
        "certpin/x509/chain.py",
        "key.key_size > _MAX_RSA_BITS or ",
        "",
        _SIGNATURES + "an_rsa_key_that_no_authority_has_verifies_nothing[modulus]",
    ),
    Mutation(
        "a long DSA key is not used",
        "certpin/x509/chain.py",
        "return isinstance(key, dsa.DSAPublicKey) and key.key_size > _MAX_DSA_BITS",
        "return False",
        _SIGNATURES + "a_dsa_key_is_limited_too[4096]",
    ),
    Mutation(
        "only the chain of a report limits the size of a key, and not that of its own roots",
        "certpin/x509/chain.py",
        "if _is_slow(above) and issuer not in self._trusted:",
        "if _is_slow(above):",
        _SIGNATURES + "a_large_key_of_the_users_own_authority_verifies[True]",
    ),
    Mutation(
        "the verifications of a chain are limited",
        "certpin/x509/chain.py",
        "        self._left -= 1\n",
        "",
        _SIGNATURES + "the_verifications_of_a_chain_are_limited_and_remembered",
    ),
    Mutation(
        "the first valid signature ends the search",
        "certpin/x509/chain.py",
        "            break  # a hostile",
        "            continue  # a hostile",
        _SIGNATURES + "the_first_valid_signature_ends_the_search",
    ),
    Mutation(
        "the results of verifications are remembered",
        "certpin/x509/chain.py",
        "        _RESULTS.put(key, found)\n",
        "",
        _SIGNATURES + "the_verifications_of_a_chain_are_limited_and_remembered",
    ),
    Mutation(
        "the remembered results are bounded",
        "certpin/x509/chain.py",
        "            while len(self._found) > _MAX_RESULTS:\n",
        "            while False:\n",
        _SIGNATURES + "the_remembered_results_are_bounded",
    ),
]
