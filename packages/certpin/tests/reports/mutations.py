"""Mutations of the report codecs and the reporter: each edit of the source breaks one rule.

``tests/test_mutations.py`` applies them one by one, and checks that the named test then fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CODECS = "certpin/reports/codecs/"
_REPORTER = "certpin/reports/reporter/"
_IN_REPORTER = "tests/reports/reporter/test_reporter.py::test_"
_IN_TROUBLE = "tests/reports/reporter/test_trouble.py::test_"
_IN_TRUST = "tests/reports/reporter/test_trust.py::test_"
_IN_LISTS = "tests/reports/reporter/test_lists.py::test_"
_IN_QUEUE = "tests/reports/reporter/test_queue.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "strict base64",
        _CODECS + "fields.py",
        "strict_mode=True",
        "strict_mode=False",
        "tests/reports/codecs/test_pem.py::test_other_text_is_refused",
    ),
    _rule(
        "exactly one certificate",
        _CODECS + "fields.py",
        " and _is_one_sequence(der) else None",
        " else None",
        "tests/reports/codecs/test_pem.py::test_other_text_is_refused",
    ),
    _rule(
        "a certificate is bounded",
        _CODECS + "fields.py",
        "return der if len(der) <= MAX_DER and",
        "return der if",
        "tests/reports/codecs/test_codecs.py::test_a_certificate_above_the_maximum_size_is_refused",
    ),
    _rule(
        "unprintable characters are escaped",
        _CODECS + "fields.py",
        "return value if value.isprintable() else printable(value)[:maximum]",
        "return value",
        "tests/reports/codecs/test_certpin.py::test_unprintable_characters_are_escaped",
    ),
    _rule(
        "an ID of a client can't equal a digest",
        _CODECS + "certpin.py",
        'return own and f"id:{own}"',
        'return own and f"rfc7469:{own}"',
        "tests/reports/codecs/test_certpin.py::test_an_id_of_a_client_never_equals_a_digest",
    ),
    _rule(
        "a failed host gets no report of it",
        _REPORTER + "failures.py",
        "if address_host(address) != failure.host)",
        ")",
        _IN_REPORTER + "every_address_but_the_failed_host_gets_the_report",
    ),
    _rule(
        "a failed report is not reported",
        _REPORTER + "reporter.py",
        "        if not sending():\n",
        "        if True:\n",
        _IN_REPORTER + "no_failure_in_the_sending_thread_is_reported",
    ),
    _rule(
        "nor is it reported through a hook in another thread",
        _REPORTER + "reporter.py",
        "if failure.policy is None and self._sender.contacts(failure.host):",
        "if False:",
        _IN_REPORTER + "a_failure_of_a_report_request_is_not_reported[False-False]",
    ),
    _rule(
        "a forked child replaces the locks",
        "certpin/support/forks.py",
        "    _end([each.after_fork_in_child for each in _notified])\n",
        "    _end([])\n",
        _IN_TROUBLE + "a_child_that_is_forked_while_locks_are_held_does_not_wait_for_them",
    ),
    _rule(
        "the limits apply to all processes together",
        _REPORTER + "reporter.py",
        "        with self._folder.locked():\n            for known",
        "        if True:\n            for known",
        "tests/reports/reporter/test_crashes.py"
        "::test_reporters_that_share_a_folder_report_a_failure_once",
    ),
    _rule(
        "the reporter does not use the updater's lock",
        _REPORTER + "queue.py",
        '_LOCK_FILE = "reports.lock"',
        '_LOCK_FILE = "lock"',
        "tests/reports/reporter/test_crashes.py"
        "::test_an_updater_with_the_same_folder_does_not_delay_a_report",
    ),
    _rule(
        "the files of a process that died are deleted",
        _REPORTER + "queue.py",
        r"|\.(?:reported|retry)\.json",
        r"|\.(?:reported)\.json",
        "tests/reports/reporter/test_queue.py"
        "::test_only_abandoned_unfinished_files_are_deleted[retry]",
    ),
    _rule(
        "processes keep each other's Retry-After",
        _REPORTER + "queue.py",
        "        with self._folder.locked(), suppress(OSError):\n            times",
        "        with suppress(OSError):\n            times",
        "tests/reports/reporter/test_queue.py"
        "::test_processes_that_get_retry_after_at_the_same_time_keep_all_times",
    ),
    _rule(
        "a report does not wait for ever for a lock",
        _REPORTER + "queue.py",
        "                if time.monotonic() > until:\n",
        "                if False:\n",
        "tests/reports/reporter/test_crashes.py"
        "::test_a_lock_that_is_never_released_prevents_no_report",
    ),
    _rule(
        "reports after the end are counted",
        _REPORTER + "reporter.py",
        "            if closed or full:\n                self.lost += 1\n",
        "            if closed or full:\n                self.lost += full\n",
        _IN_TROUBLE + "failures_after_the_end_are_counted_and_logged_once",
    ),
    _rule(
        "a closed reporter is closed in a forked child",
        _REPORTER + "reporter.py",
        "        if self._closed:  # in a child that was forked afterwards\n",
        "        if False:\n",
        _IN_TROUBLE + "failures_after_the_end_are_counted_and_logged_once",
    ),
    _rule(
        "no report is lost without threads",
        _REPORTER + "sender.py",
        "HostError, RuntimeError) as exc:",
        "HostError) as exc:",
        _IN_TROUBLE + "no_report_is_lost_if_no_thread_can_start",
    ),
    _rule(
        "Retry-After holds for all processes",
        _REPORTER + "sender.py",
        "self._queue.retry_after(report.to, self._clock())",
        "0.0",
        _IN_REPORTER + "retry_after_holds_for_the_next_process",
    ),
    _rule(
        "a refused body is sent again without gzip",
        _REPORTER + "request.py",
        "if not packed or redirected or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:",
        "if status != HTTPStatus.UNSUPPORTED_MEDIA_TYPE or not packed:",
        _IN_REPORTER + "a_server_without_gzip_gets_plain_reports",
    ),
    _rule(
        "a pinned collector is pinned for reports",
        _REPORTER + "trust.py",
        "for known in (*reversed(self._known), *self._enforced()):",
        "for known in ():",
        _IN_REPORTER + "a_pinned_collector_is_pinned_for_reports",
    ),
    _rule(
        "the same failure once an hour",
        _REPORTER + "failures.py",
        "    if previous is not None and now < previous + settings.pause.total_seconds():\n"
        "        return False\n",
        "",
        _IN_REPORTER + "the_same_failure_is_reported_once_an_hour_across_restarts",
    ),
    _rule(
        "presence once a day",
        _REPORTER + "queue.py",
        "any(day <= claim[1] <= _next(day) for claim in claims)",
        "False",
        _IN_QUEUE + "a_day_can_be_claimed_once",
    ),
    _rule(
        "one process sends a report",
        _REPORTER + "queue.py",
        "            if not try_lock(descriptor):\n                return False\n",
        "",
        _IN_QUEUE + "two_senders_never_claim_the_same_report",
    ),
    _rule(
        "reports go to allowed addresses only",
        _REPORTER + "queue.py",
        "isinstance(to, str) and is_report_address(to) and",
        "isinstance(to, str) and",
        _IN_QUEUE + "a_damaged_file_is_deleted_and_not_sent",
    ),
    _rule(
        "a collector is pinned by the pins of a presence",
        _REPORTER + "reporter.py",
        "if self._trust.add(pins, updated=updated):",
        "if False:",
        _IN_TRUST + "a_collector_is_pinned_by_every_pin_set_that_the_reporter_was_given[_presence]",
    ),
    _rule(
        "a collector is pinned by the pins of an updater",
        _REPORTER + "trust.py",
        'getattr(pins, "pins", None)',
        "None",
        _IN_TRUST + "a_collector_is_pinned_by_every_pin_set_that_the_reporter_was_given[_update]",
    ),
    _rule(
        "an updater's status has its pins",
        "certpin/updates/checker.py",
        "            inputs.pins,\n            inputs",
        "            None,\n            inputs",
        "tests/updates/test_updater.py::test_an_updater_that_is_not_started_does_nothing",
    ),
    _rule(
        "a reporter follows a swap of pins",
        "certpin/tls/context.py",
        "        self._enforcer.attach(self)\n\n    def admit",
        "\n    def admit",
        _IN_TRUST
        + "a_collector_is_pinned_by_every_pin_set_that_the_reporter_was_given[_lost_after_a_swap]",
    ),
    _rule(
        "a report waits for the pins that covered its collector",
        _REPORTER + "trust.py",
        "if pinned or self._holds(host):",
        "if self._holds(host):",
        _IN_TRUST + "a_report_of_a_pinned_collector_waits_for_its_pins_in_the_next_process",
    ),
    _rule(
        "a report is stored with the need for pins",
        _REPORTER + "reporter.py",
        "document, self._trust.covers(address))",
        "document, False)",
        _IN_TRUST + "a_report_of_a_pinned_collector_waits_for_its_pins_in_the_next_process",
    ),
    _rule(
        "a held report is not delayed when its pins are known",
        _REPORTER + "sender.py",
        "            if result.held:\n                return 0.0\n",
        "",
        _IN_TRUST + "a_report_of_a_pinned_collector_waits_for_its_pins_in_the_next_process",
    ),
    _rule(
        "a damaged need for pins is a need",
        _REPORTER + "queue.py",
        "pinned is not False)",
        "pinned is True)",
        _IN_TRUST + "a_file_with_any_other_value_than_false_waits_for_pins[None]",
    ),
    _rule(
        "earlier reports wait for the first use",
        _REPORTER + "trust.py",
        "        if not begun:\n            return None\n",
        "",
        _IN_TRUST
        + "an_earlier_report_without_pins_waits_until_the_app_can_have_given_them[older version]",
    ),
    _rule(
        "the end of a reporter is no use of it",
        _REPORTER + "reporter.py",
        "        self._flush(seconds)\n        self._closed",
        "        self.flush(seconds)\n        self._closed",
        _IN_TRUST + "a_reporter_that_ends_before_its_first_use_sends_no_earlier_report",
    ),
    _rule(
        "also if pins come while the context is chosen",
        _REPORTER + "trust.py",
        "        if not begun:\n",
        "        if not self._begun:\n",
        _IN_TRUST + "no_report_is_sent_without_pins_that_come_while_its_context_is_chosen",
    ),
    _rule(
        "pins are known before unpinned collectors are allowed",
        _REPORTER + "trust.py",
        "        changed = self._learn(pins, clock, follow=follow, before=before)\n"
        "        return self.begin() or changed\n",
        "        return self.begin() or self._learn(pins, clock, follow=follow, before=before)\n",
        _IN_TRUST + "no_report_is_sent_without_pins_that_come_while_its_context_is_chosen",
    ),
    _rule(
        "a newer version replaces that of the given context",
        _REPORTER + "trust.py",
        " and not self._outdated(host)",
        "",
        _IN_TRUST + "a_newer_version_replaces_that_of_the_given_context",
    ),
    _rule(
        "an older version does not replace a newer one",
        _REPORTER + "trust.py",
        "if pins.version < self._newest(pins.name) and not follow:",
        "if False:",
        _IN_TRUST + "the_newest_version_of_a_pin_set_is_used_and_a_recovery_is_followed",
    ),
    _rule(
        "a recovery is followed",
        _REPORTER + "trust.py",
        "if pins.version < self._newest(pins.name) and not follow:",
        "if pins.version < self._newest(pins.name):",
        _IN_TRUST + "the_newest_version_of_a_pin_set_is_used_and_a_recovery_is_followed",
    ),
    _rule(
        "only a recovery from the newest version is followed",
        _REPORTER + "trust.py",
        "before is not None and before.version >= self._newest(before.name)",
        "before is not None",
        _IN_TRUST + "the_newest_version_of_a_pin_set_is_used_and_a_recovery_is_followed",
    ),
    _rule(
        "a status without a recovery rolls no pins back",
        _REPORTER + "trust.py",
        'follow = updated and getattr(pins, "recovered", False)',
        "follow = updated",
        _IN_TRUST + "an_updater_rolls_no_pins_back_without_a_recovery[updated-False]",
    ),
    _rule(
        "nor does an earlier recovery",
        _REPORTER + "trust.py",
        'follow = updated and getattr(pins, "recovered", False)',
        'follow = getattr(pins, "recovered", False)',
        _IN_TRUST + "an_updater_rolls_no_pins_back_without_a_recovery[failed-True]",
    ),
    _rule(
        "pins of one name and version are kept beside each other",
        _REPORTER + "trust.py",
        "(each.pins.version == pins.version and meaning(each.pins) != meaning(pins))",
        "False",
        _IN_TRUST + "pin_sets_of_one_name_and_version_for_different_hosts_are_all_used",
    ),
    _rule(
        "the pins of a context are used while it exists",
        _REPORTER + "trust.py",
        "(*reversed(self._known), *self._enforced())",
        "reversed(self._known)",
        _IN_TRUST + "an_update_of_one_part_of_an_app_keeps_the_pins_of_another_part",
    ),
    _rule(
        "a replaced pin set makes no collector unpinned",
        _REPORTER + "trust.py",
        "        self._hold(each for each in replaced if",
        "        list(each for each in replaced if",
        _IN_TRUST + "an_update_of_one_part_of_an_app_keeps_the_pins_of_another_part",
    ),
    _rule(
        "nor does a pin set that is too old",
        _REPORTER + "trust.py",
        "            self._hold([pins])\n",
        "",
        _IN_TRUST + "a_collector_of_an_older_pin_set_is_not_unpinned",
    ),
    _rule(
        "a context may end the pins of a collector",
        _REPORTER + "trust.py",
        "if before is None or meaning(each) != meaning(before))",
        "if True)",
        _IN_TRUST + "a_collector_is_unpinned_once_its_own_context_has_no_pins_for_it",
    ),
    _rule(
        "the pin sets of a reporter are bounded",
        _REPORTER + "trust.py",
        "(*kept, _Known(pins, clock))[-_MAX_PIN_SETS:]",
        "(*kept, _Known(pins, clock))",
        _IN_TRUST + "pin_sets_that_are_too_many_do_not_make_a_collector_unpinned",
    ),
    _rule(
        "a dropped pin set makes no collector unpinned",
        _REPORTER + "trust.py",
        "self._dropped = self._dropped or len(kept) >= _MAX_PIN_SETS",
        "pass",
        _IN_TRUST + "pin_sets_that_are_too_many_do_not_make_a_collector_unpinned",
    ),
    _rule(
        "the next process knows that a pin set was dropped",
        _REPORTER + "trust.py",
        "return self._holds(host) or any(",
        "return any(",
        _IN_TRUST + "pin_sets_that_are_too_many_do_not_make_a_collector_unpinned",
    ),
    _rule(
        "pins of a reporter expire by the clock of their context",
        _REPORTER + "trust.py",
        "PinnedSSLContext(pins, clock=known.clock)",
        "PinnedSSLContext(pins, clock=self._clock)",
        _IN_TRUST + "pins_expire_by_the_clock_of_their_context",
    ),
    _rule(
        "also if they come again without the context",
        _REPORTER + "trust.py",
        "next(named, self._clock)",
        "self._clock",
        _IN_TRUST + "pins_expire_by_the_clock_of_their_context",
    ),
    _rule(
        "a forked child replaces the lock of the pins",
        _REPORTER + "reporter.py",
        "        self._trust.reset_lock()\n",
        "",
        _IN_TRUST + "a_forked_child_pins_collectors_too",
    ),
    _rule(
        "a collector with pins is verified with the roots of the given context",
        _REPORTER + "trust.py",
        "if roots := _loadable(self._roots):",
        "if roots := ():",
        _IN_TRUST + "the_roots_of_the_given_context_and_the_pins_apply_together",
    ),
    _rule(
        "the trust of a policy comes before the given context",
        _REPORTER + "trust.py",
        "if policy and policy.trust is None and",
        "if policy and",
        _IN_TRUST + "the_trust_of_the_policy_replaces_the_roots_of_the_given_context",
    ),
    _rule(
        "a context without listed roots is reported",
        _REPORTER + "trust.py",
        "                self._warn_once(_NO_ROOTS, host)\n",
        "                pass\n",
        _IN_TRUST + "a_context_whose_roots_are_not_listed_leads_to_a_warning",
    ),
    _rule(
        "the roots of a folder are never used for a pinned collector",
        _REPORTER + "trust.py",
        "_loadable(self._roots)",
        "_loadable(_roots_of(given))",
        _IN_TRUST + "roots_of_a_folder_are_not_used_after_a_connection_either",
    ),
    _rule(
        "nor does one that can't list them stop reports",
        _REPORTER + "trust.py",
        "    except NotImplementedError:  # the",
        "    except ZeroDivisionError:  # the",
        _IN_TRUST + "a_context_that_cannot_list_roots_leads_to_a_warning",
    ),
    _rule(
        "revocation lists apply to a pinned collector",
        "certpin/tls/context.py",
        "        context.follow_revocation(self)\n",
        "",
        _IN_LISTS + "a_revoked_collector_gets_no_report[given]",
    ),
    _rule(
        "also if its pins are newer than those of the given context",
        _REPORTER + "trust.py",
        "            context.follow_revocation(given)\n",
        "",
        _IN_LISTS + "a_revoked_collector_gets_no_report[newer]",
    ),
    _rule(
        "required lists that can't be read are required",
        "certpin/x509/contexts.py",
        "flags_of(self) | int(source.verify_flags) & STRICTER_FLAGS",
        "flags_of(self)",
        _IN_LISTS + "lists_that_cannot_be_read_stop_reports_with_one_warning",
    ),
    _rule(
        "a pinned collector is verified as strictly as the given context does",
        _REPORTER + "trust.py",
        "bool(given.verify_flags & ssl.VERIFY_X509_STRICT)",
        "None",
        _IN_TRUST + "a_pinned_collector_is_verified_as_strictly_as_by_the_given_context[True]",
    ),
    _rule(
        "a relative folder of reports stays the same folder",
        _REPORTER + "reporter.py",
        "Path(folder).absolute()",
        "Path(folder)",
        "tests/reports/reporter/test_reporter.py::"
        "test_a_relative_folder_stays_where_it_is_if_the_app_changes_its_folder",
    ),
]
