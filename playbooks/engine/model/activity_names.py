"""Names of the service's own activities, as they stand in Temporal's histories; handlers have theirs beside them."""

from __future__ import annotations

from enum import StrEnum


class ActivityName(StrEnum):
    """Workflows ask for these, the worker registers them, and no package may give a handler one of them."""

    ACQUIRE_CONCURRENCY = "acquire_concurrency"
    AI = "ai"
    ANNOUNCE_TASK = "announce_task"
    CANCEL_CHILD = "cancel_child"
    CHECK_MESSAGE = "check_message"
    COLLECT_ITEMS = "collect_items"
    EVALUATE_LOOP = "evaluate_loop"
    FLUSH = "flush"
    MAKE_OUTPUT = "make_output"
    NOTIFY_NEXT = "notify_next"
    NOTIFY_PARENT = "notify_parent"
    PREPARE_STEP = "prepare_step"
    READ_CHILD = "read_child"
    RECORD_NOTIFICATION = "record_notification"
    REQUEST_CANCEL = "request_cancel"
