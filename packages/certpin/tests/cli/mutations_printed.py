"""Mutations of the rules about the commands that certpin prints, one for each rule.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_REMEDIES = "certpin/rotation/remedies.py"

_NAMED = "tests/cli/test_messages.py::test_each_command_with_a_pin_file_"
_FILES = "tests/cli/test_named_files.py::test_"
_PRINTED = "tests/cli/test_rotate_printed.py::"
_EMERGENCY = "tests/cli/test_rotate_emergency.py::"
_TERMINAL = "tests/cli/test_terminal.py::"
_ROOT = "tests/cli/test_rotate_trust.py::test_the_refusal_of_a_chain_says_how_to_replace_the_root"
_TWO_HOSTS = "test_the_commands_of_an_emergency_at_two_hosts_are_accepted_in_their_order"

MUTATIONS: list[Mutation] = [
    Mutation(
        "the commands of a fix name the pin file",
        "certpin/cli/reply.py",
        "found[0] + self.file_option",
        "found[0]",
        _PRINTED + "test_the_fix_of_the_gate_names_the_pin_file",
    ),
    Mutation(
        "a pin file that is an argument is named in printed commands",
        "certpin/cli/options.py",
        "    if named:\n        name_pin_file(ctx, named)\n",
        "",
        _FILES + "the_fixes_of_the_calendar_name_the_pin_file[words0-env0- --file live.toml]",
    ),
    Mutation(
        "the default pin file is named if CERTPIN_PINS names another one",
        "certpin/cli/options.py",
        "if path == PIN_FILE == default else",
        "if path == PIN_FILE else",
        _FILES + "the_fixes_of_lint_name_the_pin_file[words4-env4- --file pins.toml]",
    ),
    Mutation(
        "a pin file that CERTPIN_PINS names is named",
        "certpin/cli/options.py",
        "if path == PIN_FILE == default else",
        "if path == default else",
        _FILES + "the_fixes_of_lint_name_the_pin_file[words3-env3- --file live.toml]",
    ),
    Mutation(
        "each fix of lint names the file of its finding",
        "certpin/cli/lint.py",
        "fix=with_file(finding.fix)",
        "fix=finding.fix",
        _FILES + "the_fixes_of_lint_name_the_file_of_each_finding[github]",
    ),
    Mutation(
        "each fix of lint names the file only of its finding",
        "certpin/cli/lint.py",
        "    name_pin_file(ctx, None)  # the commands of each finding name their file now\n",
        "",
        _FILES + "the_fixes_of_lint_name_the_file_of_each_finding[json]",
    ),
    Mutation(
        "--format json makes errors JSON, as --json does",
        "certpin/cli/reply.py",
        '("--format", "json") in pairwise(options)',
        "False",
        "tests/cli/test_json.py::test_an_error_is_json_with_the_format_json_too[lint-2]",
    ),
    Mutation(
        "no command of diff names a path that is gone when the command has ended",
        "certpin/cli/diff.py",
        ' and path.absolute().parts[1:2] not in {("dev",), ("proc",)}',
        "",
        "tests/cli/test_diff.py::test_a_path_that_ends_with_the_command_is_not_named",
    ),
    Mutation(
        "an error of diff names the file that it could not read",
        "certpin/cli/diff.py",
        "    name_pin_file(ctx, path if _is_lasting(path) else None)\n",
        "",
        "tests/cli/test_diff.py::test_printed_commands_name_the_file_that_they_are_about",
    ),
    Mutation(
        "the listed ports are named if there is no server at a port",
        "certpin/cli/servers.py",
        "if warn and listed and port not in ports:",
        "if False:",
        "tests/cli/test_servers.py"
        "::test_a_port_without_a_listed_server_is_a_warning_with_the_listed_ones",
    ),
    Mutation(
        "an error of lint names the file that it could not read",
        "certpin/cli/lint.py",
        "        file, error = unread[0]\n        name_pin_file(ctx, file)\n",
        "        file, error = unread[0]\n",
        _FILES + "an_error_of_lint_names_the_file",
    ),
    Mutation(
        "each fix in JSON names the pin file",
        "certpin/cli/reply.py",
        "self._data = self._with_file_in_fixes(data)",
        "self._data = data",
        _FILES + "the_fixes_of_the_calendar_name_the_pin_file[words0-env0- --file live.toml]",
    ),
    Mutation(
        "each folded text names the pin file",
        "certpin/cli/reply.py",
        "for line in with_file(text).splitlines()",
        "for line in text.splitlines()",
        _PRINTED + "test_the_fix_of_a_plan_names_the_pin_file",
    ),
    Mutation(
        "punctuation in a quoted word does not end a printed command",
        "certpin/cli/reply.py",
        r"(?>(?<=[\s=])'[^']*'|",
        "(?>",
        _NAMED + "is_printed_with_the_file_of_this_run",
    ),
    Mutation(
        "the placeholder of a release is not recorded",
        "certpin/cli/rotate/shipped.py",
        "if self.release == RELEASE:",
        "if False:",
        "tests/cli/test_rotate_shipped.py"
        "::test_the_next_version_of_an_app_is_recorded_as_a_release",
    ),
    Mutation(
        "an emergency makes no journal in a wrong folder",
        "certpin/cli/rotate/emergency_record.py",
        "if not path.exists() and not history.events:",
        "if False:",
        _EMERGENCY + "test_no_journal_is_made_in_a_folder_without_a_pin_file",
    ),
    Mutation(
        "a key that nothing has is questioned",
        "certpin/cli/rotate/emergency.py",
        "        self.is_known = self._has_key(files) or is_authority\n",
        "        self.is_known = True\n",
        _EMERGENCY + "test_a_key_that_no_file_and_no_server_has_is_questioned",
    ),
    Mutation(
        "a key that this command has marked is not known by that",
        "certpin/cli/rotate/emergency.py",
        "(pins is not draft or entry.live)",
        "True",
        _EMERGENCY + "test_a_key_that_no_file_and_no_server_has_is_questioned",
    ),
    Mutation(
        "the merged steps of an emergency have each step once",
        "certpin/cli/rotate/emergency_text.py",
        'once.setdefault("" if each[2].act == "publish" else each[0], each)',
        "once[str(id(each))] = each",
        _EMERGENCY + "test_the_json_has_the_steps_of_all_hosts_once_and_in_order",
    ),
    Mutation(
        "a key that is not here has a placeholder",
        "certpin/cli/rotate/emergency_text.py",
        'return shlex.quote(f"FOLDER/{name}"),',
        "return shlex.quote(name),",
        "tests/cli/test_rotate_emergency.py"
        "::test_the_request_is_printed_although_the_key_is_not_here[key file b.key-FOLDER/b.key-"
        "FOLDER is the folder of the file]",
    ),
    Mutation(
        "a printed command is not folded",
        "certpin/cli/reply.py",
        'found[0].replace(" ", _NO_BREAK)',
        "found[0]",
        _TERMINAL + "test_a_command_in_a_text_is_never_folded",
    ),
    Mutation(
        "a line that is a command is not folded",
        "certpin/cli/reply.py",
        "    if _COMMAND_LINE.match(line):\n        return line\n",
        "",
        _TERMINAL + "test_a_command_in_a_text_is_never_folded",
    ),
    Mutation(
        "a space in quotes does not end a command that is not folded",
        "certpin/cli/reply.py",
        '(?:\'[^\']*\'|"[^"]*"|\\S)+"""',
        '(?:\\S)+"""',
        _TERMINAL + "test_a_command_in_a_text_is_never_folded",
    ),
    Mutation(
        "a printed command that names its file with = or -f names it once",
        "certpin/cli/reply.py",
        "(?:--file[ =]|-f )",
        "--file ",
        _NAMED + "is_printed_with_the_file_of_this_run",
    ),
    Mutation(
        "status starts a backup before it takes out the last one",
        "certpin/rotation/next_step.py",
        "gone = used.union(old_pins(situation, activated))",
        "gone = used",
        _PRINTED + "test_status_leads_to_the_end_of_a_rotation",
    ),
    Mutation(
        "status asks the gate about both steps of finish",
        "certpin/rotation/renewal.py",
        'return check_step(situation, "remove", pin) or leaves_one_pin(situation, pin)',
        "return ()",
        _PRINTED + "test_each_printed_command_is_accepted_in_each_state",
    ),
    Mutation(
        "a printed new key has a name that no file has",
        "certpin/cli/rotate/status_text.py",
        'unused_name(file_of_hosts("next.key", pins, [self.situation.policy]))',
        '"next.key"',
        _PRINTED + "test_status_leads_to_the_end_of_a_rotation",
    ),
    Mutation(
        "the backup of a plan is in a file that does not exist yet",
        "certpin/cli/rotate/plan.py",
        'unused_name(file_of_hosts("next-backup.key", files.pins, [policy]))',
        '"next-backup.key"',
        _PRINTED + "test_a_plan_to_the_backup_of_the_last_plan_makes_another_file",
    ),
    Mutation(
        "the plans of two hosts make two files",
        "certpin/cli/rotate/plan.py",
        'file_of_hosts("next-backup.key", files.pins, [policy])',
        '"next-backup.key"',
        _PRINTED + "test_the_plans_of_two_hosts_make_two_files",
    ),
    Mutation(
        "a switch to the last backup leads to the next one",
        "certpin/cli/rotate/switch.py",
        "if found := _without_backup(step):",
        "if found := []:",
        _PRINTED + "test_a_switch_to_the_only_backup_leads_to_another_one",
    ),
    Mutation(
        "after a theft the servers of all hosts are listed",
        "certpin/cli/rotate/emergency.py",
        "serving = tuple(server for path in alike for server in path.serving)",
        "serving = found.serving",
        _PRINTED + "test_an_emergency_lists_the_servers_of_all_hosts",
    ),
    Mutation(
        "after a theft hosts that compare other certificates have their own commands",
        "certpin/cli/rotate/emergency.py",
        "kind = (found.kind, situation.policy.match, situation.policy.trust is None)",
        "kind = (found.kind, situation.policy.trust is None)",
        _PRINTED + "test_hosts_that_compare_other_certificates_have_their_own_commands",
    ),
    Mutation(
        "after a theft the version waits for the servers of each host",
        "certpin/cli/rotate/emergency_text.py",
        'key=lambda each: (each[2].act != "publish", not each[2].after_install)',
        'key=lambda each: each[2].act != "publish"',
        _PRINTED + "test_the_version_of_an_emergency_waits_for_the_servers_of_each_host[localhost]",
    ),
    Mutation(
        "after a theft no two printed commands make the same file",
        "certpin/cli/rotate/emergency_text.py",
        "file_of_hosts(name, self.files.pins, self._policies(hosts))",
        "name",
        _PRINTED + _TWO_HOSTS,
    ),
    Mutation(
        "a printed start names all of its hosts",
        "certpin/cli/servers.py",
        "if hosts or is_for_some or (names_hosts and len(policies) > 1):",
        "if hosts or is_for_some:",
        _PRINTED + "test_the_commands_for_hosts_with_other_keys_name_the_hosts",
    ),
    Mutation(
        "a switch at all hosts names them for the next backup",
        "certpin/cli/rotate/switch.py",
        "connects=False, names_hosts=True",
        "connects=False",
        _PRINTED + "test_a_switch_to_the_backup_of_several_hosts_starts_the_next_one_there",
    ),
    Mutation(
        "the fix of the gate names its host",
        "certpin/rotation/remedies.py",
        "several = len(situation.pins.policies) > 1",
        "several = False",
        _PRINTED + "test_the_fix_of_the_gate_is_accepted_for_each_of_several_hosts",
    ),
    Mutation(
        "the fix of the gate names the file of no other key",
        "certpin/rotation/remedies.py",
        "next(each for each in numbered_names(name) if each not in taken)",
        "name",
        _PRINTED + "test_the_fix_of_the_gate_is_accepted_for_each_of_several_hosts",
    ),
    Mutation(
        "the fix that starts a known key names its host",
        "certpin/rotation/remedies.py",
        "    host = host_option(situation)\n",
        '    host = ""\n',
        _PRINTED + "test_each_fix_that_starts_a_known_key_names_its_host",
    ),
    Mutation(
        "two emergencies make two files",
        "certpin/rotation/remedies.py",
        'return f"{base}-{host[:_MAX_HOST]}.{suffix}"',
        "return name",
        _PRINTED + "test_two_emergencies_at_once_make_two_backups",
    ),
    Mutation(
        "the files of a host and of a wildcard have different names",
        "certpin/rotation/remedies.py",
        '.replace("*", "_")',
        '.replace("*.", "")',
        _PRINTED + "test_two_emergencies_at_once_make_two_backups",
    ),
    Mutation(
        "after a theft a version goes out once, after the steps of all hosts",
        "certpin/cli/rotate/emergency_text.py",
        '_OF_ALL_HOSTS = {"publish", "revoke"}',
        '_OF_ALL_HOSTS = {"revoke"}',
        _PRINTED + _TWO_HOSTS,
    ),
    Mutation(
        "after the version with another root, the fix is to wait",
        _REMEDIES,
        """ == "accepted":
        return _how_to_wait(situation, latest, refusing)
    number""",
        """ == "accepted" and False:
        return _how_to_wait(situation, latest, refusing)
    number""",
        _ROOT,
    ),
    Mutation(
        "the fix before a push names no push of another pin set",
        _REMEDIES,
        "(certpin rotate status prints the command)",
        "(certpin publish push)",
        _PRINTED + "test_a_refusal_before_the_push_names_no_push_of_another_pin_set",
    ),
    Mutation(
        "a root that the pin file trusts goes out with the next version",
        _REMEDIES,
        "    if not lacks_path(situation, [Version(situation.pins)], prospects):",
        "    if False:",
        _ROOT,
    ),
    Mutation(
        "the fix of a removed key is another key",
        _REMEDIES,
        'if pin_state(situation, pin) in {"removed", "lost", "compromised"}:',
        "if False:",
        "tests/cli/test_rotate_emergency_paths.py::test_no_fix_pins_a_key_that_is_never_used_again",
    ),
    Mutation(
        "a plan names the command that uploads a signed version",
        "certpin/cli/rotate/recording.py",
        "return [sign, _push_command(files)]",
        "return [sign]",
        _PRINTED + "test_a_plan_brings_a_signed_version_to_the_clients",
    ),
    Mutation(
        "--offline is in the fix only if no server was contacted",
        _REMEDIES,
        "elif not evidence.contacted:",
        "elif True:",
        "tests/rotation/test_clock.py::test_the_fix_names_what_keeps_the_time_unconfirmed",
    ),
    Mutation(
        "a server of another host counts as contacted",
        "certpin/rotation/gate.py",
        "        contacted=any(each.server for each in sightings),\n",
        "",
        "tests/rotation/test_clock.py::test_the_fix_names_what_keeps_the_time_unconfirmed",
    ),
    Mutation(
        "pins that clients have don't go out again",
        "certpin/cli/rotate/recording.py",
        """        if differs:
            return first_command""",
        """        if True:
            return first_command""",
        "tests/cli/test_rotate_finish.py::test_a_key_that_no_version_has_is_deleted_from_the_file",
    ),
    Mutation(
        "signed pins that clients have are not signed again",
        "certpin/cli/rotate/recording.py",
        "if needs_record(files) and not is_only_raised:",
        "if needs_record(files):",
        _PRINTED + "test_a_key_that_goes_before_it_is_published_needs_no_version",
    ),
    Mutation(
        "a switch starts a backup of hosts that compare the same certificates",
        "certpin/cli/rotate/switch.py",
        "return [policy for policy in found if policy.match == found[0].match]",
        "return found",
        "tests/cli/test_rotate_printed.py::test_a_switch_at_hosts_that_compare_other_certificates_starts_a_backup_of_the_first",
    ),
    Mutation(
        "a key that is replaced is no backup",
        "certpin/cli/rotate/switch.py",
        "{step.pin, *used, *situation.served}",
        "{step.pin, *situation.served}",
        "tests/cli/test_rotate_printed.py::test_a_key_that_is_replaced_is_no_backup_if_no_server_was_contacted",
    ),
    Mutation(
        "a host without trust gets no advice about it",
        "certpin/rotation/remedies.py",
        "    if situation.policy.trust is None:\n        return missing\n",
        "",
        "tests/rotation/test_prospect.py::test_the_fix_for_a_host_without_trust_is_not_about_trust",
    ),
    Mutation(
        "the fix of a lost key is another key",
        "certpin/rotation/remedies.py",
        'in {"removed", "lost", "compromised"}',
        'in {"removed", "compromised"}',
        "tests/cli/test_rotate_emergency_paths.py::test_no_fix_publishes_a_key_that_was_lost_before_it_went_out",
    ),
    Mutation(
        "a full disk of a scan is an error of its file",
        "certpin/cli/scan.py",
        "            if self._output is None or isinstance(exc, BrokenPipeError):\n",
        "            if True:\n",
        "tests/cli/test_scan.py::test_a_full_disk_during_a_scan_is_reported",
    ),
    Mutation(
        "a full disk says that files are changed already",
        "certpin/cli/main.py",
        "{problem}\\n  fix: {_OUTPUT_FIX}",
        "{problem}",
        "tests/cli/test_main.py::test_a_full_disk_does_not_hide_that_the_file_was_written",
    ),
    Mutation(
        "a full disk is no wrong name of a new key",
        "certpin/cli/keys.py",
        "        if exc.errno in _NO_SPACE\n",
        "        if False\n",
        "tests/cli/test_rotate_crashes.py::test_a_full_disk_is_no_wrong_name_of_a_new_key",
    ),
]
