"""Source changes that remove a rule about the evidence folder; a test must fail for each.

``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_FOLDER = "certpin/lab/evidence/folder.py"
_FACTS = "certpin/lab/evidence/facts.py"
_SIGN = "certpin/lab/evidence/minisign.py"
_MASK = "certpin/lab/report/masking.py"
_F, _X, _S, _M, _C = (
    "tests/lab/evidence/test_folder.py::",
    "tests/lab/evidence/test_facts.py::",
    "tests/lab/evidence/test_minisign.py::",
    "tests/lab/report/test_masking.py::",
    "tests/lab/report/test_causes.py::",
)

# The names of two tests of masking.
_TWO_LINES = (
    "AUTH LOGIN\\r\\ndXNlcg==\\r\\ncGFzcw==\\r\\nDATA\\r\\n"
    "-AUTH LOGIN\\r\\n\\u2026\\r\\n\\u2026\\r\\nDATA\\r\\n"
)
_OTHER = (
    "the_name_of_another_host_has_no_secret_in_evidence"
    "[hunter2-token.hooks.example-\\u2026.hooks.example]"
)

MUTATIONS = [
    *(
        Mutation(
            f"a client gets no {name} of certpin",
            "certpin/lab/client.py",
            f'"CERTPIN_{name}"',
            '"CERTPIN_NOTHING"',
            "tests/lab/test_client.py::"
            f"test_the_secrets_of_certpin_are_not_in_the_environment[{name}]",
        )
        for name in ("PASSPHRASE", "PKCS11_PIN", "WATCH_TOKEN")
    ),
    Mutation(
        "a client that is kept warm gets no secret of certpin",
        "certpin/lab/warm.py",
        "variables = inherited_environment() | environment(target, self.via)",
        "variables = dict(os.environ) | environment(target, self.via)",
        "tests/lab/test_warm.py::test_the_secrets_of_certpin_are_not_in_the_environment",
    ),
    Mutation(
        "the process that forks a client gets no secret of certpin",
        "certpin/lab/warm.py",
        "env=inherited_environment() | variables,",
        "env=dict(os.environ) | variables,",
        "tests/lab/test_warm.py::test_the_secrets_of_certpin_are_not_in_the_environment",
    ),
    Mutation(
        "a client that changed has no evidence",
        _FACTS,
        "        if self._read()[:2] != (self._facts, self._marks):\n",
        "        if False:\n",
        f"{_F}test_a_client_that_changed_has_no_evidence",
    ),
    Mutation(
        "a client that changed back has no evidence",
        _FACTS,
        "        if self._read()[:2] != (self._facts, self._marks):\n",
        "        if self._read()[0] != self._facts:\n",
        f"{_X}test_a_change_of_the_client_during_the_run_is_noticed[changed-back]",
    ),
    Mutation(
        "the client is hashed before the run",
        "certpin/cli/prove_result.py",
        "attacked=attacked,",
        "attacked=type(attacked)(run.about.command),",
        "tests/cli/test_prove_evidence.py::"
        "test_a_client_that_is_replaced_during_the_run_has_no_evidence",
    ),
    Mutation(
        "the evidence says if no script was identified",
        _FACTS,
        '"script_identified": script_identified,',
        '"script_identified": True,',
        f"{_X}test_the_evidence_says_if_no_script_was_identified[sh-False]",
    ),
    Mutation(
        "a program behind a wrapper is no script",
        _FACTS,
        'return file.read(2) == b"#!"',
        "return number > 0",
        f"{_X}test_the_evidence_says_if_no_script_was_identified"
        "[timeout 60 {program} -m module-False]",
    ),
    Mutation(
        "a program that is found in PATH is no script",
        _FACTS,
        '(number == 0 and "/" not in word) or ',
        "",
        f"{_X}test_the_evidence_says_if_no_script_was_identified[shim -m module-False]",
    ),
    Mutation(
        "a script may have no suffix",
        _FACTS,
        'return file.read(2) == b"#!"',
        "return False",
        f"{_X}test_the_evidence_says_if_no_script_was_identified[sh ./client-True]",
    ),
    Mutation(
        "the evidence gets the scripts of the attacked client",
        _FOLDER,
        "script_identified=attacked.script_identified,",
        "script_identified=False,",
        f"{_F}test_the_evidence_names_a_script_of_the_client",
    ),
    *(
        Mutation(
            f"a {what} that was changed back has no evidence",
            _FACTS,
            old,
            new,
            f"{_X}test_a_link_to_the_client_that_was_changed_back_is_noticed[{named}]",
        )
        for what, old, new, named in (
            ("link", "(path.resolve(), *_links(path))", "(path.resolve(),)", "client.sh"),
            (
                "folder's link",
                "(following, *following.parents)",
                "(following,)",
                "folder/client.sh",
            ),
            (
                "link of a link",
                "pending.append(each.parent / each.readlink())",
                "pass",
                "outer/client.sh",
            ),
        )
    ),
    *(
        Mutation(
            f"a variable with the name {name} is secret",
            _MASK,
            old,
            new,
            f"{_M}test_common_names_of_credentials_are_secret[{name}]",
        )
        for name, old, new in (
            ("GOOGLE_CREDS", "CREDS?|KEYS?", "KEYS?"),
            ("ACCESSKEY", "(?:API|ACCESS|", "(?:API|"),
            ("KEYS", "CREDS?|KEYS?", "CREDS?|KEY"),
            ("JWT", "|JWT|", "|"),
            ("BEARER", "|BEARER|", "|"),
            ("AZURE_SAS", "|SAS|", "|"),
            ("LOGIN", "|LOGIN|", "|"),
            ("AZURE_STORAGE_CONNECTION_STRING", "|CONN(?:ECTION)?_?STR|", "|"),
        )
    ),
    Mutation(
        "the values in a connection string are secret",
        _MASK,
        "    values += [text for value in values for text in _assigned(value)]\n",
        "",
        f"{_M}test_the_values_in_a_connection_string_are_secret",
    ),
    Mutation(
        "the values in a connection string may have spaces",
        _MASK,
        "    yield from (text.strip() for text in _ASSIGNED.findall(value))\n",
        "",
        f"{_M}test_the_values_in_a_connection_string_may_have_spaces",
    ),
    *(
        Mutation(
            f"a password in a connection string is secret without its quotes: {end}",
            _MASK,
            old,
            new,
            f"{_M}test_the_password_in_a_connection_string_is_secret_without_its_quotes[{text}]",
        )
        for end, old, new, text in (
            ("double", '(?: "((?', '(?: !"((?', 'Server=db;Password="hun;ter2x"-hun;ter2x'),
            ("braces", "| \\{((?", "| !\\{((?", "Driver={ODBC};Pwd={p4ss;w0rd1};-p4ss;w0rd1"),
            ("space", "(?:^|[;\\s])", "(?:^|;)", "host=db user=app password=hunter2x-hunter2x"),
            (
                "escaped",
                "        yield _ESCAPED.sub(lambda match: match[1] or match[2], text)\n",
                "",
                "Driver={ODBC};Pwd={p4ss}}w0rd1}-p4ss}w0rd1",
            ),
        )
    ),
    Mutation(
        "the browser gets no secret of certpin",
        _FOLDER,
        "            env=inherited_environment(),\n",
        "",
        f"{_F}test_a_broken_browser_is_no_error",
    ),
    *(
        Mutation(f"secrets are masked: {name}", _MASK, old, new, f"{_M}test_{test}")
        for name, old, new, test in (
            (
                "at the cut",
                "if begun and secret",
                "if False and secret",
                "a_secret_of_several_lines_at_the_cut_is_not_in_evidence",
            ),
            (
                "in the cut line",
                "    if not ending.cut:\n",
                "    if True:\n",
                "the_rest_of_a_cut_line_is_not_in_evidence",
            ),
            (
                "in the output of a stopped client",
                ", unfinished=bool(ending.broken))",
                ")",
                "only_the_output_of_a_stopped_client_can_end_within_a_secret",
            ),
            (
                "at the end of the data",
                ", unfinished=len(sent) >= KEPT)",
                ")",
                "a_secret_at_the_end_of_the_kept_data_is_not_in_evidence",
            ),
            *(
                (
                    f"credentials in {name}",
                    "(_HEADER, _SCHEME, _SASL, _IMAP_LOGIN)",
                    f"({others}, _SASL, _IMAP_LOGIN)",
                    f"credentials_that_the_client_encodes_are_not_in_evidence[{text}]",
                )
                for name, others, text in (
                    ("a header", "_SCHEME", "Cookie: id=bobby77\\r\\n-Cookie: \\u2026\\r\\n"),
                    ("words", "_HEADER", "sent bearer hunter2x-sent bearer \\u2026"),
                )
            ),
            *(
                (
                    f"credentials {name}",
                    old,
                    new,
                    f"credentials_that_the_client_encodes_are_not_in_evidence[{text}]",
                )
                for name, old, new, text in (
                    (
                        "in the line after AUTH",
                        "(_HEADER, _SCHEME, _SASL, _IMAP_LOGIN)",
                        "(_HEADER, _SCHEME, _IMAP_LOGIN)",
                        "AUTH LOGIN dXNlcg==\\r\\ncGFzc3dvcmQ=-AUTH LOGIN \\u2026\\r\\n\\u2026",
                    ),
                    (
                        "in the second line after AUTH",
                        "(?:{_RESPONSE}(?:{_END}{_RESPONSE})?)?",
                        "(?:{_RESPONSE})?",
                        _TWO_LINES,
                    ),
                    (
                        "of IMAP",
                        "(_HEADER, _SCHEME, _SASL, _IMAP_LOGIN)",
                        "(_HEADER, _SCHEME, _SASL)",
                        "a LOGIN user hunter2secret\\r\\nb NOOP-a LOGIN \\u2026\\r\\nb NOOP",
                    ),
                )
            ),
            *(
                (f"the name of another host{name}", old, new, _OTHER)
                for name, old, new in (
                    (
                        "",
                        "connections=connections, others=others, requests",
                        "connections=connections, requests",
                    ),
                    (
                        " in capitals",
                        "[secret.lower() for secret in secrets]",
                        "secrets",
                    ),
                    (
                        " in the reason",
                        "why.replace(other.note, _masked_other(other, secrets).note)",
                        "why",
                    ),
                )
            ),
            (
                "the receiver of clear text",
                "_masked_host(request.receiver, secrets)",
                "request.receiver",
                "the_receiver_of_clear_text_has_no_secret_in_evidence",
            ),
            (
                "the problem of a client",
                "            problem=_masked(made.ending.problem, secrets),\n",
                "",
                "the_labs_messages_have_no_secret_in_evidence",
            ),
            (
                "the reason of a verdict",
                "    return _masked(why, secrets)\n",
                "    return why\n",
                "the_labs_messages_have_no_secret_in_evidence",
            ),
            (
                "in one word with an option",
                "    parts |= {part[2:] for part in parts if _GLUED.match(part)}\n",
                "",
                "the_value_in_one_word_with_its_option_is_secret",
            ),
            (
                "overlapping",
                "        end = max(end, last)\n",
                "        end = max(end, last if first >= end else end)\n",
                "secrets_that_overlap_are_not_in_evidence",
            ),
        )
    ),
    Mutation(
        "an output without its beginning is marked as cut",
        "certpin/lab/client.py",
        ", cut=cut > 0)",
        ")",
        "tests/lab/test_client.py::test_only_the_end_of_a_long_output_is_kept",
    ),
    Mutation(
        "the address of another host is no secret",
        _FOLDER,
        "    return hosts | addresses | {",
        "    return hosts | {",
        f"{_F}test_the_name_of_another_host_is_masked_like_other_texts[192.0.2.7-192.0.2.7]",
    ),
    Mutation(
        "the name of another host may be a secret",
        _FOLDER,
        " if other.is_ip_address}",
        "}",
        f"{_F}test_the_name_of_another_host_is_masked_like_other_texts"
        "[login.internal.example-\\u2026]",
    ),
    Mutation(
        "the zone of an IPv6 address may be a secret",
        "certpin/lab/verdict.py",
        'return "%" not in self.host',
        "return True",
        f"{_F}test_the_name_of_another_host_is_masked_like_other_texts"
        "[fe80::1%hunter2-token-[fe80::1%\\u2026]]",
    ),
    Mutation(
        "evidence is masked",
        _FOLDER,
        "    masked = mask_run(run, secrets)\n",
        "    masked = run\n",
        f"{_F}test_secrets_are_in_no_file",
    ),
    Mutation(
        "files of others are kept",
        _FOLDER,
        "    if folder.is_dir() and not _is_ours(folder):\n",
        "    if False:\n",
        f"{_F}test_the_files_of_others_are_never_replaced[_notes]",
    ),
    Mutation(
        "a folder with one more file is another's",
        _FOLDER,
        "    if not names <= _KNOWN or MANIFEST not in names:\n",
        "    if MANIFEST not in names:\n",
        f"{_F}test_the_files_of_others_are_never_replaced[_notes_added]",
    ),
    Mutation(
        "a manifest of another format is another's",
        _FOLDER,
        'return isinstance(manifest, dict) and manifest.get("format") == FORMAT',
        "return isinstance(manifest, dict)",
        f"{_F}test_the_files_of_others_are_never_replaced[_manifest_of_another]",
    ),
    Mutation(
        "a link is no folder",
        _FOLDER,
        "    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):\n",
        "    if folder.exists() and not folder.is_dir():\n",
        f"{_F}test_the_files_of_others_are_never_replaced[_a_link]",
    ),
    Mutation(
        "checked again before it is replaced",
        _FOLDER,
        "    check_place(place)  # the run took a while, and the user may have used the folder\n",
        "",
        f"{_F}test_files_that_appear_during_the_run_are_kept",
    ),
    Mutation(
        "the older folder comes back",
        _FOLDER,
        "        old.rename(place)\n        raise\n",
        "        raise\n",
        f"{_F}test_an_older_folder_comes_back_if_the_new_one_cannot_be_moved",
    ),
    Mutation(
        "the manifest has a digest",
        _FOLDER,
        "    digests[MANIFEST] = file_sha256(made / MANIFEST)\n",
        "",
        f"{_F}test_the_folder_has_every_report_and_their_digests",
    ),
    Mutation(
        "other files are not hashed",
        _FACTS,
        "        if number and not (os.access(found, os.X_OK) or _SCRIPT.fullmatch(word)):\n",
        "        if False:\n",
        "tests/lab/evidence/test_facts.py::test_other_files_are_not_hashed",
    ),
    Mutation(
        "added files are noticed",
        _FACTS,
        "    return found == listed\n",
        "    return listed.items() <= found.items()\n",
        "tests/lab/evidence/test_facts.py::test_changed_files_of_certpin_are_noticed",
    ),
    Mutation(
        "an extra of the service needs its packages",
        "certpin/support/requirements.py",
        "    return [*needed, *_of_extensions(needed)]\n",
        "    return needed\n",
        "tests/lab/evidence/test_facts.py"
        "::test_an_extra_of_the_service_is_installed_if_all_the_packages_behind_it_are",
    ),
    Mutation(
        "the trusted comment is signed",
        _SIGN,
        'self._private.sign(signature + trusted.encode("ascii"))',
        "self._private.sign(signature)",
        f"{_S}test_a_signature_verifies_and_names_its_file",
    ),
    Mutation(
        "a wrong passphrase",
        _SIGN,
        "    if encrypted and not hmac.compare_digest(checksum, expected):\n",
        "    if False:\n",
        f"{_S}test_an_encrypted_key_needs_its_passphrase",
    ),
    Mutation(
        "a damaged key",
        _SIGN,
        "    if private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != public:\n",
        "    if False:\n",
        f"{_S}test_a_damaged_key_signs_nothing",
    ),
    Mutation(
        "the memory of a key",
        _SIGN,
        "    if memory > _MAX_MEMORY or operations > _MAX_MEMORY:\n",
        "    if memory > _MAX_MEMORY:\n",
        f"{_S}test_a_hostile_key_cannot_take_all_memory[38]",
    ),
    Mutation(
        "parts of hidden arguments",
        _MASK,
        "for text in whole | parts | encoded if",
        "for text in whole | encoded if",
        f"{_M}test_secrets_are_the_hidden_arguments_their_parts_and_secret_variables",
    ),
    Mutation(
        "Base64 of hidden arguments",
        _MASK,
        "for text in whole | parts | encoded if",
        "for text in whole | parts if",
        f"{_M}test_secrets_are_the_hidden_arguments_their_parts_and_secret_variables",
    ),
    Mutation(
        "secret variables",
        _MASK,
        "    values = [value for name, value in variables.items() if _SECRET_NAME.search(name)]\n",
        "    values: list[str] = []\n",
        f"{_M}test_secrets_are_the_hidden_arguments_their_parts_and_secret_variables",
    ),
    Mutation(
        "abbreviations of password",
        _MASK,
        '    r"|PASS$|PASS_|(?<!^)(?<!OLD)PWD$|_(?:PIN|PAT|PW|DSN)$"\n',
        '    r"|_PIN$"\n',
        f"{_M}test_names_that_abbreviate_password_are_secret[DB_PASS]",
    ),
    Mutation(
        "passwords in URLs",
        _MASK,
        "    values += [text for value in variables.values() for text in _credentials(value)]\n",
        "",
        f"{_M}test_passwords_in_urls_are_secret_whatever_the_name",
    ),
    Mutation(
        "data in clear text is masked",
        _MASK,
        "        clear=data(seen.clear),\n",
        "",
        f"{_M}test_evidence_has_no_secret_in_what_the_client_sent",
    ),
    Mutation(
        "a short secret variable is hidden",
        _MASK,
        "    return bool(short) and not _SECRET_NAME.search(name)\n",
        "    return bool(short)\n",
        f"{_M}test_the_environment_shows_switches_and_hides_values",
    ),
    Mutation(
        "the worst of several runs",
        "certpin/lab/verdict.py",
        "        return judgement, min(outcomes, key=WORST_FIRST.index)\n",
        "        return judgement, max(outcomes, key=WORST_FIRST.index)\n",
        "tests/lab/test_verdict.py::test_of_runs_that_the_user_asked_for_the_worst_counts",
    ),
    Mutation(
        "a cause needs its neighbours",
        "certpin/lab/report/faults/verification.py",
        "            and (seen.failed(*_OUT_OF_DATE) or not seen.passed(*_OUT_OF_DATE))\n",
        "",
        f"{_C}test_a_client_that_refuses_other_names_does_not_accept_any_certificate",
    ),
    Mutation(
        "a leak shows that pins are checked",
        "certpin/lab/report/faults/verification.py",
        "lambda seen: seen.accepted(ROGUE),",
        "lambda seen: seen.failed(ROGUE),",
        f"{_C}test_a_client_that_noticed_the_attack_checks_its_pins",
    ),
    Mutation(
        "a client that refuses no other key has no failed verification",
        "certpin/lab/report/faults/verification.py",
        "            and seen.refused(*TRUSTED_AUTHORITY)\n",
        "",
        f"{_C}test_a_client_that_refuses_other_names_does_not_accept_any_certificate",
    ),
    Mutation(
        "a refusal comes before the data of a repeated request",
        "certpin/lab/report/faults/model.py",
        "        refused < sent\n",
        "        True\n",
        f"{_C}test_a_client_that_repeats_a_refused_connection_compares_pins",
    ),
    Mutation(
        "a hole needs pins that hold elsewhere",
        "certpin/lab/report/faults/model.py",
        "lambda seen: seen.failed(*names) and (pins_hold(seen) or not by_pins),",
        "lambda seen: seen.failed(*names),",
        f"{_C}test_a_hole_is_none_of_a_client_without_verification",
    ),
    Mutation(
        "later connections that are checked",
        "certpin/lab/report/faults/holes.py",
        "    return not any(number > failed[0] for number in passed)\n",
        "    return True\n",
        f"{_C}test_a_pattern_of_verdicts_has_one_name_and_a_proof",
    ),
    Mutation(
        "a proof has a passed neighbour",
        "certpin/lab/report/causes.py",
        "    return (*wrong[: _PROOF - bool(right)], *right)[:_PROOF]\n",
        "    return tuple(wrong[:_PROOF])\n",
        f"{_C}test_the_proof_names_the_neighbour_that_passed",
    ),
]
