"""Mutations of the reader of Dart code: each removes a rule, and its test must fail.

``tests/test_mutations.py`` runs them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_A, _D = "certpin/apps/", "certpin/apps/dart/"
_T = "tests/apps/test_"
_PINS, _HOSTS = f"{_T}dart_pins.py::test_", f"{_T}dart_hosts.py::test_"
_CALLBACKS, _MISTAKES = f"{_T}dart_callbacks.py::test_", f"{_T}dart_mistakes.py::test_"
_HOSTILE, _GUIDE = f"{_T}dart_hostile.py::test_", f"{_T}dart_guide.py::test_"

_LITERALS = [
    Mutation(
        "a digest without a name is a question",
        f"{_A}literals.py",
        "        elif is_pin:",
        "        elif True:",
        f"{_PINS}a_digest_that_cannot_be_decided_is_a_question",
    ),
    Mutation(
        "base64 without a name is a question",
        f"{_A}literals.py",
        "        elif signs.is_pin:\n            # No library",
        "        elif True:\n            # No library",
        f"{_PINS}a_digest_that_cannot_be_decided_is_a_question",
    ),
    Mutation(
        "a number that a user enters is no pin",
        f"{_A}usage.py",
        "(inner | outer) & PIN_WORDS) and not self.is_other)",
        "(inner | outer) & PIN_WORDS))",
        f"{_PINS}another_digest_is_no_pin",
    ),
    Mutation(
        "a key that the app refuses is not imported",
        f"{_A}merge.py",
        "        elif self._may_be_refused(found.pin):\n",
        "        elif False:\n",
        f"{_T}dart_flavours.py::test_a_key_that_the_app_refuses_is_listed_and_not_imported",
    ),
    Mutation(
        "a certificate that the app refuses is not imported",
        f"{_A}merge.py",
        "if any(map(self._may_be_refused, pins)):",
        "if False:",
        f"{_T}dart_flavours.py::test_a_refused_certificate_is_not_imported_nor_a_pin_of_its_key",
    ),
    Mutation(
        "a source file of a flavour has no pins of the store",
        f"{_A}project.py",
        "            if builds := selection.builds_of_source(listed):\n",
        "            if builds := None:\n",
        f"{_T}builds.py::test_a_source_file_of_other_builds_is_not_imported",
    ),
    Mutation(
        "the key that signs the app is not that of a server",
        f"{_A}usage.py",
        "self.is_signing = bool(inner & _SIGNING_WORDS)",
        "self.is_signing = False",
        f"{_PINS}a_digest_that_cannot_be_decided_is_a_question",
    ),
    Mutation(
        "a pin of an example is not read",
        f"{_A}literals.py",
        "if pin.is_placeholder:",
        "if False:",
        f"{_PINS}a_digest_that_cannot_be_decided_is_a_question",
    ),
    Mutation(
        "the receiver decides between key and certificate",
        f"{_A}literals.py",
        'kind = signs.receiver or ("sha256" if',
        'kind = ("sha256" if',
        f"{_PINS}a_digest_in_hexadecimal_is_of_the_key_if_the_library_hashes_keys",
    ),
    Mutation(
        "base64 of a whole certificate",
        f"{_A}literals.py",
        "is_whole = self.hashing_line and not signs.names_key",
        "is_whole = False",
        f"{_PINS}base64_is_of_the_certificate_if_the_file_hashes_certificates",
    ),
    Mutation(
        "questions are limited",
        f"{_A}literals.py",
        "questions[:_MAX_QUESTIONS]",
        "questions",
        f"{_PINS}many_digests_are_summarised",
    ),
    Mutation(
        "a file name is no host",
        f"{_A}literals.py",
        " or _FILE.fullmatch(name.lower())",
        "",
        f"{_HOSTS}another_text_is_not_the_host_of_a_pin",
    ),
]

_READER = [
    Mutation(
        "a carriage return ends a comment of an app's code",
        f"{_A}syntax.py",
        '    data = re.sub(rb"\\r(?!\\n)", b"\\n", data)\n',
        "",
        f"{_HOSTILE}a_carriage_return_ends_a_line",
    ),
    Mutation(
        "a comment that allows a mistake ends with its line",
        f"{_A}model.py",
        '_LINE_END = re.compile(r"\\n|\\r(?!\\n)")',
        '_LINE_END = re.compile(r"\\n")',
        f"{_T}allow.py::test_a_comment_with_a_reason_allows_the_mistake",
    ),
    Mutation(
        "a constant that refers to itself",
        f"{_D}code.py",
        "self.steps > _MAX_STEPS or self.depth > _MAX_DEPTH:",
        "False:",
        f"{_HOSTILE}a_hostile_file_is_read_within_the_limits[circle]",
    ),
    Mutation(
        "a pin of debug builds",
        f"{_D}reader.py",
        "        return all(self._is_debug(place, hops + 1) for place in places)",
        "        return False",
        f"{_HOSTS}a_pin_of_debug_builds_is_marked",
    ),
    Mutation(
        "a host that is excluded",
        f"{_D}usages.py",
        "                return\n            yield from nodes",
        "                pass\n            yield from nodes",
        f"{_HOSTS}another_text_is_not_the_host_of_a_pin",
    ),
    Mutation(
        "several servers, and none is the host of a pin",
        f"{_D}usages.py",
        "if len(found) == 1 else []",
        "if found else []",
        f"{_HOSTS}another_text_is_not_the_host_of_a_pin",
    ),
    Mutation(
        "an expression as a map key is no host",
        f"{_D}usages.py",
        "key = self.code.value(children[:colon])\n        if",
        "key = self.code.value(children[:colon]) or self.code.path(children[:colon])\n        if",
        f"{_HOSTS}an_expression_as_a_map_key_is_not_a_host",
    ),
    Mutation(
        "a pin of a flavour is not imported",
        f"{_A}literals.py",
        "        if flavour:\n",
        "        if False:\n",
        f"{_T}dart_flavours.py::test_a_pin_of_a_flavour_is_a_question",
    ),
    Mutation(
        "a host beside a pin is a question",
        f"{_A}literals.py",
        "        if nearby:\n",
        "        if False:\n",
        f"{_HOSTS}a_host_beside_a_pin_that_is_not_used_is_a_question",
    ),
    Mutation(
        "the hash of a number that a user enters is no pin",
        f"{_A}usage.py",
        "or is_user_pin or is_origin",
        "or is_origin",
        f"{_PINS}another_digest_is_no_pin",
    ),
    Mutation(
        "a file in UTF-16 is named",
        f"{_D}reader.py",
        "if file.is_utf16:",
        "if False:",
        f"{_PINS}a_file_in_utf_16_is_not_read",
    ),
    Mutation(
        "certpin's own export is not read twice",
        f"{_D}reader.py",
        "        if line is not None:",
        "        if False:",
        f"{_PINS}certpins_own_export_is_left_to_its_format",
    ),
    Mutation(
        "a file that takes too long",
        f"{_A}syntax.py",
        "        _check_time(deadline)\n        raise",
        "        raise",
        f"{_HOSTILE}a_file_that_takes_too_long_is_named",
    ),
    Mutation(
        "what reads the tree has a deadline",
        f"{_A}syntax.py",
        "        if self._steps % _STEPS_PER_CLOCK == 0:",
        "        if False:",
        f"{_HOSTILE}what_reads_the_tree_has_a_deadline_too",
    ),
    Mutation(
        "a limit of nodes",
        f"{_A}syntax.py",
        "        if count > MAX_NODES:",
        "        if False:",
        f"{_HOSTILE}a_file_with_too_many_nodes_is_read_in_part",
    ),
]

_MISTAKE = [
    Mutation(
        "a callback that accepts",
        f"{_D}callbacks.py",
        'reporter.report("accept-any-certificate", line)',
        "pass",
        f"{_CALLBACKS}a_callback_that_accepts_is_a_mistake",
    ),
    Mutation(
        "a callback that compares a pin",
        f"{_D}callbacks.py",
        "if any(_compares(flow, function, run) for run, _ in conditions):",
        "if False:",
        f"{_CALLBACKS}a_callback_that_compares_a_pin_is_a_mistake",
    ),
    Mutation(
        "a callback behind a function",
        f"{_D}callbacks.py",
        "        yield from set(_function_answers(flow, called, depth + 1))",
        "        return",
        f"{_GUIDE}each_mistake_of_the_guide_is_reported",
    ),
    Mutation(
        "a variable that gets another value is no constant",
        f"{_D}callbacks.py",
        "parent is not None and parent.type in _HARMLESS",
        "True",
        f"{_CALLBACKS}a_callback_that_accepts_is_a_mistake",
    ),
    Mutation(
        "a constant of another class is not in scope",
        f"{_D}callbacks.py",
        "return each.start_byte <= use.start_byte < each.end_byte",
        "return True",
        f"{_CALLBACKS}a_callback_that_accepts_is_a_mistake",
    ),
    Mutation(
        "loopback is harmless, and its opposite isn't",
        f"{_D}callbacks.py",
        "set(texts) <= _LOCAL and not is_inverted",
        "set(texts) <= _LOCAL",
        f"{_CALLBACKS}a_callback_that_accepts_is_a_mistake",
    ),
    Mutation(
        "a second condition beside debug mode",
        f"{_D}flow.py",
        '                return "debug-and-more"',
        '                return "debug"',
        f"{_CALLBACKS}a_callback_that_refuses_is_right",
    ),
    Mutation(
        "an assert around a callback",
        f"{_D}flow.py",
        '                found.add("debug")',
        "                pass",
        f"{_CALLBACKS}debug_mode_as_the_only_gate_is_a_mistake",
    ),
    Mutation(
        "an early return in some builds",
        f"{_D}flow.py",
        'return _inverted(mode) if last.type == "return_statement" else None',
        "return None",
        f"{_CALLBACKS}debug_mode_as_the_only_gate_is_a_mistake",
    ),
    Mutation(
        "overrides for the whole app",
        f"{_D}callbacks.py",
        "if _overrides_class(flow, node) or _is_in_zone(flow, node):",
        "if False:",
        f"{_CALLBACKS}a_callback_in_overrides_is_one_mistake",
    ),
    Mutation(
        "a validator that debug mode skips",
        f"{_D}gates.py",
        '        if is_first and flow.mode(flow.condition(parent)) == "debug":',
        "        if False:",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a pin in an assert",
        f"{_D}gates.py",
        "        if not above & _CONSTRUCTORS and compares_pins(flow, assertion):",
        "        if False:",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "an extension adds the getter",
        f"{_D}mistakes.py",
        " or _EXTENSION.search(flow.tree.data)",
        "",
        f"{_MISTAKES}right_code_has_no_mistake",
    ),
    Mutation(
        "a context that gets its anchors elsewhere",
        f"{_D}mistakes.py",
        "return bool(given) and is_for_clients and not is_passed_on",
        "return bool(given) and is_for_clients",
        f"{_MISTAKES}right_code_has_no_mistake",
    ),
    Mutation(
        "a socket that is used after the check",
        f"{_D}mistakes.py",
        '{"close", "destroy"}) and not names & _SENDING',
        '{"close", "destroy"})',
        f"{_MISTAKES}right_code_has_no_mistake",
    ),
    Mutation(
        "a private key in a text",
        f"{_D}mistakes.py",
        "            if _PRIVATE_KEY.search(whole):",
        "            if False:",
        f"{_MISTAKES}a_private_key_in_a_text_is_a_mistake",
    ),
    Mutation(
        "a certificate that is compared as a whole after the response",
        f"{_D}mistakes.py",
        " or _is_compared(flow, node)",
        "",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a flag that an assert sets",
        f"{_D}flow.py",
        "{**set_by_assert, **_FLAGS}",
        "{**_FLAGS}",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a flag that is compared with a constant",
        f"{_D}flow.py",
        'kind == "equality_expression"',
        "False",
        f"{_CALLBACKS}a_flag_that_is_compared_is_a_gate",
    ),
    Mutation(
        "a namespace is no connection",
        f"{_D}plain_http.py",
        " or _NAMESPACE.match(url)",
        "",
        f"{_MISTAKES}right_code_has_no_mistake",
    ),
]

_COMPARED = [
    Mutation(
        "a digest in the comparison is a pin",
        f"{_D}gates.py",
        "    if len(others) < len(runs):",
        "    if False:",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a digest of a file is no pin",
        f"{_D}gates.py",
        "any(run and is_of_certificate(flow, run) for run in others)",
        "True",
        f"{_MISTAKES}right_code_has_no_mistake",
    ),
    Mutation(
        "a list of digests without a name of pins",
        f"{_D}gates.py",
        "            or _is_certificate_digest(flow, run)\n",
        "",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a digest in hexadecimal",
        f"{_A}literals.py",
        "/ 2 in {_SHA1_BYTES, DIGEST_BYTES}",
        "in {_SHA1_BYTES, DIGEST_BYTES}",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a digest in base64",
        f"{_A}literals.py",
        "    return _BASE64.fullmatch(bare) is not None",
        "    return False",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a certificate in PEM",
        f"{_A}literals.py",
        "        return _PEM_BEGIN in text\n",
        "        return False\n",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a check in a response handler",
        f"{_D}mistakes.py",
        "for x in pin_comparisons(flow, handler) if",
        "for x in () if",
        f"{_MISTAKES}a_mistake_is_found_once",
    ),
    Mutation(
        "a number that a user enters is no pin",
        f"{_D}mistakes.py",
        " if is_of_certificate(flow, [x])), 1",
        "), 1",
        f"{_MISTAKES}right_code_has_no_mistake",
    ),
    Mutation(
        "a local variable has the values of its function only",
        f"{_D}flow.py",
        " if body.start_byte <= x.node.start_byte < body.end_byte)",
        ")",
        f"{_MISTAKES}right_code_has_no_mistake",
    ),
    Mutation(
        "a callback compares a local variable",
        f"{_D}callbacks.py",
        "names = flow.origins(run)",
        "names = flow.names_in(run)",
        f"{_CALLBACKS}a_callback_that_compares_a_pin_is_a_mistake",
    ),
]

MUTATIONS = [*_LITERALS, *_READER, *_MISTAKE, *_COMPARED]
