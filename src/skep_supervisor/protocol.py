"""The one definition of what is said between Skep and the supervisor inside a sandbox.

A connection is a Unix stream. Both sides send frames:

    u32 header length (big endian) | u32 payload length | header (JSON, UTF-8) | payload (bytes)

The caller sends one request frame and reads answer frames until one with `"end": true` (each last or only
answer has it); then the connection may be used again. A frame that breaks the protocol closes the connection.
Everything that the supervisor says is untrusted: lengths are bounded.

Requests (`op`):

    hello                                  -> {"version": 1, "sandbox": str, "commands": {id: STATE}}; the newest
                                              commands, at most MAX_COMMANDS
    exec   id argv env cwd user timeout_s grace_s
                                           -> {"state": STATE}; starting an id again changes nothing; user: "agent"
                                              or "root"; timeout_s may be null
    output id offset                       -> frames {"offset": n, "next": m} with payload = spool bytes from
                                              `offset` on, as they come, cut anywhere; last {"state": STATE}
    wait   id                              -> {"state": STATE} when the command is over
    signal id number                       -> {} ; to all processes of the command; TERM is followed by KILL
    hold   id held                         -> {} ; held: the time limit stands still; not held: it goes on with what
                                              was left; again, or after the end, it changes nothing
    killall                                -> {} ; every process of the agent's users, none of the supervisor's
    put    path mode (payloads follow: frames {"more": true} ... {"more": false})  -> {"size": n}
    get    path limit                      -> frames with payload; last {"size": n}
    list   path limit                      -> frames {"entries": [[path, size, mode, kind], ...]}, at most `limit`
                                              in all, depth first by name; kind: f, d, l, o (also what lies
                                              deeper than a path may be long, with size and mode 0); last {}
    Errors: {"end": true, "error": CODE, "message": str}; CODE in ERROR_CODES

STATE: {"running": bool, "started_at_ms": int, "duration_s": float, "reason": str, "code": int|null,
        "signal": int|null, "truncated": bool, "message": str}; `reason` as in `Reason`, "" while it runs.

The spool of a command holds records, appended as output comes:

    u8 stream (1 stdout, 2 stderr, 3 note) | u64 time (ms since 1970, big endian) | u32 length | bytes

at most MAX_RECORD bytes each.

When the limit is passed, the first half is kept as it came; the last half is appended when the command
ends, behind a note that says how many bytes were left out. Spool file: `<spool>/<id>.out`; the final STATE:
`<spool>/<id>.exit` (JSON, padded with spaces; written under a temporary name, then renamed).
"""

# No `Final` here: `typing` takes longer to import than the supervisor to start.
VERSION = 1
MAX_HEADER = 1 << 20
MAX_PAYLOAD = 1 << 18
FRAME = "!II"
RECORD = "!BQI"
MAX_RECORD = 1 << 16
MAX_COMMANDS = 200
STDOUT = 1
STDERR = 2
NOTE = 3

ERROR_CODES = (
    "bad_request",
    "not_found",
    "too_large",
    "not_started",
    "no_space",
    "denied",
    "internal",
)
#: Reasons as in `skep.product.sandboxes.model.ExitReason`, as far as the supervisor can know them.
REASONS = ("exited", "signaled", "timed_out", "not_started")
