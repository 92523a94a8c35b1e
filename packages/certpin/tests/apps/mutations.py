"""Mutations of the code of ``certpin import dart``: each removes a rule, and its test must fail.

``tests/test_mutations.py`` runs them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_A, _T = "certpin/apps/", "tests/apps/test_"
_CLI = "tests/cli/test_import_app.py::test_"

_USAGE = "tests/cli/test_import_app_usage.py::test_"

_TREE = [
    Mutation(
        "an import that reads no file is refused",
        f"{_A}project.py",
        "if not project.files and not project.findings.unread:",
        "if False:",
        f"{_USAGE}an_import_without_a_file_to_read_is_refused[empty-words1]",
    ),
    Mutation(
        "a named file without a reader is refused beside others",
        f"{_A}project.py",
        "if file.path in self._named and not read and not self._in_tests(file):",
        "if False:",
        f"{_USAGE}a_named_file_without_a_reader_is_refused_beside_others",
    ),
    Mutation(
        "a file that is too large has its own fix",
        f"{_A}project.py",
        "fix = _FIXES.get(number or 0, ",
        "fix = {}.get(number or 0, ",
        f"{_T}tree.py::test_a_file_that_is_too_large_is_reported",
    ),
    Mutation(
        "hexadecimal digits below sha256/ are the digest of a key",
        f"{_A}literals.py",
        "is_key = bool(_PREFIX.match(prefix))",
        "is_key = False",
        f"{_T}dart_pins.py::test_a_key_in_hexadecimal_beside_code_that_hashes_certificates_is_asked",
    ),
    Mutation(
        "a digest without a sign of its kind is a question",
        f"{_A}literals.py",
        "                self._ask(literal, _kind_question(text))\n",
        "                return\n",
        f"{_T}dart_pins.py::test_the_kind_of_a_digest_is_asked_if_nothing_shows_it",
    ),
    Mutation(
        "a digest of the wrong kind is named beside the server's chain",
        f"{_A}draft.py",
        'kind_mistake(draft.pin, chain.certificates) or ""',
        '""',
        f"{_CLI}live_names_a_digest_of_the_wrong_kind[sha256]",
    ),
    Mutation(
        "the advice for a digest of the wrong kind",
        "certpin/pins/verdict.py",
        "    _when_wrong_kind,\n",
        "",
        "tests/pins/test_explanation.py::test_a_digest_that_is_pinned_as_the_wrong_kind_is_named",
    ),
    Mutation(
        "the lines of a platform's file are those of its reader",
        f"{_A}platforms.py",
        "enumerate(file.lines(), 1)",
        'enumerate(file.text.split("\\n"), 1)',
        f"{_T}platforms.py::test_each_pin_has_its_file_line_and_host",
    ),
    Mutation(
        "Android's file in UTF-16 is named",
        f"{_A}platforms.py",
        "return file.is_utf16 or _NETWORK_SECURITY in file.text",
        "return _NETWORK_SECURITY in file.text",
        f"{_T}platforms.py::test_a_file_in_utf_16_is_not_read",
    ),
    Mutation(
        "a property list in UTF-16 is named",
        f"{_A}platforms.py",
        "return is_info or file.is_utf16 or",
        "return is_info or",
        f"{_T}platforms.py::test_a_file_in_utf_16_is_not_read",
    ),
    Mutation(
        "UTF-16 without a byte order mark",
        f"{_A}model.py",
        "self.data.startswith(_UTF16) or 0 in self.data[:2]",
        "self.data.startswith(_UTF16)",
        f"{_T}platforms.py::test_a_file_in_utf_16_is_not_read",
    ),
    Mutation(
        "a link is skipped, not entered",
        f"{_A}tree.py",
        "mode = entry.stat(follow_symlinks=False).st_mode",
        "mode = entry.stat().st_mode",
        f"{_T}tree.py::test_a_link_below_a_path_is_not_followed[a.dart]",
    ),
    Mutation(
        "a folder is opened without following links",
        f"{_A}tree.py",
        "_FOLDER = os.O_RDONLY | os.O_NOFOLLOW |",
        "_FOLDER = os.O_RDONLY |",
        f"{_T}tree.py::test_a_folder_that_becomes_a_link_is_not_followed",
    ),
    Mutation(
        "a file is opened without following links",
        "certpin/pinfile/file.py",
        "0 if folder is None else os.O_NOFOLLOW",
        "0",
        f"{_T}tree.py::test_a_file_that_becomes_a_link_is_not_followed",
    ),
    Mutation(
        "a named path has no links",
        f"{_A}tree.py",
        "            _require_folder(part, mode)\n",
        "",
        f"{_T}tree.py::test_a_named_path_with_a_link_is_refused[link]",
    ),
    Mutation(
        "an absolute path in the working folder has no links",
        f"{_A}tree.py",
        "named.is_absolute() and named.is_relative_to(here)",
        "False",
        f"{_T}tree.py::test_an_absolute_path_into_the_working_folder_has_no_links",
    ),
    Mutation(
        "special files are not opened",
        f"{_A}tree.py",
        "elif stat.S_ISREG(mode):\n",
        "elif True:\n",
        f"{_T}tree.py::test_special_files_are_not_opened",
    ),
    Mutation(
        "the depth has a limit",
        f"{_A}tree.py",
        "if len(below) > MAX_DEPTH:",
        "if False:",
        f"{_T}tree.py::test_the_depth_is_limited",
    ),
    Mutation(
        "the number of files has a limit",
        f"{_A}tree.py",
        '        _limit(len(self.files) + 1, MAX_FILES, "files")\n',
        "",
        f"{_T}tree.py::test_the_number_of_files_is_limited[MAX_FILES]",
    ),
    Mutation(
        "the number of names has a limit",
        f"{_A}tree.py",
        '                    _limit(self._names, MAX_NAMES, "names of files and folders")\n',
        "",
        f"{_T}tree.py::test_the_number_of_files_is_limited[MAX_NAMES]",
    ),
    Mutation(
        "a changed file is not half read",
        f"{_A}tree.py",
        "if _identity(self.name, folder) != before or before[-1] != len(data):",
        "if False:",
        f"{_T}tree.py::test_a_file_that_changes_while_it_is_read_is_reported[replace]",
    ),
    Mutation(
        "descriptors are closed",
        f"{_A}tree.py",
        "        for descriptor in opened:\n            os.close(descriptor)\n",
        "        pass\n",
        f"{_T}tree.py::test_no_descriptor_stays_open",
    ),
    Mutation(
        "anchors come from the named paths only",
        f"{_A}project.py",
        "        if found is None:\n            raise FormatError(f",
        "        if found is None:\n            return open(path, 'rb').read()\n"
        "            raise FormatError(f",
        f"{_T}platforms.py::test_anchors_outside_the_paths_are_not_read",
    ),
]

_FILES = [
    Mutation(
        "a source file has a limit",
        f"{_A}project.py",
        "return MAX_FILE_BYTES if named else MAX_ASSET_BYTES",
        "return 2**40",
        f"{_T}tree.py::test_a_file_that_is_too_large_is_reported",
    ),
    Mutation(
        "the number of PEM blocks has a limit",
        f"{_A}certificates.py",
        "if len(blocks) > MAX_BLOCKS:",
        "if False:",
        f"{_T}certificates.py::test_the_number_of_blocks_is_limited",
    ),
    Mutation(
        "a private key in the app is a mistake",
        f"{_A}certificates.py",
        "    if _is_secret(file, data):\n        if shipped:\n",
        "    if _is_secret(file, data):\n        if False:\n",
        f"{_T}certificates.py::test_a_private_key_is_a_mistake_if_it_is_part_of_the_app",
    ),
    Mutation(
        "aliases of YAML are refused",
        "certpin/support/yaml.py",
        "if self.check_event(yaml.AliasEvent):",
        "if False:",
        f"{_T}pubspec.py::test_a_pubspec_that_cannot_be_read_has_file_and_line[alias]",
    ),
    Mutation(
        "an allowance has a reason",
        "certpin/support/sarif.py",
        'because[0].strip(" .:") if because else ""',
        'because[0].strip(" .:") if because else "x"',
        f"{_T}allow.py::test_other_comments_have_no_effect",
    ),
    Mutation(
        "an allowance is directly above",
        f"{_A}allow.py",
        "while at > 0 and _COMMENT.match(lines[at - 1]):",
        "while at > 0:",
        f"{_T}allow.py::test_other_comments_have_no_effect",
    ),
]

_MERGE = [
    Mutation(
        "a pin without a host is refused",
        f"{_A}merge.py",
        "        if self._homeless:\n            raise self._host_needed()\n",
        "",
        f"{_T}merge.py::test_a_pin_without_a_host_needs_one_and_the_error_lists_those_of_the_code",
    ),
    Mutation(
        "a pin of debug builds is dropped",
        f"{_A}merge.py",
        'if found.builds:\n            self._drop(f"{found.pin}',
        'if False:\n            self._drop(f"{found.pin}',
        f"{_T}merge.py::test_pins_of_debug_builds_and_of_documentation_are_dropped_and_listed",
    ),
    Mutation(
        "a certificate of other builds is dropped",
        f"{_A}merge.py",
        "        if found.builds:\n            what =",
        "        if False:\n            what =",
        f"{_T}merge.py::test_a_certificate_of_other_builds_is_dropped_and_listed",
    ),
    Mutation(
        "a pin of documentation is dropped",
        f"{_A}merge.py",
        "elif found.pin.is_placeholder:",
        "elif False:",
        f"{_T}merge.py::test_pins_of_debug_builds_and_of_documentation_are_dropped_and_listed",
    ),
    Mutation(
        "the number of pins has a limit",
        f"{_A}draft.py",
        "if len(host.pins) >= MAX_PINS:",
        "if False:",
        f"{_T}merge.py::test_the_number_of_pins_is_limited",
    ),
    Mutation(
        "a root store is dropped",
        f"{_A}merge.py",
        "if len(self._authorities) > MAX_ANCHORS:",
        "if False:",
        f"{_T}merge.py::test_a_root_store_is_dropped",
    ),
    Mutation(
        "an authority does not widen the pins and is no trust anchor of another host",
        f"{_A}merge.py",
        "unpinned = [host for host in named if not host.pins]",
        "unpinned = named",
        f"{_T}merge.py::test_an_authority_is_not_the_trust_anchor_of_a_host_with_pins",
    ),
    Mutation(
        "a certificate for another host is dropped",
        f"{_A}merge.py",
        "if names and self._named:",
        "if False:",
        f"{_T}merge.py::test_a_certificate_for_another_wildcard_is_dropped",
    ),
    Mutation(
        "the key of one server is not accepted for a wildcard",
        f"{_A}merge.py",
        "named == pattern or (not pattern.wildcard and named.matches(pattern.name))",
        "named == pattern or named.matches(pattern.name) or pattern.matches(named.name)",
        f"{_T}merge.py::test_the_certificate_of_one_server_is_no_pin_of_a_wildcard",
    ),
    Mutation(
        "several hosts do not share the pins of several files",
        f"{_A}merge.py",
        "len(self._named_files) > 1:",
        "False:",
        f"{_T}merge.py::test_several_hosts_for_the_pins_of_several_files_are_refused",
    ),
    Mutation(
        "a pin of Dart code matches the leaf only",
        f"{_A}merge.py",
        "host.leaf_only |= not platform",
        "pass",
        f"{_T}merge.py::test_pins_of_dart_code_match_the_leaf_only",
    ),
    Mutation(
        "a presented authority does not match where only the leaf is compared",
        f"{_A}draft.py",
        "pin.presented and not self.never_matches(pin)",
        "pin.presented",
        f"{_T}merge.py::test_a_pin_of_an_authority_from_dart_code_is_a_question",
    ),
    Mutation(
        "one pin is refused with both ways out",
        f"{_A}draft.py",
        'if mode == "enforce" and (short :=',
        "if False and (short :=",
        f"{_T}merge.py::test_a_single_pin_is_refused_with_both_ways_out",
    ),
    Mutation(
        "a chain that does not verify is not compared",
        "certpin/cli/import_app.py",
        "        if seen is not None and seen.verified is not None:\n"
        "            draft.hosts[pattern].compare(seen.verified)\n",
        "        if seen is not None:\n            draft.hosts[pattern].compare(seen.served)\n",
        f"{_CLI}a_chain_that_does_not_verify_is_not_compared",
    ),
    Mutation(
        "nothing is left behind",
        "certpin/cli/import_hosts.py",
        "                    file.unlink()\n",
        "                    pass\n",
        f"{_CLI}nothing_is_left_behind_if_the_pin_file_cannot_be_written",
    ),
    Mutation(
        "an export replaces no file of a person",
        "certpin/cli/export_files.py",
        "        _refuse_foreign(file)\n",
        "        pass\n",
        "tests/cli/test_export.py::test_a_file_that_certpin_did_not_make_is_not_replaced",
    ),
    Mutation(
        "only the first line says that a file is a copy of certpin's library",
        f"{_A}model.py",
        'return self.text.removeprefix("\\N{BOM}").startswith(_COPIED)',
        "return _COPIED in self.text",
        "tests/cli/test_import_app_usage.py::test_the_library_that_an_export_copied_is_not_read",
    ),
    Mutation(
        "a file name begins no line",
        "certpin/cli/app_result.py",
        "click.echo(fold(printable(text), sys.stdout))",
        "click.echo(fold(text, sys.stdout))",
        f"{_CLI}annotations_and_terminals_are_safe_from_file_names",
    ),
    Mutation(
        "an unread file is no success",
        "certpin/cli/import_app.py",
        "return INCONCLUSIVE if result.incomplete else SUCCESS",
        "return SUCCESS",
        f"{_CLI}a_file_that_cannot_be_read_makes_the_result_inconclusive",
    ),
    Mutation(
        "a mismatch is a problem",
        "certpin/cli/import_app.py",
        "or result.mismatches:",
        "or False:",
        f"{_CLI}a_server_that_presents_none_of_the_pins_is_a_problem",
    ),
]

_LIVE = [
    Mutation(
        "--ca-file replaces the authorities of the machine",
        "certpin/cli/import_app.py",
        "(replace(policy, trust=anchors), endpoint)",
        "(policy, endpoint)",
        f"{_CLI}ca_file_replaces_the_authorities_of_the_machine",
    ),
    Mutation(
        "a question after --live doesn't recommend it",
        f"{_A}draft.py",
        "if name in contacted else",
        "if False else",
        f"{_CLI}a_private_authority_is_trusted_if_ca_file_names_it",
    ),
]

_RESOURCES = [
    Mutation(
        "a configuration in a folder with qualifiers is read",
        f"{_A}project.py",
        '_XML_FOLDER = re.compile(r"xml(?:-.*)?")',
        '_XML_FOLDER = re.compile(r"xml")',
        f"{_T}project.py::test_resources_with_qualifiers_are_read[xml-v28]",
    ),
    Mutation(
        "a key in a folder with qualifiers is part of the app",
        f"{_A}project.py",
        "res/raw(?:-[^/]*)?/",
        "res/raw/",
        f"{_T}project.py::test_a_private_key_in_resources_with_qualifiers_is_a_mistake[raw-v28]",
    ),
]

_BUILDS = [
    Mutation(
        "a source set of a flavour and the debug type is for debug builds",
        f"{_A}builds.py",
        '|.*(?:Debug|Profile)"',
        '"',
        f"{_T}builds.py::test_pins_of_other_builds_are_not_imported[stagingDebug-debug builds]",
    ),
    Mutation(
        "source sets of tests are not for the store",
        f"{_A}builds.py",
        "if _TEST_SET.fullmatch(name):",
        "if False:",
        f"{_T}builds.py::test_pins_of_other_builds_are_not_imported[androidTest-debug builds]",
    ),
    Mutation(
        "the last source set in a path decides",
        f"{_A}builds.py",
        'next(reversed(_SOURCE_SET.findall(path)), "")',
        'next(iter(_SOURCE_SET.findall(path)), "")',
        f"{_T}builds.py::test_the_builds_of_other_files_are_those_of_the_store"
        "[home/src/debug/res/app/src/main/res/xml/a.xml]",
    ),
    Mutation(
        "a source set of a flavour is not for the store",
        f"{_A}builds.py",
        "builds_of_source(path, flavour_of(source_set))",
        "builds_of_source(path)",
        f"{_T}builds.py::test_pins_of_other_builds_are_not_imported"
        "[staging-builds of the flavour 'staging']",
    ),
    Mutation(
        "a property list for debug builds is not for the store",
        f"{_A}builds.py",
        '    if "debug" in (*name, *words(folder)):\n        return DEBUG_BUILDS\n',
        "",
        f"{_T}builds.py::test_a_property_list_of_other_builds_is_not_imported"
        "[Info-Debug.plist-debug builds]",
    ),
    Mutation(
        "a property list of a flavour is not for the store",
        f"{_A}builds.py",
        "(flavour, flavour_of(file.stem), flavour_of(folder))",
        "(flavour, flavour_of(folder))",
        f"{_T}builds.py::test_a_property_list_of_other_builds_is_not_imported"
        "[Info-Staging.plist-builds of the flavour 'staging']",
    ),
    Mutation(
        "resources have the builds of their folder",
        f"{_A}project.py",
        "                found.limit_to(builds)\n",
        "                pass\n",
        f"{_T}builds.py::test_pins_of_other_builds_are_not_imported[debug-debug builds]",
    ),
    Mutation(
        "a certificate of debug builds is limited to them",
        f"{_A}model.py",
        "replace(each, builds=builds) for each in self.certificates",
        "each for each in self.certificates",
        f"{_T}builds.py::test_a_certificate_of_debug_builds_is_no_trust_anchor",
    ),
    Mutation(
        "an asset of other flavours is not for the store",
        f"{_A}project.py",
        "return self._assets.get(file) or builds_of(",
        "return builds_of(",
        f"{_T}builds.py::test_an_asset_of_other_flavours_is_no_trust_anchor[beta]",
    ),
    Mutation(
        "nonProd is not for the store",
        f"{_A}usage.py",
        "bool(_PRODUCTION & parts) and not _BEFORE_PRODUCTION & parts",
        "bool(_PRODUCTION & parts)",
        f"{_T}builds.py::test_an_asset_of_other_flavours_is_no_trust_anchor[dev, nonProd]",
    ),
    *(
        Mutation(
            f"{word}Prod is not for the store",
            f"{_A}usage.py",
            '_BEFORE_PRODUCTION = frozenset({"non", "not", "pre"})',
            f"_BEFORE_PRODUCTION = frozenset({{'non', 'not', 'pre'}} - {{{word!r}}})",
            f"{_T}builds.py::test_an_asset_of_other_flavours_is_no_trust_anchor[dev, {word}Prod]",
        )
        for word in ("not", "pre")
    ),
    Mutation(
        "the names of flavours that are printed have a limit",
        f"{_A}builds.py",
        "for flavour in flavours)[:_MAX_SHOWN])",
        "for flavour in flavours))",
        f"{_T}builds.py::test_the_names_of_flavours_that_are_printed_have_a_limit",
    ),
    Mutation(
        "a source set nonDebug is for a release",
        f"{_A}builds.py",
        " is not None and not is_negated",
        " is not None",
        f"{_T}builds.py::test_a_negated_name_is_that_of_a_release"
        "[android/app/src/nonDebug/res/xml/a.xml]",
    ),
    Mutation(
        "a file no_debug is for a release",
        f"{_A}builds.py",
        "name = affirmed_words(file.stem)",
        "name = words(file.stem)",
        f"{_T}builds.py::test_a_negated_name_is_that_of_a_release[res/raw/non_debug_ca.pem]",
    ),
    Mutation(
        "a file non_dev is for a release",
        f"{_A}usage.py",
        "for word in affirmed_words(name) if word in _DEV",
        "for word in words(name) if word in _DEV",
        f"{_T}builds.py::test_a_negated_name_is_that_of_a_release[res/raw/non_dev_ca.pem]",
    ),
    Mutation(
        "an asset of several flavours may be for the store",
        f"{_A}pubspec.py",
        'return "" if any(map(is_production, names)) else',
        "return",
        f"{_T}builds.py::test_an_asset_of_the_flavour_of_the_store_is_imported",
    ),
    Mutation(
        "the anchors of debug-overrides are for debug builds",
        f"{_A}project.py",
        "    platforms.mark_debug_anchors(project.findings)\n",
        "",
        f"{_T}builds.py::test_an_anchor_of_debug_overrides_is_for_debug_builds_only",
    ),
    Mutation(
        "an anchor of debug-overrides may be one of a release, too",
        f"{_A}platforms.py",
        "set(findings.debug_anchors) - set(findings.released_anchors)",
        "set(findings.debug_anchors)",
        f"{_T}builds.py::test_an_anchor_of_a_release_may_be_in_debug_overrides_too",
    ),
    Mutation(
        "a host without pins may trust an anchor of debug-overrides",
        "certpin/formats/_network_security.py",
        '(config, "domain-config"):\n        yield from _raw_anchors(nested)\n',
        '(config, "domain-config"):\n        pass\n',
        f"{_T}builds.py::test_an_anchor_of_nested_hosts_may_be_in_debug_overrides_too",
    ),
    Mutation(
        "a configuration of debug builds is none of a release",
        f"{_A}model.py",
        "        self.released_anchors = []\n",
        "",
        f"{_T}builds.py::test_a_configuration_of_debug_builds_makes_no_anchor_that_of_a_release",
    ),
    Mutation(
        "only the resource that debug-overrides names is for debug builds",
        f"{_A}platforms.py",
        "if _resource(each.place.file) in anchors else",
        "if anchors else",
        f"{_T}builds.py::test_a_copy_of_an_anchor_of_debug_overrides_is_that_of_a_release",
    ),
    Mutation(
        "a variant of a resource has the builds of the resource",
        f"{_A}platforms.py",
        "raw(?:-[^/]*)?/(",
        "raw/(",
        f"{_T}builds.py::test_a_copy_of_an_anchor_of_debug_overrides_is_that_of_a_release",
    ),
    Mutation(
        "debug-overrides counts although the pins cannot be read",
        f"{_A}platforms.py",
        "    _add_anchors(file, beside, findings)\n",
        "    if not findings.unread:\n        _add_anchors(file, beside, findings)\n",
        f"{_T}builds.py::test_the_anchors_of_debug_overrides_are_found_if_the_pins_cannot_be_read",
    ),
    Mutation(
        "the parts of other builds are listed if there are no others",
        "certpin/cli/import_app.py",
        "    warn_dropped(draft)\n    result.draft = draft\n",
        '    draft.pin_set("", "report")\n    warn_dropped(draft)\n    result.draft = draft\n',
        f"{_CLI}the_parts_of_other_builds_are_listed_if_there_are_no_others",
    ),
    Mutation(
        "a private key for debug builds is not shipped",
        f"{_A}project.py",
        " and not self.is_for_debug(file)",
        "",
        f"{_T}builds.py::test_a_private_key_is_a_mistake_unless_only_debug_builds_have_it",
    ),
    Mutation(
        "a file with the word debug in its name may be part of a release",
        f"{_A}builds.py",
        "return _DEBUG_SET.fullmatch(name) is not None and not is_negated",
        "return 'debug' in words(path)",
        f"{_T}builds.py::test_a_name_is_no_proof_that_a_release_lacks_the_file",
    ),
    Mutation(
        "Android's assets of a flavour are shipped",
        f"{_A}project.py",
        "(?<!lib/)src/[^/]+/assets/",
        "src/main/assets/",
        f"{_T}builds.py::test_a_private_key_is_a_mistake_unless_only_debug_builds_have_it",
    ),
    Mutation(
        "the place of the project is no source set",
        f"{_A}project.py",
        "if (file.root, file.folder[:depth]) in self._projects:\n                return",
        "if False:\n                return",
        f"{_T}builds.py::test_the_place_of_a_project_does_not_matter"
        "[src/bank-test-client-relative]",
    ),
    Mutation(
        "the folder above a named file is no flavour",
        f"{_A}project.py",
        "return file.path[min([below, *starts[-1:]]) :]",
        "return file.path",
        f"{_T}builds.py::test_the_folder_of_a_named_file_does_not_matter[dev]",
    ),
    Mutation(
        "a named folder of resources has the builds of its source set",
        f"{_A}project.py",
        "return file.path[min([below, *starts[-1:]]) :]",
        "return file.path[below:]",
        f"{_T}builds.py::test_a_named_folder_in_a_source_set_has_its_builds[src/debug]",
    ),
    Mutation(
        "a certificate in Dart code has the builds of the code",
        f"{_A}literals.py",
        "self._place(literal), builds, literal.acceptance",
        'self._place(literal), "", literal.acceptance',
        f"{_T}dart_hosts.py::test_a_certificate_in_a_string_has_the_builds_that_use_it"
        "[final ca = kDebugMode ? '''{}''' : '';-debug builds]",
    ),
]

_NAMES = [
    Mutation(
        "a handler of untrusted certificates is no list of refused keys",
        f"{_A}usage.py",
        "nouns = _CERTIFICATES | _CERTIFICATE if contains else _CERTIFICATES",
        "nouns = _CERTIFICATES | _CERTIFICATE",
        f"{_T}dart_flavours.py::test_a_key_that_the_app_may_refuse_is_a_question_and_not_imported",
    ),
    Mutation(
        "a name inside a list of refused keys does not make them accepted",
        f"{_A}usage.py",
        '        if self.kind == "accepts" and kind == "refuses":\n            kind = "unclear"\n'
        "        elif self.kind:",
        "        if self.kind:",
        f"{_T}dart_flavours.py::test_a_key_that_the_app_may_refuse_is_a_question_and_not_imported",
    ),
    Mutation(
        "the nearest name decides whether the app accepts a key",
        f"{_A}usage.py",
        "        elif self.kind:\n            return self\n",
        "",
        f"{_T}dart_flavours.py::test_the_nearest_name_says_that_the_app_accepts_a_key",
    ),
    Mutation(
        "a list of refused keys decides for its constants",
        f"{_A}usage.py",
        "for each in usages[1:] if not each.acceptance.is_outer]",
        "for each in ()]",
        f"{_T}dart_flavours.py::test_a_key_that_the_app_refuses_is_listed_and_not_imported",
    ),
    Mutation(
        "a class that uses a constant may refuse it",
        f"{_A}usage.py",
        'return Acceptance("unclear", name, is_outer=True) if name else Acceptance()',
        "return Acceptance()",
        f"{_T}dart_flavours.py::test_a_key_that_the_app_may_refuse_is_a_question_and_not_imported",
    ),
    Mutation(
        "a refused key is not imported from other lists",
        f"{_A}merge.py",
        "return pin in self._refused or pin in self._unclear",
        "return pin in self._unclear",
        f"{_T}dart_flavours.py::test_a_key_that_the_app_refuses_is_listed_and_not_imported",
    ),
    Mutation(
        "an unclear key is not imported",
        f"{_A}merge.py",
        "return pin in self._refused or pin in self._unclear",
        "return pin in self._refused",
        f"{_T}dart_flavours.py::test_a_key_that_the_app_may_refuse_is_a_question_and_not_imported",
    ),
    Mutation(
        "the name of a file says that the app refuses its keys",
        f"{_A}project.py",
        "        found.judge_by_name(stem, is_source=is_source)\n",
        "",
        f"{_T}builds.py::test_keys_in_a_file_of_refused_keys_are_not_imported",
    ),
    Mutation(
        "a named file is imported however it is spelled",
        f"{_A}project.py",
        "set(map(path_in_messages, paths))",
        "set(paths)",
        f"{_T}builds.py::test_a_named_file_is_imported_however_it_is_spelled",
    ),
]

_WEAK = f"{_T}platforms.py::test_settings_that_weaken_a_release_are_mistakes"
_ANDROID = "certpin/formats/_network_security.py"
_PLATFORMS = [
    Mutation(
        "an export that no client uses pins nothing in Dart",
        f"{_A}platforms.py",
        "host_patterns(findings.exported)) if findings.pinned_clients else []",
        "host_patterns(findings.exported))",
        f"{_CLI}an_app_with_all_exports_of_certpin_has_no_mistake",
    ),
    Mutation(
        "an export pins its hosts only",
        f"{_A}platforms.py",
        "any(_covers(each, pattern) for each in exported) for pattern in patterns",
        "exported for pattern in patterns",
        f"{_CLI}an_app_with_all_exports_of_certpin_has_no_mistake",
    ),
    Mutation(
        "overridden pins are a mistake",
        _ANDROID,
        '.get("overridePins", "").lower() == "true"',
        '.get("overridePins", "").lower() == ""',
        _WEAK,
    ),
    Mutation(
        "inherited pins apply to chains of the user's authorities",
        _ANDROID,
        "any(each.children for each in pin_sets) if pin_sets else pinned",
        "any(each.children for each in pin_sets)",
        _WEAK,
    ),
    Mutation(
        "cleartext is permitted by an outer element",
        _ANDROID,
        "_weak_domains(nested, pinned=pinned, cleartext=cleartext)",
        "_weak_domains(nested, pinned=pinned, cleartext=0)",
        _WEAK,
    ),
    Mutation(
        "debug builds may trust the user's authorities",
        f"{_A}project.py",
        "for_debug = selection.is_for_debug(listed)",
        "for_debug = False",
        f"{_T}platforms.py::test_the_settings_of_debug_builds_are_no_mistakes",
    ),
    Mutation(
        "a weakness is a mistake although the pins can't be read",
        f"{_A}platforms.py",
        "    except FormatError:\n        return []",
        "        FORMATS['android'].load(Source(file.data, beside))\n"
        "    except FormatError:\n        return []",
        f"{_T}platforms.py::test_weaknesses_are_found_if_the_pins_cannot_be_read[exclusion]",
    ),
    Mutation(
        "expired pins are a mistake although a pin file can't express the exclusion",
        f"{_A}platforms.py",
        "    for found in parsed.hosts:\n        findings.mistakes += _check_expiry",
        "    for found in () if parsed.refusal else parsed.hosts:\n"
        "        findings.mistakes += _check_expiry",
        f"{_T}platforms.py::test_expired_pins_are_found_if_a_host_is_excluded[android]",
    ),
    Mutation(
        "an excluded host gets no pins",
        f"{_A}platforms.py",
        "    if parsed.refusal:\n",
        "    if False:\n",
        f"{_T}platforms.py::test_expired_pins_are_found_if_a_host_is_excluded[android]",
    ),
    Mutation(
        "a pin file can't express all trust",
        "certpin/formats/parsed.py",
        "            raise self.refusal\n        pattern =",
        "            pass\n        pattern =",
        "tests/formats/test_android.py::"
        "test_trust_settings_without_an_equivalent_are_refused[disables the pins]",
    ),
    Mutation(
        "trust that is not imported is listed",
        f"{_A}platforms.py",
        "    if found.refusal:\n",
        "    if False:\n",
        f"{_T}platforms.py::test_trust_that_a_pin_file_cannot_contain_is_listed",
    ),
]

MUTATIONS = [*_TREE, *_FILES, *_MERGE, *_LIVE, *_RESOURCES, *_BUILDS, *_NAMES, *_PLATFORMS]
