"""The rules of the collector, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_COLLECTOR = "certpin_watch/collector/"
_TESTS = "tests/watch/collector/"
_APP = _TESTS + "test_app.py::test_"
_BODY = _TESTS + "test_body.py::test_"
_BUDGET = _TESTS + "test_budget.py::test_"
_GROUPING = _TESTS + "test_grouping.py::test_"
_DIRECT = _TESTS + "test_direct.py::test_"
_COUNTING = _TESTS + "test_counting.py::test_"
_SOURCES = _TESTS + "test_sources.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _COLLECTOR + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "a version that went out is counted however full a day is",
        "grouping.py",
        "nameless if deployed or nameless",
        "nameless if nameless",
        _COUNTING + "hostile_presences_fill_a_day_and_no_more",
    ),
    _rule(
        "a day has room for so many presences",
        "grouping.py",
        "if whole in stored or count < limit:",
        "if True:",
        _COUNTING + "hostile_presences_fill_a_day_and_no_more",
    ),
    _rule(
        "no answer before it is durable",
        "app.py",
        "await self._intake.accept(body)",
        '__import__("asyncio").ensure_future(self._intake.accept(body))',
        _APP + "the_answer_waits_until_the_report_is_durable",
    ),
    _rule(
        "one source has a rate",
        "app.py",
        "        if seconds := self._rates.take(source):\n",
        "        if seconds := 0:\n",
        _APP + "a_source_that_sends_too_much_is_told_when_to_come_again",
    ),
    _rule(
        "a length that is too large is refused unread",
        "app.py",
        "if len(head.length) > 19 or int(head.length or 0) > self._settings.most_bytes:",
        "if False:",
        _APP + "what_the_headers_tell_is_refused_before_the_body_is_read",
    ),
    _rule(
        "a body is cut",
        "body.py",
        "        if left < 0:\n",
        "        if left > self._max_bytes:\n",
        _APP + "a_body_that_goes_on_beyond_its_length_is_cut",
    ),
    _rule(
        "what is unpacked is bounded (brotli)",
        "body.py",
        "unpacker.process(data, output_buffer_limit=max_bytes + 1)",
        "unpacker.process(data)",
        _BODY + "a_bomb_is_refused_before_it_is_large[br]",
    ),
    _rule(
        "what is unpacked is bounded (gzip)",
        "body.py",
        "unpacker.decompress(data, max_bytes + 1)",
        "unpacker.decompress(data)",
        _BODY + "a_bomb_is_refused_before_it_is_large[gzip]",
    ),
    _rule(
        "a document is not deep",
        "body.py",
        " > max_depth and _is_deeper(document, max_depth):",
        " > 1000:",
        _BODY + "a_long_list_is_not_taken_for_a_deep_one",
    ),
    _rule(
        "samples hold what is named, and nothing else",
        "samples.py",
        "found = _kept(document, _REPORT)",
        "found = document",
        _APP + "the_sample_of_a_phone_does_not_name_the_phone",
    ),
    _rule(
        "samples do not say what was looked at",
        "samples.py",
        'kept["url"] = _origin(url)',
        'kept["url"] = url',
        _APP + "the_sample_of_a_browser_does_not_say_what_was_looked_at",
    ),
    _rule(
        "an address is cut",
        "app.py",
        "return network_of(parse_address(text), self._bits)",
        "return text if parse_address(text) else ''",
        _SOURCES + "an_address_is_cut_to_its_network",
    ),
    Mutation(
        "a client is no proxy because it says so",
        "certpin_watch/addresses.py",
        "if not forwarded or not is_trusted(peer):",
        "if not forwarded:",
        _SOURCES + "who_asked_is_believed_from_trusted_proxies_alone",
    ),
    _rule(
        "a repeat is not counted",
        "counting.py",
        "new = [pair for number, pair in enumerate(bodies) if number not in again]",
        "new = list(bodies)",
        _COUNTING + "a_repeat_is_not_counted_again[sqlite]",
    ),
    _rule(
        "a stream in memory keeps no promise",
        "jetstream.py",
        "        or config.storage != StorageType.FILE\n",
        "",
        _TESTS + "test_intakes.py::test_each_way_to_lose_what_was_promised_is_seen[more0]",
    ),
    _rule(
        "an hour has an end",
        "grouping.py",
        "return 0 if count < limit else",
        "return 0 if limit else",
        _COUNTING + "hostile_reports_fill_an_hour_and_no_more[sqlite]",
    ),
    _rule(
        "a host has groups that no other can take",
        "grouping.py",
        "    if own < OWN:\n        return 0\n",
        "",
        _GROUPING + "a_host_that_is_watched_cannot_fill_the_hour_or_the_day_for_another",
    ),
    _rule(
        "a day has an end",
        "grouping.py",
        "max(step_of(now.hour, hour), step_of(now.day, day))",
        "step_of(now.hour, hour)",
        _GROUPING + "a_host_that_is_watched_cannot_fill_the_hour_or_the_day_for_another",
    ),
    _rule(
        "a host has chains that no other can take",
        "grouping.py",
        "if share and recent.shares[share] < OWN and used <= budget:",
        "if False:",
        _BUDGET + "nobody_hides_a_chain_of_one_host_behind_those_that_he_invents_for_another",
    ),
    _rule(
        "one network does not fill an hour",
        "grouping.py",
        "return rare and ",
        "return ",
        _BUDGET + "one_network_hides_no_chain_that_others_tell_of_the_same_host",
    ),
    _rule(
        "what came while the clock ran ahead fills no hour",
        "counting.py",
        "new_chains_by_source(connection, since, since + 2 * HOUR)",
        "new_chains_by_source(connection, since, 2**40)",
        _BUDGET + "what_came_while_the_clock_ran_ahead_fills_no_hour",
    ),
    _rule(
        "the budget holds",
        "grouping.py",
        " and used <= budget - budget // 8",
        "",
        _BUDGET + "the_budget_holds_to_the_byte_and_its_last_part_is_for_what_is_watched[sqlite]",
    ),
    _rule(
        "samples count for the budget",
        "samples.py",
        " and used <= room - room // 8",
        "",
        _BUDGET + "samples_are_in_the_budget",
    ),
    Mutation(
        "what the watch saw itself counts for no budget",
        "certpin_watch/store/chains.py",
        "        _mark_observed(connection, {*reported, *new}, wanted)\n",
        "",
        _BUDGET + "what_the_watch_sees_itself_counts_for_no_budget[sqlite]",
    ),
    Mutation(
        "whoever took most gives first",
        "certpin_watch/store/quota.py",
        " if 2 * amount >= largest]",
        "]",
        _BUDGET + "whoever_took_most_gives_first[21601]",
    ),
    Mutation(
        "many samples of one network make room for those of others",
        "certpin_watch/store/quota.py",
        "excess = stored.total() - max_samples * 3 // 4",
        "excess = 0",
        _BUDGET + "many_samples_of_one_network_make_room_for_those_of_others[sqlite]",
    ),
    _rule(
        "each host has samples for itself",
        "samples.py",
        "counts.shares[share] < OWN:",
        "counts.shares[share] < 0:",
        _BUDGET + "a_flood_at_one_host_keeps_no_sample_of_another_out[sqlite]",
    ),
    Mutation(
        "a flood from very many networks gives first",
        "certpin_watch/store/quota.py",
        "    if shares[largest].total() > max(sources.values()):",
        "    if False:",
        _BUDGET + "a_flood_at_one_host_keeps_no_sample_of_another_out[sqlite]",
    ),
    _rule(
        "a network tells so many things a day",
        "counting.py",
        "        if number < MAX_ORIGINS:\n",
        "        if True:\n",
        _BUDGET + "it_is_noted_from_how_many_networks_a_chain_is_told",
    ),
    _rule(
        "one network is worked on so many times at once",
        "app.py",
        "if not self._concurrency.enter(source):",
        "if self._concurrency.enter(source) is None:",
        _APP + "one_network_is_worked_on_so_many_times_at_once",
    ),
    _rule(
        "a report is known by either of its names",
        "counting.py",
        "owners.setdefault(record.also, number) if record.also else number",
        "number",
        _COUNTING + "a_report_with_two_names_is_known_by_either[sqlite]",
    ),
    _rule(
        "a message of the stream has no text that no database takes",
        "decode.py",
        "if not all(map(_is_printable, batch)):",
        "if not batch:",
        "tests/watch/collector/test_grouping.py::"
        "test_what_no_collector_writes_is_no_batch_of_reports",  # each of them
    ),
    _rule(
        "a stream that drops what was promised is none",
        "jetstream.py",
        "        raise UnsafeStreamError\n",
        "        return\n",
        "tests/watch/collector/test_intakes.py::"
        "test_a_stream_that_would_drop_what_was_promised_is_none[how0]",
    ),
    _rule(
        "a body has to be there in time",
        "body.py",
        "if task in self._late and not task.uncancel():",
        "if False:",
        _APP + "a_body_that_comes_too_slowly_is_given_up",
    ),
    _rule(
        "the short way skips no bytes that are no UTF-8",
        "decode.py",
        "if not data.isascii():",
        "if not data:",
        _DIRECT + "bytes_that_are_no_utf_8_are_not_passed_over",
    ),
    _rule(
        "the short way takes no id that the codecs refuse",
        "decode.py",
        "if not (_is_id(document.id) and",
        "if not (True and",
        _DIRECT + "a_mistake_is_left_to_the_codecs_which_refuse_it",
    ),
    _rule(
        "the short way takes no pin that the codecs refuse",
        "decode.py",
        "        _cached(_pins, bytes(document.known_pins))\n",
        "",
        _DIRECT + "a_mistake_is_left_to_the_codecs_which_refuse_it",
    ),
    _rule(
        "the short way takes no pattern that the codecs refuse",
        "decode.py",
        "        _check_pattern(document.policy, document.noted_hostname, "
        "document.include_subdomains)\n",
        "",
        _DIRECT + "a_mistake_is_left_to_the_codecs_which_refuse_it",
    ),
    _rule(
        "the short way leaves texts that have to be escaped to the codecs",
        "decode.py",
        ' and "".join(texts).isprintable()):',
        "):",
        _DIRECT + "what_is_unusual_is_left_to_the_codecs_which_take_it",
    ),
]
