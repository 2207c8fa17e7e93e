"""`python -m benchmarks`: runs the jobs, prints the table; what ran in full size replaces its figures in the docs."""

from __future__ import annotations

import argparse
import sys
import traceback

import uvloop

from benchmarks import jobs, killing, lists, waiting
from benchmarks.place import running_place
from benchmarks.report import Figure, table, write

JOBS = {
    "J1": jobs.one_long_run,
    "J2": jobs.burst,
    "J3": waiting.many_waiting,
    "J4": jobs.one_wide_run,
    "J5": killing.killed_worker,
    "J6": lists.long_lists,
}
SIZES = {"small": jobs.SMALL, "full": jobs.FULL}


async def measure(names: list[str], size: str) -> tuple[list[Figure], list[str]]:
    """Each job on a service of its own, so that none pays for what another left behind; and the jobs that failed."""
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names:
        try:
            async with running_place() as place:
                found = await JOBS[name](place, SIZES[size])
        except Exception:  # the others are worth having
            traceback.print_exc()
            failed.append(name)
            continue
        print(table(found), flush=True)
        figures += found
    return figures, failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--jobs", default=",".join(JOBS), help="for example J1,J2")
    parser.add_argument("--size", choices=SIZES, default="full")
    options = parser.parse_args()
    names = options.jobs.split(",")
    figures, failed = uvloop.run(measure(names, options.size))
    print("\n" + table(figures))
    if options.size == "full" and figures:
        write(figures, options.size)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
