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
    """Whether its addresses are those that it has when it runs; of others they are offsets."""
    with open(file, "rb") as binary:
        return binary.read(18)[16] == 2  # ET_EXEC, elf(5)


def self_costs(lines):
    """{function: how often an instruction of it was executed}, of the tracer's lines."""
    maps = []  # (where it begins and ends, how far that is from the file's addresses, its functions)
    for begin, end, offset, file in (line[1:] for line in lines if line[0] == "map"):
        if file.startswith("/"):
            begin, end, offset = (int(number, 16) for number in (begin, end, offset))
            maps.append((begin, end, 0 if is_fixed(file) else begin - offset, *table(file)))
    costs = collections.Counter()
    for _, place, count in (line for line in lines if line[0] == "at"):
        at, name = int(place, 16), "elsewhere"
        for begin, end, apart, addresses, names in maps:
            which = bisect.bisect(addresses, at - apart) - 1
            if begin <= at < end and which >= 0:
                name = names[addresses[which]]
        costs[name] += int(count)
    return costs
