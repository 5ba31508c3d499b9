#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# rows.py TAP -- writes into doc/BACKENDS.md, between its two marks, how many rows passed, were
# skipped and failed under Wine on each backend, from what the programs said there (the file that
# run-tap was told to keep).  Files that tests/windows/lacking names have no rows there.
import collections
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "kernels"))
import results  # noqa: E402
import table  # noqa: E402

ROWS = ("<!-- rows on Windows -->\n", "<!-- /rows on Windows -->\n")
BACKENDS = ("afd", "select")  # as vigil_backend_name() has them there
COLUMN = "under Wine"


def counted(lines):
    """{(backend, verdict): rows}"""
    found = (results.RESULT.match(line) for line in lines)
    return collections.Counter(results.backend_and_verdict(result) for result in found if result)


def rows_anew(counts):
    names = (*BACKENDS, results.NO_BACKEND)
    cells = {name: {COLUMN: " / ".join(str(counts[name, v]) for v in results.VERDICTS)}
             for name in names}
    return table.written("backend", names, [COLUMN], cells, table.NOT_TRIED)


def page_anew(page, lines):
    """The page with the rows of that run; as it is when none ran."""
    counts = counted(lines)
    if not counts:
        return page
    before, rest = page.split(ROWS[0], 1)
    after = rest.split(ROWS[1], 1)[1]
    return before + ROWS[0] + rows_anew(counts) + ROWS[1] + after


def main():
    lines = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    page = page_anew(table.PAGE.read_text(encoding="utf-8"), lines)
    table.PAGE.write_text(page, encoding="utf-8")
    print(f"  doc/BACKENDS.md: {counted(lines).total()} rows under Wine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
