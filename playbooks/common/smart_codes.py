"""HERA's smart codes: `HERA.{INDUSTRY}.PLAYBOOK.{KIND}.{NAME}.V{n}`.

Every code built here fits the column (100 characters) and HERA's pattern: a name that is too long is shortened with a
hash, a one-letter name is padded, none is refused.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

MAX_CODE_CHARACTERS = 100
MAX_SEGMENT_CHARACTERS = 40
INDUSTRY_PATTERN = r"^[A-Z][A-Z0-9_]{2,29}$"

Kind: TypeAlias = Literal[
    "DEF",
    "STEP.DEF",
    "RUN",
    "STEP.EXEC",
    "TRANSITION",
    "RUN.EVENT",
    "RUN.LABEL",
    "STEP.PAYLOAD",
    "STEP.DEPENDENCY",
    "TASK",
    "USER",
    "ROLE",
    "NOTIFICATION",
    "FIELD",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_VALID = re.compile(r"HERA\.[A-Z0-9_]{3,30}(\.[A-Z0-9_]{2,40}){3,8}\.V[0-9]+", re.ASCII)
_OURS = re.compile(
    rf"HERA\.(?P<industry>[A-Z0-9_]{{3,30}})\.PLAYBOOK\.(?P<kind>{'|'.join(re.escape(kind) for kind in KINDS)})"
    r"\.(?P<name>[A-Z0-9_]{2,40})\.V(?P<version>[0-9]{1,9})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartCode:
    """The parts of one of our codes."""

    industry: str
    kind: Kind
    name: str
    version: int


def build(industry: str, kind: Kind, name: str, version: int = 1) -> str:
    """Build a code of this kind. `name` is any text; equal names give equal codes."""
    head = f"HERA.{industry}.PLAYBOOK.{kind}."
    tail = f".V{version}"
    room = min(MAX_SEGMENT_CHARACTERS, MAX_CODE_CHARACTERS - len(head) - len(tail))
    return f"{head}{_segment(name, room)}{tail}"


def playbook_code(industry: str, code: str, version: int) -> str:
    """Build the code of a playbook version."""
    return build(industry, "DEF", code, version)


def step_code(industry: str, key: str, version: int) -> str:
    """Build the code of a step's definition in a playbook version."""
    return build(industry, "STEP.DEF", key, version)


def run_code(industry: str, code: str, version: int) -> str:
    """Build the code of the runs of a playbook version."""
    return build(industry, "RUN", code, version)


def exec_code(industry: str, key: str, version: int) -> str:
    """Build the code of a step's executions."""
    return build(industry, "STEP.EXEC", key, version)


def transition_code(industry: str, code: str, version: int) -> str:
    """Build the code of a life-cycle transition of a playbook version."""
    return build(industry, "TRANSITION", code, version)


def is_valid(text: str) -> bool:
    """Return true if a text is a smart code (HERA's pattern, any application's)."""
    return len(text) <= MAX_CODE_CHARACTERS and _VALID.fullmatch(text.upper()) is not None


def parse(text: str) -> SmartCode | None:
    """Parse one of our codes; None where it is not one. Case is ignored."""
    match = _OURS.fullmatch(text.upper())
    if match is None or not is_valid(text):
        return None
    return SmartCode(
        industry=match["industry"], kind=cast("Kind", match["kind"]), name=match["name"], version=int(match["version"])
    )


def _segment(name: str, room: int) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
    text = re.sub(r"[^A-Z0-9]+", "_", plain).strip("_")
    if len(text) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8].upper()
        text = f"{text[: room - 9].rstrip('_')}_{digest}"
    if not text:
        text = f"X{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
    return text if len(text) > 1 else f"{text}_"
