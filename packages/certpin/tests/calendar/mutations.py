"""Mutations of the rules of ``certpin calendar``, one for each rule.

Each mutation breaks a rule in a copy of the source; a named test must then fail. The runner is
``tests/test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_EVENTS, _ICAL = "certpin/calendar/events.py", "certpin/calendar/ical.py"
_T, _I = "tests/calendar/test_events.py::", "tests/calendar/test_ical.py::"

MUTATIONS = [
    Mutation(
        "announcements before their publication",
        _EVENTS,
        "for each in self.data.announced(self.today):",
        "for each in self.data.announcements:",
        f"{_T}test_an_announcement_is_not_listed_before_its_publication",
    ),
    Mutation(
        "an authority moves its customers for a year",
        _EVENTS,
        'since = self.today - _STILL_MOVING if each.kind == "issuance" else self.today',
        "since = self.today",
        f"{_T}test_an_authority_moves_its_customers_for_a_year_after_the_day",
    ),
    Mutation(
        "announcements for keys of the chain",
        _EVENTS,
        "            *(pin for each in self._authorities for pin in pins_of(each)),\n",
        "",
        f"{_T}test_an_announcement_is_listed_for_its_keys_and_hosts",
    ),
    Mutation(
        "a root that left",
        "certpin/roots/facts.py",
        "            return (removals[0],)\n",
        "            return ()\n",
        f"{_T}test_a_root_that_left_stays_listed_and_hides_its_other_dates",
    ),
    Mutation(
        "limits are for public certificates",
        _EVENTS,
        "if any(policy.trust is None for policy in pins.policies):",
        "if pins.policies:",
        f"{_T}test_a_limit_for_everyone_is_listed_once_for_public_hosts",
    ),
    Mutation(
        "a private authority signs any key",
        _EVENTS,
        'if policy.trust is not None or policy.match == "ca":',
        "if False:",
        f"{_T}test_a_backup_that_no_authority_certifies_is_listed_if_its_type_is_known",
    ),
    Mutation(
        "the UID does not depend on the date",
        _EVENTS,
        'identity = (f"certpin:{pin_set}", self.kind, self.host, self.subject)',
        'identity = (f"certpin:{pin_set}", self.kind, self.host, self.subject, str(self.day))',
        f"{_I}test_the_uid_stays_while_texts_and_dates_change",
    ),
    Mutation(
        "the day on which require_ct refuses nothing any more",
        _EVENTS,
        "        yield from self._log_list()\n",
        "",
        f"{_T}test_the_log_list_is_listed_with_the_day_from_which_clients_only_report",
    ),
    Mutation(
        "a host that only reports loses nothing with an old log list",
        _EVENTS,
        ' or self.policy.mode == "report":\n            return',
        ":\n            return",
        f"{_T}test_a_log_list_changes_nothing_for_some_hosts",
    ),
    Mutation(
        "escapes of iCalendar",
        _ICAL,
        'for character in ("\\\\", ";", ","):',
        'for character in (";", ","):',
        f"{_I}test_special_characters_are_escaped_and_lines_folded",
    ),
    Mutation(
        "control characters in iCalendar",
        _ICAL,
        '    text = "\\n".join(map(printable, text.split("\\n")))\n',
        "",
        f"{_I}test_special_characters_are_escaped_and_lines_folded",
    ),
    Mutation(
        "75 octets, and not 75 characters",
        _ICAL,
        "octets = len(character.encode())",
        "octets = 1",
        f"{_I}test_special_characters_are_escaped_and_lines_folded",
    ),
    Mutation(
        "a cross-sign is for a key of the path",
        _EVENTS,
        "if certificate not in on_path and certificate.spki_sha256 in keys:",
        "if certificate not in on_path:",
        f"{_T}test_other_certificates_that_a_server_sends_are_no_cross_signs",
    ),
    Mutation(
        "--host filters the events",
        "certpin/cli/calendar.py",
        "    pins = replace(pins, policies=servers.policies(pins))\n",
        "",
        "tests/cli/test_calendar.py::"
        "test_only_the_events_of_the_chosen_hosts_are_listed_and_counted",
    ),
    Mutation(
        "a trust anchor on the path is no other authority",
        _EVENTS,
        "(certificate in anchors or self.data.root_of(pins_of(certificate)[0]))",
        "self.data.root_of(pins_of(certificate)[0])",
        f"{_T}test_an_anchor_on_the_path_is_listed_once_with_one_fix",
    ),
    Mutation(
        "the next root of a pinned anchor is pinned too",
        _EVENTS,
        'self._expiry(anchor, "anchor", pinned=self._is_pinned(anchor))',
        'self._expiry(anchor, "anchor", pinned=False)',
        f"{_T}test_an_anchor_on_the_path_is_listed_once_with_one_fix",
    ),
    Mutation(
        "a chain that does not verify is no missing answer",
        "certpin/cli/calendar.py",
        "if refused or any(",
        "if any(",
        "tests/cli/test_calendar.py::test_a_chain_that_does_not_verify_is_not_a_missing_answer",
    ),
    Mutation(
        "a certificate that has expired is an event",
        "certpin/cli/calendar.py",
        "checkup.observation.code == CERT_HAS_EXPIRED",
        "False",
        "tests/cli/test_calendar.py::"
        "test_an_expired_certificate_of_a_server_is_an_event_that_is_past",
    ),
]
