"""The handler `notification_sender`: records an undelivered notification, once per visit of its step."""

from __future__ import annotations

from activities.dependencies import ActivityDependencies
from activities.handler import HandlerCall, HandlerResult
from activities.versions import load_version
from playbooks.common.values import JsonObject
from playbooks.document.handler_catalog import BUILT_IN
from playbooks.engine.model.temporal_messages import NotificationCall
from storage.database.json_columns import as_object
from storage.runs.notifications import record_notification

_MAPPED = ("recipients", "subject", "message", "data")


class NotificationSenderHandler:
    """Does not deliver; a repeat of the same visit finds the first notification."""

    description = BUILT_IN["notification_sender"]

    def __init__(self, deps: ActivityDependencies) -> None:
        self._deps = deps

    async def run(self, call: HandlerCall) -> HandlerResult:
        """`{status: "undelivered", ...}`. Raises MappingError, ServiceUnavailableError."""
        mapped = {name: call.resolve(call.config[name]) for name in _MAPPED if name in call.config}
        data: JsonObject = {
            "step": call.step,
            "channels": call.config.get("channels", []),
            **await self._safe(call, mapped),
        }
        message = NotificationCall(
            organization_id=call.organization_id,
            execution_id=call.execution_id,
            playbook_id=call.playbook_id,
            kind="step_notification",
            key=call.effect_key,
            data=data,
        )
        async with self._deps.database.writing(call.organization_id) as session:
            await record_notification(session, message)
        return HandlerResult(output={"status": "undelivered", "key": call.effect_key})

    async def _safe(self, call: HandlerCall, mapped: JsonObject) -> JsonObject:
        """Seal all texts where the playbook has anything sensitive: no mark shows whether a text was made of it."""
        plan = (await load_version(self._deps, call.organization_id, call.playbook_id)).plan
        is_sensitive = plan.sensitive_input or any(step.sensitive_input or step.sensitive_output for step in plan.steps)
        places = [f"/{name}" for name in mapped] if is_sensitive else []
        return as_object(self._deps.sealer.seal(mapped, places))
