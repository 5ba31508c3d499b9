# SPDX-License-Identifier: MIT
#
# What the library must reach: each goal, how the figure for it is taken from what was measured, and
# whether it is met.  A judge answers a text and a verdict: met or missed, not decided where the
# bound lies within what the rounds leave open, or None where there is no figure to hold a goal
# against.  It is only called when everything it needs has been measured.

from collections import namedtuple

import intervals
from cells import CONNECTS, NAMED, said
from intervals import MET, MISSED, OPEN, all_of, at_least, at_most

Goal = namedtuple("Goal", "key measure goal needs judge")

BY_MEDIANS = "by the medians"  # every cell keeps its rule, and not every interval does
INSTRUCTIONS_MAX = 190
CALLS_MORE_MAX = 0.05
RATIO_MIN = 0.98
AGAINST_PEERS_MIN = 1.05
TIMER_BYTES_MAX = 24
CALLBACK_BYTES = 16  # a function and its argument, which the goal leaves out
MEMORY_MAX, MEMORY_AT = 128, 10000
WAKE_MAX, POST_NS_MAX, QUEUE_MAX = 1.2, 25, 1.1
STRIPPED_MAX, START_MS_MAX = 150 << 10, 5
CROWD = 100000
LIBRARIES = ("libuv", "libevent", "libevent bufferevent", "libev", "Boost.Asio")
RAW = ("raw epoll", "raw io_uring")
OURS = ("vigil epoll", "vigil io_uring")
SAME_AGAIN = "raw epoll again"


def of_cell(cell):
    return {row["contender"]: row for row in cell["results"]}


def cells_of(data, *names):
    """The cells measured of these names."""
    return [cell for cell in data["echo"]["cells"] if cell["name"] in names]


def in_round(mine, other):
    """The median of the ratios of two contenders, each taken within a round."""
    return intervals.of_ratios(mine["rounds"], other["rounds"])


def every(judged):
    """Several figures as one text, and whether all of them hold."""
    if not judged:
        return "not in this run", None
    return ", ".join(text for text, _ in judged), all_of([verdict for _, verdict in judged])


def kept(holds):
    """The verdict on what is counted, which no rounds leave open."""
    return MET if holds else MISSED


def judge_instructions(data):
    """Few enough, and with an idle limit fewer than any library takes without one."""
    counted = data["counts"]["results"]
    ours = counted["vigil epoll"]["idle limits"]["instructions"]
    peers = {name: counted[name]["no limits"]["instructions"] for name in LIBRARIES
             if name in counted}
    best = min(peers, key=peers.get, default=None)
    beside = f"; the best library without limits, {best}: {peers[best]:,.0f}" if best else ""
    return (f"{ours:,.0f}{beside}",
            kept(ours <= INSTRUCTIONS_MAX and (best is None or ours < peers[best])))


def judge_calls(data):
    counted, judged = data["counts"]["results"], []
    for mine, raw in zip(OURS, RAW):
        if mine in counted and raw in counted:
            ours, theirs = (counted[name]["idle limits"]["system_calls"] for name in (mine, raw))
            judged.append((f"{mine} {ours:.3f}, {raw} {theirs:.3f}",
                           kept(ours <= theirs + CALLS_MORE_MAX + 1e-9)))
    return every(judged)


CellJudged = namedtuple("CellJudged", "name ratio twin least by_rule verdict")


def judge_cell(name, ratio, twin):
    """One cell of the goal on every cell.  Its rule is about medians: at least RATIO_MIN less the
    noise, which is how far from 1 the same program was, entered twice.  The data decide it where
    the interval of the ratio is above the bound with the least noise that the twin's leaves open,
    or below it with the most."""
    noise = abs(twin.median - 1)
    noise_least = max(0, twin.low - 1, 1 - twin.high)
    noise_most = max(abs(twin.low - 1), abs(twin.high - 1))
    verdict = OPEN
    if ratio.low >= RATIO_MIN - noise_least:
        verdict = MET
    elif ratio.high < RATIO_MIN - noise_most:
        verdict = MISSED
    least = RATIO_MIN - noise
    return CellJudged(name, ratio, twin, least, ratio.median >= least, verdict)


def judged_cells(data, named=NAMED):
    """Cells, each by the goal on every cell."""
    judged = []
    for cell in cells_of(data, *(one.name for one in named)):
        rows = of_cell(cell)
        if "vigil epoll" in rows and SAME_AGAIN in rows:
            judged.append(judge_cell(said(cell), in_round(rows["vigil epoll"], rows["raw epoll"]),
                                     in_round(rows[SAME_AGAIN], rows["raw epoll"])))
    return judged


def failed_cells(data, named=NAMED):
    return [f"vigil epoll failed with {said(cell)}: {cell['failed']['vigil epoll']}"
            for cell in cells_of(data, *(one.name for one in named))
            if "vigil epoll" in cell["failed"]]


def judge_every_cell(data):
    """Missed where the data say so of a cell; else the rule decides, on medians, and it is told of
    how many cells the data decide."""
    judged = judged_cells(data)
    if failed := failed_cells(data):
        return "; ".join(failed), MISSED
    if not judged:
        return "not in this run", None
    worst = min(judged, key=lambda cell: cell.ratio.median - cell.least)
    verdicts = [cell.verdict for cell in judged]
    undecided = [cell for cell in judged if cell.verdict == OPEN]
    below = sum(not cell.by_rule for cell in undecided)
    verdict = all_of(verdicts)
    if verdict == OPEN and not below:
        verdict = BY_MEDIANS
    return (f"of {len(judged)} cells the rounds decide {len(judged) - len(undecided)}: "
            f"{verdicts.count(MET)} met, {verdicts.count(MISSED)} missed; of the others "
            f"{len(undecided) - below} keep it by their medians and {below} do not. Worst: "
            f"{worst.name}, {worst.ratio.text()}, its bound {worst.least:.3f}", verdict)


def judge_connects(data):
    if failed := failed_cells(data, [CONNECTS]):
        return "; ".join(failed), MISSED
    return every([(f"{cell.ratio.text()}, its bound {cell.least:.3f}", cell.verdict)
                  for cell in judged_cells(data, [CONNECTS])])


def judge_uring(data):
    judged = []
    for cell in cells_of(data, "fifty", "thousand"):
        rows = of_cell(cell)
        if all(name in rows for name in ("raw io_uring", "vigil io_uring")):
            ratio = in_round(rows["vigil io_uring"], rows["raw io_uring"])
            itself = in_round(rows["raw io_uring"], rows["raw epoll"])
            judged.append((f"{said(cell)}: {ratio.text()} (raw io_uring is {itself.median:.3f} of "
                           "raw epoll)", at_least(ratio, RATIO_MIN)))
    return every(judged)


def judge_stream(data):
    judged = []
    for rows in map(of_cell, cells_of(data, "stream")):
        if "vigil io_uring" in rows:
            ratio = in_round(rows["vigil io_uring"], rows["raw epoll"])
            judged.append((ratio.text(), at_least(ratio, 1)))
    return every(judged)


def judge_peers(data):
    """Of the backend that a loop takes by itself; the other one is told beside it.  The best peer
    is the one beside which it looks worst."""
    judged = []
    for cell in cells_of(data, "fifty-idle", "thousand-idle"):
        rows = of_cell(cell)
        if not all(name in rows for name in OURS):
            continue
        beside = {name: [in_round(rows[mine], rows[name]) for mine in OURS]
                  for name in LIBRARIES if name in rows}
        if beside:
            best = min(beside, key=lambda name: beside[name][1].median)
            epoll, uring = beside[best]
            judged.append((f"{said(cell)}: io_uring {uring.text()}, epoll {epoll.text()} of {best}",
                           at_least(uring, AGAINST_PEERS_MIN)))
    return every(judged)


def step_of(data, suite, contender, step):
    """The median of a step."""
    return intervals.of(data[suite]["results"][contender][step]["rounds"])


def step_ratio(data, suite, contender, step):
    """The median of its ratios to the yardstick, which is the first of its suite."""
    results = data[suite]["results"]
    return intervals.of_ratios(results[contender][step]["rounds"],
                               next(iter(results.values()))[step]["rounds"])


def judge_timers(data):
    ratio = step_ratio(data, "timers", "vigil", "sum")
    handle = step_of(data, "timers", "vigil", "handle").median
    each = step_of(data, "timers", "vigil", "bytes").median - handle - CALLBACK_BYTES
    return every([(ratio.text(".2f"), at_most(ratio, 1)),
                  (f"{each:.1f} bytes, and {handle:.0f} of the program's own handle",
                   kept(each <= TIMER_BYTES_MAX))])


def judge_activity(data):
    cases = data["instructions"]["cases"]
    more = (cases["echo, idle timeout, epoll"]["instructions"] -
            cases["echo, no timeouts, epoll"]["instructions"])
    return f"{more:.1f} instructions more per message", None


def judge_memory(data):
    """At as many connections as the goal is about; with fewer, what a table has room for beyond
    them is shared out among fewer."""
    results = {name: sizes for name, sizes in data["memory"]["results"].items() if name in OURS}
    text, verdict = every([(f"{name.removeprefix('vigil ')} {figures[when]:,.0f} {when}",
                            kept(figures[when] <= MEMORY_MAX))
                           for name, sizes in results.items()
                           for figures in [sizes[str(MEMORY_AT)]] for when in ("idle", "used")])
    most, count = max((max(figures["idle"], figures["used"]), int(count))
                      for sizes in results.values() for count, figures in sizes.items())
    return text + (f"; up to {most:,.0f} with {count:,}" if count != MEMORY_AT else ""), verdict


def judge_wakes(data):
    ratio = step_ratio(data, "wakes", "vigil", "round-trip")
    return ratio.text(), at_most(ratio, WAKE_MAX)


def judge_posts(data):
    own = step_of(data, "wakes", "vigil", "post")
    ratio = step_ratio(data, "wakes", "vigil", "post-other")
    text, verdict = every([(f"{own.text('.1f')} ns", at_most(own, POST_NS_MAX)),
                           (f"{ratio.text('.2f')} of the queue", at_most(ratio, QUEUE_MAX))])
    if "post-across" in data["wakes"]["results"]["vigil"]:
        across = step_ratio(data, "wakes", "vigil", "post-across")
        text += f"; from another processor, which is not judged, {across.text('.2f')}"
    return text, verdict


def judge_idle_turn(data):
    counted = data["counts"]["turns"]["vigil epoll"]
    few, many = min(counted, key=int), max(counted, key=int)
    return (f"vigil epoll {counted[few]:,.0f} instructions with {int(few):,}, "
            f"{counted[many]:,.0f} with {int(many):,}", kept(counted[many] == counted[few]))


def judge_crowd(data):
    crowd = data["crowd"]
    judged = [(f"{name.removeprefix('vigil ')}: {figures['open']:,} on {figures['servers']} "
               f"servers, {figures['idle']:,.0f} bytes each idle, {figures['used']:,.0f} used",
               kept(figures["open"] >= CROWD and
                    max(figures["idle"], figures["used"]) <= MEMORY_MAX))
              for name, figures in crowd["results"].items() if name in OURS]
    judged += [(f"{name} failed: {reason}", MISSED) for name, reason in crowd["failed"].items()
               if name in OURS]
    return every(judged)


def judge_library(data):
    library = data["library"]
    size = library["stripped"]
    return (f"{size / 1024:.0f} KiB, {library['relocated at start']} words relocated, "
            f"{library['called elsewhere']} functions of the C library",
            kept(size <= STRIPPED_MAX))


def judge_start(data):
    took = intervals.of([echo / 1e6 for echo in
                         data["start"]["results"]["vigil serve"]["echo"]["rounds"]])
    return f"{took.text('.2f')} ms", at_most(took, START_MS_MAX)


GOALS = (
    Goal("instructions", "user-space instructions per 64-byte echo: vigil on epoll, bounded queue, "
         "idle timeout, counters", f"at most {INSTRUCTIONS_MAX}, and fewer than any peer library's "
         "even without a timeout", ("counts",), judge_instructions),
    Goal("calls", "system calls per message at 50 connections",
         f"at most {CALLS_MORE_MAX} more than the raw server's, on epoll and on io_uring",
         ("counts",), judge_calls),
    Goal("cpu", "messages per server-CPU-second, vigil epoll against raw epoll",
         f"at least {RATIO_MIN}, less the noise of the same program, in each of the ten cells of "
         "`make bench`", ("echo",), judge_every_cell),
    Goal("connects", "connections served per server-CPU-second, vigil epoll against raw epoll",
         f"the same: at least {RATIO_MIN}, less the noise", ("echo",), judge_connects),
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
         f"at most {MEMORY_MAX} bytes with {MEMORY_AT:,}, on epoll and on io_uring", ("memory",),
         judge_memory),
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
