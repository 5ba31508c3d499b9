# SPDX-License-Identifier: MIT
#
# What callgrind writes, read: its own program to annotate takes what was collected in parts for one
# function's.

import re


def self_costs(part):
    """{function: instructions of its own} of one file that callgrind wrote."""
    names, costs, function, of_call = {}, {}, None, False
    for line in part.read_text(encoding="utf-8").splitlines():
        named = re.match(r"(c?fn)=\((\d+)\)(?: (.*))?$", line)
        if named:
            if named[3]:
                names[named[2]] = named[3]
            if named[1] == "fn":
                function = names[named[2]]
        elif line.startswith("calls="):
            of_call = True  # the next line is what the call cost with all that it called
        elif function and re.match(r"[+\-*\d]", line):
            if not of_call:
                costs[function] = costs.get(function, 0) + int(line.split()[1])
            of_call = False
    return costs


def total(part):
    """Instructions collected, of whatever function."""
    return int(re.search(r"^summary: (\d+)$", part.read_text(encoding="utf-8"), re.MULTILINE)[1])
