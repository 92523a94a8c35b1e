"""Mutations of the web pages: each removes one rule from the code.

``test_mutations.py`` applies them in turn, and checks that a test fails for each.
"""

from __future__ import annotations

from tests._mutation import Mutation

_PAGES = "certpin_watch/web/"
_RENDER = "certpin_watch/html/__init__.py"
_QUERIES = "certpin_watch/store/queries/"
_TEST = "tests/watch/web/test_pages.py::test_"
_ISSUER = "tests/watch/test_chain_issuer.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "each problem of a location has a sentence on the pages",
        _PAGES + "hosts.py",
        '    "no-starttls": "A location is answered without TLS (STARTTLS)",\n',
        "",
        "tests/watch/store/queries/test_queries.py::"
        "test_each_problem_of_a_location_has_a_sentence_on_the_pages",
    ),
    Mutation(
        "no page says that clients accept a key at a host that no version has",
        _PAGES + "pin_sets.py",
        "        if self.is_unpinned:\n",
        "        if False:\n",
        _TEST + "a_key_of_a_host_that_no_version_has_is_not_said_to_be_accepted",
    ),
    Mutation(
        "a host pattern has no link",
        _PAGES + "request.py",
        'return "" if "*" in host else f',
        "return f",
        _TEST + "every_link_to_a_host_leads_to_a_page",
    ),
    Mutation(
        "only the machine of a worker can read its counters",
        "certpin_watch/health.py",
        "    if is_local_only(address[0]):\n",
        "    if address:\n",
        "tests/watch/test_health.py::test_only_this_machine_can_read_the_counters",
    ),
    Mutation(
        "text on pages is escaped",
        _RENDER,
        "        autoescape=True,\n",
        "        autoescape=False,\n",
        _TEST + "hostile_text_is_escaped_on_every_page",
    ),
    Mutation(
        "invisible characters are escaped",
        _RENDER,
        "    return clean(value)\n",
        "    return value\n",
        _TEST + "hostile_text_is_escaped_on_every_page",
    ),
    Mutation(
        "long reports are cut",
        _PAGES + "failures.py",
        "text[:_MAX_REPORT]",
        "text",
        _TEST + "original_reports_are_laid_out_and_cut",
    ),
    Mutation(
        "pages need the scope read",
        _PAGES + "request.py",
        "require(requirement)(answer)",
        "answer",
        _TEST + "without_an_identity_every_page_answers_401",
    ),
    Mutation(
        "forms need the scope silence",
        _PAGES + "routes.py",
        "endpoint(watch, form, SILENCE)",
        "endpoint(watch, form, READ)",
        _TEST + "a_viewer_has_no_forms_and_cannot_post_them",
    ),
    Mutation(
        "silences are audited",
        _PAGES + "alerts.py",
        '                "silence.made",\n',
        '                "silence",\n',
        _TEST + "creating_and_ending_a_silence_is_audited",
    ),
    Mutation(
        "only listed static files are served",
        _RENDER,
        "    if name not in _MEDIA_TYPES:\n",
        "    if not name:\n",
        _TEST + "static_files_have_immutable_addresses",
    ),
    Mutation(
        "secrets are not shown",
        _PAGES + "about.py",
        '        return "set, not shown"\n',
        "        return value.reveal()\n",
        _TEST + "no_page_contains_secrets_of_the_settings",
    ),
    Mutation(
        "an unavailable store is reported",
        _PAGES + "request.py",
        "    except StoreError as exc:\n",
        "    except KeyError as exc:\n",
        _TEST + "an_unavailable_store_is_reported_without_old_data",
    ),
    Mutation(
        "a request has one Host header",
        "certpin_watch/application.py",
        "        if _names_two_hosts(scope):\n",
        "        if False:\n",
        "tests/watch/test_application.py::test_a_request_that_names_two_hosts_is_refused",
    ),
    Mutation(
        "only the host of public_url is accepted",
        "certpin_watch/auth/access.py",
        "        return bool(known) and ",
        "        return False and ",
        "tests/watch/test_application.py::test_with_a_public_address_other_hosts_are_refused",
    ),
    Mutation(
        "hosts without pins have no link to a page",
        _PAGES + "request.py",
        "        if self.snapshot.policies_of(host):\n",
        "        if host:\n",
        _TEST + "every_link_to_a_host_leads_to_a_page",
    ),
    Mutation(
        "an unpinned key is not green",
        "certpin_watch/chain_check.py",
        '"pinned" if verdict == "accepted" else',
        '"pinned" if verdict == "accepted" or expected else',
        _TEST + "no_page_shows_an_unpinned_key_in_green",
    ),
    Mutation(
        "locations of a chain at another host do not count",
        _QUERIES + "sightings.py",
        "        table.host == host, or_(",
        "        or_(",
        _TEST + "a_chain_seen_at_another_host_does_not_count_for_this_one",
    ),
    Mutation(
        "a name without its signature is not the usual issuer",
        "certpin_watch/chain_check.py",
        "    if signed and signed[0] and path.certificates[1].facts.pin in keys:\n",
        "    if signed and path.certificates[1].facts.pin in keys:\n",
        _ISSUER + "an_issuer_name_with_an_invalid_signature_is_reported_as_forged",
    ),
    Mutation(
        "a public authority is recognised before product names",
        "certpin_watch/chain_check.py",
        "    if path.trusted:\n",
        "    if path.trusted and not _named(path, _INSPECTING):\n",
        _ISSUER + "a_public_authority_with_the_name_of_a_proxy_is_public",
    ),
    Mutation(
        "the calendar has the chains as the servers sent them",
        _PAGES + "calendar.py",
        "page.now, served=served[name])",
        "page.now)",
        _TEST + "the_calendar_lists_a_cross_sign_that_a_server_sends",
    ),
    Mutation(
        "no route converts a number",
        _PAGES + "routes.py",
        '("/alerts/{number}/acknowledge", ',
        '("/alerts/{number:int}/acknowledge", ',
        "tests/watch/test_application.py::test_a_number_of_any_length_in_a_path_is_no_defect[4301]",
    ),
    Mutation(
        "the digits of a row's number are limited",
        _PAGES + "request.py",
        " and len(word) <= _MAX_DIGITS):",
        "):",
        _TEST + "an_unknown_thing_is_answered_with_a_404_page[/alerts/9223372036854775808]",
    ),
    Mutation(
        "a refused form shows its page only to readers",
        _PAGES + "alerts.py",
        "    if page.request.state.identity.may(READ):\n",
        "    if True:\n",
        _TEST + "a_token_for_silences_gets_no_page_if_its_form_is_refused",
    ),
]
