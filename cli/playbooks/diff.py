"""`playbook playbooks diff`: compares a file with the stored document.

Order of names and the file's format make no difference, as in the service.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

from cli.account import Account
from cli.playbooks.connection import RefusedError, connected, print_refusal
from cli.playbooks.files import problems_of, read_file
from cli.playbooks.show import print_problems, write_json
from cli.playbooks.stored import Stored, text_of, wanted
from playbooks.common.errors import InputError
from playbooks.common.json_pointer import join
from playbooks.common.values import Json
from playbooks.document.model import read_document

_MAX_CHANGES = 1_000


def run_diff(path: Path, account: Account, *, version: int | None, as_json: bool) -> int:
    """Compare. 0: equal; 1: different, or not comparable. Raises UsageError, NotFoundError."""
    try:
        document = read_document(read_file(path))
    except InputError as error:
        print_problems(path, problems_of(error))
        return 1
    try:
        with connected(account) as api:
            stored = wanted(api, document.code, version)
    except RefusedError as error:
        return print_refusal(error, as_json=as_json)
    return _show(path, document.to_json(), document.code, stored, as_json=as_json)


def _show(path: Path, local: Json, code: str, stored: Stored, *, as_json: bool) -> int:
    before, after = text_of(stored.document), text_of(local)
    if as_json:
        found = [{"pointer": pointer, "change": change} for pointer, change in changes(stored.document, local)]
        answer = {"code": code, "version": stored.version, "status": stored.status, "differs": before != after}
        write_json({**answer, "changes": found[:_MAX_CHANGES]})
    else:
        names = (f"{code} version {stored.version} ({stored.status})", str(path))
        sys.stdout.writelines(
            f"{line}\n" for line in unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
        )
    return int(before != after)


def changes(before: Json, after: Json, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yield the differences of two values: the pointer, and `added`, `removed` or `changed`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            place = join(pointer, name)
            if name not in after or name not in before:
                yield place, "removed" if name in before else "added"
            else:
                yield from changes(before[name], after[name], place)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            place = f"{pointer}/{index}"
            if index >= len(after) or index >= len(before):
                yield place, "removed" if index < len(before) else "added"
            else:
                yield from changes(before[index], after[index], place)
    elif text_of(before) != text_of(after):
        yield pointer, "changed"
