"""Mutations of the formats for mobile apps: each removes a rule, and its test must fail.

``tests/test_mutations.py`` runs them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_F, _T = "certpin/formats/", "tests/formats/test_"

_IMPORT = "tests/cli/test_import.py::test_"

_READERS = [
    Mutation(
        "the host of an unsafe policy is in the error of an import",
        f"{_F}parsed.py",
        'raise self.unsafe(f"{host}: {exc.problem}", fix, host) from exc',
        "raise",
        f"{_IMPORT}a_host_without_a_live_pin_is_named",
    ),
    Mutation(
        "only an unsafe number of pins has a special fix",
        f"{_F}parsed.py",
        '_more_pins(host, entries) if exc.key == "pin" else exc.fix',
        "_more_pins(host, entries)",
        f"{_IMPORT}an_unsafe_policy_is_reported_with_file_line_and_host[placeholder]",
    ),
    Mutation(
        "the file of an unsafe policy is in the error of an import",
        "certpin/cli/import_.py",
        "exc.problem, path=printable(source), line=exc.line,",
        "exc.problem, line=exc.line,",
        f"{_IMPORT}a_file_with_two_policies_of_a_host_is_named",
    ),
    Mutation(
        "no pins on a report-only host that is left out",
        f"{_F}selection.py",
        '        if policy.mode == "report" and exported.mode == "enforce":\n            raise',
        "        if False:\n            raise",
        f"{_T}selection.py::"
        "test_a_wildcard_without_a_report_only_host_below_it_is_refused[okhttp-java]",
    ),
    Mutation(
        "a report-only host with an omission is compared with the other wildcards",
        f"{_F}selection.py",
        "            reported.add(policy.pattern)  # one omission for each\n",
        "            del missing[policy.pattern]\n",
        f"{_T}selection.py::test_a_report_only_host_is_compared_with_every_exported_wildcard[json]",
    ),
    Mutation(
        "one omission for a host that is left out",
        f"{_F}selection.py",
        "            reported.add(policy.pattern)  # one omission for each\n",
        "",
        f"{_T}selection.py::test_a_host_below_two_exported_wildcards_is_reported_once",
    ),
    Mutation(
        "no pins on a report-only host below a widened wildcard",
        f"{_F}projection.py",
        '        if policy.mode == "report" and exported.mode == "enforce":\n            hosts',
        "        if False:\n            hosts",
        f"{_T}selection.py::"
        "test_a_flag_for_subdomains_covers_no_report_only_hosts[**.bank.example-trustkit-ios]",
    ),
    Mutation(
        "no export accepts a stolen key because it unites policies",
        f"{_F}projection.py",
        "        refuse_stolen(policy, exported)\n",
        "",
        "tests/formats/limits/test_limits.py::"
        "test_a_stolen_key_that_an_export_would_accept_is_refused[limit1-**.bank.example]",
    ),
    Mutation(
        "no export accepts a stolen key because --host leaves a host out",
        f"{_F}selection.py",
        "        refuse_stolen(policy, exported)\n",
        "",
        f"{_T}selection.py::"
        "test_a_wildcard_with_a_key_that_is_stolen_at_a_host_below_it_is_refused[okhttp-kotlin]",
    ),
    Mutation(
        "a report-only host is compared with the exported patterns",
        f"{_F}projection.py",
        "    for policy, exported in applied_policies(projected, pins):\n        if",
        "    for policy, exported in applied_policies(pins, pins):\n        if",
        f"{_T}selection.py::"
        "test_a_flag_for_subdomains_covers_no_report_only_hosts[**.bank.example-android]",
    ),
    Mutation(
        "an export says that its pins have expired",
        "certpin/cli/export.py",
        "expired_policies(made.pins, wanted, utc_now())",
        "expired_policies(made.pins, wanted, utc_now().replace(year=1))",
        "tests/cli/test_export.py::test_expired_pins_are_a_warning_and_with_strict_an_error"
        "[flutter-enforce-fail-closed-refuse every connection]",
    ),
    Mutation(
        "an export without a date says that its pins have expired",
        "certpin/formats/projection.py",
        "dated = exported if exported.expires else policy",
        "dated = exported",
        "tests/cli/test_export.py::test_every_format_reports_expired_pins_once[curl]",
    ),
    Mutation(
        "the hosts that --host leaves out",
        "certpin/cli/export.py",
        "[each for each in pins.policies if wanted.policy_of(each.pattern) is None]",
        "[]",
        "tests/cli/test_export.py::"
        "test_a_wildcard_is_not_exported_without_the_hosts_that_it_covers",
    ),
    Mutation(
        "each host is compared with each exported one",
        "certpin/cli/export.py",
        "if wanted.policy_of(each.pattern) is None]",
        "if each not in wanted.policies]",
        "tests/cli/test_export.py::test_work_grows_linearly_with_the_hosts",
    ),
    Mutation(
        "a host without the others of its wildcard",
        f"{_F}selection.py",
        "replace(policy, pattern=pattern, servers=())",
        "policy",
        f"{_T}selection.py::test_a_host_that_a_wildcard_covers_gets_a_copy_of_its_policy",
    ),
    Mutation(
        "comments in comments of Kotlin",
        f"{_F}_languages.py",
        '++ )`",\n    nested=True,\n',
        '++ )`",\n    nested=False,\n',
        f"{_T}okhttp.py::test_pins_in_nested_comments_of_kotlin_are_not_read[ktor]",
    ),
    Mutation(
        "the pins of every pattern that covers a host",
        f"{_F}format.py",
        "(OneDateInOverlaps, United)",
        "OneDateInOverlaps",
        f"{_T}okhttp.py::test_a_host_gets_the_pins_of_every_pattern_that_covers_it[ktor]",
    ),
    Mutation(
        "no Certificate Transparency of a private authority",
        f"{_F}limits/policy.py",
        "        if policy.trust is not None:\n            return replace(policy, ct_logs=None)",
        "        if False:\n            return replace(policy, ct_logs=None)",
        f"{_T}android.py::test_a_private_authority_has_none_of_it",
    ),
    Mutation(
        "Certificate Transparency is required",
        f"{_F}_network_security.py",
        "transparency = [_TRANSPARENCY] if policy.ct_logs else []",
        "transparency: Lines = []",
        f"{_T}android.py::test_certificate_transparency_is_that_of_the_platform",
    ),
    Mutation(
        "Certificate Transparency that is off",
        f"{_F}_network_security.py",
        'if element is None or not element.take().flag("enabled", default=False):',
        "if element is None:",
        f"{_T}android.py::test_certificate_transparency_is_inherited_and_overridden",
    ),
    Mutation(
        "no computed entry of React Native",
        f"{_F}react_native.py",
        "        _refuse_computed_entries(pieces, table, ends)\n",
        "",
        f"{_T}react_native.py::test_computed_entries_and_options_are_refused",
    ),
    Mutation(
        "the list of React Native is closed",
        f"{_F}code.py",
        "for pair in (*tables.values(), *entries):",
        "for pair in ():",
        f"{_T}react_native.py::test_a_list_that_is_not_closed_is_refused",
    ),
    Mutation(
        "a list of policies is closed",
        f"{_F}code.py",
        "for pair in (*tables.values(), *entries):",
        "for pair in ():",
        f"{_T}table.py::test_a_list_that_is_not_closed_is_refused",
    ),
    Mutation(
        "no misspelt key in JSON",
        f"{_F}json.py",
        "            _refuse_misspelt(place)\n",
        "",
        f"{_T}json.py::test_a_key_of_another_object_is_refused[mode]",
    ),
    Mutation(
        "no repeated key in JSON",
        f"{_F}parsed.py",
        "    if len(made) < len(pairs):\n",
        "    if False:\n",
        f"{_T}json.py::test_a_repeated_key_is_refused",
    ),
    Mutation(
        "a required list",
        f"{_F}json.py",
        "    if logs is None:\n        raise",
        "    if False:\n        raise",
        f"{_T}json.py::test_a_required_list_of_logs_must_be_there",
    ),
    Mutation(
        "no entity",
        f"{_F}_xml.py",
        "        self._parser.EntityDeclHandler = _refuse_entity\n",
        "",
        f"{_T}xml.py::test_entities_are_refused_in_an_allowed_doctype[harmless]",
    ),
    Mutation(
        "no doctype",
        f"{_F}_xml.py",
        "if not doctype:",
        "if False:",
        f"{_T}xml.py::test_any_doctype_is_refused",
    ),
    Mutation(
        "no depth without a bound",
        f"{_F}_xml.py",
        "len(self._open) >= MAX_DEPTH or ",
        "",
        f"{_T}xml.py::test_the_depth_is_limited",
    ),
    Mutation(
        "no name is lost",
        f"{_F}_plist.py",
        "if name in self:",
        "if False:",
        f"{_T}apple.py::test_a_duplicate_host_is_refused",
    ),
    Mutation(
        "a name with a dot at its end pins nothing",
        f"{_F}_domains.py",
        '    if name.endswith("."):\n        problem',
        "    if False:\n        problem",
        f"{_T}host_names.py::test_a_name_that_ends_in_a_dot_is_refused[okhttp-java]",
    ),
    Mutation(
        "a name that the platform does not normalise pins nothing",
        f"{_F}_domains.py",
        "if not name.isascii() or name != name.lower():",
        "if False:",
        f"{_T}host_names.py::test_a_name_in_another_spelling_is_refused_if_the_platform_keeps_it"
        "[b\\xfccher.example-accepted0-android]",
    ),
    Mutation(
        "a star is no wildcard",
        f"{_F}_domains.py",
        'if "*" in name:',
        "if False:",
        f"{_T}android.py::test_a_star_is_no_wildcard_on_android",
    ),
]

_ANDROID = [
    Mutation(
        "a URL in the place of a host pattern is no host, and its host is named",
        f"{_F}parsed.py",
        "fix=host_fix(self.pattern) or exc.fix",
        "fix=exc.fix",
        f"{_T}host_names.py::test_a_host_with_a_port_is_refused_and_its_host_is_named",
    ),
    Mutation(
        "a domain that is no host is shown as the file has it, without a wildcard",
        f"{_F}_domains.py",
        "        normalise(name)  # here",
        "        pass  # here",
        f"{_T}android.py::test_a_domain_that_is_no_host_is_named_with_its_line",
    ),
    Mutation(
        "a domain that finds no host is named with its line",
        f"{_F}parsed.py",
        'FormatError(f"line {line}: {exc.problem}"',
        "FormatError(exc.problem",
        f"{_T}android.py::test_a_domain_that_finds_no_host_is_named_with_its_line",
    ),
    Mutation(
        "a prefix of a digest is named",
        f"{_F}_domains.py",
        "    if digest != text:",
        "    if False:",
        f"{_T}android.py::test_a_prefix_of_a_digest_is_named_with_its_line",
    ),
    Mutation(
        "a URL is no host, and its host is named",
        f"{_F}_domains.py",
        "fix=host_fix(name) or exc.fix",
        "fix=exc.fix",
        f"{_T}android.py::test_a_domain_that_is_no_host_is_named_with_its_line",
    ),
    Mutation(
        "Apple's pins of an address have no effect",
        f"{_F}apple.py",
        "    if _is_address(name):",
        "    if False:",
        f"{_T}apple.py::test_an_address_is_not_imported",
    ),
    Mutation(
        "skipped settings are reported",
        f"{_F}_network_security.py",
        "    for element, part in root.unread():",
        "    for element, part in ():",
        f"{_T}passed_over.py::test_skipped_settings_are_reported",
    ),
    Mutation(
        "a host without pins is reported",
        f"{_F}_network_security.py",
        '        pass_over(f"{name[:80]}, which has no pins", unrelated=True)',
        "        pass",
        f"{_T}nothing_dropped.py::test_import_drops_no_part_of_an_android_file",
    ),
    Mutation(
        "cleartext of a pinned host is drift",
        f"{_F}_network_security.py",
        "if _CLEARTEXT in config.attributes and key not in permitting:",
        "if _CLEARTEXT in config.attributes:",
        "tests/cli/test_lint_exported.py::test_a_setting_that_no_export_has_is_a_difference",
    ),
    Mutation(
        "an inherited permission of cleartext is drift",
        f"{_F}_network_security.py",
        "config if _CLEARTEXT in config.attributes else self.cleartext",
        "config if _CLEARTEXT in config.attributes else None",
        "tests/cli/test_lint_exported.py::test_a_setting_that_no_export_has_is_a_difference",
    ),
    Mutation(
        "an unknown element around pins is drift",
        f"{_F}_network_security.py",
        "        if id(child) in configs:\n            yield from _beside_pins(child, configs)\n",
        "        if id(child) in configs:\n            yield from child.with_descendants()\n",
        "tests/cli/test_lint_exported.py::test_a_setting_that_no_export_has_is_a_difference",
    ),
    Mutation(
        "keys of Apple's file are reported",
        f"{_F}apple.py",
        '    _plist.report_unread(root, "NSAppTransportSecurity", '
        '"NSAppTransportSecurity.NSPinnedDomains")',
        "    pass",
        f"{_T}nothing_dropped.py::test_import_drops_no_part_of_an_apple_file",
    ),
    *(
        Mutation(
            f"an exception of Apple: {rule}",
            f"{_F}_transport_security.py",
            old,
            new,
            f"tests/cli/test_lint_exported.py::test_an_exception_of_apple_for_{test}",
        )
        for rule, old, new, test in (
            (
                "one that weakens a pinned host is drift",
                "unrelated=not weak)",
                "unrelated=True)",
                "a_pinned_host_is_a_difference[settings0-InsecureHTTPLoads-apple]",
            ),
            (
                "an unknown one is drift",
                "_STRICT.get(key, ())",
                "_STRICT.get(key, (True,))",
                "a_pinned_host_is_a_difference[settings7-NSThirdParty-apple]",
            ),
            (
                "names in capitals",
                "    name = name.lower().rstrip",
                "    name = name.rstrip",
                "a_pinned_host_is_a_difference[settings1-InsecureHTTPLoads-apple]",
            ),
            (
                "names with a dot at the end",
                '.lower().rstrip(".")',
                ".lower()",
                "a_pinned_host_is_a_difference[settings2-InsecureHTTPLoads-apple]",
            ),
            (
                "a domain above",
                '(below and host.endswith(f".{name}"))',
                "False",
                "a_pinned_host_is_a_difference[settings4-InsecureHTTPLoads-apple]",
            ),
            (
                "a flag of another type",
                "below = flag is not None and not flag.is_one_of(False)",
                "below = flag is not None and flag.is_one_of(True)",
                "a_pinned_host_is_a_difference[settings5-HTTP-apple]",
            ),
            (
                "a host of a wildcard",
                '(host != pattern and name.endswith(f".{host}"))',
                "False",
                "a_host_of_a_pattern_is_a_difference",
            ),
            (
                "arbitrary loads",
                "_report(value, weak=not excepted and not value.is_one_of(False))",
                "_report(value, weak=False)",
                "a_pinned_host_is_a_difference",
            ),
            (
                "arbitrary loads of another type",
                "not excepted and not value.is_one_of(False)",
                "not excepted and value.is_one_of(True)",
                "a_pinned_host_is_a_difference",
            ),
            (
                "an exception of another host doesn't replace arbitrary loads",
                "return pattern == name or (",
                "return True or (",
                "a_pinned_host_is_a_difference[settings11-ArbitraryLoads-apple]",
            ),
            (
                "nor one without the flag for subdomains",
                "        below and not pattern",
                "        not pattern",
                "a_pinned_host_is_a_difference[settings12-ArbitraryLoads-apple]",
            ),
            (
                "the narrower keys replace arbitrary loads",
                " and not names & _NARROWER:",
                ":",
                "other_connections_is_no_difference",
            ),
        )
    ),
    Mutation(
        "keys of TrustKit's file are reported",
        f"{_F}trustkit_ios.py",
        '    _plist.report_unread(root, "TSK", "TSK")',
        "    pass",
        f"{_T}nothing_dropped.py::test_import_drops_no_part_of_a_trustkit_ios_file",
    ),
    Mutation(
        "pins outside of add are reported",
        f"{_F}_okhttp.py",
        "    _report_unread(pieces, {each for found in strings.values() for each in found})",
        "    pass",
        f"{_T}nothing_dropped.py::test_import_drops_no_part_of_a_certificate_pinner",
    ),
    Mutation(
        "a property list holds what plistlib reads",
        f"{_F}_plist.py",
        "    _check(root)\n",
        "",
        f"{_T}nothing_dropped.py::test_invalid_property_list_content_is_refused",
    ),
    Mutation(
        "nested configs inherit",
        f"{_F}_network_security.py",
        'config.find("pin-set") or self.pin_set',
        'config.find("pin-set")',
        f"{_T}android.py::test_a_nested_domain_config_inherits_and_overrides",
    ),
    Mutation(
        "no exclusion",
        f"{_F}_network_security.py",
        "refusal = _domains.exclusion(found, unpinned)",
        "refusal = None",
        f"{_T}android.py::test_a_subdomain_excluded_from_pins_is_refused[<pin-set/>]",
    ),
    Mutation(
        "pins are not overridden in a release",
        f"{_F}_network_security.py",
        "    if overriding:",
        "    if False:",
        f"{_T}android.py::test_trust_settings_without_an_equivalent_are_refused[disables the pins]",
    ),
    Mutation(
        "debugging overrides by default",
        f"{_F}_network_security.py",
        'if each.flag("overridePins", default=True)',
        'if each.flag("overridePins", default=False)',
        f"{_T}android.py::test_a_debug_override_with_a_certificate_is_read",
    ),
    Mutation(
        "the vendor gets no reports",
        f"{_F}trustkit_android.py",
        'disableDefaultReportUri="true"',
        'disableDefaultReportUri="false"',
        f"{_T}trustkit_android.py::test_reports_to_the_vendor_are_disabled",
    ),
    Mutation(
        "trustkit only reports by default",
        f"{_F}trustkit_android.py",
        'element.take().flag("enforcePinning", default=False)',
        'element.take().flag("enforcePinning", default=True)',
        f"{_T}trustkit_android.py::test_report_only_is_the_default[empty]",
    ),
]

_APPLE = [
    Mutation(
        "both lists are refused",
        f"{_F}apple.py",
        "if len(lists) == 1:",
        "if lists:",
        f"{_T}apple.py::test_both_lists_together_are_refused",
    ),
    Mutation(
        "report mode is not enforced",
        f"{_F}trustkit_ios.py",
        '"TSKEnforcePinning": policy.mode == "enforce"',
        '"TSKEnforcePinning": True',
        f"{_T}trustkit_ios.py::test_keys_and_types_of_the_export",
    ),
    Mutation(
        "an excluded name is no host without pins",
        f"{_F}trustkit_ios.py",
        "refusal = _domains.exclusion(found, excluded)",
        "refusal = None",
        f"{_T}trustkit_ios.py::test_a_subdomain_excluded_from_pins_is_refused",
    ),
]

_LISTS = [
    Mutation(
        "no pins without their date",
        f"{_F}format.py",
        "(OneDateInOverlaps, United)",
        "United",
        f"{_T}react_native.py::test_overlapping_pins_with_different_dates_are_not_imported",
    ),
    Mutation(
        "one date in overlaps",
        f"{_F}limits/hosts.py",
        "index[pattern].expires != policy.expires",
        "False",
        f"{_T}react_native.py::test_different_expiry_dates_for_a_host_are_refused",
    ),
    Mutation(
        "computed values are not read",
        f"{_F}react_native.py",
        "if settings is None or not written:",
        "if settings is None:",
        f"{_T}react_native.py::test_computed_options_are_refused[a flag]",
    ),
    Mutation(
        "a value that is more than literals is not read",
        f"{_F}react_native.py",
        '        if place != entry.closing and not is_mark(pieces, place, ","):\n'
        "            return None\n",
        "",
        f"{_T}react_native.py::test_computed_options_are_refused[a list's name]",
    ),
    Mutation(
        "a repeated setting of React Native is not read",
        f"{_F}react_native.py",
        "        if name is None or name in settings:\n",
        "        if name is None:\n",
        f"{_T}react_native.py::test_computed_options_are_refused[repeated]",
    ),
    Mutation(
        "another object in the options of a host is not skipped",
        f"{_F}react_native.py",
        "        if name is None or name in settings:\n            return None\n",
        "        if name is None or name in settings:\n            return settings\n",
        f"{_T}react_native.py::test_computed_entries_and_options_are_refused",
    ),
    Mutation(
        "the name of a host belongs to a property",
        f"{_F}react_native.py",
        'is_inside = entry.outer is not None and is_mark(pieces, entry.outer.opening, "{")',
        "is_inside = True",
        f"{_T}react_native.py::test_an_entry_without_the_name_of_its_host_is_refused",
    ),
    Mutation(
        "no operator beside the pins of React Native",
        f"{_F}react_native.py",
        "        _refuse_operators(pieces, table)\n",
        "",
        f"{_T}react_native.py::test_an_object_that_is_an_operand_is_refused",
    ),
    Mutation(
        "no operator before the pins of React Native",
        f"{_F}react_native.py",
        "(_may_precede(pieces, start - 1) and _may_follow(pieces, end + 1))",
        "_may_follow(pieces, end + 1)",
        f"{_T}react_native.py::test_an_object_that_is_an_operand_is_refused",
    ),
    Mutation(
        "brackets around the pins of React Native are no call",
        f"{_F}react_native.py",
        'is_call = before is not None and before.kind == "word" and before.text not in _KEYWORDS',
        "is_call = True",
        f"{_T}react_native.py::test_an_object_that_is_an_operand_is_refused",
    ),
]

_JAVASCRIPT = [
    Mutation(
        "a comment or regular expression in a computed string is refused",
        f"{_F}code.py",
        "(?=[^}/]) [^{}'\"`\\\\/]*+",
        "(?=[^}]) [^{}'\"`\\\\]*+",
        f"{_T}code.py::test_a_string_with_an_ambiguous_end_is_refused",
    ),
    Mutation(
        "a regular expression after the brackets of a statement",
        f"{_F}_javascript.py",
        'if opening == "(" and before in _STATEMENTS:',
        "if False:",
        f"{_T}code.py::test_regular_expressions_of_javascript_are_left_out",
    ),
    Mutation(
        "a regular expression after a keyword",
        f"{_F}_javascript.py",
        '_BEFORE_VALUE | {"else", "do"}',
        '_BEFORE_VALUE | {"do"}',
        f"{_T}code.py::test_regular_expressions_of_javascript_are_left_out",
    ),
    Mutation(
        "an increment before a division",
        f"{_F}_javascript.py",
        'if joined and self._before + mark in {"++", "--"}:',
        "if False:",
        f"{_T}code.py::test_a_division_is_no_regular_expression",
    ),
    Mutation(
        "an unclear slash is refused",
        f"{_F}_javascript.py",
        'if self._slash == "unclear" and _BEGINS_OTHERS.search(rest):',
        "if False:",
        f"{_T}code.py::test_code_of_javascript_with_two_meanings_is_refused[{{}} /'/.test(s)]",
    ),
    Mutation(
        "a slash after an unclear one is unclear",
        f"{_F}_javascript.py",
        'is_unclear = kind == "regex" and self._slash == "unclear"',
        "is_unclear = False",
        f"{_T}code.py::test_code_of_javascript_with_two_meanings_is_refused[{{}} /a/ /2;// 1]",
    ),
    Mutation(
        "a long regular expression is refused",
        f"{_F}_javascript.py",
        "if found is None and _CLOSED.match(text, place):",
        "if False:",
        f"{_T}code.py::test_code_of_javascript_with_two_meanings_is_refused",
    ),
    Mutation(
        "a comment of HTML is refused",
        f"{_F}_javascript.py",
        'if text.startswith("<!--", place):',
        "if False:",
        f"{_T}code.py::test_code_of_javascript_with_two_meanings_is_refused[a <!-- b]",
    ),
    Mutation(
        "the end of a comment of HTML is refused",
        f"{_F}_javascript.py",
        'if text.startswith("-->", place) and line > self._line:',
        "if False:",
        f"{_T}code.py::test_code_of_javascript_with_two_meanings_is_refused",
    ),
    Mutation(
        "the first line of a script is left out",
        f"{_F}_languages.py",
        'return re.sub(r"\\A#![^\\n]*+", "", text)',
        "return text",
        f"{_T}code.py::test_the_first_line_of_a_script_is_left_out",
    ),
    Mutation(
        "another spelling of an address is refused",
        f"{_F}_domains.py",
        "    if _is_other_address(name):\n",
        "    if False:\n",
        f"{_T}host_names.py::test_another_spelling_of_an_address_is_refused",
    ),
]

MUTATIONS = [*_READERS, *_ANDROID, *_APPLE, *_LISTS, *_JAVASCRIPT]
