"""Rules 8 and 10: requests are read in one way only, and nothing in them becomes a header, a log line or a command."""

import json
import socket

import pytest

pytestmark = pytest.mark.root


def raw(attacker, request):
    """Send bytes; return the answer's head and body."""
    host, _, port = attacker.skep.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def request(attacker, first, *lines, body=b""):
    """Return an authorised request."""
    head = [first, "Host: skep", f"Authorization: Bearer {attacker.token}", "Connection: close", *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Content-Length: 4", "Content-Length: 5"],
        ["Content-Length: +4"],
        ["Transfer-Encoding: chunked, identity"],
        ["X-Thing : a"],
    ],
    ids=lambda lines: lines[-1],
)
def test_smuggling(attacker, lines):
    """A request that can be read in two ways is not read at all, and no second one is found in it."""
    second = request(attacker, "GET /api/v1/version HTTP/1.1")
    head, body = raw(attacker, request(attacker, "POST /api/v1/runs HTTP/1.1", *lines, body=b"0\r\n\r\n" + second))

    assert head.split(b" ")[1] in (b"400", b"422")
    assert b'"version"' not in body


def test_log_and_header_injection(attacker, skep):
    """Line ends in ids, paths, names and titles make neither a header nor a line of the log."""
    forged = '{"level":"error","message":"forged"}'
    quoted = forged.replace('"', "%22")
    tries = [
        request(attacker, f"GET /api/v1/agents/%0d%0aX-Forged:%20yes%0a{quoted} HTTP/1.1"),
        request(attacker, "GET /api/v1/version HTTP/1.1", f"X-Request-Id: a\t{forged}"),
        request(attacker, "GET /api/v1/version HTTP/1.1", "X-Request-Id: " + "x" * 500),
    ]
    heads = [raw(attacker, each)[0].lower() for each in tries]
    assert not any(b"x-forged" in head or b"forged" in head or b"x" * 65 in head for head in heads)
    lines = [line for line in skep.log_file.read_text().splitlines() if line.startswith("{")]
    assert all(json.loads(line)["message"] != "forged" for line in lines)
    good, _ = raw(attacker, request(attacker, "GET /api/v1/version HTTP/1.1", "X-Request-Id: mine-1"))
    assert b"x-request-id: mine-1" in good.lower()


def test_browsers(attacker):
    """No origin is allowed, a form cannot send what the API takes, and nothing may be framed or sniffed."""
    head, _ = raw(
        attacker,
        request(
            attacker,
            "OPTIONS /api/v1/agents HTTP/1.1",
            "Origin: http://evil.example",
            "Access-Control-Request-Method: POST",
        ),
    )
    assert b"access-control" not in head.lower()
    body = b'{"agent_id": "x", "inputs": {}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        lines = (f"Content-Type: {kind}", f"Content-Length: {len(body)}")
        head, _ = raw(attacker, request(attacker, "POST /api/v1/runs HTTP/1.1", *lines, body=body))
        assert head.split(b" ")[1] == b"415"
    assert b"x-content-type-options: nosniff" in head.lower()
    assert b"frame-ancestors 'none'" in head.lower()


def test_an_artifact_is_no_web_page(attacker):
    """What an agent leaves is downloaded, never shown: an attachment without a type, in a sandbox."""
    run = attacker.run('open(os.environ["SKEP_ARTIFACTS"] + "/a.html", "w").write("<script>alert(1)</script>")')
    head, body = raw(attacker, request(attacker, f"GET /api/v1/runs/{run['id']}/artifacts/a.html HTTP/1.1"))
    head = head.lower()

    assert body == b"<script>alert(1)</script>"
    assert b"content-type: application/octet-stream" in head
    assert b"content-disposition: attachment" in head
    assert b"content-security-policy: sandbox" in head


def test_tokens_of_all_kinds(attacker):
    """Only a whole token in its own header lets anybody in."""
    token = attacker.token

    def status(*lines):
        head = "\r\n".join(["GET /api/v1/agents HTTP/1.1", "Host: skep", "Connection: close", *lines])
        return int(raw(attacker, head.encode() + b"\r\n\r\n")[0].split(b" ")[1])

    wrong = ["", "Authorization: Bearer ", f"Authorization: Basic {token}", f"Authorization: Bearer {token[:-1]}"]
    wrong += [f"Authorization: Bearer {token}x", "X-Skep-Token: " + "x" * 10_000, f"Cookie: token={token}"]
    assert [status(*filter(None, [line])) for line in wrong] == [401] * len(wrong)
    assert status(f"X-Skep-Token: {token}") == status(f"Authorization: Bearer {token}") == 200
    assert status(f"X-Skep-Token: {token}", f"Authorization: Bearer {token[:-1]}x") == 401
