"""Mutations of the store: each removes one rule from the code.

``test_mutations.py`` applies them in turn, and checks that a test fails for each.
"""

from __future__ import annotations

from tests._mutation import Mutation

_STORE = "certpin_watch/store/"
_TESTS = "tests/watch/store/test_"
_WINDOW = "identities.py::test_"
_RETENTION = "tests/watch/test_retention.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _STORE + file, old, new, _TESTS + test)


MUTATIONS: list[Mutation] = [
    Mutation(
        "a command migrates no old database",
        "certpin_watch/cli/options.py",
        "    refuse_empty(store)\n    require_current(store)\n",
        "    from certpin_watch.store import prepare\n\n    prepare(store)\n",
        "tests/watch/cli/test_watch.py::test_only_migrate_and_serve_change_an_old_database[alerts]",
    ),
    Mutation(
        "a command that may create a database migrates no old one",
        "certpin_watch/cli/options.py",
        "    if schema_state(store).state is SchemaState.BEHIND:",
        "    if False:",
        "tests/watch/cli/test_watch.py::test_only_migrate_and_serve_change_an_old_database"
        "[user add anna --role admin]",
    ),
    _rule(
        "only the owner can read the file",
        "connections.py",
        "os.O_CLOEXEC, 0o600",
        "os.O_CLOEXEC, 0o644",
        "engine.py::test_a_new_file_is_readable_by_its_owner_only",
    ),
    _rule(
        "an acknowledged report is on disk",
        "connections.py",
        "synchronous = FULL",
        "synchronous = NORMAL",
        "engine.py::test_sqlite_is_durable_and_overwrites_deleted_data",
    ),
    _rule(
        "a read cannot write",
        "engine.py",
        "query_only = {int(reads)}",
        "query_only = 0",
        "engine.py::test_a_read_changes_nothing[sqlite]",
    ),
    _rule(
        "no clear-text connection by mistake",
        "connections.py",
        'if not _is_local(url) and "sslmode" not in url.query:',
        "if False:",
        "engine.py::test_an_invalid_address_is_refused_and_not_shown"
        "[postgresql://watch:hunter2@db.bank.example/watch]",
    ),
    _rule(
        "errors contain no values",
        "engine.py",
        "    except (IntegrityError, DataError) as exc:\n        _redact(exc)\n",
        "    except (IntegrityError, DataError):\n",
        "engine.py::test_only_the_first_line_of_an_error_is_kept",
    ),
    _rule(
        "a lease has one holder",
        "leases.py",
        "            LEASES.c.holder == holder,\n            LEASES.c.until <= now,\n",
        "            LEASES.c.until > 0,\n",
        "leases.py::test_a_held_lease_is_refused[sqlite]",
    ),
    _rule(
        "a lease from the future does not block",
        "leases.py",
        "            LEASES.c.until > now + seconds + _MAX_AHEAD,\n",
        "",
        "leases.py::test_a_lease_from_a_clock_that_ran_ahead_is_free[sqlite]",
    ),
    _rule(
        "a clock that jumped is not trusted at once",
        "retention.py",
        "now <= last.at + MAX_STEP:",
        "now:",
        "clock_guard.py::test_a_jump_is_trusted_after_a_day[86401]",
    ),
    Mutation(
        "a row that is updated meanwhile is not deleted",
        "certpin_watch/store/retention.py",
        "key.in_(chosen), past))",
        "key.in_(chosen)))",
        "tests/watch/test_retention.py::test_a_row_that_is_updated_meanwhile_is_not_deleted",
    ),
    Mutation(
        "a late report is recognised after its day was dropped",
        "certpin_watch/collector/counting.py",
        "is_late = FIRST_DATED <= record.identity < earliest_on_time",
        "is_late = False",
        _TESTS + "identities.py::test_a_repeat_is_recognised_in_the_whole_window[postgres]",
    ),
    _rule(
        "no identity is dropped inside the window",
        "identities.py",
        "excess_before(connection, max_identities, now)) - LATE",
        "excess_before(connection, max_identities, now))",
        _WINDOW + "a_partition_is_dropped_when_its_last_punctual_report_expires",
    ),
    _rule(
        "no identity of the last hour is deleted",
        "identities.py",
        "return min(int(hour) + HOUR, now - HOUR)",
        "return int(hour) + HOUR",
        _WINDOW + "the_oldest_excess_identities_are_deleted[sqlite]",
    ),
    Mutation(
        "a window that will be too short is reported in advance",
        "certpin_watch/store/queries/capacity.py",
        "return min(self.days, self.expected_days) < self.client_days",
        "return self.days < self.client_days",
        _TESTS + "identities.py::test_a_short_window_is_predicted_from_the_rate",
    ),
    Mutation(
        "a failing kind does not stop the others",
        "certpin_watch/retention.py",
        'if reason == "away":',
        "if reason:",
        _RETENTION + "a_slow_kind_does_not_stop_the_others",
    ),
    Mutation(
        "a slow batch is retried with fewer rows",
        "certpin_watch/retention.py",
        'if reason == "busy" and kind.batch > 1:',
        "if False:",
        _RETENTION + "a_slow_kind_does_not_stop_the_others",
    ),
    Mutation(
        "a failing kind is recorded",
        "certpin_watch/retention.py",
        "record_sweep(connection, kind.name, now, reason)",
        "pass",
        _RETENTION + "a_slow_kind_does_not_stop_the_others",
    ),
    Mutation(
        "a chain that gets a reference meanwhile is not deleted",
        "certpin_watch/store/retention.py",
        "delete_chains(connection, _unreferenced(connection, digests_left))",
        "delete_chains(connection, unreferenced)",
        _RETENTION + "a_chain_that_gets_a_reference_meanwhile_is_not_deleted",
    ),
    Mutation(
        "nothing is deleted while the clock is not trusted",
        "certpin_watch/retention.py",
        "if (until := self._clock_state.held_until) is not None:",
        "if (until := self._clock_state.leapt_at or 0) < 0:",
        "tests/watch/test_retention.py::test_after_a_clock_jump_nothing_is_deleted_for_a_day",
    ),
    _rule(
        "a store that cannot be written is reported",
        "engine.py",
        "            if exc.reason in _WRITE_FAILURES:\n",
        "            if not exc.reason:\n",
        "health.py::test_a_failed_write_counts_until_a_later_write_and_ten_seconds",
    ),
    _rule(
        "nothing is written to a damaged file",
        "engine.py",
        "        if self._damaged:\n            raise",
        "        if False:\n            raise",
        "health.py::test_after_damage_nothing_is_written",
    ),
    _rule(
        "a suspended holder has another term",
        "leases.py",
        "        & (LEASES.c.term == lease.term)\n",
        "",
        "leases.py::test_taking_an_expired_lease_again_raises_the_term[sqlite]",
    ),
    _rule(
        "a database of another program is not changed",
        "schema.py",
        "if found.state not in {SchemaState.EMPTY, SchemaState.BEHIND}:",
        "if False:",
        "schema.py::test_a_database_of_another_program_is_refused_and_not_changed[sqlite]",
    ),
    Mutation(
        "a database that every user can read is a warning",
        "certpin_watch/store/connections.py",
        '            warn_if_open(file, file.stat(), "the database")\n',
        "            pass\n",
        "tests/watch/store/test_engine.py::test_a_file_that_every_user_can_read_is_a_warning",
    ),
    Mutation(
        "a pooler in transaction mode gets no prepared statements",
        "certpin_watch/store/connections.py",
        '        connect_args["prepare_threshold"] = None\n',
        "",
        "tests/watch/store/test_engine.py::"
        "test_behind_a_pooler_in_transaction_mode_no_statement_is_prepared",
    ),
]
