"""Rules of the part before TLS, each taken out: see ``tests/test_mutations.py``."""

from __future__ import annotations

from tests._mutation import Mutation

_LINES, _POSTGRES = "certpin/lab/server/lines.py", "certpin/lab/server/postgres.py"
_SMTP, _IMAP = "certpin/lab/server/smtp.py", "certpin/lab/server/imap.py"
_SESSION, _JUDGE = "certpin/lab/server/session.py", "certpin/lab/verdict.py"
_PLAY, _PIECES = "certpin/lab/case_run.py", "certpin/lab/server/lines.py"
_T, _S = "tests/lab/attacks/test_starttls.py::", "tests/lab/server/"
_A = f"{_S}test_starting.py::"
_BROKEN = f"{_T}test_a_broken_client_is_caught_by_its_case_alone"

MUTATIONS = [
    Mutation(
        "no command is polite",
        _LINES,
        "self.goodbyes if secure else self.goodbyes | self.courtesies",
        "self.goodbyes",
        f"{_A}test_the_wish_for_tls_is_no_data[smtp]",
    ),
    Mutation(
        "under TLS EHLO is polite too",
        _LINES,
        "self.goodbyes if secure else self.goodbyes | self.courtesies",
        "self.goodbyes | self.courtesies",
        f"{_A}test_under_tls_a_first_word_shows_that_the_client_went_on[smtp]",
    ),
    Mutation(
        "half a line is nothing",
        _LINES,
        "        return bool(word) and not any(courtesy.startswith(word) for courtesy in polite)",
        "        return False",
        f"{_A}test_half_a_word_is_data_where_it_begins_no_courtesy[imap-a1 LOGI-True]",
    ),
    Mutation(
        "an injection answers",
        _LINES,
        "if secure and (self.silent or self.injects):",
        "if secure and self.silent:",
        f"{_A}test_a_client_that_was_never_answered_and_goes_on_took_the_injected_answer[smtp]",
    ),
    Mutation(
        "the first command counts",
        _LINES,
        "if secure and self.injects and first:",
        "if False:",
        f"{_A}test_a_client_that_was_never_answered_and_goes_on_took_the_injected_answer[imap]",
    ),
    Mutation(
        "a startup message counts",
        _POSTGRES,
        "        if secure and self.injects:\n            return False\n",
        "",
        f"{_A}test_a_client_that_was_never_answered_and_goes_on_took_the_injected_answer[postgres]",
    ),
    Mutation(
        "an endless line",
        _LINES,
        "if len(self.pending) >= LONGEST_LINE:",
        "if False:",
        f"{_S}test_smtp.py::test_a_line_that_is_too_long_ends_it",
    ),
    Mutation(
        "endless lines",
        _PIECES,
        "if self.heard > self.max_pieces:",
        "if False:",
        f"{_S}test_smtp.py::test_too_many_lines_end_it",
    ),
    Mutation(
        "endless messages",
        _PIECES,
        "if self.heard > self.max_pieces:",
        "if False:",
        f"{_S}test_postgres.py::test_too_many_messages_end_it",
    ),
    Mutation(
        "a size that lies",
        _POSTGRES,
        "if not least <= size <= longest:",
        "if size > 2**33:",
        f"{_S}test_postgres.py::test_a_message_whose_size_lies_ends_it[4294967295]",
    ),
    Mutation(
        "a strip that offers",
        _SMTP,
        "offers = not secure and not self.strips",
        "offers = not secure",
        f"{_A}test_a_strip_offers_no_tls_and_plays_along[smtp]",
    ),
    Mutation(
        "a literal is a command",
        _IMAP,
        "        if self._octets > 0:\n",
        "        if False:\n",
        f"{_S}test_imap.py::test_a_literal_is_data_whatever_it_says",
    ),
    Mutation(
        "deaf once closed",
        _SESSION,
        "            self._hear_out(data)\n",
        "",
        f"{_S}test_session.py::test_clear_text_after_tls_failed_is_given_away",
    ),
    Mutation(
        "nobody met a strip",
        _JUDGE,
        "if connection.hello or connection.clear or connection.tampered",
        "if connection.hello or connection.clear",
        f"{_BROKEN}[smtp-keeping_smtp-starttls-injection]",
    ),
    Mutation(
        "no step before TLS",
        _PLAY,
        "        if step.opening in BEFORE_TLS:\n",
        "        if False:\n",
        f"{_T}test_a_client_that_is_right_raises_no_alarm[smtp-none]",
    ),
]
