"""Server-sent events out of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from skep.edge.client.sse import EventParser, ServerEvent


def parse(*pieces: bytes) -> list[ServerEvent]:
    """Return all events of a stream that arrives in these pieces."""
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def test_an_event_has_name_data_and_id():
    """The three members come out; comments and unknown fields do not."""
    assert parse(b": ok\n\nid: 7\nevent: end\nretry: 3\ndata: {}\n\n") == [ServerEvent(event="end", data="{}", id="7")]


def test_data_lines_are_joined():
    """Several data lines are one text."""
    assert parse(b"data: a\ndata: b\n\n")[0].data == "a\nb"


def test_an_unfinished_event_is_not_given():
    """What a broken connection cut off comes again after the resume."""
    assert parse(b"id: 1\ndata: a\n\nid: 2\ndata: b\n") == [ServerEvent(event="message", data="a", id="1")]


def test_the_id_stays_until_it_changes():
    """An event without an id does not forget where we are."""
    assert [event.id for event in parse(b"id: 1\ndata: a\n\ndata: b\n\n")] == ["1", "1"]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1)), st.data())
def test_pieces_may_break_anywhere(texts, data):
    """How the network cuts the stream does not matter."""
    stream = b"".join(f"id: {i}\ndata: {text}\n\n".encode() for i, text in enumerate(texts))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [event.data for event in parse(*pieces)] == texts
