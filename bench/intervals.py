# SPDX-License-Identifier: MIT
#
# How sure a median of few rounds is: the interval that the bootstrap gives it, and what that
# decides.
#
# As many rounds as there were are drawn of them, with repetition, RESAMPLES times, and each time
# their median is taken; the middle 95 % of these medians are the interval.  The draw is the same
# every time, so that the same rounds make the same page.  A bound inside of the interval is neither
# kept nor missed: the data do not decide.

import functools
import random
import statistics
from collections import namedtuple

RESAMPLES = 2000
LEVEL = 0.95
SEED = 1

MET, MISSED, OPEN = "met", "missed", "not decided"


class Median(namedtuple("Median", "median low high")):
    """With its interval."""

    def text(self, form=".3f"):
        return f"{self.median:{form}} ({self.low:{form}} to {self.high:{form}})"


@functools.lru_cache(maxsize=None)
def middles(count):
    """Which of `count` sorted figures are in the middle of each resample: one, twice, or two."""
    source, found = random.Random(SEED), []
    for _ in range(RESAMPLES):
        drawn = sorted(source.choices(range(count), k=count))
        found.append((drawn[(count - 1) // 2], drawn[count // 2]))
    return found


def of(figures):
    """The median of what the rounds measured, with its interval."""
    ordered = sorted(figures)
    medians = sorted((ordered[a] + ordered[b]) / 2 for a, b in middles(len(ordered)))
    beyond = round(RESAMPLES * (1 - LEVEL) / 2)
    return Median(statistics.median(ordered), medians[beyond], medians[-1 - beyond])


def of_ratios(mine, other):
    """The median of the ratios of two contenders, each taken within a round."""
    return of([a / b for a, b in zip(mine, other, strict=True)])


def at_least(measured, bound):
    if measured.low >= bound:
        return MET
    return MISSED if measured.high < bound else OPEN


def at_most(measured, bound):
    if measured.high <= bound:
        return MET
    return MISSED if measured.low > bound else OPEN


def all_of(verdicts):
    """Of several that must all hold."""
    return next((verdict for verdict in (MISSED, OPEN) if verdict in verdicts), MET)
