"""Mutations of the rules about commands that change one pin file at the same time.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_FILE = "certpin/pinfile/file.py"
_FILES = "certpin/cli/rotate/files.py"
_RECORD = "certpin/cli/rotate/emergency_record.py"
_PUSH = "certpin/cli/publish/push.py"
_TEST = "tests/cli/test_parallel_changes.py::test_"
_ADDITION = "an_addition_reads_the_file_again_that_has_changed_before_the_lock"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a pin file is locked while it is changed",
        _FILE,
        "            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)\n",
        "            pass\n",
        f"{_TEST}an_addition_waits_for_another_one[True]",
    ),
    Mutation(
        "the wait for the lock has a limit",
        _FILE,
        "            if time.monotonic() >= until:\n",
        "            if False:\n",
        f"{_TEST}a_command_that_has_no_lock_in_time_says_so",
    ),
    Mutation(
        "a link has the lock of its target",
        _FILE,
        "folder = Path(os.path.realpath(path)).parent",
        "folder = path.parent",
        f"{_TEST}a_link_to_the_pin_file_has_the_lock_of_its_target",
    ),
    Mutation(
        "a block inside another one has its lock",
        _FILE,
        "if _fcntl is None or folder in _locked.get():",
        "if _fcntl is None:",
        f"{_TEST}a_killed_process_leaves_no_lock",
    ),
    Mutation(
        "a system without locks can change a file",
        _FILE,
        "if _fcntl is None or folder in _locked.get():",
        "if folder in _locked.get():",
        f"{_TEST}a_system_without_locks_locks_nothing",
    ),
    Mutation(
        "a host is added to the file that is locked",
        "certpin/cli/add.py",
        "    with changing(path):  # not before: the server, and the user, may take long\n"
        "        editor = _editor(path, name, pattern, backup, endpoint)\n",
        "    editor = _editor(path, name, pattern, backup, endpoint)\n    with changing(path):\n",
        _TEST + _ADDITION,
    ),
    Mutation(
        "hosts are imported into the file that is locked",
        "certpin/cli/import_.py",
        "    with changing(path):\n"
        "        imported = HostImport(path, pins, named=called is not None)\n",
        "    imported = HostImport(path, pins, named=called is not None)\n"
        "    with changing(path):\n",
        f"{_TEST}an_import_reads_the_file_that_it_has_locked",
    ),
    Mutation(
        "a step is not written into a journal that has changed",
        _FILES,
        "        if _file_state(self.journal) != self._journal_state:\n",
        "        if False:\n",
        f"{_TEST}a_version_is_recorded_once",
    ),
    Mutation(
        "a step is not written into a pin file that has changed",
        _FILES,
        "            self._refuse_changed()\n            self._commit(events)\n",
        "            self._commit(events)\n",
        f"{_TEST}a_step_is_refused_if_the_key_was_stolen_meanwhile",
    ),
    Mutation(
        "a step is repeated if the files have changed",
        _FILES,
        "            with changing(changed):\n                return command(*args, **options)\n",
        "            raise PinFileChangedError.of(changed)\n",
        f"{_TEST}a_step_that_contacts_servers_delays_no_other_step",
    ),
    Mutation(
        "a step is written in one piece",
        _FILES,
        "        with changing(self.path):\n            self._refuse_changed()\n",
        "        if True:\n            self._refuse_changed()\n",
        f"{_TEST}a_step_waits_until_another_one_is_in_the_journal",
    ),
    Mutation(
        "a step is read in one piece",
        _FILES,
        "        with locked_if_possible(path, _READ_WAIT):",
        "        if True:",
        f"{_TEST}no_command_reads_a_pin_file_that_is_ahead_of_its_journal",
    ),
    Mutation(
        "a file that is read may be locked",
        _FILES,
        "            problem = exc\n",
        "            raise\n",
        f"{_TEST}reading_commands_need_no_lock",
    ),
    Mutation(
        "a repeated step reads no chain twice",
        _FILES,
        "    if known is None:\n",
        "    if True:\n",
        f"{_TEST}a_repeated_step_reads_no_chain_twice",
    ),
    Mutation(
        "a new key is for the files that are locked",
        "certpin/cli/rotate/start.py",
        "_Start(files.latest(), ",
        "_Start(files, ",
        f"{_TEST}a_new_key_is_for_the_files_that_are_locked",
    ),
    Mutation(
        "a theft is recorded without the lock",
        _RECORD,
        "    with locked_if_possible(journal, _LOCK_WAIT) as problem:\n",
        "    from certpin.pinfile.file import changing\n\n"
        "    problem = None\n    with changing(journal):\n",
        f"{_TEST}a_theft_is_recorded_although_another_command_keeps_the_lock",
    ),
    Mutation(
        "a theft is marked in a file that has changed",
        "certpin/cli/rotate/emergency.py",
        "    @repeat_if_changed\n    def _mark(",
        "    def _mark(",
        f"{_TEST}a_theft_is_marked_in_the_file_that_another_command_has_changed",
    ),
    Mutation(
        "a push is recorded in a journal that has grown",
        _PUSH,
        "            files = files.latest()\n            if not waits_for_push",
        "            if not waits_for_push",
        "tests/cli/test_publish_push.py::"
        "test_a_push_is_recorded_although_the_journal_has_grown_during_the_upload",
    ),
    Mutation(
        "no other command waits while a key is read",
        "certpin/cli/rotate/start.py",
        "            _ = next_key.named  # may ask",
        "            pass  # may ask",
        "tests/cli/test_parallel_changes.py::test_no_other_command_waits_while_a_key_is_read",
    ),
    Mutation(
        "a repeated step compares the time of a server with that of its answer",
        "certpin/cli/rotate/files.py",
        "return once((url, policy), ask)",
        "return ask()",
        "tests/cli/test_parallel_changes.py::"
        "test_a_repeated_step_compares_the_time_of_a_server_with_that_of_the_answer",
    ),
]
