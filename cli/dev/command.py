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
    """Return options with the configured data folder (PLAYBOOK_DATA_DIR, default `.data`) where none is given."""
    folder = data_dir if data_dir is not None else Settings().data_dir
    return StackOptions(folder, port, temporal_port, ui_port, is_fresh)


def run_dev(options: StackOptions) -> int:
    """Start, print the addresses, wait. 0 after a requested stop. Raises ServerStartError."""
    with stop_requests_raised():
        try:
            with running_stack(options, report) as stack:
                _print_addresses(stack)
                supervise(stack, report)
        except StopRequested:
            report("stopped")
    return 0


def report(text: str) -> None:
    """Print progress for people on stderr; standard output is for results."""
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
