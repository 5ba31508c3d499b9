# SPDX-License-Identifier: MIT
#
# The cells of the benchmark: how many connections, messages of which size, how many in flight on
# each, and whether every connection has an idle limit that each message sets anew.  In a cell of
# depth 0 a connection echoes one message and ends, and another takes its place.

from collections import namedtuple

IN_FLIGHT_MAX = 64 << 20  # bytes; what is above measures memory, not servers
READ = 64 << 10  # what the servers read at once

Cell = namedtuple("Cell", "name connections size depth idle")

NAMED = [  # the ten that the goals are about
    Cell("one", 1, 64, 1, False),
    Cell("fifty", 50, 64, 1, False),
    Cell("fifty-idle", 50, 64, 1, True),
    Cell("thousand", 1000, 64, 1, False),
    Cell("thousand-idle", 1000, 64, 1, True),
    Cell("ten-thousand", 10000, 64, 1, False),
    Cell("deep", 50, 64, 16, False),
    Cell("deep-1k", 50, 1024, 16, False),
    Cell("block", 50, 16384, 1, False),
    Cell("stream", 50, 262144, 1, False),
]
CONNECTS = Cell("connects", 50, 64, 0, False)
BENCH = [*NAMED, CONNECTS]  # those of `make bench`
QUICK = ("fifty", "fifty-idle")


def full():
    """The whole matrix, but for what is in flight beyond IN_FLIGHT_MAX."""
    return [Cell(f"{connections}x{size}x{depth}{'-idle' if idle else ''}",
                 connections, size, depth, idle)
            for connections in (1, 50, 1000, 10000)
            for size in (64, 1024, 16384, 262144)
            for depth in (1, 16)
            for idle in (False, True)
            if connections * size * depth <= IN_FLIGHT_MAX] + [CONNECTS]


def is_stream(size, depth):
    """Whether a connection has more in flight than one read takes."""
    return size * depth > READ


def said(cell):
    """What a cell of the results is, in the words of the report's tables."""
    size = f"{cell['size'] >> 10} KiB" if cell["size"] >= 1024 else f"{cell['size']} B"
    deep = f" × {cell['depth']}" if cell["depth"] > 1 else ""
    return f"{cell['connections']:,} × {size}{deep}{', idle limit' if cell['idle'] else ''}"


def chosen(text):
    """The cells that an argument names: "bench", "quick", "full", names, or one as 50x64x1,
    50x64x1-idle.  A name that is none raises ValueError."""
    if text == "full":
        return full()
    if text == "bench":
        return BENCH
    names = {cell.name: cell for cell in BENCH}
    return [names[name] if name in names else parsed(name)
            for name in (QUICK if text == "quick" else text.split(","))]


def parsed(name):
    numbers = name.removesuffix("-idle").split("x")
    if len(numbers) != 3 or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ValueError(name)
    return Cell(name, *map(int, numbers), name.endswith("-idle"))
