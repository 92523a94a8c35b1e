"""Mutations of the formats for programs and proxies: each removes a rule, and its test must fail.

``tests/test_mutations.py`` runs them; ``interop/test_mutations.py`` has those for real clients.
"""

from __future__ import annotations

from tests._mutation import Mutation

_F = "certpin/formats/"
_TRUSTED = "tests/formats/limits/test_trusted_authorities.py::test_"
_PROXIES, _ENVOY = "tests/formats/test_proxies.py::", "tests/formats/test_envoy.py::"
_PROGRAMS = "tests/formats/test_programs.py::"
_LINT = "tests/cli/test_lint_exported.py::"
_DECISIONS = "tests/formats/interop/test_decisions.py::"
_TRUST = "tests/formats/interop/test_trust.py::"
_CLIENTS = (
    "tests/formats/interop/test_clients.py::test_the_client_passes_all_cases_except_the_listed_ones"
)

MUTATIONS = [
    Mutation(
        "a carriage return ends a comment of code",
        "certpin/formats/_languages.py",
        '    line_ends: str = "\\r"\n',
        '    line_ends: str = ""\n',
        "tests/formats/test_code.py::test_a_comment_ends_with_its_line",
    ),
    Mutation(
        "a line separator ends a comment of JavaScript",
        "certpin/formats/_languages.py",
        '    _BACKTICKS, "\\r\\u2028\\u2029", ',
        '    _BACKTICKS, "\\r", ',
        "tests/formats/test_code.py::test_a_comment_ends_with_its_line",
    ),
    Mutation(
        "all line ends of C#",
        "certpin/formats/_languages.py",
        '    "\\r\\x85\\u2028\\u2029",\n',
        '    "\\r",\n',
        "tests/formats/test_code.py::test_a_comment_ends_with_its_line",
    ),
    Mutation(
        "a carriage return is part of a comment of Go",
        "certpin/formats/_languages.py",
        'GO = Language(_BACKTICKS, "")',
        "GO = Language(_BACKTICKS)",
        "tests/formats/test_code.py::test_a_comment_ends_with_its_line",
    ),
    Mutation(
        "wget verifies",
        f"{_F}wget.py",
        '        "check_certificate": "on",\n',
        "",
        "tests/formats/test_wget.py::test_the_exported_settings",
    ),
    Mutation(
        "the values of a policy in code are literal",
        f"{_F}code.py",
        'is_text = pieces[place].kind == "string"',
        "is_text = True",
        "tests/formats/test_table.py::test_no_value_of_a_policy_is_skipped",
    ),
    Mutation(
        "the policies in code are literal",
        f"{_F}code.py",
        '        if not named and token.text != ",":\n',
        "        if False:\n",
        "tests/formats/test_table.py::test_a_computed_policy_in_the_list_is_refused",
    ),
    Mutation(
        "the debug anchors of Dart are those of debug builds",
        f"{_F}_flutter.py",
        'if shape != [":", "debugOverride", "?", "string", ":", "null"]:',
        "if False:",
        f"{_PROGRAMS}test_computed_debug_anchors_of_dart_are_refused",
    ),
    Mutation(
        "no name is chosen by a request",
        f"{_F}nginx.py",
        '"$proxy_host" if',
        '"$host" if',
        f"{_PROXIES}test_for_wildcards_nginx_uses_the_name_of_proxy_pass",
    ),
    Mutation(
        "addresses lock out",
        f"{_F}_proxy.py",
        '        NamesOnly(f"{program} does not compare IP addresses with a certificate"),\n',
        "",
        f"{_PROXIES}test_addresses_are_refused",
    ),
    Mutation(
        "nginx's anchors are those of the location",
        f"{_F}nginx.py",
        "        valid = {**outer, **own}\n",
        "        valid = {**own, **outer}\n",
        f"{_PROXIES}test_each_connection_has_the_anchors_that_are_in_force_for_it[nginx]",
    ),
    Mutation(
        "HAProxy's anchors are those of the server",
        f"{_F}haproxy.py",
        'defaults.get("".join(origin[:1]), [])',
        'defaults.get("", [])',
        f"{_PROXIES}test_each_connection_has_the_anchors_that_are_in_force_for_it[haproxy]",
    ),
    Mutation(
        "the settings name the host, not the comment",
        f"{_F}_proxy.py",
        "        if said and names_host:\n",
        "        if False:\n",
        f"{_PROXIES}test_an_export_that_verifies_another_name_is_refused",
    ),
    Mutation(
        "HAProxy verifies the name in sni",
        f"{_F}haproxy.py",
        '        host = sent[1] if sent else ""\n',
        "",
        f"{_PROXIES}test_the_default_name_of_a_connection_is_its_host[haproxy]",
    ),
    Mutation(
        "several hosts without names",
        f"{_F}_proxy.py",
        "        if known is not each and not each.host:\n",
        "        if False:\n",
        f"{_PROXIES}test_several_hosts_without_names_are_refused[nginx]",
    ),
    Mutation(
        "Envoy's matchers name the host, not the comment",
        f"{_F}envoy.py",
        "    if not right:\n",
        "    if False:\n",
        f"{_ENVOY}test_an_export_that_verifies_another_name_is_refused",
    ),
    Mutation(
        "Envoy's matchers are for the server name",
        f"{_F}envoy.py",
        'pattern.wildcard != "**." and pattern.covers(HostPattern.parse(host))',
        "bool(pattern)",
        f"{_ENVOY}test_a_matcher_of_other_hosts_is_refused",
    ),
    Mutation(
        "different anchors of one host",
        f"{_F}_proxy.py",
        "        if known.anchors != each.anchors:\n",
        "        if False:\n",
        f"{_PROXIES}test_different_anchors_of_one_host_are_refused[named-nginx]",
    ),
    Mutation(
        "nginx and HAProxy need roots",
        f"{_F}_proxy.py",
        '        RootsOnly(f"{program} refuses chains that end at another certificate"),\n',
        "",
        f"{_PROXIES}test_anchors_without_their_roots_are_refused[nginx]",
    ),
    Mutation(
        "HAProxy has one name",
        f"{_F}haproxy.py",
        '        NoWildcard("HAProxy verifies only the name in its line"),\n',
        "",
        f"{_PROXIES}test_haproxy_refuses_wildcards",
    ),
    Mutation(
        "Envoy needs roots",
        f"{_F}envoy.py",
        "    if trusted is None:\n",
        "    if trusted is None:\n        return None\n    if trusted is None:\n",
        f"{_ENVOY}test_a_context_without_verification_is_refused",
    ),
    Mutation(
        "Envoy resumes nothing",
        f"{_F}envoy.py",
        "max_session_keys: 0",
        "max_session_keys: 1",
        f"{_ENVOY}test_all_fields_belong_to_the_api",
    ),
    Mutation(
        "YAML without aliases",
        "certpin/support/yaml.py",
        "            if self.check_event(yaml.AliasEvent):\n",
        "            if False:\n",
        f"{_ENVOY}test_hostile_yaml_raises_format_error",
    ),
    Mutation(
        ".NET first",
        f"{_F}dotnet.cs",
        "errors != SslPolicyErrors.None || chain is null",
        "chain is null",
        f"{_PROGRAMS}test_dotnet_refuses_chains_that_dotnet_refuses",
    ),
    Mutation(
        ".NET and addresses in other spellings",
        f"{_F}dotnet.cs",
        "pinned.Equals(address)",
        "each.Pattern == host",
        f"{_PROGRAMS}test_dotnet_compares_addresses_and_not_their_spelling",
    ),
    Mutation(
        ".NET and a stricter version",
        f"{_F}dotnet.cs",
        "configured == SslProtocols.None ? Protocols : configured;",
        "Protocols;",
        f"{_PROGRAMS}test_dotnet_lowers_no_stricter_version_of_the_app",
    ),
    Mutation(
        "nginx verifies nothing by default",
        f"{_F}nginx.py",
        'valid.get(f"{prefix}verify") == "on"',
        'valid.get(f"{prefix}verify") != "off"',
        "tests/formats/test_passed_over.py::test_skipped_settings_are_reported[nginx-16]",
    ),
    Mutation(
        "Envoy accepts unverified chains",
        f"{_F}envoy.py",
        "        _report_unverified(validation)\n",
        "",
        "tests/formats/test_passed_over.py::test_skipped_settings_are_reported[envoy-22]",
    ),
    Mutation(
        "an export of the case's host",
        "certpin/lab/target.py",
        "            pins = only(pins, [str(policy.pattern)])\n",
        "            pins = only(pins, [str(pins.policies[-1].pattern)])\n",
        "tests/lab/test_exports.py::"
        "test_a_format_of_many_hosts_has_both_and_one_of_one_host_the_host_of_the_case",
    ),
    Mutation(
        "a format that cannot have the pins",
        "certpin/lab/target.py",
        "        except ConfigError as exc:\n",
        "        except KeyError as exc:\n",
        "tests/lab/test_exports.py::test_a_format_that_cannot_have_the_pins_says_why",
    ),
    Mutation(
        "curl trusts no folder beside its CA file",
        f"{_F}curl.py",
        '"capath": _NO_FOLDER',
        '"capath": "/etc/ssl/certs"',
        "tests/formats/test_curl.py::test_a_root_set_is_a_ca_file_without_pins_of_the_leaf",
    ),
    Mutation(
        "only certificates with a pinned key become anchors",
        f"{_F}limits/pins.py",
        " if not policy.live_pins.keys().isdisjoint(pins_of(each))]",
        "]",
        "tests/formats/test_curl.py::"
        "test_only_certificates_with_a_pinned_key_are_taken_and_missing_ones_reported",
    ),
    Mutation(
        "the certificate in trust shows that a pin is of an authority",
        f"{_F}limits/pins.py",
        "entry.role in _ABOVE or entry.pin in known]",
        "entry.role in _ABOVE]",
        f"{_TRUSTED}an_export_of_authorities_without_roles_is_refused",
    ),
    Mutation(
        "a self-signed server in trust is no authority",
        f"{_F}limits/pins.py",
        "    return not (certificate.dns_names or certificate.addresses)",
        "    return True",
        f"{_TRUSTED}a_self_signed_server_in_trust_may_be_pinned_as_a_leaf",
    ),
    Mutation(
        "Dart trusts no compromised anchor",
        f"{_F}_flutter.py",
        "    NoCompromisedAnchors(_NO_CHAIN),\n",
        "",
        f"{_TRUSTED}a_compromised_anchor_is_not_exported",
    ),
    Mutation(
        "an export trusts more than compromised anchors",
        f"{_F}limits/pins.py",
        "        if not left:",
        "        if left is None:",
        f"{_TRUSTED}an_export_is_refused_if_each_anchor_is_compromised",
    ),
    Mutation(
        "Dart can use the key of an anchor",
        f"{_F}limits/pins.py",
        "        if unusable and len(unusable) == len(anchors):",
        "        if unusable and not anchors:",
        f"{_TRUSTED}a_server_needs_a_key_of_fewer_types_than_an_authority",
    ),
    Mutation(
        "a CA file that certpin didn't write is no pin",
        f"{_F}curl.py",
        "if not found.hosts and is_exported(source.text):",
        "if not found.hosts:",
        "tests/formats/test_curl.py::test_a_foreign_ca_file_is_no_pin",
    ),
    Mutation(
        "curl's last value is in force",
        f"{_F}_lines.py",
        "reversed(values(text, name))",
        "iter(values(text, name))",
        "tests/formats/test_curl.py::test_the_last_ca_file_is_in_force",
    ),
    Mutation(
        "curl ignores text after a quoted value",
        f"{_F}curl.py",
        'next(filter(None, found.groups()), "") if found else value',
        "value",
        "tests/formats/test_curl.py::test_other_notations_are_read",
    ),
    Mutation(
        "a setting that no export has is a difference",
        "certpin/cli/lint.py",
        'return actual, [f"it was changed: {each}" for each in skipped]',
        "return actual, []",
        "tests/cli/test_lint_exported.py::test_a_setting_that_no_export_has_is_a_difference",
    ),
    Mutation(
        "a setting that an export has not lost",
        "certpin/cli/lint.py",
        "    for setting in sorted(expected - found):\n",
        "    for setting in ():\n",
        "tests/cli/test_lint_exported.py::test_a_setting_that_no_export_has_is_a_difference",
    ),
    Mutation(
        "a line that an export has not was added",
        "certpin/cli/lint.py",
        "    for setting in sorted(found - expected):\n",
        "    for setting in ():\n",
        f"{_LINT}test_a_line_that_an_export_has_not_is_a_difference",
    ),
    Mutation(
        "a setting that is in force nowhere is missing",
        "certpin/cli/lint.py",
        "chosen.settings(source.text) or [set()]",
        "chosen.settings(source.text)",
        f"{_LINT}test_settings_around_an_export_of_a_proxy_are_a_difference",
    ),
    Mutation(
        "a location is no file to include in a location",
        f"{_F}nginx.py",
        '_WHOLE = {"http", "server", "stream"}',
        '_WHOLE = {"http", "server", "stream", "location"}',
        f"{_LINT}test_settings_around_an_export_of_a_proxy_are_a_difference",
    ),
    Mutation(
        "a directive of a location replaces that of the block around it",
        f"{_F}nginx.py",
        "{words for words in outer if words[0] not in names}",
        "set(outer)",
        f"{_LINT}test_settings_around_an_export_of_a_proxy_are_a_difference",
    ),
    Mutation(
        "HAProxy skips lines in a block of .if",
        f"{_F}haproxy.py",
        "    _report_conditions(lines)\n",
        "",
        f"{_LINT}test_settings_around_an_export_of_a_proxy_are_a_difference",
    ),
    Mutation(
        "a section of HAProxy without servers",
        f"{_F}haproxy.py",
        'if anchored and any(words[0] != "default-server" for _, words in own):',
        "if anchored:",
        f"{_LINT}test_settings_around_an_export_of_a_proxy_are_a_difference",
    ),
    Mutation(
        "a weaker parameter of a server of HAProxy",
        f"{_F}haproxy.py",
        "anchored | {each for words in valid for each in _weaker(words)}",
        "anchored",
        f"{_LINT}test_settings_around_an_export_of_a_proxy_are_a_difference",
    ),
    Mutation(
        "all fields of Envoy's context are compared",
        f"{_F}envoy.py",
        "if not field.startswith((*_PIN_LISTS, *_NOT_COMPARED))}",
        "if field.startswith('max')}",
        f"{_LINT}test_a_field_of_envoy_that_an_export_has_not_is_a_difference",
    ),
    Mutation(
        "curl's sections are of different URLs",
        f"{_F}curl.py",
        "if separator := _NEXT.search(source.text):",
        "if separator := None:",
        "tests/formats/test_curl.py::test_the_pins_of_several_urls_are_refused[next]",
    ),
    Mutation(
        "curl computes the values of expand-",
        f"{_F}curl.py",
        "if computed := _COMPUTED.search(source.text):",
        "if computed := None:",
        "tests/formats/test_curl.py::test_a_value_that_curl_computes_is_refused",
    ),
    Mutation(
        "digits and marks are short options of curl, too",
        f"{_F}curl.py",
        r'_SHORT = r"-[^-\sAbcCdDeEFhHKmoPQrtTuUwxXyYz:]*"',
        '_SHORT = "-[A-Za-z]*"',
        "tests/formats/test_passed_over.py::test_skipped_settings_are_reported",
    ),
    Mutation(
        "wget ignores every dash and underscore in a name",
        f"{_F}wget.py",
        'f"{letter}[-_]*+"',
        "letter",
        "tests/formats/test_wget.py::test_other_notations_are_read",
    ),
    Mutation(
        "only certpin's own comment names the host",
        f"{_F}_lines.py",
        r"# certpin pin set .*\n# Made by: certpin export .*\n# for",
        "# for",
        "tests/formats/test_wget.py::test_a_comment_of_another_file_names_no_host",
    ),
    Mutation(
        "a block of nginx without TLS",
        f"{_F}nginx.py",
        "        if required and anchored and known and not is_secured:\n",
        "        if False:\n",
        "tests/formats/test_passed_over.py::test_skipped_settings_are_reported",
    ),
    *(
        Mutation(
            f"a block of nginx without TLS: {rule}",
            f"{_F}nginx.py",
            f"            {line}\n",
            "",
            test,
        )
        for rule, line, test in (
            (
                "inside one with TLS",
                "or is_secured",
                "tests/formats/test_passed_over.py::test_skipped_settings_are_reported[nginx-80]",
            ),
            (
                "beside one with TLS",
                'or f"{module}_ssl_name" in own',
                "tests/formats/test_passed_over.py::test_skipped_settings_are_reported[nginx-79]",
            ),
            (
                "the only one",
                "or (bool(own) and not self._has_secured(module, outer))",
                f"{_PROXIES}test_anchors_of_nginx_for_no_connection_over_tls_are_reported",
            ),
        )
    ),
    Mutation(
        "a block of nginx inside one with trust anchors",
        f"{_F}nginx.py",
        "block.plain(module, valid, required=required)",
        "block.plain(module, {})",
        f"{_LINT}test_settings_around_an_export_of_a_proxy_are_a_difference",
    ),
    *(
        Mutation(
            f"lint reports a file that the program refuses: {rule}",
            "certpin/cli/lint.py",
            f"    if chosen.{rule} and ",
            "    if False and ",
            f"{_LINT}test_a_file_that_its_program_refuses_is_a_difference",
        )
        for rule in ("refuses_bom", "refuses_crlf")
    ),
    Mutation(
        "the URLs of a file of curl name its hosts",
        f"{_F}curl.py",
        "    if not hosts or any(each.pattern for each in found.hosts):\n",
        "    if True:\n",
        "tests/formats/test_curl.py::test_the_hosts_are_those_of_the_urls",
    ),
    Mutation(
        "an export for curl calls no other host",
        f"{_F}curl.py",
        "            if not _proxy.is_name_of(pattern, host):\n",
        "            if False:\n",
        "tests/formats/test_curl.py::test_an_export_with_a_url_of_another_host_is_refused",
    ),
    Mutation(
        "a glob of curl is no host",
        f"{_F}curl.py",
        "_LITERAL.fullmatch(host):",
        "host:",
        "tests/formats/test_curl.py::test_a_url_whose_host_is_not_known_names_none",
    ),
    Mutation(
        "nginx's streams need proxy_ssl on",
        f"{_F}nginx.py",
        '({"proxy"} if stream and "proxy_pass" in self.directives else set())',
        '({"proxy"} if "proxy_pass" in self.directives else set())',
        "tests/formats/test_passed_over.py::test_skipped_settings_are_reported",
    ),
    Mutation(
        "the other servers of a section of HAProxy",
        f"{_F}haproxy.py",
        'if made and "ca-file" not in found:',
        "if False:",
        "tests/formats/test_passed_over.py::test_skipped_settings_are_reported",
    ),
    Mutation(
        "ssl-server-verify of HAProxy in quotes",
        f"{_F}haproxy.py",
        're.sub("[\\"\']", "", word)',
        "word",
        "tests/formats/test_passed_over.py::test_skipped_settings_are_reported",
    ),
    Mutation(
        "Envoy's other clusters have no pins to read",
        f"{_F}envoy.py",
        "(pinned if _has_pins(each) else others)",
        "(pinned)",
        f"{_ENVOY}test_a_cluster_without_pins_is_skipped",
    ),
    Mutation(
        "pins in another spelling of Envoy are not lost",
        f"{_F}envoy.py",
        "    if validation.names().isdisjoint(_PIN_FIELDS.values()):\n",
        "    if False:\n",
        f"{_ENVOY}test_an_error_about_one_of_several_clusters_names_it",
    ),
    Mutation(
        "Envoy's pins are possibly in another place",
        f"{_F}envoy.py",
        "            if is_only:\n",
        "            if False:\n",
        f"{_ENVOY}test_settings_in_another_place_are_refused",
    ),
    Mutation(
        "curl reads the file of -K, too",
        f"{_F}curl.py",
        '(name == "config" and _CONFIG.search(text))',
        "False",
        "tests/cli/test_lint_exported.py::test_a_setting_that_no_export_has_is_a_difference",
    ),
    Mutation(
        "an include beside nginx's settings of TLS is drift",
        f"{_F}nginx.py",
        "unrelated=not concerns_tls",
        "unrelated=True",
        "tests/cli/test_lint_exported.py::"
        "test_an_include_of_nginx_is_a_difference_beside_the_settings",
    ),
    Mutation(
        "the name of an upstream is no host",
        f"{_F}nginx.py",
        'if host.lower() in upstreams and "." not in host:',
        "if False:",
        f"{_PROXIES}test_the_name_of_an_upstream_of_nginx_is_no_host",
    ),
    Mutation(
        "a host that the file does not have is no option",
        f"{_F}parsed.py",
        "if host and str(HostPattern.parse(host)) not in named:",
        "if False:",
        f"{_PROXIES}test_a_host_that_the_file_does_not_have_is_refused",
    ),
]

_DART = "certpin/formats/flutter/dart/src/"
_DART_CLIENTS = "tests/formats/interop/test_dart.py::test_the_client_fails_no_case"
_DECISIVE = "tests/formats/interop/test_dart.py::test_the_client_fails_no_decisive_case"

# By the required program.
PEERS = {
    "dart": [
        Mutation(
            "Dart compares the pins",
            f"{_DART}connector.dart",
            "      connector.check(name, port, current, socket.peerCertificate);\n",
            "",
            f"{_DART_CLIENTS}[socket-3.7.3]",
        ),
        Mutation(
            "Dart and its own tunnels",
            f"{_DART}pinned_http_client.dart",
            "      ..connectionFactory = _connector.call\n"
            "      // It would start TLS in the tunnel of a proxy without a check.\n"
            "      ..findProxy = findNoProxy;\n",
            "      ..findProxy = ((url) => _connector.findProxy(url));\n",
            f"{_DART_CLIENTS}[proxy-3.7.3]",
        ),
        Mutation(
            "Dart and isolates",
            f"{_DART}pinned_http_overrides.dart",
            "      HttpOverrides.global = PinnedHttpOverrides(\n        sent,",
            "      PinnedHttpOverrides(\n        sent,",
            f"{_DECISIVE}[isolate-3.7.3]",
        ),
    ],
    "curl": [
        Mutation(
            "curl verifies, whatever the settings of the user",
            f"{_F}curl.py",
            "text + _VERIFY",
            "text",
            f"{_TRUST}test_curl_verifies_the_chain_whatever_the_settings_of_the_user",
        ),
        *(
            Mutation(
                f"curl refuses some files: {rule}",
                f"{_F}curl.py",
                f"    {rule}=True,\n",
                "",
                "tests/formats/interop/test_spoiled_files.py::"
                "test_the_programs_refuse_the_files_that_lint_reports[curl]",
            )
            for rule in ("refuses_bom", "refuses_crlf")
        ),
    ],
    "wget": [
        Mutation(
            "wget and redirects",
            f"{_F}wget.py",
            '        "max_redirect": "0",  # a redirect could lead to http://\n',
            "",
            f"{_CLIENTS}[wget, wget, leaf]",
        ),
    ],
    "nginx": [
        Mutation(
            "nginx verifies",
            f"{_F}nginx.py",
            "proxy_ssl_verify on;\n",
            "",
            f"{_CLIENTS}[nginx, nginx, ca]",
        ),
        Mutation(
            "nginx and connections of other locations",
            f"{_F}nginx.py",
            "        if len(lines) > 1:\n",
            "        if False:\n",
            "tests/formats/interop/test_sessions.py::"
            "test_nginx_needs_an_upstream_of_its_own_with_keepalive[shared]",
        ),
        Mutation(
            "nginx and sessions of other locations",
            f"{_F}nginx.py",
            "proxy_ssl_session_reuse off;\n",
            "",
            "tests/formats/interop/test_sessions.py::"
            "test_nginx_resumes_no_session_of_a_location_with_other_trust",
        ),
    ],
    "haproxy": [
        Mutation(
            "HAProxy verifies",
            f"{_F}haproxy.py",
            "verify required",
            "verify none",
            f"{_CLIENTS}[haproxy, HAProxy, ca]",
        ),
    ],
    "node": [
        Mutation(
            "Node.js first",
            f"{_F}node.mjs",
            "        if (problem) return problem;\n",
            "",
            f"{_CLIENTS}[node, Node.js, node:https, leaf]",
        ),
        Mutation(
            "Node.js and hosts without pins",
            f"{_F}node.mjs",
            "      callback(this.#failed(new PinError(",
            "      return super.createConnection(options, callback);\n"
            "      callback(this.#failed(new PinError(",
            f"{_CLIENTS}[node, Node.js, node:https, leaf]",
        ),
        Mutation(
            "Node.js and anchors",
            f"{_F}node.mjs",
            "      ...(policy.trust ? anchors(policy.trust) : {}),\n",
            "",
            f"{_TRUST}test_platform_roots_are_not_trusted_with_anchors[node]",
        ),
        Mutation(
            "Node.js and a stricter version",
            f"{_F}node.mjs",
            'minVersion: minVersion === "TLSv1.3" ? minVersion : "TLSv1.2"',
            'minVersion: "TLSv1.2"',
            "tests/formats/interop/test_versions.py::"
            "test_node_lowers_no_stricter_version_of_the_app",
        ),
        Mutation(
            "Node.js and mapped addresses",
            f"{_F}node.mjs",
            "return canonical(new URL(",
            "return (new URL(",
            "tests/formats/interop/test_addresses.py::"
            "test_node_finds_the_policy_of_a_mapped_address[::ffff:127.0.0.1]",
        ),
        Mutation(
            "Node.js and the zones of addresses",
            f"{_F}node.mjs",
            "const target = net.isIP(host) ? options.host : host;",
            "const target = host;",
            "tests/formats/interop/test_addresses.py::test_node_connects_to_an_address_with_its_zone",
        ),
        Mutation(
            "Node.js and lengths in BER",
            f"{_F}node.mjs",
            "  if (length < 0x80 || length < 256 ** (octets - 1)) throw",
            "  if (false) throw",
            f"{_PROGRAMS}test_node_refuses_the_certificates_that_certpin_refuses",
        ),
        Mutation(
            "Node.js and the fields before the key",
            f"{_F}node.mjs",
            "  if (!tags.test(",
            "  if (false && !tags.test(",
            f"{_PROGRAMS}test_node_refuses_the_certificates_that_certpin_refuses",
        ),
        Mutation(
            "Node.js and a key that it cannot find, in report mode",
            f"{_F}node.mjs",
            "    failure.enforced = true;",
            "   ",
            "tests/formats/interop/test_strict_der.py::"
            "test_node_refuses_a_certificate_that_hides_the_pinned_key[_indefinite-report]",
        ),
        Mutation(
            "Node.js and the most specific",
            f"{_F}node.mjs",
            '    patterns.push("**." + host, "*." + parent);\n',
            '    patterns.push("*." + parent, "**." + host);\n',
            f"{_DECISIONS}test_node_decides_as_certpin_does_about_the_leaf",
        ),
    ],
    "go": [
        Mutation(
            "Go and authorities",
            f"{_F}go.go",
            "		chain = chain[1:]\n",
            "		chain = chain[:1]\n",
            f"{_DECISIONS}test_go_decides_as_certpin_does",
        ),
        Mutation(
            "Go and expiry",
            f"{_F}go.go",
            "	return err != nil || !now.Before(end)\n",
            "	return err != nil || now.After(end)\n",
            f"{_DECISIONS}test_go_decides_as_certpin_does",
        ),
        Mutation(
            "Go and clear text",
            f"{_F}go.go",
            '	if request.URL.Scheme != "https" {\n',
            '	if request.URL.Scheme == "ftp" {\n',
            f"{_CLIENTS}[go, Go, net/http, leaf]",
        ),
        Mutation(
            "Go and connections of the base",
            f"{_F}go.go",
            "	if len(inner.TLSNextProto) > 0 {",
            "	if len(inner.TLSNextProto) > 9 {",
            f"{_PROGRAMS}test_go_does_not_use_connections_of_the_base_transport",
        ),
        Mutation(
            "Go and anchors",
            f"{_F}go.go",
            "		config.RootCAs = x509.NewCertPool()\n",
            "		config.RootCAs, _ = x509.SystemCertPool()\n",
            f"{_TRUST}test_platform_roots_are_not_trusted_with_anchors[go]",
        ),
    ],
}
