"""Print the report at the end of `make test`: the tests that ran, and the skipped ones.

The report has the reason for each skipped test. With CERTPIN_REQUIRE_ALL=1, a skipped test is a
failure, unless this machine can't run it.
"""

from __future__ import annotations

from scripts import record
from scripts.console import fail


def main() -> None:
    """Print the report of the recorded runs.

    Exit with status 2 if no test passed, or if CERTPIN_REQUIRE_ALL=1 and a test was skipped that
    could run on this machine.
    """
    runs = record.read()
    _print_runs(runs)
    left_out = _print_left_out(runs)
    passed, failed = sum(run.passed for run in runs), sum(run.failed for run in runs)
    print(f"\n{passed} passed, {failed} failed", flush=True)
    if not passed:
        fail("no test ran", "call this through `make test`")
    if left_out and record.all_required() and any(run.must_not_be for run in runs):
        fail("tests were left out, and CERTPIN_REQUIRE_ALL=1", "install the programs named above")


def _print_runs(runs: list[record.Run]) -> None:
    print("\nWhat ran")
    for run in runs:
        if run.passed or run.failed:
            print(f"  {run.name}: {run.passed} passed, {run.failed} failed")


def _print_left_out(runs: list[record.Run]) -> bool:
    lines = [
        f"  {run.name}: {reason}" + (f" ({count} tests)" if count else "")
        for run in runs
        for reason, count in run.left_out.items()
    ]
    print("\nLeft out")
    print("\n".join(lines) or "  nothing")
    return bool(lines)


if __name__ == "__main__":
    main()
