"""Untrusted text on a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.edge.cli.clean import clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hfake prompt", "fake prompt"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;Zm9v\x07", ""),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x9b31mC1 colour", "C1 colour"),
        ("\x9d0;title\x9cafter", "after"),
        ("\x1b", "\\x1b"),
        ("\x1b]never ends", "\\x1b]never ends"),
        ("\x07\x08", "\\x07\\x08"),
        ("hidden\rshown", "hidden\nshown"),
        ("a\r\nb", "a\nb"),
        ("\u202eesrever", "\\u202eesrever"),
        ("\ud800", "\\ud800"),
        ("grüße 蜂 🐝", "grüße 蜂 🐝"),
        (b"\xff\x1b[1mbytes", "\ufffdbytes"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(text, shown):
    """Sequences vanish, single controls are spelled, text stays."""
    assert clean(text) == shown


@given(st.text() | st.binary())
def test_nothing_that_a_terminal_obeys_is_left(text):
    """Whatever comes in, no control character but line feed and tab comes out."""
    cleaned = clean(text)
    assert {c for c in cleaned if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}
    cleaned.encode()


@given(st.text(st.sampled_from("\x1b\x9b\x9d\x07\\[]0;mPax\r\n")))
def test_taking_out_makes_nothing_new(text):
    """What is left after a sequence was taken out is no sequence again."""
    cleaned = clean(text)
    assert clean(cleaned) == cleaned


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"])))
def test_text_stays_as_it_is(text):
    """Ordinary words of any language are not touched."""
    assert clean(text) == text
