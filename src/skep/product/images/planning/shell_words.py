"""Words of a shell in a command that no shell reads. Pure."""

import re
import shlex

_PLAIN = r"[\w./=:-]{0,200}"
_OPERATOR = re.compile(rf"&&|\|\||[|;&]|[0-9]?(?:>>?|<)(?:&[0-9]|(?!=){_PLAIN})|{_PLAIN};")
_VARIABLE = re.compile(rf"{_PLAIN}\$(?:[A-Za-z_]\w*|\{{[A-Za-z_]\w*\}}){_PLAIN}")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_SHELLS = ("sh", "bash", "dash", "zsh", "ash")
_SHOWN = 100


def notice(command: tuple[str, ...]) -> str:
    """Return words on a *command* whose arguments look as if a shell were to read them; "" if none does."""
    if not command or command[0].rpartition("/")[2] in _SHELLS:
        return ""
    word = next((word for at, word in enumerate(command) if _is_shells(word, first=at == 0)), None)
    if word is None:
        return ""
    shell = f"sh -c {shlex.quote(' '.join(command)[:_SHOWN])}"
    return f"no shell reads the command, so {word[:_SHOWN]!r} is taken as it stands; if one is to: {shell}"


def _is_shells(word: str, *, first: bool) -> bool:
    if first and _ASSIGNMENT.fullmatch(word):
        return True
    return bool(_OPERATOR.fullmatch(word) or _VARIABLE.fullmatch(word))
