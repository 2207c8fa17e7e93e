"""`playbook playbooks pull`: writes a stored document to a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cli.account import Account
from cli.playbooks.connection import RefusedError, connected, print_refusal
from cli.playbooks.files import format_of
from cli.playbooks.show import print_line, write_json
from cli.playbooks.stored import wanted
from runtime.yaml_text import to_yaml


def run_pull(code: str, account: Account, *, version: int | None, output: Path | None, as_json: bool) -> int:
    """Fetch a document. Raises UsageError, NotFoundError, OSError where the file cannot be written."""
    format_ = "json" if output is None else format_of(output)
    try:
        with connected(account) as api:
            stored = wanted(api, code, version)
    except RefusedError as error:
        return print_refusal(error, as_json=as_json)
    if format_ == "yaml":
        text = to_yaml(stored.document)
    else:
        text = json.dumps(stored.document, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
        return 0
    output.write_text(text, encoding="utf-8")
    if as_json:
        write_json({"file": str(output), "code": code, "version": stored.version, "status": stored.status})
    else:
        print_line(f"{output}: {code} version {stored.version}, {stored.status}")
    return 0
