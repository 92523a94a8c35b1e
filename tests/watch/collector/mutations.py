"""The rules of the collector, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_COLLECTOR = "certpin/watch/collector/"
_TESTS = "tests/watch/collector/"
_APP = _TESTS + "test_app.py::test_"
_BODY = _TESTS + "test_body.py::test_"
_COUNTING = _TESTS + "test_counting.py::test_"
_SOURCES = _TESTS + "test_sources.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _COLLECTOR + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "a version that went out is counted however full a day is",
        "presences.py",
        "nameless if went_out or nameless",
        "nameless if nameless",
        _COUNTING + "hostile_presences_fill_a_day_and_no_more",
    ),
    _rule(
        "a day has room for so many presences",
        "presences.py",
        "if whole in there or count < most:",
        "if True:",
        _COUNTING + "hostile_presences_fill_a_day_and_no_more",
    ),
    _rule(
        "no answer before it is durable",
        "app.py",
        "await self._intake.accept(received)",
        '__import__("asyncio").ensure_future(self._intake.accept(received))',
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
        "        if left > most:\n",
        _APP + "a_body_that_goes_on_beyond_its_length_is_cut",
    ),
    _rule(
        "what is unpacked is bounded (brotli)",
        "body.py",
        "unpacker.process(data, output_buffer_limit=most + 1)",
        "unpacker.process(data)",
        _BODY + "a_bomb_is_refused_before_it_is_large[br]",
    ),
    _rule(
        "what is unpacked is bounded (gzip)",
        "body.py",
        "unpacker.decompress(data, most + 1)",
        "unpacker.decompress(data)",
        _BODY + "a_bomb_is_refused_before_it_is_large[gzip]",
    ),
    _rule(
        "a document is not deep",
        "body.py",
        " > most_depth and _deeper(document, most_depth):",
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
        "sources.py",
        "return cut(address_of(text), self._bits)",
        "return text if address_of(text) else ''",
        _SOURCES + "an_address_is_cut_to_its_network",
    ),
    Mutation(
        "a client is no proxy because it says so",
        "certpin/watch/addresses.py",
        "if not forwarded or not is_trusted(peer):",
        "if not forwarded:",
        _SOURCES + "who_asked_is_believed_from_trusted_proxies_alone",
    ),
    _rule(
        "a repeat is not counted",
        "counting.py",
        "new = [bodies[bytes(key)] for key in found.scalars()]",
        "new = list(bodies.values()) if found else []",
        _COUNTING + "a_repeat_is_not_counted_again[sqlite]",
    ),
    _rule(
        "an hour has an end",
        "grouping.py",
        "    if key in there or count < most:\n",
        "    if key in there or most:\n",
        _COUNTING + "hostile_reports_fill_an_hour_and_no_more[sqlite]",
    ),
]
