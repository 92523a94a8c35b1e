"""Mutations of the rules about the servers that a pin file lists, one for each rule.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CHECKUP = "certpin/probe/checkup.py"
_CONTENT = "certpin/publish/content.py"
_DIAL = "certpin/probe/dial.py"
_EDITOR = "certpin/pinfile/editor.py"
_EMERGENCY = "certpin/cli/rotate/emergency.py"
_GET = "certpin/cli/get.py"
_GONE = "certpin/cli/rotate/gone.py"
_NETWORK = "certpin/support/network.py"
_POLICY = "certpin/pins/policy.py"
_SERVERS = "certpin/pins/hosts.py"
_STEPS = "certpin/cli/rotate/steps.py"
_CLI_SERVERS = "certpin/cli/servers.py"

_ADDRESSES = "tests/cli/test_addresses.py::"
_ANSWERS = "tests/cli/test_get_answers.py::"
_COMMANDS = "tests/cli/test_servers.py::"
_DIALLED = "tests/probe/test_dial.py::"
_FILE = "tests/pinfile/test_servers.py::"
_IN_GONE = "tests/cli/test_rotate_gone.py::"
_MODEL = "tests/pins/test_servers.py::"
_SIGNED = "tests/publish/test_sign.py::"
_SILENT = "tests/cli/test_rotate_no_answer.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a replaced file keeps its owner",
        "certpin/pinfile/file.py",
        "            if before and _owner(before) != _owner(os.fstat(descriptor)):",
        "            if False:",
        "tests/pinfile/test_editor.py::test_a_file_keeps_its_owner_and_group",
    ),
    Mutation(
        "a file is not replaced by one that its owner can't read",
        "certpin/support/files.py",
        "    if before.st_mode & stat.S_IROTH or",
        "    if True or",
        "tests/pinfile/test_editor.py"
        "::test_a_file_that_its_owner_could_not_read_any_more_is_left[384-True-True]",
    ),
    Mutation(
        "a fix for another server lists it",
        "certpin/cli/add.py",
        "fix=_server_advice(known, endpoint) + fix,",
        "fix=fix,",
        "tests/cli/test_add_file.py::test_for_another_server_of_a_host_the_fix_lists_it",
    ),
    Mutation(
        "comments below a server are not signed",
        _EDITOR,
        "            while end < len(kept) and _COMMENT.match(kept[end]):\n",
        "            while False:\n",
        _FILE + "test_a_comment_below_a_server_is_not_published",
    ),
    Mutation(
        "servers are not signed",
        _CONTENT,
        "public_text(text, path).encode()",
        "text.encode()",
        _SIGNED + "test_servers_are_not_signed_and_other_servers_need_no_new_version",
    ),
    Mutation(
        "notes and comments are not signed",
        _EDITOR,
        'lambda found: "" if found["private"] else found[0]',
        "lambda found: found[0]",
        _FILE + "test_comments_and_notes_are_not_published",
    ),
    Mutation(
        "a note that cannot be left out is not published",
        _EDITOR,
        """    if not _is_text_of(data, published):
        raise PinFileError(
            "its notes must""",
        """    if False:
        raise PinFileError(
            "its notes must""",
        _FILE + "test_a_note_that_cannot_be_removed_is_not_published",
    ),
    Mutation(
        "a server that cannot be left out is not published",
        _EDITOR,
        """    if not _is_text_of(data, published):
        raise PinFileError(
            "its servers must""",
        """    if False:
        raise PinFileError(
            "its servers must""",
        _FILE + "test_a_server_that_cannot_be_removed_is_not_published",
    ),
    Mutation(
        "the comments of a server are not published",
        _EDITOR,
        "while first and _COMMENT.match(kept[first - 1]):",
        "while False:",
        _FILE + "test_the_published_text_lacks_only_the_servers",
    ),
    Mutation(
        "servers are no part of the policy",
        _POLICY,
        "servers: tuple[HostServer, ...] = field(default=(), compare=False)",
        "servers: tuple[HostServer, ...] = ()",
        _MODEL + "test_a_swap_and_an_update_accept_other_servers_under_the_same_version",
    ),
    Mutation(
        "a server of a wildcard names a host that it covers",
        _SERVERS,
        "if server.name_for(pattern) is None:",
        "if False:",
        _MODEL + "test_servers_that_cannot_be_contacted_are_refused",
    ),
    Mutation(
        "publish checks every host of the file",
        _CLI_SERVERS,
        "self._refuse_left_out(pins, policies)",
        "pass",
        _COMMANDS + "test_publishing_is_refused_if_host_leaves_out_a_host",
    ),
    Mutation(
        "a step checks every server of a host",
        _CLI_SERVERS,
        "self._refuse_left_out_servers(targets, pins, policies)",
        "pass",
        _COMMANDS + "test_each_server_of_a_host_is_checked_and_named_with_its_region",
    ),
    Mutation(
        "only a pinned leaf belongs to a server that forgot its intermediates",
        _CHECKUP,
        "    if is_missing and is_pinned:",
        "    if is_missing:",
        "tests/probe/test_checkup.py::"
        "test_only_a_pinned_leaf_proves_that_the_server_left_out_its_intermediates",
    ),
    Mutation(
        "an anchor that the identifiers don't name verifies nothing",
        _CHECKUP,
        " and may_issue(anchor, each))",
        ")",
        "tests/probe/test_checkup.py::"
        "test_an_identifier_that_names_another_certificate_of_a_root_is_the_reason[0]",
    ),
    Mutation(
        "OpenSSL looks for no anchor above a root that was sent",
        _CHECKUP,
        " and not is_self_signed(each)",
        "",
        "tests/probe/test_checkup.py::"
        "test_an_identifier_that_names_another_certificate_of_a_root_is_the_reason[0]",
    ),
    Mutation(
        "only valid signatures make a chain that names another certificate one of the authority",
        "certpin/x509/chain.py",
        "if der in trusted or signature is not Signature.GOOD:",
        "if der in trusted:",
        "tests/probe/test_checkup.py::test_an_identifier_that_names_another_certificate_of_an_"
        "intermediate_is_the_reason",
    ),
    Mutation(
        "only a certificate that fits is above the leaf of a served chain",
        "certpin/x509/certificate.py",
        "if each not in path and may_issue(each, path[-1]))",
        "if each not in path)",
        "tests/probe/test_checkup.py::"
        "test_a_missing_intermediate_is_named_whatever_else_was_sent[True]",
    ),
    Mutation(
        "bytes injected after the go-ahead of STARTTLS are not those of a wrong port",
        _DIAL,
        "if problem == _NO_TLS[0]:",
        "if False:",
        "tests/probe/test_dial.py::"
        "test_bytes_that_are_injected_after_the_go_ahead_are_not_a_wrong_port",
    ),
    Mutation(
        "a server that declines STARTTLS is not one that was not asked",
        "certpin/cli/lint.py",
        "isinstance(error, StartTLSError) and error.insecure",
        "False",
        "tests/cli/test_lint_live.py::test_a_server_that_declines_tls_is_an_error_with_its_advice",
    ),
    Mutation(
        "check: a server that declines STARTTLS is not one that did not answer",
        "certpin/cli/check.py",
        "isinstance(found, StartTLSError) and found.insecure",
        "False",
        "tests/cli/test_check.py::test_a_server_that_declines_tls_is_a_finding",
    ),
    Mutation(
        "a resumed scan counts earlier hosts without an answer",
        "certpin/cli/scan.py",
        "if lines.unanswered or before:",
        "if lines.unanswered:",
        "tests/cli/test_scan.py::"
        "test_a_resumed_scan_does_not_succeed_if_earlier_hosts_did_not_answer",
    ),
    Mutation(
        "a server is contacted at every address of its name",
        _DIAL,
        "if found[1:] else (endpoint,)",
        "if False else (endpoint,)",
        _ADDRESSES + "test_a_key_at_the_second_address_of_a_name_is_not_taken_out",
    ),
    Mutation(
        "IPv6 addresses are contacted too",
        _NETWORK,
        "for *_, address in lookup.result()))",
        'for *_, address in lookup.result() if ":" not in address[0]))',
        _ADDRESSES + "test_a_machine_without_ipv6_checks_the_other_addresses",
    ),
    Mutation(
        "a name with too many addresses is not checked in part",
        _DIAL,
        "if len(found) > _MAX_ADDRESSES:",
        "if False:",
        _ADDRESSES + "test_a_name_with_too_many_addresses_is_not_checked_in_part",
    ),
    Mutation(
        "a silent server gets only the time that the handshake has left",
        _DIAL,
        "            plain.settimeout(max(until - time.monotonic(), _SHORTEST))\n",
        "",
        "tests/probe/test_dial.py::test_a_silent_server_gets_the_time_that_the_handshake_has_left",
    ),
    Mutation(
        "a handshake ends at its time limit, whatever the server sends",
        _DIAL,
        "            if time.monotonic() > until:",
        "            if False:",
        "tests/probe/test_dial.py"
        "::test_a_server_that_never_stops_sending_is_abandoned_at_the_time_limit",
    ),
    Mutation(
        "so does the handshake of a request",
        "certpin/cli/get_request.py",
        ", time_limit(plain, self.seconds):",
        ":",
        _ANSWERS + "test_a_handshake_without_end_is_abandoned_at_the_time_limit",
    ),
    Mutation(
        "an invalid header of a request is not printed",
        "certpin/cli/get_request.py",
        '            "a header (-H) is invalid: write',
        '            f"{text}: write',
        "tests/cli/test_get.py::test_an_invalid_header_is_not_printed",
    ),
    Mutation(
        "the headers of a response end at the time limit",
        _GET,
        "            with time_limit(connection.sock, seconds):\n",
        "            if True:\n",
        _ANSWERS + "test_headers_that_take_too_long_are_abandoned_at_the_time_limit",
    ),
    Mutation(
        "a whole response has a time limit",
        _GET,
        "        with time_limit(connection.sock, _WHOLE * seconds):\n",
        "        if True:\n",
        _ANSWERS + "test_a_body_that_takes_too_long_is_abandoned",
    ),
    Mutation(
        "a scan reads a limited number of bytes in a handshake",
        "certpin/probe/scan/attempt.py",
        "if self._received > _MAX_HANDSHAKE_BYTES:",
        "if False:",
        "tests/probe/scan/test_failures.py"
        "::test_a_server_that_never_stops_sending_delays_no_other_host",
    ),
    Mutation(
        "a missing family is no excuse if the server answers nowhere",
        _DIAL,
        "answered and all(",
        "all(",
        _ADDRESSES + "test_a_missing_family_is_a_failure_if_the_server_answers_nowhere",
    ),
    Mutation(
        "a refused connection is not a missing family",
        _DIAL,
        "cause.errno in _NO_FAMILY",
        "True",
        _ADDRESSES + "test_an_address_that_does_not_answer_is_reported",
    ),
    Mutation(
        "a key stays if an address is out of reach",
        _CLI_SERVERS,
        "for address in answers.unreachable\n",
        "for address in ()\n",
        _ADDRESSES + "test_no_key_is_taken_out_by_a_machine_without_ipv6",
    ),
    Mutation(
        "an error names every server that did not answer",
        _CLI_SERVERS,
        '"\\n  ".join([first.problem, *lines])',
        "first.problem",
        _SILENT + "test_every_server_that_does_not_answer_is_named",
    ),
    Mutation(
        "a version is not recorded while a server does not answer",
        _STEPS,
        "        if not refused and not self.force:\n",
        "        if False:\n",
        _SILENT + "test_every_server_that_does_not_answer_is_named",
    ),
    Mutation(
        "a refusal counts more than a server that does not answer",
        _STEPS,
        "if not refused and not self.force:",
        "if not self.force:",
        _SILENT + "test_a_refusal_counts_more_than_a_server_that_does_not_answer",
    ),
    Mutation(
        "a known server that does not answer is no refusal",
        _STEPS,
        "each.host not in results.unanswered or each.violation.invariant not in _UNANSWERED",
        "each",
        _SILENT + "test_a_known_server_that_does_not_answer_now_is_no_refusal",
    ),
    Mutation(
        "a stolen key may be in use at an address that was not asked",
        _EMERGENCY,
        "not (probes.offline or results.unanswered)",
        "not probes.offline and not results.errors",
        _ADDRESSES + "test_a_stolen_key_may_be_in_use_at_an_address_out_of_reach",
    ),
    Mutation(
        "a server is not gone because this machine has no IPv6",
        _GONE,
        "for address in answers.unreachable:",
        "for address in ():",
        _ADDRESSES + "test_a_server_is_gone_only_if_no_address_presents_its_keys",
    ),
    Mutation(
        "a server that could not be asked is not gone",
        _GONE,
        "if isinstance(found, DialError) and not could_not_ask(found):",
        "if isinstance(found, DialError):",
        _ADDRESSES + "test_a_server_that_this_machine_could_not_ask_is_not_gone",
    ),
    Mutation(
        "name resolution has a time limit",
        _NETWORK,
        "        wait([lookup], seconds)\n",
        "        wait([lookup])\n",
        _DIALLED + "test_a_name_that_is_not_resolved_in_time_says_nothing_about_the_server",
    ),
    Mutation(
        "a server is not gone if its name was not resolved in time",
        _NETWORK,
        "raise socket.gaierror(socket.EAI_AGAIN, f",
        "raise TimeoutError(f",
        _DIALLED + "test_a_name_that_is_not_resolved_in_time_says_nothing_about_the_server",
    ),
    Mutation(
        "a server that is gone answers at no address",
        _GONE,
        "ask_each_address(\n        endpoint, lambda each: observe(each, context, timeout=timeout),"
        " timeout=timeout\n    )",
        "ServerAnswers({endpoint: observe(endpoint, context, timeout=timeout)})",
        _ADDRESSES + "test_a_server_is_gone_only_if_no_address_presents_its_keys",
    ),
    Mutation(
        "a lock-out is reported only if clients refuse",
        _CHECKUP,
        'if enforced and verdict.decision == "report" and is_expired:',
        "if False:",
        "tests/probe/test_checkup.py::"
        "test_expired_pins_that_are_not_enforced_lock_no_client_out[report-findings2]",
    ),
    Mutation(
        "lint knows that expired pins lock no client out",
        "certpin/lint/live.py",
        'if host.is_expired(now) and host.on_expiry != "fail-closed":',
        "if False:",
        "tests/lint/test_live.py::"
        "test_expired_pins_that_are_not_enforced_lock_no_client_out[fail-open]",
    ),
    Mutation(
        "a listed server that was not seen leads to no other server",
        _GONE,
        "    _refuse_listed(files, server)\n    seen = _observed(files, server)\n",
        "    seen = _observed(files, server)\n    _refuse_listed(files, server)\n",
        _IN_GONE + "test_a_listed_server_that_no_step_saw_is_only_taken_out_of_the_pin_file",
    ),
]
