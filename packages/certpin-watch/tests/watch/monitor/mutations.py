"""The rules of the monitor, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_MONITOR = "certpin_watch/monitor/"
_TESTS = "tests/watch/monitor/"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _MONITOR + file, old, new, _TESTS + test)


def _store_rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, f"certpin_watch/store/{file}", old, new, _TESTS + test)


MUTATIONS: list[Mutation] = [
    _rule(
        "who has lost its turn writes nothing",
        "scheduler.py",
        "            self._renew(connection)\n",
        "",
        "test_monitor.py::test_a_service_that_lost_its_lease_stores_nothing",
    ),
    _rule(
        "a server that is not probed any more does not count",
        "scheduler.py",
        "                probes.end_other_sightings(connection, _probe_keys(policies))\n",
        "                pass\n",
        "test_monitor.py::test_a_server_that_is_removed_from_the_settings_does_not_count",
    ),
    _rule(
        "an unreadable pin file ends no history",
        "scheduler.py",
        "if not snapshot.problems:",
        "if True:",
        "test_monitor.py::test_an_unreadable_pin_file_ends_no_sighting",
    ),
    _store_rule(
        "a location that is not probed from any more is not silent",
        "probes.py",
        "    connection.execute(delete(VANTAGES).where(VANTAGES.c.name.not_in(names)))\n",
        "",
        "test_monitor.py::test_a_location_that_is_removed_from_the_settings_is_not_silent",
    ),
    _rule(
        "a host that comes back was not silent meanwhile",
        "findings.py",
        "if not any(row.latest for row in each):",
        "if not each:",
        "test_monitor.py::test_a_server_that_is_removed_from_the_settings_does_not_count",
    ),
    _rule(
        "after a pause of the service no host is called silent",
        "rules/silence.py",
        "max(last, speaking[vantage].since)",
        "last",
        "test_rules.py::test_a_host_that_a_vantage_leaves_out_is_told",
    ),
    _rule(
        "an answer counts once",
        "sightings.py",
        "return all(row.slot < result.slot or row.slot > now for row in rows)",
        "return True",
        "test_sightings.py::test_a_repeated_or_older_result_does_not_count[sqlite]",
    ),
    _rule(
        "what began in the future goes on from now",
        "sightings.py",
        "first = min(before.first_at, now)",
        "first = before.first_at",
        "test_sightings.py::test_a_sighting_that_began_in_the_future_is_extended_from_now[sqlite]",
    ),
    _rule(
        "no answer is for the future",
        "sightings.py",
        "    if result.slot > now:\n        return False\n",
        "",
        "test_sightings.py::test_a_result_for_a_future_slot_does_not_count",
    ),
    _rule(
        "a result is for what this service asks",
        "handout.py",
        "elif not _fits(result, probed):",
        "elif not result.host:",
        "test_handout.py::test_results_for_other_locations_or_jobs_are_dropped[sqlite]",
    ),
    _rule(
        "a job for one answer has one",
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
        "        probe_jobs.finish_jobs(connection, done, int(now.timestamp()))\n",
        "",
        "test_handout.py::test_a_result_that_is_sent_again_counts_once[sqlite]",
    ),
    _store_rule(
        "a job that is done is not handed out again",
        "probe_jobs.py",
        " & ~_is_done(new.excluded.holder)",
        "",
        "test_handout.py::test_a_job_that_was_done_since_it_was_planned_is_not_handed_out_again[sqlite]",
    ),
    _store_rule(
        "no worker renews the lease of another",
        "probe_jobs.py",
        "chosen = LEASES.c.name.in_(names) & _held_by(worker)",
        "chosen = LEASES.c.name.in_(names)",
        "test_handout.py::test_no_worker_can_renew_the_lease_of_another[sqlite]",
    ),
    _store_rule(
        "no worker returns the job of another",
        "probe_jobs.py",
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
        "a result has no text that no database takes",
        "results.py",
        " or not all(map(str.isprintable, texts))",
        "",
        "test_results.py::test_an_invalid_result_is_refused",
    ),
    _rule(
        "a location speaks for itself",
        "handout.py",
        "if result.location != worker.location:",
        "if not result.location:",
        "test_handout.py::test_results_for_other_locations_or_jobs_are_dropped[sqlite]",
    ),
    _rule(
        "the token of a worker passes no network in clear text",
        "uplink.py",
        'if parts.scheme == "http" and not is_local_only(host):',
        "if not parts.scheme:",
        "test_uplink.py::test_an_http_address_of_another_machine_is_refused",
    ),
    _rule(
        "no proxy gets the token of a worker beside its service",
        "uplink.py",
        "proxied = not is_local_only(access.address.host)",
        "proxied = bool(access.address.host)",
        "test_uplink.py::test_a_proxy_does_not_get_the_token_of_a_service_on_this_machine",
    ),
    _rule(
        "a service without pins is no service that is pinned",
        "uplink.py",
        "if pins.policy_for(access.address.host) is None:",
        "if not pins.policies:",
        "test_uplink.py::test_a_pin_file_without_the_host_is_refused",
    ),
    _rule(
        "a verified result has a path",
        "results.py",
        'if (seen.outcome == "verified") != bool(seen.verified):',
        "if not seen.outcome:",
        "test_results.py::test_an_invalid_result_is_refused",
    ),
    _rule(
        "no service writes to the terminal of a worker as it likes",
        "results.py",
        "if not batch.note.isprintable():",
        "if batch.note is None:",
        "test_results.py::test_a_note_with_control_characters_is_refused",
    ),
    _rule(
        "a job names hosts that are hosts",
        "results.py",
        "good = all(normalise(host) == host for host in hosts)",
        "good = bool(hosts)",
        "test_results.py::test_an_invalid_job_is_refused",
    ),
    _rule(
        "nobody is told of a single probe",
        "debounce.py",
        "if other.count >= CONFIRMED]",
        "if other.count]",
        "test_debounce.py::test_a_single_probe_is_not_believed",
    ),
    _rule(
        "hosts that only clients pin are asked",
        "targets.py",
        "versions = [each.pins for each in reversed(watched.alive(now))]",
        "versions: list[PinSet] = []",
        "test_rules.py::test_a_host_that_only_clients_still_pin_is_watched_on",
    ),
    _rule(
        "pins past their date still have to match",
        "rules/matching.py",
        "replace(policy, expires=None)",
        "policy",
        "test_rules.py::test_pins_past_their_date_still_have_to_match",
    ),
    _rule(
        "a compromised key is nobody's",
        "rules/matching.py",
        "frozenset(named - past.compromised)",
        "frozenset(named)",
        "test_rules.py::test_a_key_that_was_compromised_is_nobodys",
    ),
    _rule(
        "what certspotter says is a digest",
        "ct.py",
        "if not _HEX.fullmatch(text):",
        "if not text:",
        "test_ct.py::test_values_of_no_certspotter_are_refused",
    ),
    Mutation(
        "no way to the NATS server in clear text by mistake",
        "certpin_watch/collector/settings.py",
        "not is_local_only(host)",
        "False",
        "tests/watch/collector/test_settings.py::test_clear_text_to_another_machine_is_refused",
    ),
]
