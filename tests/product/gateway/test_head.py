"""Request heads are read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel.errors import InvalidError
from skep.product.gateway.head import (
    BadHeadError,
    absolute_target,
    connect_target,
    forwarded_request,
    forwarded_response,
    parse_request,
    parse_response,
    request_framing,
    response_framing,
)


def test_a_proxied_request_becomes_an_ordinary_one() -> None:
    """Origin form, one Host that is the target's, and nothing that was meant for this hop."""
    head = parse_request(
        b"POST http://Git.Example:8000/a?b HTTP/1.1\r\nHost: evil\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n"
        b"Proxy-Authorization: Basic x\r\nTE: trailers\r\nUpgrade: h2c\r\nContent-Length: 3\r\nAccept:  */* \r\n\r\n"
    )
    host, port, path = absolute_target(head)
    assert (host, port, path) == ("git.example", 8000, b"/a?b")
    assert request_framing(head).length == 3
    assert forwarded_request(head, host, port, path) == (
        b"POST /a?b HTTP/1.1\r\nHost: git.example:8000\r\ncontent-length: 3\r\naccept: */*\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"GET http://a/ HTTP/2\r\n\r\n",
        b"GET  http://a/ HTTP/1.1\r\n\r\n",
        b"GET http://a/\r\n\r\n",
        b"G(T http://a/ HTTP/1.1\r\n\r\n",
        b"GET http://a/\x00 HTTP/1.1\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n folded\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nA: b\x00\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET http://a/ HTTP/1.1\nA: b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        b"\r\n\r\n",
        b"GET http://\xc3\xa4/ HTTP/1.1\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n: b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nA\r\n\r\n",
    ],
)
def test_malformed_heads_are_refused(data: bytes) -> None:
    """Bare line feeds, folding, doubled hosts, odd characters: none is repaired."""
    with pytest.raises(BadHeadError):
        parse_request(data)


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Content-Length: +1",
        b"Content-Length: 1, 1",
        b"Content-Length: 0x1",
        b"Content-Length:",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: x",
        b"Content-Length: 99999999999999999999",
    ],
)
def test_a_body_has_one_length(headers: bytes) -> None:
    """Whatever two parsers could read differently is refused."""
    with pytest.raises(BadHeadError):
        request_framing(parse_request(b"POST http://a/ HTTP/1.1\r\n" + headers + b"\r\n\r\n"))


@pytest.mark.parametrize(
    "target",
    [
        b"/path",
        b"*",
        b"https://a/",
        b"ftp://a/",
        b"a:80",
        b"http://u:p@a/",
        b"http:///x",
        b"http://a:b/",
        b"http://a/#x",
    ],
)
def test_only_plain_http_urls_are_forwarded(target: bytes) -> None:
    """User-info, other schemes and origin form are not for a proxy."""
    with pytest.raises((BadHeadError, InvalidError)):
        absolute_target(parse_request(b"GET " + target + b" HTTP/1.1\r\n\r\n"))


def test_a_query_without_a_path_gets_one() -> None:
    """The path is never empty, and an authority ends at the first of / ? #."""
    assert absolute_target(parse_request(b"GET http://a?x=http://b/ HTTP/1.1\r\n\r\n")) == ("a", 80, b"/?x=http://b/")


def test_connect_names_host_and_port() -> None:
    """CONNECT without a port is refused."""
    assert connect_target(parse_request(b"CONNECT PyPI.org:443 HTTP/1.1\r\n\r\n")) == ("pypi.org", 443)
    with pytest.raises(InvalidError):
        connect_target(parse_request(b"CONNECT pypi.org HTTP/1.1\r\n\r\n"))


def test_answers_lose_what_was_meant_for_this_hop() -> None:
    """Keep-alive of the server is not promised to the client."""
    head = parse_response(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nContent-Length: 2\r\n\r\n")
    assert forwarded_response(head) == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\n"
    assert response_framing(head, b"GET").length == 2
    assert response_framing(head, b"HEAD").length == 0
    assert response_framing(parse_response(b"HTTP/1.1 200 OK\r\n\r\n"), b"GET").length is None
    assert forwarded_response(parse_response(b"HTTP/1.1 100 Continue\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No input makes the parser fail in another way."""
    for parse in (parse_request, parse_response):
        try:
            parse(data + b"\r\n\r\n")
        except BadHeadError:
            continue
