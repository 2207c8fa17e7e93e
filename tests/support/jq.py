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
        if name:
            value = (value or {}).get(name)
        else:
            value = value[int(index)] if value and int(index) < len(value) else None
    if value is not None or not default:
        sys.stdout.write(f"{value if isinstance(value, str) else json.dumps(value)}\n")


if __name__ == "__main__":
    main()
