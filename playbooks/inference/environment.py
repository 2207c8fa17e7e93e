"""The types of names where an expression is read, and what does not fit there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from playbooks.common.values import Path
from playbooks.inference.value_types import ValueType

Names: TypeAlias = Mapping[str, ValueType]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Values that do not fit an operation; `is_certain`: all of them, else only some."""

    message: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Environment:
    """Types of names, and of single paths, which take precedence."""

    names: Names
    paths: Mapping[Path, ValueType] = field(default_factory=dict[Path, ValueType])

    def refined(self, path: Path, value_type: ValueType) -> Environment:
        """Return this environment with a more precise type of one path."""
        return Environment(self.names, {**self.paths, path: value_type})

    def with_names(self, names: Names) -> Environment:
        """Return this environment with a macro's variables, which hide others of the same name."""
        paths = {path: value_type for path, value_type in self.paths.items() if path[0] not in names}
        return Environment({**self.names, **names}, paths)
