"""Names of the service's own activities, as they stand in Temporal's histories; handlers have theirs beside them."""

from __future__ import annotations

from enum import StrEnum


class ActivityName(StrEnum):
    """Workflows ask for these, the worker registers them, and no package may give a handler one of them."""

    AI = "ai"
    ANNOUNCE_TASK = "announce_task"
    CANCEL_CHILD = "cancel_child"
    CHECK_MESSAGE = "check_message"
    FLUSH = "flush"
    GATHER_CHILD = "gather_child"
    GATHER_ITEMS = "gather_items"
    MAKE_OUTPUT = "make_output"
    PREPARE_STEP = "prepare_step"
    RECORD_NOTIFICATION = "record_notification"
    REQUEST_CANCEL = "request_cancel"
    TAKE_SLOT = "take_slot"
    TELL_PARENT = "tell_parent"
    TEST_LOOP = "test_loop"
    WAKE_NEXT = "wake_next"
