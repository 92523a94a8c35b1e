"""STARTTLS for XMPP: server answers other than "begin TLS now"."""

from __future__ import annotations

import pytest

from certpin.probe.starttls import PROTOCOLS, Dialogue
from certpin.probe.starttls.dialogue import TOTAL_LIMIT
from tests.probe.starttls._play import (
    PORT,
    XMPP_OPEN,
    XMPP_STARTTLS,
    XMPP_STREAM,
    Conversation,
    Server,
    failure,
    is_garbled,
    is_injection,
    is_stripping,
    is_turned_away,
    play,
)

TLS = b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'"
SASL = b"xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"


def features(inside: bytes) -> Server:
    """Return the start of a stream with these features."""
    return Server(XMPP_STREAM + b"<stream:features>" + inside + b"</stream:features>")


ASKED: Conversation = [XMPP_OPEN, features(b"<starttls " + TLS + b"/>"), XMPP_STARTTLS]


@pytest.mark.parametrize(
    "offer",
    [
        b"<starttls " + TLS + b"/>",
        b"<starttls " + TLS + b"></starttls>",
        b"<starttls\n\t" + TLS + b" ><optional/></starttls >",
        b'<t:starttls xmlns:t="urn:ietf:params:xml:ns:xmpp-tls"/>',
        b"<other a='>' b=\"it's\"/><starttls " + TLS + b"/>",
    ],
)
def test_the_offer_is_found_in_every_spelling(offer: bytes) -> None:
    assert play("xmpp", [XMPP_OPEN, features(offer)]).data_to_send() == XMPP_STARTTLS


@pytest.mark.parametrize(
    "proceed",
    [
        b"<proceed " + TLS + b"/>",
        b"<proceed " + TLS + b"></proceed>",
        b"\n <proceed " + TLS + b" />",
        b"<t:proceed xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'></t:proceed>",
    ],
)
def test_the_go_ahead_is_understood_in_every_spelling(proceed: bytes) -> None:
    assert play("xmpp", [*ASKED, Server(proceed)]).done


def test_a_stream_may_begin_without_an_xml_declaration() -> None:
    start = XMPP_STREAM.removeprefix(b"<?xml version='1.0'?>")
    assert not play("xmpp", [XMPP_OPEN, Server(start)]).done


@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b"<mechanisms " + SASL + b"><mechanism>PLAIN</mechanism></mechanisms>",
        b"<starttls " + SASL + b"/>",
        b"<starttls/>",
        b"</starttls>",
        b"<a b='starttls'/>",
        b"starttls",
    ],
)
def test_features_without_the_offer_are_refused_as_stripping(inside: bytes) -> None:
    assert is_stripping(failure("xmpp", [XMPP_OPEN, features(inside)]))


def test_empty_features_are_refused_as_stripping() -> None:
    assert is_stripping(failure("xmpp", [XMPP_OPEN, Server(XMPP_STREAM + b"<stream:features/>")]))


def test_a_server_before_version_1_0_is_refused() -> None:
    old = XMPP_STREAM.replace(b" version='1.0' xml", b" xml")
    assert is_stripping(failure("xmpp", [XMPP_OPEN, Server(old)]))


def test_a_failure_is_refused_as_stripping() -> None:
    answer = b"<failure " + TLS + b"/></stream:stream>"
    assert is_stripping(failure("xmpp", [*ASKED, Server(answer)]))


def test_a_stream_error_names_its_condition() -> None:
    text = b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    error = failure("xmpp", [XMPP_OPEN, Server(XMPP_STREAM + text)])
    assert is_turned_away(error)
    assert "host-unknown" in error.problem


@pytest.mark.parametrize(
    "evil",
    [
        b"<!DOCTYPE lolz [<!ENTITY lol 'lol'>]>",
        b"<?xml version='1.0'?><!DOCTYPE x SYSTEM 'file:///etc/passwd'>",
        b"<!-- it's -->",
        b"<![CDATA[",
    ],
)
def test_document_types_comments_and_cdata_are_refused_at_once(evil: bytes) -> None:
    error = failure("xmpp", [XMPP_OPEN, Server(evil)])
    assert is_garbled(error)
    assert "document type" in error.problem


def test_document_types_inside_the_features_are_refused() -> None:
    evil = XMPP_STREAM + b"<stream:features><!DOCTYPE"
    assert is_garbled(failure("xmpp", [XMPP_OPEN, Server(evil)]))


@pytest.mark.parametrize(
    "start",
    [
        b"<html>",
        b"</stream:stream>",
        b"<stream:stream version='1.0'/>",
        b"hello <stream:stream version='1.0'>",
        b"<?xml version='1.0'?><?xml version='1.0'?>",
        b"<?php?>",
        b"<stream:stream version='1.0' x=1>",
        b"<stream:stream version='1.0' x='<'>",
        b"<stream:stream version='1.0'x='1'>",
        b"<a:b:stream version='1.0'>",
        b"<>",
        b"< stream version='1.0'>",
        b"<str\xc3\xa9am version='1.0'>",
        b"\xff\xfe<\0s\0>",
    ],
)
def test_other_bytes_than_a_stream_are_refused(start: bytes) -> None:
    assert is_garbled(failure("xmpp", [XMPP_OPEN, Server(start)]))


@pytest.mark.parametrize("child", [b"<message>", b"text<stream:features>", b"</stream:features>"])
def test_anything_before_the_features_is_refused(child: bytes) -> None:
    assert is_garbled(failure("xmpp", [XMPP_OPEN, Server(XMPP_STREAM + child)]))


@pytest.mark.parametrize(
    "answer",
    [
        b"<proceed/>",
        b"<proceed " + SASL + b"/>",
        b"<proceed " + TLS + b">now</proceed>",
        b"<proceed " + TLS + b"><now/>",
        b"<proceed " + TLS + b"></proceed/>",
        b"</proceed " + TLS + b">",
        b"</proceed>",
        b"go <proceed " + TLS + b"/>",
    ],
)
def test_other_bytes_than_the_go_ahead_are_refused(answer: bytes) -> None:
    assert is_garbled(failure("xmpp", [*ASKED, Server(answer)]))


def test_a_stream_between_go_ahead_and_tls_is_an_injection() -> None:
    answer = b"<proceed " + TLS + b"/>" + XMPP_STREAM
    assert is_injection(failure("xmpp", [*ASKED, Server(answer)]))


@pytest.mark.parametrize("filler", [b"x", b"<a", b"<a b='>", b"<a " + b" " * 9000, b"<a b='c' "])
def test_a_tag_without_end_is_bounded(filler: bytes) -> None:
    repeated = filler + filler[-1:] * TOTAL_LIMIT
    error = failure("xmpp", [XMPP_OPEN, Server(repeated)])
    assert f"more than {TOTAL_LIMIT} bytes" in error.problem


def test_a_host_name_cannot_insert_tags() -> None:
    dialogue = Dialogue(PROTOCOLS["xmpp"], "a'/><b x=\"&ü", PORT)
    assert b" to='a&#x27;/&gt;&lt;b x=&quot;&amp;&#252;' " in dialogue.data_to_send()
