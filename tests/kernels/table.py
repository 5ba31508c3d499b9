#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# table.py [BUILD] -- writes into doc/BACKENDS.md, each between its two marks, which backends and
# features of io_uring were found on which kernel, and how many rows passed there on each backend,
# from what the guests of tests/kernels/run said (BUILD/kernels/*.features and *.rows).
#
# A kernel that did not run keeps the column it has.
import pathlib
import sys

sys.dont_write_bytecode = True
import packages  # noqa: E402
import results  # noqa: E402

PAGE = pathlib.Path(__file__).resolve().parents[2] / "doc/BACKENDS.md"
FOUND = ("<!-- kernels -->\n", "<!-- /kernels -->\n")
ROWS = ("<!-- rows -->\n", "<!-- /rows -->\n")
WHAT = "what it is for"
BACKENDS = ("io_uring", "epoll", "poll", "select")  # as vigil_backend_name() has them
NO_RING, NOT_TRIED = "-", "?"  # nothing to look for; nobody has looked


def column_of(name):
    kernel = packages.KERNELS[name]
    return kernel.version + ("" if kernel.machine == "x86-64" else f" {kernel.machine}")


# A file of rows to its column; a guest with netem runs some of the rows.
GUESTS = {**{f"{name}-all": column_of(name) for name in packages.KERNELS},
          "6.12-netem": "6.12 with netem"}


def read_table(text):
    """{first cell: {column: cell}} of the table that stands there."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("|") and not line.startswith("|--")]
    return {row[0].strip("`"): dict(zip(rows[0][1:], row[1:])) for row in rows[1:]}


def written(head, names, columns, table, missing):
    lines = ["| " + " | ".join([head, *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = [table.get(name, {}).get(column, missing) for column in columns]
        title = name if name == results.NO_BACKEND else f"`{name}`"
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n" + "\n".join(lines) + "\n\n"


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def found_anew(text, folder):
    """The table of what was found; and how many guests said something."""
    table, fresh = read_table(text), 0
    for name in packages.KERNELS:
        features = results.read_features(lines_of(folder / f"{name}.features"))
        fresh += bool(features)
        for feature, (answer, what) in features.items():
            table.setdefault(feature, {}).update({WHAT: what, column_of(name): answer})
    columns = [WHAT, *(column_of(name) for name in packages.KERNELS)]
    names = [*BACKENDS, *(name for name in table if name not in BACKENDS)]
    return (written("feature", names, columns, table, NO_RING) if fresh > 0 else text), fresh


def rows_anew(text, folder):
    """The table of how many rows passed, were skipped and failed; and of how many guests."""
    table, fresh = read_table(text), 0
    for name, column in GUESTS.items():
        lines = lines_of(folder / f"{name}.rows")
        fresh += bool(lines)
        said = {backend: counts for backend, *counts in (line.split("\t") for line in lines)}
        for backend in (*BACKENDS, results.NO_BACKEND) if lines else ():
            cell = " / ".join(said.get(backend, ["0"] * len(results.VERDICTS)))
            table.setdefault(backend, {})[column] = cell
    names = [*BACKENDS, results.NO_BACKEND]
    anew = written("backend", names, GUESTS.values(), table, NOT_TRIED)
    return (anew if fresh > 0 else text), fresh


def page_anew(page, build):
    """The page with both tables; and what to say of them."""
    said = []
    for (begin, end), anew, what in ((FOUND, found_anew, "features"), (ROWS, rows_anew, "rows")):
        before, rest = page.split(begin, 1)
        old, after = rest.split(end, 1)
        table, fresh = anew(old, build / "kernels")
        page = before + begin + table + end + after
        said.append(f"{what} of {fresh} guests")
    return page, ", ".join(said)


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    page, said = page_anew(PAGE.read_text(encoding="utf-8"), build)
    PAGE.write_text(page, encoding="utf-8")
    print(f"  doc/BACKENDS.md: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
