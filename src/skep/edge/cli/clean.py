"""Makes untrusted text harmless for a terminal: nothing in it moves the cursor, renames the window or hides."""

import re

#: Sequences of ECMA-48 that are left out as a whole, in their 7-bit and 8-bit forms.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-Z\\^-~]"  # all other escape sequences
)
_LINE_ENDS = re.compile(r"\r+\n?")
#: Control characters, the marks that reorder text, and lone surrogates, which no terminal can be sent.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str | bytes) -> str:
    r"""Return *text* without escape sequences, and with every other control character written out (`\x07`).

    Line feeds and tabs stay; a carriage return becomes a line feed, so that no line hides another.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = _LINE_ENDS.sub("\n", _SEQUENCES.sub("", text))
    return _CONTROLS.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    number = ord(found.group())
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
