"""Mutations of the monitor: each removes one rule from the code.

``test_mutations.py`` applies them in turn, and checks that a test fails for each.
"""

from __future__ import annotations

from tests._mutation import Mutation

_MONITOR = "certpin_watch/monitor/"
_TESTS = "tests/watch/monitor/"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _MONITOR + file, old, new, _TESTS + test)


def _store_rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, f"certpin_watch/store/{file}", old, new, _TESTS + test)


def _alert_rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    node = f"tests/watch/rules/test_probe_rules.py::test_{test}"
    return Mutation(rule, f"certpin_watch/rules/{file}", old, new, node)


def _snapshot_rule(rule: str, old: str, new: str, test: str) -> Mutation:
    node = f"tests/watch/test_snapshot.py::test_{test}"
    return Mutation(rule, "certpin_watch/snapshot.py", old, new, node)


MUTATIONS: list[Mutation] = [
    _rule(
        "results that are too large for one request are divided",
        "worker.py",
        '            if exc.kind == "large" and len(results) > 1:\n',
        "            if False:\n",
        "test_workers.py::test_results_that_are_too_large_for_one_request_are_divided",
    ),
    _rule(
        "a server that declines STARTTLS is not only unreachable",
        "probing.py",
        "isinstance(exc, StartTLSError) and exc.insecure",
        "False",
        "test_monitor.py::test_a_server_without_starttls_is_found_until_it_starts_tls_again",
    ),
    Mutation(
        "a server that declines STARTTLS has its own label in the metric",
        "certpin_watch/counters.py",
        'Literal["verified", "unverified", "unreachable", "no-starttls"]',
        'Literal["verified", "unverified", "unreachable"]',
        _TESTS
        + "test_monitor.py::test_a_server_without_starttls_is_found_until_it_starts_tls_again",
    ),
    Mutation(
        "a location that never had a result is in the metric",
        "certpin_watch/metrics/families.py",
        "        heard.add_metric([location.vantage], at)\n",
        "        if at:\n            heard.add_metric([location.vantage], at)\n",
        "tests/watch/metrics/test_metrics.py::test_a_location_that_never_had_a_result_has_a_sample",
    ),
    _rule(
        "a result without TLS says why",
        "results.py",
        'in {"unreachable", "no-starttls"} and',
        '== "unreachable" and',
        "test_results.py::test_an_invalid_result_is_refused",
    ),
    _snapshot_rule(
        "a pin file with a problem is read again",
        " and path not in self._problems:",
        ":",
        "a_file_with_a_problem_is_always_read_again",
    ),
    _snapshot_rule(
        "a pin file with other permissions is read again",
        "stat.st_mtime_ns, stat.st_ctime_ns,",
        "stat.st_mtime_ns,",
        "a_file_with_other_permissions_is_read_again",
    ),
    _snapshot_rule(
        "a change of trust anchors is noticed",
        ", *self._named.get(path, ()))",
        ")",
        "anchors_that_arrive_later_or_change_are_read_again",
    ),
    _snapshot_rule(
        "each pin file has its own name",
        "            if same:\n",
        "            if False:\n",
        "a_pin_file_that_gets_the_name_of_another_keeps_its_content",
    ),
    Mutation(
        "pin files with one name are refused at the start",
        "certpin_watch/service.py",
        "    watch.pin_files.check_names()\n",
        "",
        "tests/watch/test_snapshot.py::test_pin_files_with_one_name_are_refused_at_the_start",
    ),
    _rule(
        "a process without the lease stores nothing",
        "scheduler.py",
        "            self._renew(connection)\n",
        "",
        "test_monitor.py::test_a_service_that_lost_its_lease_stores_nothing",
    ),
    _rule(
        "a server that is not probed any more does not count",
        "scheduler.py",
        "                probes.end_other_sightings(connection, current, probed)\n",
        "                pass\n",
        "test_monitor.py::test_a_server_that_is_removed_from_the_settings_does_not_count",
    ),
    _rule(
        "a new target is awaited while the files of instances differ",
        "scheduler.py",
        "                awaited = probed | probes.awaited_since(connection).keys()\n",
        "                awaited = set(probes.awaited_since(connection))\n",
        "test_monitor.py::test_a_new_target_is_awaited_while_the_files_of_instances_differ",
    ),
    _rule(
        "the awaited targets that only another instance knows are kept",
        "scheduler.py",
        "                awaited = probed | probes.awaited_since(connection).keys()\n",
        "                pass\n",
        "test_monitor.py::test_a_new_target_is_awaited_while_the_files_of_instances_differ",
    ),
    _rule(
        "an instance with older pins leaves probes to one with newer ones",
        "scheduler.py",
        "if not self._deference.may_hold(self._now(), is_outdated=files.is_outdated):\n",
        "if False:\n",
        "test_monitor.py::test_an_instance_with_older_pins_leaves_probes_to_one_with_newer_ones_"
        "for_a_while",
    ),
    _rule(
        "a server is probed from all locations that are named for it",
        "targets.py",
        "            by_key[target.key] = replace(known, locations=locations)\n",
        "            pass\n",
        "test_settings.py::test_the_locations_of_equal_targets_are_joined",
    ),
    _rule(
        "an unreadable pin file ends no sighting",
        "scheduler.py",
        "if snapshot.problems or files.differences:",
        "if files.differences:",
        "test_monitor.py::test_an_unreadable_pin_file_ends_no_sighting",
    ),
    _rule(
        "an instance ends no sighting that only another one knows",
        "scheduler.py",
        "if snapshot.problems or files.differences:",
        "if snapshot.problems:",
        "test_monitor.py::"
        "test_the_sightings_of_targets_that_only_another_instance_knows_are_not_ended",
    ),
    _store_rule(
        "a location that is removed is not silent",
        "probes.py",
        "    connection.execute(delete(VANTAGES).where(VANTAGES.c.name.not_in(names)))\n",
        "",
        "test_monitor.py::test_a_location_that_is_removed_from_the_settings_is_not_silent",
    ),
    _rule(
        "a host that comes back was not silent meanwhile",
        "evidence.py",
        "if not any(row.latest for row in seen):",
        "if not seen:",
        "test_monitor.py::test_a_server_that_is_removed_from_the_settings_does_not_count",
    ),
    Mutation(
        "a host that a location never probed is found",
        "certpin_watch/rules/availability.py",
        "last or probes.awaited.get((*target.key, vantage))",
        "last",
        "tests/watch/rules/test_probe_rules.py::"
        "test_a_host_that_a_location_never_probed_is_found_after_the_same_time",
    ),
    _store_rule(
        "a new target is given time",
        "probes.py",
        "if new := awaited - known:",
        "if new := awaited:",
        "test_handout.py::test_a_target_that_a_location_never_probes_is_found[sqlite]",
    ),
    Mutation(
        "a location without any result makes a host stale",
        "certpin_watch/store/queries/hosts.py",
        "[awaited] if awaited else []",
        "[]",
        "tests/watch/store/queries/test_queries.py::"
        "test_a_location_without_any_result_makes_a_host_stale[sqlite]",
    ),
    Mutation(
        "after a pause of the service no host is called silent",
        "certpin_watch/rules/availability.py",
        "max(since, begun[vantage])",
        "since",
        "tests/watch/rules/test_probe_rules.py::test_a_host_without_results_from_a_location_is_found",
    ),
    _rule(
        "a result counts once",
        "sightings.py",
        "return all(row.slot < result.slot or row.slot > now for row in rows)",
        "return True",
        "test_sightings.py::test_a_repeated_or_older_result_does_not_count[sqlite]",
    ),
    _rule(
        "a sighting that began in the future is extended from now",
        "sightings.py",
        "first = min(before.first_at, now)",
        "first = before.first_at",
        "test_sightings.py::test_a_sighting_that_began_in_the_future_is_extended_from_now[sqlite]",
    ),
    _rule(
        "no result is for a future slot",
        "sightings.py",
        "    if result.slot > now:\n        return False\n",
        "",
        "test_sightings.py::test_a_result_for_a_future_slot_does_not_count",
    ),
    _rule(
        "a result is for a target of this service",
        "handout.py",
        "elif not _fits(result, probed):",
        "elif not result.host:",
        "test_handout.py::test_results_for_other_locations_or_jobs_are_dropped[sqlite]",
    ),
    _rule(
        "a job for one address has one result",
        "handout.py",
        'every is not None and [seen.edge for seen in result.seen] == [""]',
        "every is not None",
        "test_handout.py::test_a_result_that_no_database_accepts_does_not_hold_up_the_others[sqlite]",
    ),
    _rule(
        "a result counts for the worker that holds the job",
        "handout.py",
        "if holder == worker.holder(result.slot):",
        "if holder is not None:",
        "test_handout.py::test_results_for_other_locations_or_jobs_are_dropped[sqlite]",
    ),
    _rule(
        "a job is done when its result is durable",
        "handout.py",
        "        leases.finish_jobs(connection, done, int(now.timestamp()))\n",
        "",
        "test_handout.py::test_a_result_that_is_sent_again_counts_once[sqlite]",
    ),
    _store_rule(
        "a job that is done is not handed out again",
        "leases.py",
        " & ~_is_done(new.excluded.holder)",
        "",
        "test_handout.py::test_a_job_that_was_done_since_it_was_planned_is_not_handed_out_again[sqlite]",
    ),
    _store_rule(
        "no worker renews the lease of another",
        "leases.py",
        "chosen = LEASES.c.name.in_(names) & _held_by(worker)",
        "chosen = LEASES.c.name.in_(names)",
        "test_handout.py::test_no_worker_can_renew_the_lease_of_another[sqlite]",
    ),
    _store_rule(
        "no worker returns the job of another",
        "leases.py",
        "where(LEASES.c.name.in_(names), _held_by(worker))",
        "where(LEASES.c.name.in_(names))",
        "test_handout.py::test_returned_jobs_go_to_another_worker_at_once[sqlite]",
    ),
    _rule(
        "a job is for the location of the token",
        "results.py",
        "if any(job.location != batch.location for job in batch.jobs):",
        "if not batch.location:",
        "test_results.py::test_an_invalid_job_is_refused",
    ),
    _rule(
        "a result has only text that every database accepts",
        "results.py",
        " or not all(map(str.isprintable, texts))",
        "",
        "test_results.py::test_an_invalid_result_is_refused",
    ),
    _rule(
        "a worker reports for its own location only",
        "handout.py",
        "if result.location != worker.location:",
        "if not result.location:",
        "test_handout.py::test_results_for_other_locations_or_jobs_are_dropped[sqlite]",
    ),
    _rule(
        "the token of a worker is not sent in clear text",
        "uplink.py",
        'if parts.scheme == "http" and not is_local_only(host):',
        "if not parts.scheme:",
        "test_uplink.py::test_an_http_address_of_another_machine_is_refused",
    ),
    _rule(
        "no proxy gets the token of a worker on the machine of its service",
        "uplink.py",
        "proxied = not is_local_only(access.address.host)",
        "proxied = bool(access.address.host)",
        "test_uplink.py::test_a_proxy_does_not_get_the_token_of_a_service_on_this_machine",
    ),
    _rule(
        "a pin file must have the host of the service",
        "uplink.py",
        "if pins.policy_for(access.address.host) is None:",
        "if not pins.policies:",
        "test_uplink.py::test_a_pin_file_without_the_host_is_refused",
    ),
    _rule(
        "a verified result has a chain",
        "results.py",
        'if (seen.outcome == "verified") != bool(seen.verified):',
        "if not seen.outcome:",
        "test_results.py::test_an_invalid_result_is_refused",
    ),
    _rule(
        "a note of the service has no control characters",
        "results.py",
        "if not batch.note.isprintable():",
        "if batch.note is None:",
        "test_results.py::test_a_note_with_control_characters_is_refused",
    ),
    _rule(
        "the hosts of a job are normalised",
        "results.py",
        "good = all(normalise(host) == host for host in hosts)",
        "good = bool(hosts)",
        "test_results.py::test_an_invalid_job_is_refused",
    ),
    _rule(
        "a single probe is not believed",
        "sightings.py",
        "if other.count >= CONFIRMED]",
        "if other.count]",
        "test_debounce.py::test_a_single_probe_is_not_believed",
    ),
    Mutation(
        "hosts that only clients pin are asked",
        "certpin_watch/monitor/targets.py",
        "versions = [version.pins for version in reversed(monitored.alive(now))]",
        "versions: list[PinSet] = []",
        "tests/watch/rules/test_probe_rules.py::test_a_host_that_only_deployed_versions_pin_is_still_monitored",
    ),
    Mutation(
        "pins past their date still have to match",
        "certpin_watch/rules/pins.py",
        "replace(policy, expires=None)",
        "policy",
        "tests/watch/rules/test_probe_rules.py::test_expired_pins_still_have_to_match",
    ),
    Mutation(
        "a compromised key matches no pin",
        "certpin_watch/rules/pins.py",
        "evidence.named_pins - situation.same_keys(compromised)",
        "evidence.named_pins",
        "tests/watch/rules/test_probe_rules.py::test_a_compromised_key_is_not_expected",
    ),
    Mutation(
        "a stolen certificate makes its key stolen",
        "certpin_watch/rules/pins.py",
        "evidence.named_pins - situation.same_keys(compromised)",
        "evidence.named_pins - compromised",
        "tests/watch/rules/test_probe_rules.py::test_the_key_of_a_stolen_certificate_is_not_expected",
    ),
    _alert_rule(
        "a theft that only the pin file records counts",
        "pins.py",
        "situation.past.compromised | situation.pins.compromised",
        "situation.past.compromised",
        "a_key_that_the_pin_file_marks_as_compromised_is_not_expected",
    ),
    _alert_rule(
        "a key is replaced if its certificate was pinned",
        "chains.py",
        "named.isdisjoint(pins_of(view.before.leaf))",
        "old not in named",
        "another_key_is_found_if_the_certificate_before_it_is_pinned",
    ),
    _alert_rule(
        "a pin of a certificate names its key",
        "chains.py",
        "named = evidence.situation(evidence.views).same_keys(expected_pins(evidence))",
        "named = expected_pins(evidence)",
        "a_key_is_expected_if_its_certificate_is_pinned",
    ),
    _alert_rule(
        "locations compare certificates, too",
        "chains.py",
        "            certificates[view.vantage].add(certificate)\n",
        "",
        "locations_disagree_about_a_pinned_certificate_although_the_key_is_the_same",
    ),
    _alert_rule(
        "a logged certificate may be the pinned one",
        "transparency.py",
        "hashlib.sha256(precertificate_tbs(pinned)).digest() == entry.tbs",
        "False",
        "a_logged_certificate_that_is_pinned_has_no_finding_once_a_server_presents_it",
    ),
    _alert_rule(
        "a stored certificate is known",
        "transparency.py",
        "known = evidence.probes.pinned | situation.certificates",
        "known = situation.certificates",
        "a_logged_certificate_that_is_pinned_has_no_finding_once_a_server_presents_it",
    ),
    _alert_rule(
        "a pinned certificate allows no other one of its key",
        "transparency.py",
        "    if pinned.spki_sha256 != entry.key:\n        return False\n",
        "    if pinned.spki_sha256 == entry.key:\n        return True\n",
        "another_logged_certificate_of_the_same_key_is_found_if_the_certificate_is_pinned",
    ),
    _alert_rule(
        "a pinned certificate of an authority allows those below it",
        "transparency.py",
        "if pinned.spki_sha256 in entry.authorities:",
        "if False:",
        "a_certificate_below_a_pinned_certificate_of_an_authority_is_expected",
    ),
    _alert_rule(
        "only pinned certificates allow a logged one",
        "transparency.py",
        "if pins_of(each)[1] in expected)",
        "if True)",
        "a_logged_certificate_with_an_unpinned_key_is_found",
    ),
    _rule(
        "pinned certificates are read from the store",
        "evidence.py",
        "            pinned=_pinned(connection, policies),\n",
        "",
        "test_ct.py::test_a_logged_certificate_that_is_pinned_as_a_whole_fires_no_alert",
    ),
    _alert_rule(
        "a certificate may be a pinned one of which only the digest is known",
        "transparency.py",
        "    if whole.difference(*map(pins_of, pinned)):\n",
        "    if False:\n",
        "a_logged_certificate_may_be_pinned_if_only_the_digest_of_a_pinned_one_is_known",
    ),
    _rule(
        "values of certspotter are digests",
        "ct.py",
        "if not _HEX.fullmatch(text):",
        "if not text:",
        "test_ct.py::test_values_of_no_certspotter_are_refused",
    ),
    Mutation(
        "no way to the NATS server in clear text by mistake",
        "certpin_watch/settings/file.py",
        "not is_local_only(host)",
        "False",
        "tests/watch/collector/test_settings.py::test_clear_text_to_another_machine_is_refused",
    ),
    Mutation(
        "the monitor asks the servers of the file",
        "certpin_watch/monitor/targets.py",
        "servers = [server for name, server in own if name == host.name] or [HostServer()]",
        "servers = [HostServer()]",
        "tests/watch/monitor/test_settings.py::test_the_servers_of_the_pin_file_are_targets",
    ),
    Mutation(
        "a root is reported when new pins have to be shipped",
        "certpin_watch/rules/roots.py",
        "or not event.is_due(today, days):",
        "or not event.is_due(today):",
        "tests/watch/rules/test_probe_rules.py::test_a_pinned_root_that_leaves_a_store_soon_is_a_warning",
    ),
    Mutation(
        "a task is cancelled until it ends",
        "certpin_watch/context.py",
        "    while not task.done():\n",
        "    if not task.done():\n",
        "tests/watch/test_context.py::test_a_task_ends_although_its_library_loses_cancellations",
    ),
    Mutation(
        "apps that trust the platform don't trust the root of the pin file",
        _MONITOR + "evidence.py",
        "roots=public_roots() if self.policy.trust else (),",
        "",
        "tests/watch/rules/test_probe_rules.py::"
        "test_a_deployed_version_without_the_root_of_the_chain_is_a_field_mismatch[the platform]",
    ),
    _snapshot_rule(
        "a second journal beside a link is reported",
        "journal = journal_of(path)",
        'journal = path.resolve().with_name("pins.journal.jsonl")',
        "a_second_journal_beside_a_link_is_reported",
    ),
]
