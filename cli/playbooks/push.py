"""`playbook playbooks push`: sends files as new playbooks, changed drafts or next versions.

Invariant: nothing is sent before every file is valid, and a document that is stored already is not stored again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.account import Account
from cli.playbooks.connection import RefusedError, connected, print_refusal
from cli.playbooks.files import files_of
from cli.playbooks.show import print_line, print_problems, write_json
from cli.playbooks.stored import newest, text_of
from cli.playbooks.validate import check
from cli.rest import Api
from playbooks.document.model import PlaybookDocument

_REASON = "pushed by `playbook playbooks push`"


def run_push(paths: Sequence[Path], account: Account, *, publishes: bool, as_json: bool) -> int:
    """Send files. 1 where one is not valid, or the API refuses. Raises UsageError."""
    checked = [check(path) for path in files_of(paths)]
    for each in checked:
        print_problems(each.path, each.problems)
    if any(each.errors for each in checked):
        if as_json:
            write_json({"pushed": [], "files": [each.as_data() for each in checked]})
        return 1
    pushed: list[dict[str, Any]] = []
    try:
        with connected(account) as api:
            for each in checked:
                if each.document is not None:
                    sent = _push(api, each.document, publishes=publishes)
                    pushed.append({"file": str(each.path), **sent})
                    if not as_json:
                        print_line(
                            f"{each.path}: {sent['code']} version {sent['version']} {sent['action']}, {sent['status']}"
                        )
    except RefusedError as error:
        return print_refusal(error, as_json=as_json)
    if as_json:
        write_json({"pushed": pushed})
    return 0


def _push(api: Api, document: PlaybookDocument, *, publishes: bool) -> dict[str, Any]:
    body = document.to_json()
    stored = newest(api, document.code)
    if stored is None:
        action, row = "created", api.post("/playbooks", body)
    elif text_of(stored.document) == text_of(body):
        action, row = "unchanged", {"id": stored.id, "version": stored.version, "status": stored.status}
    elif stored.status == "draft":
        action, row = "changed", api.put(f"/playbooks/{stored.id}", body, {"If-Match": stored.etag})
    else:
        action, row = "created as the next version", api.post(f"/playbooks/{stored.id}/versions", body)
    status = row["status"]
    if publishes and status == "draft":
        answer = api.put(f"/playbooks/{row['id']}/publish", {"action": "publish", "reason": _REASON})
        status = answer["playbook"]["status"]
    return {
        "code": document.code,
        "playbook_id": row["id"],
        "version": row["version"],
        "action": action,
        "status": status,
    }
