"""The API's hints in the command's own words: whoever typed a verb is told what to type, not what to send."""

import re

#: What a hint may name, and what stands for it on the command line; the first that fits counts at each place.
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(sent), typed)
    for sent, typed in (
        (r"POST /api/v1/agents/([^\s,;]+)/build", r"skep build \1"),
        (r"GET /api/v1/agents/[^\s,;]+", "skep agents --json"),
        (r"PUT /api/v1/secrets/([A-Za-z0-9_]+)", r"skep secret set \1"),
        (r"GET /api/v1/secrets", "skep secret list shows those there are"),
        (r"POST /api/v1/uploads", "skep deploy ./folder"),
        (r"Send a good one: Authorization: Bearer skep_\.\.\.", "Set SKEP_TOKEN to a good one."),
        (r"Set `path`", "Give --path"),
        (r"Check `path`", "Check --path"),
        (r"give a `command`", "give --command"),
        # By themselves these words are keys of skep.yaml as well, and what a hint says about a file stays.
        (r"\bAsk for more with timeout_s\b", "Ask for more with --timeout"),
        (r"\bAsk for more with resources\.memory_mb\b", "Ask for more with skep deploy ... --memory"),
        (r"\bbe repeated with max_attempts\b", "be repeated with skep deploy ... --attempts"),
    )
)


def in_verbs(hint: str, *, run: str = "RUN") -> str:
    """Return *hint* with verbs and options of the command; *run* is the id of the run that it is about."""
    for sent, typed in _WORDS:
        hint = sent.sub(typed, hint)
    return re.sub(r"\bskep logs RUN\b", f"skep logs {run}", hint)
