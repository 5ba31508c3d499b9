# SPDX-License-Identifier: MIT
#
# What counts/tracer says of places in code, by the names of their functions.

import bisect
import collections
import subprocess


def table(file):
    """The addresses of a file's functions, sorted, and their names."""
    found = {}
    for dynamic in (["-D"], []):  # a stripped library has those of the dynamic linker alone
        told = subprocess.run(["nm", "--defined-only", *dynamic, file], check=False, text=True,
                              capture_output=True).stdout
        for line in told.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in "tTwWiI":
                found[int(words[0], 16)] = words[2].partition("@")[0]
    return sorted(found), found


def is_fixed(file):
    """Whether its addresses are those that it has when it runs."""
    with open(file, "rb") as binary:
        return binary.read(18)[16] == 2  # ET_EXEC, elf(5)


def self_costs(lines):
    """{function: how often an instruction of it was executed}, of the tracer's "map" and "at" lines.
    A file's first mapping is where its addresses begin."""
    maps = [(int(begin, 16), int(end, 16), int(offset, 16), file)
            for kind, begin, end, offset, file in (line for line in lines if line[0] == "map")]
    tables = {file: table(file) for *_, file in maps if file.startswith("/")}
    costs = collections.Counter()
    for _, place, count in (line for line in lines if line[0] == "at"):
        at, name = int(place, 16), "elsewhere"
        for begin, end, offset, file in maps:
            if begin <= at < end and file in tables:
                addresses, names = tables[file]
                which = bisect.bisect(addresses, at if is_fixed(file) else at - begin + offset) - 1
                name = names[addresses[which]] if which >= 0 else name
        costs[name] += int(count)
    return costs
