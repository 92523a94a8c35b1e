"""The rules of alerts, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_ALERTS = "certpin_watch/alerts/"
_ALERT_RULES = "certpin_watch/rules/"
_QUERIES = "certpin_watch/store/queries/"
_STATE = "tests/watch/alerts/test_state.py::test_"
_RULES = "tests/watch/rules/test_report_rules.py::test_"
_GATHER = "tests/watch/alerts/test_evidence.py::test_"
_MESSAGE = "tests/watch/alerts/test_message.py::test_"
_TELLING = "tests/watch/alerts/test_delivery.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _ALERTS + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "hosts that nobody watches take no room",
        "evidence.py",
        "        if not patterns.of(group.host):\n            continue\n",
        "",
        _GATHER + "hosts_that_nobody_watches_take_no_room_from_those_that_are",
    ),
    _rule(
        "each host has groups that are looked at",
        "evidence.py",
        " or reserved[share] <= _RESERVED_GROUPS:",
        ":",
        _GATHER + "chains_that_are_invented_for_one_host_hide_none_of_another",
    ),
    _rule(
        "each pattern has its turn to be judged",
        "evidence.py",
        "        turns[share] += 1\n",
        "",
        _GATHER + "chains_that_are_invented_for_one_host_hide_none_of_another",
    ),
    _rule(
        "a rotation explains no mismatch",
        "silences.py",
        "problem.rule in EXPLAINED\n        and ",
        "",
        _STATE + "a_rotation_explains_no_mismatch_and_nothing_that_clients_refuse",
    ),
    _rule(
        "a rotation explains nothing critical",
        "silences.py",
        'problem.severity != "critical"\n        and ',
        "",
        _STATE + "a_rotation_explains_no_mismatch_and_nothing_that_clients_refuse",
    ),
    _rule(
        "a rotation explains its own pin alone",
        "silences.py",
        "and window.pin in pins",
        "and True",
        _STATE + "a_rotation_explains_a_change_to_its_pin_at_its_host_for_a_while",
    ),
    Mutation(
        "no silence is for ever",
        "certpin_watch/store/alerts.py",
        "now < self.until <= last_end(now, longest)",
        "now < self.until",
        _STATE + "nobody_silences_for_longer_than_the_settings_allow",
    ),
    _rule(
        "no silence is for everything",
        "silences.py",
        "and bool(silence.rule or silence.host)",
        "and True",
        _STATE + "a_silence_of_neither_rule_nor_host_covers_nothing",
    ),
    Mutation(
        "a pinned certificate that was sent along does not count",
        _QUERIES + "chain_check.py",
        "        if place.above is not Signature.GOOD:\n            return\n",
        "",
        _GATHER + "a_pinned_certificate_that_was_merely_sent_along_hides_nothing",
    ),
    Mutation(
        "a compromised key is accepted by no version",
        _QUERIES + "chain_check.py",
        "path is None or _has_compromised_key(path, policies)",
        "path is None",
        _GATHER + "a_compromised_key_is_accepted_by_no_version",
    ),
    Mutation(
        "a chain is verified at the time of its report",
        _QUERIES + "chain_check.py",
        "    begin, end = int(since.timestamp()), ",
        "    begin, end = int(since.timestamp()) // 3600 * 3600, ",
        _GATHER + "a_leaf_is_vouched_for_from_its_first_second",
    ),
    _rule(
        "an acknowledged alert that gets worse is sent",
        "state.py",
        'peak=finding.severity, acknowledged_at=None, acknowledged_by=""',
        "peak=finding.severity",
        _STATE + "an_acknowledged_alert_is_not_repeated_until_it_gets_worse",
    ),
    _rule(
        "signs that services act on are replaced for Alertmanager",
        "services.py",
        '"summary": harmless(alert.summary, _MAX_ANNOTATION)',
        '"summary": alert.summary',
        "tests/watch/alerts/test_alertmanager.py::test_"
        "a_real_alertmanager_has_an_alert_from_its_beginning_to_its_end",
    ),
    _rule(
        "what could not be looked at is not over",
        "state.py",
        "if known.rule in evaluation.skipped:",
        "if False:",
        _STATE + "what_could_not_be_looked_at_is_not_over",
    ),
    _rule(
        "no clock makes a moment later than now",
        "state.py",
        "name: min(value, now)",
        "name: value",
        _STATE + "a_clock_that_steps_back_neither_tells_twice_nor_stops_telling",
    ),
    _rule(
        "signs that services act on are replaced",
        "message.py",
        "line.translate(str.maketrans(_ELSEWHERE))",
        "line",
        _MESSAGE + "no_sign_that_a_service_acts_on_is_left",
    ),
    _rule(
        "HTML is escaped",
        "message.py",
        "html.escape(text)",
        "text",
        _MESSAGE + "html_is_escaped_and_a_command_stands_by_itself",
    ),
    _rule(
        "nothing is logged while somebody is told",
        "services.py",
        "        return False\n\n\n_STATUSES",
        "        return True\n\n\n_STATUSES",
        _TELLING + "no_secret_shows_up_anywhere",
    ),
    _rule(
        "a message is claimed before it is sent",
        "delivery.py",
        "            alert_store.claim_deliveries("
        "connection, batch.rows, now, settings.deadline)\n",
        "",
        _TELLING + "a_claim_keeps_others_from_sending_the_same",
    ),
    Mutation(
        "what is only told from few networks is a warning",
        _ALERT_RULES + "reports.py",
        "if networks >= evidence.limits.networks else",
        "if True else",
        _RULES + "what_is_only_told_is_critical_where_many_networks_tell_it",
    ),
    Mutation(
        "networks are counted for the chain that is told",
        _ALERT_RULES + "evidence.py",
        "for chain in chains)",
        "for chain in {key[1] for key in self.networks})",
        _RULES + "what_is_only_told_is_critical_where_many_networks_tell_it",
    ),
    Mutation(
        "few reports of a chain that an authority issued are few",
        _ALERT_RULES + "reports.py",
        "if _total(vouched) >= evidence.limits.few:",
        "if vouched:",
        _RULES + "what_an_authority_issued_is_critical_however_few_tell_it",
    ),
    Mutation(
        "an authority vouches for the host alone",
        _QUERIES + "chain_check.py",
        "verifier.verify(path[0], path[1:])",
        "store",
        _GATHER + "nobody_can_invent_a_chain_that_an_authority_issued",
    ),
    _rule(
        "a silence of a rule that there is not is none",
        "silences.py",
        "        check_rule(wanted.rule)\n",
        "        pass\n",
        "tests/watch/alerts/test_silences.py::test_a_silence_is_of_something_that_there_is",
    ),
]
