"""The rules of reports and of the reporter, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_CODECS = "certpin/reports/codecs/"
_REPORTER = "certpin/reports/reporter/"
_IN_REPORTER = "tests/reports/reporter/test_reporter.py::test_"
_IN_TROUBLE = "tests/reports/reporter/test_trouble.py::test_"
_IN_FOLDER = "tests/reports/reporter/test_folder.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, file, old, new, test)


MUTATIONS: list[Mutation] = [
    # ── What is believed of a report ──
    _rule(
        "strict base64",
        _CODECS + "pem.py",
        "strict_mode=True",
        "strict_mode=False",
        "tests/reports/codecs/test_pem.py::test_anything_else_is_refused",
    ),
    _rule(
        "nothing that is not one certificate",
        _CODECS + "pem.py",
        " and _is_one_sequence(der) else None",
        " else None",
        "tests/reports/codecs/test_pem.py::test_anything_else_is_refused",
    ),
    _rule(
        "a certificate is bounded",
        _CODECS + "pem.py",
        "return der if len(der) <= MAX_DER and",
        "return der if",
        "tests/reports/codecs/test_codecs.py::"
        "test_the_largest_certificate_is_read_and_one_byte_more_is_refused",
    ),
    _rule(
        "what nobody can see is escaped",
        _CODECS + "fields.py",
        "return value if value.isprintable() else printable(value)[:most]",
        "return value",
        "tests/reports/codecs/test_certpin.py::test_what_nobody_can_see_is_escaped",
    ),
    _rule(
        "a client names no report of another",
        _CODECS + "certpin.py",
        'return own and f"id:{own}"',
        'return own and f"rfc7469:{own}"',
        "tests/reports/codecs/test_certpin.py::"
        "test_an_id_of_a_client_is_never_the_digest_of_another_report",
    ),
    # ── What the reporter does ──
    _rule(
        "a host hears nothing of its own failures",
        _REPORTER + "addresses.py",
        "if host_of(each) != failure.host)",
        ")",
        _IN_REPORTER + "each_address_of_a_policy_is_told_but_not_the_host_that_failed",
    ),
    _rule(
        "no loop",
        _REPORTER + "reporter.py",
        "        if not sending():\n",
        "        if True:\n",
        _IN_REPORTER + "nothing_that_fails_in_the_thread_that_sends_is_reported",
    ),
    _rule(
        "no loop through a hook in another thread",
        _REPORTER + "reporter.py",
        "if failure.policy is None and self._sender.calls(failure.host):",
        "if False:",
        _IN_REPORTER + "a_failure_that_is_met_while_a_report_is_sent_is_not_reported[False-False]",
    ),
    _rule(
        "a child waits for no lock of its parent",
        "certpin/support/forks.py",
        "    _end([each.after_fork_in_child for each in _told])\n",
        "    _end([])\n",
        _IN_TROUBLE + "a_child_that_is_forked_while_its_locks_are_held_does_not_wait_for_them",
    ),
    _rule(
        "nothing is lost where there are no threads",
        _REPORTER + "sender.py",
        "HostError, RuntimeError) as exc:",
        "HostError) as exc:",
        _IN_TROUBLE + "where_no_thread_can_be_had_it_is_on_the_disk_and_nothing_is_lost",
    ),
    _rule(
        "rest is for all processes",
        _REPORTER + "sender.py",
        "self._queue.rests(item.to, self._clock())",
        "0.0",
        _IN_REPORTER + "retry_after_holds_for_the_next_process_too",
    ),
    _rule(
        "a pinned report host is pinned",
        _REPORTER + "trust.py",
        "for each in (self._given, *self._contexts()):",
        "for each in ():",
        _IN_REPORTER + "a_pinned_report_host_is_pinned_for_reports_too",
    ),
    _rule(
        "the same failure once an hour",
        _REPORTER + "rate.py",
        "    if before is not None and now < before + settings.pause.total_seconds():\n"
        "        return False\n",
        "",
        _IN_REPORTER + "the_same_failure_is_told_once_an_hour_after_a_restart_too",
    ),
    _rule(
        "presence once a day",
        _REPORTER + "folder.py",
        "any(day <= found[1] <= _next(day) for found in before)",
        "False",
        _IN_FOLDER + "a_presence_has_its_day_once_however_often_it_is_asked_for",
    ),
    _rule(
        "one sender for each report",
        _REPORTER + "folder.py",
        "            if not locks.try_lock(descriptor):\n                return False\n",
        "",
        _IN_FOLDER + "two_that_send_from_one_folder_never_have_the_same_one",
    ),
    _rule(
        "reports go where reports may go",
        _REPORTER + "queue.py",
        "isinstance(to, str) and is_report_address(to) and",
        "isinstance(to, str) and",
        _IN_FOLDER + "a_damaged_file_is_dropped_and_nothing_of_it_is_sent",
    ),
]
