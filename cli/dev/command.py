"""`playbook dev`: the stack until Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path

from cli.dev.interrupts import StopRequested, stop_requests_raised
from cli.dev.stack import Stack, StackOptions, running_stack, supervise
from runtime.settings import Settings


def stack_options(
    data_dir: Path | None, port: int | None, temporal_port: int | None, ui_port: int | None, *, is_fresh: bool
) -> StackOptions:
    """Options with the configured data folder (PLAYBOOK_DATA_DIR, default `.data`) where none was named."""
    folder = data_dir if data_dir is not None else Settings().data_dir
    return StackOptions(folder, port, temporal_port, ui_port, is_fresh)


def run_dev(options: StackOptions) -> int:
    """Start, print where everything is, wait. 0 after an asked-for stop. Raises ServerStartError."""
    with stop_requests_raised():
        try:
            with running_stack(options, say) as stack:
                _print_addresses(stack)
                supervise(stack, say)
        except StopRequested:
            say("stopped")
    return 0


def say(text: str) -> None:
    """Progress, for people; standard output stays for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _print_addresses(stack: Stack) -> None:
    description = stack.describe()
    lines = [
        f"API          {description['api_url']}/api/v1 (reference: {description['api_url']}/docs)",
        f"Temporal     {description['temporal_address']}",
        f"Temporal UI  {description['temporal_ui_url']}",
        f"Database     {stack.folder.description_file} has the URLs",
        f"Token        playbook token --org demo --user NAME --roles a,b --data-dir {stack.folder.root}",
        "Ready. Ctrl-C stops everything.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
