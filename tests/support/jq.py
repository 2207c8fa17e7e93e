"""The part of `jq` that the pages use, for machines without it: `jq -r PATH` and `jq -r 'PATH // empty'`."""

from __future__ import annotations

import json
import re
import sys
from typing import Any


def main() -> None:
    flag, expression = sys.argv[1:]
    path, _, default = expression.partition(" // ")
    assert flag == "-r"
    assert default in ("", "empty")
    assert re.fullmatch(r"(\.[a-z_]+(\[\d+\])?)+", path)
    value: Any = json.load(sys.stdin)
    for name, index in re.findall(r"\.([a-z_]+)|\[(\d+)\]", path):
        try:
            value = value[name] if name else value[int(index)]
        except (LookupError, TypeError):
            value = None
    if value is not None or not default:
        print(value if isinstance(value, str) else json.dumps(value))


if __name__ == "__main__":
    main()
