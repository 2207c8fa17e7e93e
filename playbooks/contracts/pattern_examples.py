"""Generates a text that a regular expression of a contract matches: RE2 syntax without assertions inside.

The reader knows the common syntax. The caller validates the text, so an unknown construct only means that no text
could be generated.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

MAX_TEXT = 10_000
_MAX_REPEAT = 1_000_000
_PREFERRED = string.ascii_lowercase + string.digits + string.ascii_uppercase + "_-. ,:;/@#+*!?()[]{}&%$'\"~|<>=^`\\"
_CLASSES = {"d": string.digits, "w": string.ascii_lowercase + string.digits + "_" + string.ascii_uppercase, "s": " \t"}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_REPEATS = {"*": (0, _MAX_REPEAT), "+": (1, _MAX_REPEAT), "?": (0, 1)}
_COUNT = re.compile(r"\{(\d{1,4})(?:(,)(\d{0,4}))?\}")
_LOWER, _UPPER = string.ascii_lowercase, string.ascii_uppercase
_POSIX = {
    "alpha": _LOWER,
    "lower": _LOWER,
    "upper": _UPPER,
    "digit": string.digits,
    "alnum": _LOWER + string.digits,
    "xdigit": string.hexdigits,
}
_PROPERTIES = {"L": _LOWER, "Ll": _LOWER, "Lu": _UPPER, "N": string.digits, "Nd": string.digits}


class UnreadablePatternError(ValueError):
    """The pattern has a construct that this reader does not know."""


def matching(pattern: str, *, grow: int = 0, variant: int = 0) -> str:
    """Generate a short text for `pattern`: the first alternative, minimal counts, the first character of a class.

    `grow` is added to every repetition that allows it; `variant` selects another character of each class.
    Raises UnreadablePatternError.
    """
    reader = _Reader(pattern, grow, variant)
    text = reader.alternatives()
    if reader.at < len(pattern):
        raise UnreadablePatternError(pattern[reader.at])
    return text


@dataclass(slots=True)
class _Reader:
    """Reads a pattern once and builds the text on the way."""

    pattern: str
    grow: int
    variant: int
    at: int = 0

    def alternatives(self) -> str:
        first = self._sequence()
        while self._takes("|"):
            self._sequence()
        return first

    def _sequence(self) -> str:
        made = ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            made += self._repeated(self._atom())
            if len(made) > MAX_TEXT:
                raise UnreadablePatternError("the text would be too long")
        return made

    def _repeated(self, atom: str) -> str:
        least, most = self._counts()
        count = min(least + self.grow, most)
        if count * len(atom) > MAX_TEXT:
            raise UnreadablePatternError("the text would be too long")
        return atom * count

    def _counts(self) -> tuple[int, int]:
        found = _COUNT.match(self.pattern, self.at)
        if found is not None:
            self.at = found.end()
            least = int(found[1])
            most = least if found[2] is None else int(found[3]) if found[3] else _MAX_REPEAT
        elif self.at < len(self.pattern) and self.pattern[self.at] in _REPEATS:
            least, most = _REPEATS[self.pattern[self.at]]
            self.at += 1
        else:
            return 1, 1
        self._takes("?")
        return least, most

    def _atom(self) -> str:
        char = self._next()
        match char:
            case "^" | "$":
                return ""
            case ".":
                return self._one_of(_PREFERRED)
            case "(":
                return self._group()
            case "[":
                return self._one_of(self._class())
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise UnreadablePatternError(char)
            case _:
                return char

    def _group(self) -> str:
        if self._takes("?"):
            # Flags are skipped: validation shows whether the text matches under them.
            opened = re.compile(r"[imsU]*(?P<end>[:)])|P?<\w+>").match(self.pattern, self.at)
            if opened is None:
                raise UnreadablePatternError("(?")
            self.at = opened.end()
            if opened["end"] == ")":
                return ""
        made = self.alternatives()
        if not self._takes(")"):
            raise UnreadablePatternError("(")
        return made

    def _escape(self) -> str:
        char = self._next()
        if char in "bBAzZ":
            return ""
        return self._one_of(self._escaped(char))

    def _escaped(self, char: str) -> str:
        """Return the characters of an escape."""
        if char in _CLASSES:
            return _CLASSES[char]
        if char in "DWS":
            return _without(_CLASSES[char.lower()])
        if char in "pP":
            return self._property(is_negated=char == "P")
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum():
            raise UnreadablePatternError(f"\\{char}")
        return char

    def _property(self, *, is_negated: bool) -> str:
        found = re.compile(r"\{(\w+)\}|(\w)").match(self.pattern, self.at)
        known = _PROPERTIES.get((found[1] or found[2]) if found else "")
        if found is None or known is None:
            raise UnreadablePatternError("\\p")
        self.at = found.end()
        return _without(known) if is_negated else known

    def _class(self) -> str:
        is_negated = self._takes("^")
        chars = ""
        is_first = True
        while is_first or not self._takes("]"):
            chars += self._member()
            is_first = False
        return _without(chars) if is_negated else chars

    def _member(self) -> str:
        named = re.compile(r"\[:(\w+):\]").match(self.pattern, self.at)
        if named is not None:
            self.at = named.end()
            if named[1] not in _POSIX:
                raise UnreadablePatternError(named[0])
            return _POSIX[named[1]]
        low = self._next()
        if low == "\\":
            escaped = self._escaped(self._next())
            if len(escaped) > 1:
                return escaped
            low = escaped
        rest = self.pattern[self.at : self.at + 2]
        if not rest.startswith("-") or rest in ("-", "-]"):
            return low
        self.at += 1
        high = self._next()
        if high == "\\":
            high = self._escaped(self._next())
        return "".join(chr(code) for code in range(ord(low), min(ord(high[:1]), ord(low) + 200) + 1))

    def _one_of(self, chars: str) -> str:
        if not chars:
            raise UnreadablePatternError("[]")
        return chars[self.variant % len(chars)]

    def _next(self) -> str:
        if self.at >= len(self.pattern):
            raise UnreadablePatternError("the pattern ends too soon")
        self.at += 1
        return self.pattern[self.at - 1]

    def _takes(self, char: str) -> bool:
        if self.pattern.startswith(char, self.at):
            self.at += 1
            return True
        return False


def _without(chars: str) -> str:
    return "".join(char for char in _PREFERRED if char not in chars)
