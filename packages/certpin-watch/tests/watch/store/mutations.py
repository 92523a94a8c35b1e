"""The rules of the store, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_STORE = "certpin_watch/store/"
_TESTS = "tests/watch/store/test_"
_WINDOW = "identities.py::test_"
_RETENTION = "tests/watch/test_retention.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _STORE + file, old, new, _TESTS + test)


MUTATIONS: list[Mutation] = [
    _rule(
        "the file is for its owner alone",
        "sqlite.py",
        "os.O_CLOEXEC, 0o600",
        "os.O_CLOEXEC, 0o644",
        "engine.py::test_a_new_file_is_for_its_owner_alone",
    ),
    _rule(
        "what was answered is on the disk",
        "sqlite.py",
        "synchronous = FULL",
        "synchronous = NORMAL",
        "engine.py::test_every_connection_is_durable_and_overwrites_what_it_deletes",
    ),
    _rule(
        "a read cannot write",
        "sqlite.py",
        "query_only = {int(reads)}",
        "query_only = 0",
        "engine.py::test_a_read_changes_nothing[sqlite]",
    ),
    _rule(
        "no way in clear text by mistake",
        "postgresql.py",
        'if not _is_local(url) and "sslmode" not in url.query:',
        "if False:",
        "engine.py::test_an_address_that_cannot_be_right_is_refused_and_not_shown"
        "[postgresql://watch:hunter2@db.bank.example/watch]",
    ),
    _rule(
        "values are in no error",
        "failures.py",
        "    except (IntegrityError, DataError) as exc:\n        _redact(exc)\n",
        "    except (IntegrityError, DataError):\n",
        "engine.py::test_all_below_the_first_line_of_an_error_is_cut",
    ),
    _rule(
        "a lease is one holder's",
        "leases.py",
        "            LEASES.c.holder == holder,\n            LEASES.c.until <= now,\n",
        "            LEASES.c.until > 0,\n",
        "leases.py::test_a_lease_that_another_has_is_not_given[sqlite]",
    ),
    _rule(
        "a lease of the future holds up nobody",
        "leases.py",
        "            LEASES.c.until > now + seconds + _MAX_AHEAD,\n",
        "",
        "leases.py::test_a_lease_of_a_clock_that_ran_ahead_is_free_once_it_was_put_right[sqlite]",
    ),
    _rule(
        "a clock that leapt is not believed at once",
        "clock_guard.py",
        "now <= last.at + MAX_STEP:",
        "now:",
        "clock_guard.py::test_a_leap_holds_for_a_day_and_is_believed_after_it[86401]",
    ),
    Mutation(
        "what is just counted anew is not deleted",
        "certpin_watch/store/retention.py",
        "key.in_(chosen), past))",
        "key.in_(chosen)))",
        "tests/watch/test_retention.py::test_what_is_just_counted_anew_is_not_deleted",
    ),
    Mutation(
        "a late report is known after its day was dropped",
        "certpin_watch/collector/counting.py",
        "if FIRST_DATED <= record.identity < punctual:",
        "if False:",
        _TESTS + "identities.py::test_a_repeat_is_found_for_the_whole_window_however_late_it_is"
        "[postgres]",
    ),
    _rule(
        "no identity is dropped inside the window",
        "identities.py",
        "excess_before(connection, max_identities, now)) - LATE",
        "excess_before(connection, max_identities, now))",
        _WINDOW + "a_partition_goes_when_the_last_punctual_report_of_its_day_is_past",
    ),
    _rule(
        "no identity of the last hour is deleted",
        "identities.py",
        "return min(int(hour) + HOUR, now - HOUR)",
        "return int(hour) + HOUR",
        _WINDOW + "the_oldest_go_if_there_are_too_many_and_none_of_the_last_hour[sqlite]",
    ),
    Mutation(
        "a window that will be too short is reported before",
        "certpin_watch/store/queries/capacity.py",
        "return min(self.days, self.expected_days) < self.client_days",
        "return self.days < self.client_days",
        _TESTS + "identities.py::test_the_window_is_known_from_the_rate_before_it_is_short",
    ),
    Mutation(
        "a kind that fails keeps no other from being deleted",
        "certpin_watch/retention.py",
        'if reason == "away":',
        "if reason:",
        _RETENTION + "a_kind_that_is_too_slow_keeps_no_other_from_being_deleted",
    ),
    Mutation(
        "a batch that takes too long is tried with fewer rows",
        "certpin_watch/retention.py",
        'if reason == "busy" and kind.batch > 1:',
        "if False:",
        _RETENTION + "a_kind_that_is_too_slow_keeps_no_other_from_being_deleted",
    ),
    Mutation(
        "a kind that is not deleted is reported",
        "certpin_watch/retention.py",
        "record_sweep(connection, kind.name, now, reason)",
        "pass",
        _RETENTION + "a_kind_that_is_too_slow_keeps_no_other_from_being_deleted",
    ),
    Mutation(
        "a chain that is just being named is not deleted",
        "certpin_watch/store/retention.py",
        "quota.delete_chains(connection, _unreferenced(connection, digests_left))",
        "quota.delete_chains(connection, unreferenced)",
        _RETENTION + "a_chain_that_is_just_being_named_is_not_deleted",
    ),
    Mutation(
        "while a clock is not believed nothing is deleted",
        "certpin_watch/retention.py",
        "if (until := self._clock_state.held_until) is not None:",
        "if (until := self._clock_state.leapt_at or 0) < 0:",
        "tests/watch/test_retention.py::test_a_clock_that_leaps_ahead_deletes_nothing_for_a_day",
    ),
    _rule(
        "a store that takes nothing is told",
        "failures.py",
        "            if exc.reason in _WRITE_FAILURES:\n",
        "            if not exc.reason:\n",
        "trouble.py::test_a_write_that_fails_is_a_trouble_until_one_goes_through_and_a_while_longer",
    ),
    _rule(
        "nothing is written to a file that is known to be damaged",
        "failures.py",
        "        if self._damaged:\n            raise",
        "        if False:\n            raise",
        "trouble.py::test_after_damage_nothing_is_written",
    ),
    _rule(
        "who slept is not who holds it now",
        "leases.py",
        "        & (LEASES.c.term == lease.term)\n",
        "",
        "leases.py::test_the_same_process_after_a_pause_has_another_term[sqlite]",
    ),
    _rule(
        "a database of somebody else is left alone",
        "schema.py",
        "if found.state not in {SchemaState.EMPTY, SchemaState.BEHIND}:",
        "if False:",
        "schema.py::test_a_database_of_somebody_else_is_refused_and_left_alone[sqlite]",
    ),
]
