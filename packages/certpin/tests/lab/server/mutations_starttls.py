"""Source changes that remove a rule about STARTTLS and the clear text before it.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_LINES, _POSTGRES = "certpin/lab/server/lines.py", "certpin/lab/server/postgres.py"
_SMTP, _IMAP = "certpin/lab/server/smtp.py", "certpin/lab/server/imap.py"
_SESSION, _JUDGE = "certpin/lab/server/session.py", "certpin/lab/verdict.py"
_PIECES = "certpin/lab/server/lines.py"
_T, _S = "tests/lab/attacks/test_starttls.py::", "tests/lab/server/"
_A = f"{_S}test_starting.py::"
_BROKEN = f"{_T}test_broken_client_is_caught_only_by_its_case"

MUTATIONS = [
    Mutation(
        "no command is polite",
        _LINES,
        "self.goodbyes if secure else self.goodbyes | self.courtesies",
        "self.goodbyes",
        f"{_A}test_request_for_tls_is_not_data[smtp]",
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
        f"{_A}test_partial_command_is_data_unless_it_may_become_a_courtesy[imap-a1 LOGI-True]",
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
        "if self.message_count > self.max_messages:",
        "if False:",
        f"{_S}test_smtp.py::test_too_many_lines_end_it",
    ),
    Mutation(
        "endless messages",
        _PIECES,
        "if self.message_count > self.max_messages:",
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
        f"{_S}test_session.py::test_clear_text_after_failed_tls_is_a_leak",
    ),
    Mutation(
        "tampering before TLS is recorded",
        _JUDGE,
        "if connection.hello or connection.clear or connection.tampered",
        "if connection.hello or connection.clear",
        f"{_BROKEN}[smtp-keeping_smtp-starttls-injection]",
    ),
    Mutation(
        "no step before TLS",
        _SESSION,
        "        if step.opening in BEFORE_TLS:\n",
        "        if False:\n",
        f"{_T}test_correct_client_raises_no_alarm[smtp-none]",
    ),
]
