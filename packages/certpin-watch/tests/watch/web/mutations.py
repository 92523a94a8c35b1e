"""The rules of the pages, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_PAGES = "certpin_watch/web/"
_RENDER = "certpin_watch/html/render.py"
_QUERIES = "certpin_watch/store/queries/"
_TEST = "tests/watch/web/test_pages.py::test_"
_ISSUER = "tests/watch/store/queries/test_issuer.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "only the machine of a worker can read its counters",
        "certpin_watch/health.py",
        "    if is_local_only(address[0]):\n",
        "    if address:\n",
        "tests/watch/test_health.py::test_only_this_machine_can_read_the_counters",
    ),
    Mutation(
        "what enters a page is escaped",
        _RENDER,
        "        autoescape=True,\n",
        "        autoescape=False,\n",
        _TEST + "what_is_hostile_stands_on_every_page_as_text",
    ),
    Mutation(
        "what turns or hides text is written out",
        _RENDER,
        "    return clean(value)\n",
        "    return value\n",
        _TEST + "what_is_hostile_stands_on_every_page_as_text",
    ),
    Mutation(
        "a report that is long is cut",
        _PAGES + "failures.py",
        "text[:_MOST]",
        "text",
        _TEST + "what_clients_sent_is_laid_out_and_is_a_stranger_s_text",
    ),
    Mutation(
        "a page is shown to whoever may read",
        _PAGES + "request.py",
        "require(requirement)(answered)",
        "answered",
        _TEST + "without_a_visitor_no_page_is_shown",
    ),
    Mutation(
        "a form is for whoever may silence",
        _PAGES + "app.py",
        "endpoint(watch, done, SILENCE)",
        "endpoint(watch, done, READ)",
        _TEST + "who_may_only_read_has_no_form_and_no_way_around_it",
    ),
    Mutation(
        "who silenced what is written down",
        _PAGES + "alerts.py",
        '                "silence.made",\n',
        '                "silence",\n',
        _TEST + "a_silence_is_made_and_ended_and_both_are_written_down",
    ),
    Mutation(
        "nothing but the files of the list is served",
        _RENDER,
        "    if name not in _KINDS:\n",
        "    if not name:\n",
        _TEST + "static_files_are_kept_for_ever_under_a_name_of_their_content",
    ),
    Mutation(
        "a secret shows itself to nobody",
        _PAGES + "about.py",
        '        return "set, and not shown"\n',
        "        return value.reveal()\n",
        _TEST + "secrets_of_the_settings_are_on_no_page",
    ),
    Mutation(
        "a store that is away is said",
        _PAGES + "request.py",
        "    except StoreError as exc:\n",
        "    except KeyError as exc:\n",
        _TEST + "a_store_that_is_away_is_said_and_nothing_old_is_shown",
    ),
    Mutation(
        "a request names one host",
        "certpin_watch/web/app.py",
        "        if _names_two_hosts(scope):\n",
        "        if False:\n",
        "tests/watch/web/test_app.py::test_a_request_that_names_two_hosts_is_refused",
    ),
    Mutation(
        "other hosts than that of public_url",
        "certpin_watch/auth/middleware.py",
        "        return bool(known) and ",
        "        return False and ",
        "tests/watch/web/test_app.py::test_with_a_public_address_other_hosts_are_refused",
    ),
    Mutation(
        "a key that is not pinned is not green",
        _QUERIES + "chains.py",
        '"pinned" if verdict == "accepted" else',
        '"pinned" if verdict == "accepted" or expected else',
        _TEST + "a_key_that_is_not_pinned_is_green_on_no_page",
    ),
    Mutation(
        "a chain that was seen at another host",
        _PAGES + "failures.py",
        "        table.host == host, or_(",
        "        or_(",
        _TEST + "a_chain_that_was_seen_at_another_host_says_nothing_of_this_one",
    ),
    Mutation(
        "a name without its signature is not the usual issuer",
        _QUERIES + "chains.py",
        "    if signed and signed[0] and path.certificates[1].facts.pin in keys:\n",
        "    if signed and path.certificates[1].facts.pin in keys:\n",
        _ISSUER + "a_name_over_a_signature_that_does_not_hold_is_called_forged",
    ),
    Mutation(
        "a public authority goes before what a name claims",
        _QUERIES + "chains.py",
        "    if path.trusted:\n",
        "    if path.trusted and not _named(path, _INSPECTING):\n",
        _ISSUER + "a_public_authority_is_not_believed_to_be_a_proxy_by_its_name",
    ),
]
