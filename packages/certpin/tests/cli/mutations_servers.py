"""Mutations of the rules about the servers that a pin file lists, one for each rule.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CHECKUP = "certpin/probe/checkup.py"
_CONTENT = "certpin/publish/content.py"
_EDITOR = "certpin/pinfile/editor.py"
_POLICY = "certpin/pins/policy.py"
_SERVERS = "certpin/pins/hosts.py"
_CLI_SERVERS = "certpin/cli/servers.py"

_COMMANDS = "tests/cli/test_servers.py::"
_FILE = "tests/pinfile/test_servers.py::"
_MODEL = "tests/pins/test_servers.py::"
_SIGNED = "tests/publish/test_sign.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "servers are not signed",
        _CONTENT,
        "without_servers(text, path).encode()",
        "text.encode()",
        _SIGNED + "test_servers_are_not_signed_and_other_servers_need_no_new_version",
    ),
    Mutation(
        "a server that cannot be left out is not published",
        _EDITOR,
        "if not proven:",
        "if False:",
        _FILE + "test_a_server_that_cannot_be_removed_is_not_published",
    ),
    Mutation(
        "the comments of a server are not published",
        _EDITOR,
        "while first and _COMMENT.match(kept[first - 1]):",
        "while False:",
        _FILE + "test_the_published_text_lacks_only_the_servers",
    ),
    Mutation(
        "servers are no part of the policy",
        _POLICY,
        "servers: tuple[HostServer, ...] = field(default=(), compare=False)",
        "servers: tuple[HostServer, ...] = ()",
        _MODEL + "test_a_swap_and_an_update_accept_other_servers_under_the_same_version",
    ),
    Mutation(
        "a server of a wildcard names a host that it covers",
        _SERVERS,
        "if server.name_for(pattern) is None:",
        "if False:",
        _MODEL + "test_servers_that_cannot_be_contacted_are_refused",
    ),
    Mutation(
        "publish checks every host of the file",
        _CLI_SERVERS,
        "self._refuse_left_out(pins, policies)",
        "pass",
        _COMMANDS + "test_publishing_is_refused_if_host_leaves_out_a_host",
    ),
    Mutation(
        "a step checks every server of a host",
        _CLI_SERVERS,
        "self._refuse_left_out_servers(targets, policies)",
        "pass",
        _COMMANDS + "test_each_server_of_a_host_is_checked_and_named_with_its_region",
    ),
    Mutation(
        "only a pinned leaf belongs to a server that forgot its intermediates",
        _CHECKUP,
        "if leaf_only and not set(policy.live_pins).isdisjoint(pins_of(served[0])):",
        "if leaf_only:",
        "tests/probe/test_checkup.py::"
        "test_only_a_pinned_leaf_proves_that_the_server_left_out_its_intermediates",
    ),
]
