"""The AI provider `scripted`: answers written in the playbook, for demos and tests, always labelled as scripted.

Equal attempts of equal steps get equal answers.
"""

from __future__ import annotations

from typing import cast, get_args

from playbooks.common.values import ErrorKind, Json, JsonObject
from playbooks.evaluation.work import HandlerCall, HandlerResult, failed

PROVIDER = "scripted"
_ERROR_KINDS: frozenset[str] = frozenset(get_args(ErrorKind))


def answer(call: HandlerCall) -> HandlerResult:
    """Return output and confidence of the n-th entry of `config.script`, or of the last entry for later attempts.

    Raises StepFailedError with an `error` entry's kind and message, or
    `LOW_CONFIDENCE` where the author chose `fail`.
    """
    entry = _entry(call.config.get("script"), call.attempt)
    error = entry.get("error")
    if isinstance(error, dict):
        kind = str(error.get("kind"))
        known = cast("ErrorKind", kind) if kind in _ERROR_KINDS else "system"
        raise failed(known, "SCRIPTED_ERROR", str(error.get("message") or "the script says so"))
    return apply_threshold(call.config, entry.get("output"), _number(entry.get("confidence")), PROVIDER)


def apply_threshold(config: JsonObject, output: Json, confidence: float | None, source: str) -> HandlerResult:
    """Apply `config.confidence_threshold` and `config.on_low_confidence` (default: a person reviews) to an answer.

    Where a threshold is set, an answer without confidence counts as one of low confidence. Raises StepFailedError
    `LOW_CONFIDENCE` (kind `business_rule`) for `fail`.
    """
    threshold = _number(config.get("confidence_threshold"))
    is_low = threshold is not None and (confidence is None or confidence < threshold)
    needs_review = False
    if is_low:
        match config.get("on_low_confidence") or "human_review":
            case "accept":
                pass
            case "fail":
                shown = "no confidence" if confidence is None else f"confidence {confidence:g}"
                raise failed("business_rule", "LOW_CONFIDENCE", f"{shown} is below the threshold {threshold:g}")
            case _:
                needs_review = True
    return HandlerResult(output=output, confidence=confidence, confidence_source=source, needs_review=needs_review)


def _entry(script: Json, attempt: int) -> JsonObject:
    entries = script if isinstance(script, list) else []
    entry = entries[min(attempt, len(entries)) - 1] if entries else None
    if not isinstance(entry, dict):
        raise failed("validation", "INVALID_CONFIG", "the script has no answer", pointer="/config/script")
    return entry


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
