"""The order in which a run handles what arrived while its lane was busy."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from temporalio import workflow

from workflows.inbox import Inbox


def test_orders_by_workflow_task_and_messages_last(monkeypatch: pytest.MonkeyPatch) -> None:
    length = 3
    monkeypatch.setattr(workflow, "info", lambda: SimpleNamespace(get_current_history_length=lambda: length))
    arrivals, handled = Inbox(), list[str]()
    for name, is_message in (("vote", True), ("timer", False), ("pause", True), ("effect", False)):
        arrivals.put(lambda name=name: handled.append(name), is_message=is_message)
    length = 7
    arrivals.put(lambda: handled.append("later timer"), is_message=False)
    while arrivals:
        arrivals.take()()
    assert handled == ["timer", "effect", "vote", "pause", "later timer"]
