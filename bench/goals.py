# SPDX-License-Identifier: MIT
#
# What the library must reach: each goal, how the figure for it is taken from what was measured, and
# whether it is met.  A judge answers a text and a verdict, which is None where there is no figure
# to hold a goal against; it is only called when everything it needs has been measured.

import statistics
from collections import namedtuple

Goal = namedtuple("Goal", "key measure goal needs judge")

INSTRUCTIONS_MAX = 190
CALLS_MORE_MAX = 0.05
RATIO_MIN = 0.98
AGAINST_PEERS_MIN = 1.05
TIMER_BYTES_MAX = 24
CALLBACK_BYTES = 16  # a function and its argument, which the goal leaves out
MEMORY_MAX = 128
WAKE_MAX, POST_NS_MAX, QUEUE_MAX = 1.2, 25, 1.1
STRIPPED_MAX, START_MS_MAX = 150 << 10, 5
CROWD = 100000
LIBRARIES = ("libuv", "libevent", "libevent bufferevent", "libev", "Boost.Asio")
OURS = ("vigil epoll", "vigil io_uring")
SAME_AGAIN = "raw epoll again"


def of_cell(cell):
    return {row["contender"]: row for row in cell["results"]}


def cells(data, *names):
    """The cells measured, or those of these names."""
    return [cell for cell in data["echo"]["cells"] if not names or cell["name"] in names]


def noise(rows):
    """How far from 1 the same program was, entered twice."""
    return abs(rows[SAME_AGAIN]["ratio"] - 1) if SAME_AGAIN in rows else 0


def in_round(mine, other):
    """The median of the ratios of two contenders, each taken within a round."""
    return statistics.median(a / b for a, b in zip(mine["rounds"], other["rounds"]))


def every(judged):
    """Several figures as one text, and whether all of them hold."""
    if not judged:
        return "not in this run", None
    return ", ".join(text for text, _ in judged), all(met for _, met in judged)


def judge_instructions(data):
    """Few enough, and with an idle limit fewer than any library takes without one."""
    counted = data["counts"]["results"]
    ours = counted["vigil epoll"]["idle limits"]["instructions"]
    peers = {name: counted[name]["no limits"]["instructions"] for name in LIBRARIES
             if name in counted}
    best = min(peers, key=peers.get, default=None)
    beside = f"; the best library without limits, {best}: {peers[best]:,.0f}" if best else ""
    return (f"{ours:,.0f}{beside}",
            ours <= INSTRUCTIONS_MAX and (best is None or ours < peers[best]))


def judge_calls(data):
    counted, judged = data["counts"]["results"], []
    for mine, raw in (("vigil epoll", "raw epoll"), ("vigil io_uring", "raw io_uring")):
        if mine in counted and raw in counted:
            ours, theirs = (counted[name]["idle limits"]["system_calls"] for name in (mine, raw))
            judged.append((f"{mine} {ours:.3f}, {raw} {theirs:.3f}",
                           ours <= theirs + CALLS_MORE_MAX + 1e-9))
    return every(judged)


def judge_every_cell(data):
    judged = []
    for cell in cells(data):
        rows = of_cell(cell)
        if "vigil epoll" in rows:
            ratio, least = rows["vigil epoll"]["ratio"], RATIO_MIN - noise(rows)
            judged.append((ratio - least, cell["name"], ratio, least))
    if not judged:
        return "not in this run", None
    _, name, ratio, least = min(judged)
    below = sum(margin < 0 for margin, *_ in judged)
    return (f"worst cell {name}: {ratio:.3f}, at least {least:.3f} with its noise; "
            f"{below} of {len(judged)} cells are below", below == 0)


def judge_uring(data):
    judged = []
    for cell in cells(data, "fifty", "thousand"):
        rows = of_cell(cell)
        if "raw io_uring" in rows and "vigil io_uring" in rows:
            ratio = in_round(rows["vigil io_uring"], rows["raw io_uring"])
            itself = rows["raw io_uring"]["ratio"]
            judged.append((f"{cell['name']} {ratio:.3f} (raw io_uring is {itself:.3f} of raw "
                           "epoll)", ratio >= RATIO_MIN))
    return every(judged)


def judge_stream(data):
    return every([(f"{row['ratio']:.3f}", row["ratio"] >= 1)
                  for cell in cells(data, "stream") for name, row in of_cell(cell).items()
                  if name == "vigil io_uring"])


def judge_peers(data):
    """Of the backend that a loop takes by itself; the other one is told beside it."""
    judged = []
    for cell in cells(data, "fifty-idle", "thousand-idle"):
        rows = of_cell(cell)
        peers = [rows[name] for name in LIBRARIES if name in rows]
        if peers and all(name in rows for name in OURS):
            best = max(peers, key=lambda row: row["messages_per_cpu_second"])
            epoll, uring = (in_round(rows[name], best) for name in OURS)
            judged.append((f"{cell['name']}: io_uring {uring:.3f}, epoll {epoll:.3f} of "
                           f"{best['contender']}", uring >= AGAINST_PEERS_MIN))
    return every(judged)


def judge_timers(data):
    vigil = data["timers"]["results"]["vigil"]
    ratio, handle = vigil["sum"]["ratio"], vigil["handle"]["median"]
    each = vigil["bytes"]["median"] - handle - CALLBACK_BYTES
    return every([(f"{ratio:.2f}", ratio <= 1),
                  (f"{each:.1f} bytes, and {handle:.0f} of the program's own handle",
                   each <= TIMER_BYTES_MAX)])


def judge_activity(data):
    more = (data["instructions"]["echo, idle timeout, epoll"]["instructions"] -
            data["instructions"]["echo, no timeouts, epoll"]["instructions"])
    return f"{more:.1f} instructions more per message", None


def judge_memory(data):
    figures = data["memory"]["results"]
    return every([(f"{name.removeprefix('vigil ')} {figures[name][when]:,.0f} {when}",
                   figures[name][when] <= MEMORY_MAX)
                  for name in OURS if name in figures for when in ("idle", "used")])


def judge_wakes(data):
    ratio = data["wakes"]["results"]["vigil"]["round-trip"]["ratio"]
    return f"{ratio:.3f}", ratio <= WAKE_MAX


def judge_posts(data):
    vigil = data["wakes"]["results"]["vigil"]
    own, ratio = vigil["post"]["median"], vigil["post-other"]["ratio"]
    return every([(f"{own:.1f} ns", own <= POST_NS_MAX),
                  (f"{ratio:.2f} of the queue", ratio <= QUEUE_MAX)])


def judge_idle_turn(data):
    counted = data["counts"]["turns"]["vigil epoll"]
    few, many = min(counted, key=int), max(counted, key=int)
    return (f"vigil epoll {counted[few]:,.0f} instructions with {int(few):,}, "
            f"{counted[many]:,.0f} with {int(many):,}", counted[many] == counted[few])


def judge_crowd(data):
    crowd = data["crowd"]
    judged = [(f"{name.removeprefix('vigil ')}: {figures['open']:,} on {figures['servers']} "
               f"servers, {figures['idle']:,.0f} bytes each idle, {figures['used']:,.0f} used",
               figures["open"] >= CROWD and max(figures["idle"], figures["used"]) <= MEMORY_MAX)
              for name, figures in crowd["results"].items() if name in OURS]
    judged += [(f"{name} failed: {reason}", False) for name, reason in crowd["failed"].items()
               if name in OURS]
    return every(judged)


def judge_library(data):
    library = data["library"]
    size = library["stripped"]
    return (f"{size / 1024:.0f} KiB, {library['relocated at start']} words relocated, "
            f"{library['called elsewhere']} functions of the C library", size <= STRIPPED_MAX)


def judge_start(data):
    took = data["start"]["results"]["vigil serve"]["echo"]["median"] / 1e6
    return f"{took:.2f} ms", took <= START_MS_MAX


GOALS = (
    Goal("instructions", "user-space instructions per 64-byte echo: vigil on epoll, bounded queue, "
         "idle timeout, counters", f"at most {INSTRUCTIONS_MAX}, and fewer than any peer library's "
         "even without a timeout", ("counts",), judge_instructions),
    Goal("calls", "system calls per message at 50 connections",
         f"at most {CALLS_MORE_MAX} more than the raw server's, on epoll and on io_uring",
         ("counts",), judge_calls),
    Goal("cpu", "messages per server-CPU-second, vigil epoll against raw epoll",
         f"at least {RATIO_MIN}, less the noise of the same program, in every cell", ("echo",),
         judge_every_cell),
    Goal("uring", "vigil io_uring against raw io_uring, 50 and 1,000 connections",
         f"at least {RATIO_MIN}", ("echo",), judge_uring),
    Goal("stream", "vigil io_uring against raw epoll, streams of 256 KiB", "at least 1.0",
         ("echo",), judge_stream),
    Goal("peers", "with idle timeouts, against the best peer library",
         f"at least {AGAINST_PEERS_MIN}, on the backend that a loop takes by itself", ("echo",),
         judge_peers),
    Goal("timers", "a million timers, the sum of five operations against the array heap; memory, "
         "without callback and argument", f"at most 1.0; at most {TIMER_BYTES_MAX} bytes each",
         ("timers",), judge_timers),
    Goal("activity", "what an idle timeout adds to a message", "one store", ("instructions",),
         judge_activity),
    Goal("memory", "user memory per connection, idle and after use, everything included",
         f"at most {MEMORY_MAX} bytes, also on io_uring", ("memory",), judge_memory),
    Goal("wakes", "round trip of a wake-up on one processor, against eventfd",
         f"at most {WAKE_MAX}", ("wakes",), judge_wakes),
    Goal("posts", "a flood of posts: by the loop's own thread; by another, against a bare "
         "compare-and-swap queue", f"at most {POST_NS_MAX} ns; at most {QUEUE_MAX}", ("wakes",),
         judge_posts),
    Goal("turn", "a turn with nothing due and 10,000 idle connections", "no cost per connection",
         ("counts",), judge_idle_turn),
    Goal("crowd", f"{CROWD:,} connections over several processes, from several addresses",
         f"opened, echoed, closed; at most {MEMORY_MAX} bytes each", ("crowd",), judge_crowd),
    Goal("library", "libvigil.so, stripped; relocations at start",
         f"at most {STRIPPED_MAX >> 10} KiB; few", ("library",), judge_library),
    Goal("start", "from the start of vigil serve to its first echo", f"at most {START_MS_MAX} ms",
         ("start",), judge_start),
)
