"""Source changes that remove a rule about clients that never connect, or about real pins.

A test must fail for each. ``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_REACH, _RUN = "certpin/lab/report/reach.py", "certpin/lab/runner.py"
_UPSTREAM, _WORDS = "certpin/lab/upstream.py", "certpin/lab/report/words.py"
_T = "tests/lab/report/test_reach.py::"
_PROVE = "tests/cli/test_prove.py::"
_REAL = f"{_PROVE}test_pins_that_refuse_the_real_server_are_named"

MUTATIONS = [
    Mutation(
        "a way that the client was given and did not use is no untried one",
        _WORDS,
        "for way in other if way not in given]",
        "for way in other]",
        "tests/lab/report/test_words.py::"
        "test_a_way_that_the_client_was_given_and_did_not_use_is_no_untried_one",
    ),
    Mutation(
        "a client that used the proxy for another host does not ignore it",
        "certpin/lab/verdict.py",
        "bool(self.connections or self.requests or self.others)",
        "bool(self.connections)",
        f"{_T}test_a_client_that_used_the_proxy_does_not_ignore_it[seen0]",
    ),
    Mutation(
        "each way is judged by its own runs of the client",
        _RUN,
        "if way and way not in reached)",
        "if way and not reached)",
        f"{_T}test_one_of_two_ways_did_not_lead_to_the_lab",
    ),
    Mutation(
        "a program that did not start did not ignore the proxy",
        _RUN,
        "if way and way not in reached)",
        "if way not in reached)",
        f"{_T}test_a_client_that_did_not_start_gets_no_advice",
    ),
    Mutation(
        "the real pins are those of the host's name",
        _REACH,
        "    if run.about.real_server:",
        "    if False:",
        f"{_T}test_the_host_of_real_pins_stays",
    ),
    Mutation(
        "the other command replaces the options that don't lead to the lab",
        _REACH,
        ' if option[0].removeprefix("--") not in changed]',
        "]",
        f"{_T}test_the_command_keeps_the_options_and_words_of_the_user",
    ),
    Mutation(
        "the other command is quoted for a shell",
        _REACH,
        "shlex.join([",
        '" ".join([',
        f"{_T}test_the_command_keeps_the_options_and_words_of_the_user",
    ),
    Mutation(
        "only a whole host name in a URL gets the port",
        _REACH,
        "(?=[/?#]|$)",
        "",
        f"{_T}test_the_url_of_the_command_gets_the_port_of_the_lab[curl https://api.bank.example.org/"
        "-curl https://api.bank.example.org/ {url}]",
    ),
    Mutation(
        "a command remembers the way that it gave to the client",
        "certpin/lab/client.py",
        "        return replace(ended(status, output, late), via=self.via)\n",
        "        return ended(status, output, late)\n",
        f"{_PROVE}test_a_client_that_looks_the_host_up_gets_a_command_that_works",
    ),
    Mutation(
        "pins that refuse the real server are named",
        _UPSTREAM,
        'if verdict.decision == "refuse" else found',
        "if False else found",
        _REAL,
    ),
    Mutation(
        "the chain of the real server is verified with the anchors of the pin file",
        _UPSTREAM,
        "ContextCache().get(trust) if trust else probe_context(roots)",
        "probe_context(roots)",
        _REAL,
    ),
    Mutation(
        "the fix of the control is about the pins, not the lab's root",
        _RUN,
        "lab.upstream.unpinned_fix if lab.upstream and case is CONTROL",
        "lab.upstream.unpinned_fix if False",
        _REAL,
    ),
    Mutation(
        "a client that accepts a server without its pins is named",
        _WORDS,
        "{accepted if run.controlled else ''}",
        "",
        _REAL,
    ),
]
