"""`python -m benchmarks`: runs the jobs and prints the table."""

from __future__ import annotations

import argparse
import sys

import uvloop

from benchmarks import jobs, lists, waiting
from benchmarks.place import running_place
from benchmarks.report import Figure, table, write

JOBS = {
    "J1": jobs.one_long_run,
    "J2": jobs.burst,
    "J3": waiting.many_waiting,
    "J4": jobs.one_wide_run,
    "J5": jobs.killed_worker,
    "J6": lists.long_lists,
}
SIZES = {"small": jobs.SMALL, "full": jobs.FULL}


async def measure(names: list[str], size: str) -> list[Figure]:
    """Each job on a service of its own, so that none pays for what another left behind."""
    figures: list[Figure] = []
    for name in names:
        async with running_place() as place:
            found = await JOBS[name](place, SIZES[size])
        print(table(found), flush=True)
        figures += found
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--jobs", default=",".join(JOBS), help="for example J1,J2")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    figures = uvloop.run(measure(options.jobs.split(","), options.size))
    print("\n" + table(figures))
    if options.write_docs:
        write(figures, options.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
