# SPDX-License-Identifier: MIT
"""What a guest's console says, turned into the rows of this machine's TAP.

Every row of every program becomes one row.  A guest that does not run to its end, a program that
ends otherwise than its rows say, a row that was asked for and never came, a feature of the kernel
that was not found: each is a failed row.
"""
import collections
import re

RESULT = re.compile(r"(not )?ok \d+ - (.*?)(?: # SKIP (.*))?$")
PLAN = re.compile(r"1\.\.(\d+)$")
ON_BACKEND = re.compile(r" \[(\w+)\]$")  # how a row that runs on every backend is named
NO_BACKEND = "none"  # in its place, for all other rows
VERDICTS = ("passed", "skipped", "failed")
FEATURES = "features"  # the program whose words are kept
LAST_WORDS = 40  # lines shown of what stands before a failure


# features: lines of what `features` said there; counts: {(backend, verdict): rows}.
Seen = collections.namedtuple("Seen", "features counts")


class Tap:
    """Results of this program itself."""

    def __init__(self):
        self.count = self.failed = 0

    def row(self, passed, name, skip=None, why=()):
        self.count += 1
        self.failed += not passed
        for line in why:
            print("#", line.lstrip("# "))
        print(f"{'ok' if passed else 'not ok'} {self.count} - {name}"
              + (f" # SKIP {skip}" if skip is not None else ""), flush=True)

    def end(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed else 0


class Program:
    """What one program in the guest prints, understood."""

    def __init__(self, name, where, tap, rows, counts):
        self.name, self.where, self.tap, self.counts = name, where, tap, counts
        self.missing = set(rows)  # that were asked for and have not come yet
        self.planned, self.ran, self.failed, self.spoken = None, 0, 0, []

    def take(self, line):
        result, plan = RESULT.match(line), PLAN.match(line)
        if result:
            self.ran += 1
            self.failed += result[1] is not None
            self.missing -= {result[2], result[2].split(" [")[0]}
            self.counts[backend_and_verdict(result)] += 1
            self.tap.row(not result[1], f"{self.name}: {result[2]} on {self.where}", result[3],
                         self.spoken[-LAST_WORDS:] if result[1] else ())
            self.spoken = []
        elif plan:
            self.planned = int(plan[1])
        elif line:
            self.spoken.append(line)

    def end(self, status):
        """A program that ends otherwise than its rows say is a row that failed."""
        faults = []
        if self.planned != self.ran:
            faults.append(f"{self.ran} rows of {self.planned}")
        if status != (1 if self.failed else 0):
            faults.append(f"exit status {status}")
        if self.missing:
            faults.append("there are no such rows: " + ", ".join(sorted(self.missing)))
        if faults:
            self.counts[NO_BACKEND, "failed"] += 1
            self.tap.row(False, f"{self.name} ends well on {self.where}",
                         why=self.spoken[-LAST_WORDS:] + faults)


def backend_and_verdict(result):
    """A skip is no pass."""
    backend = ON_BACKEND.search(result[2])
    verdict = "failed" if result[1] else "passed" if result[3] is None else "skipped"
    return backend[1] if backend else NO_BACKEND, verdict


def follow(lines, where, tap, programs):
    """Follows a guest's console to its end; answers what was Seen there."""
    program, features, ended, last = None, [], False, []
    counts = collections.Counter()
    waiting = dict(programs)
    for line in lines:
        last = [*last[-LAST_WORDS:], line]
        words = line.split(" ", 3) if line.startswith("@ ") else ["", ""]
        if words[1] == "begin":
            program = Program(words[2], where, tap, waiting.pop(words[2], ()), counts)
        elif words[1] == "end" and program is not None:
            status = int(words[3].split()[0])
            if program.name == FEATURES and status == 0:
                features = program.spoken
            else:
                program.end(status)
            program = None
        elif words[1] == "again":
            print("# the kernel died before it came up, and is booted once more")
        elif words[1] == "done":
            ended = True
        elif words[1] == "failed":
            tap.row(False, f"the guest is made ready: {line[9:]} on {where}")
        elif program is not None and not words[1]:
            program.take(line)
    tap.row(ended, f"the guest runs to its end on {where}", why=() if ended else last)
    counts[NO_BACKEND, "failed"] += not ended
    for name in waiting if ended else ():
        counts[NO_BACKEND, "failed"] += 1
        tap.row(False, f"{name}: is begun on {where}")
    return Seen(features, counts)


def read_features(lines):
    """{name: (yes or no, what it is for)} of what `features` prints."""
    words = [line.split("\t") for line in lines]
    return {name: (answer, what) for name, answer, what in (w for w in words if len(w) == 3)}


def compare(features, has, where, tap):
    """Backends and features are those that this kernel has: rows on one that is not found are
    skipped, and nobody would see."""
    found = {name for name, (answer, _) in read_features(features).items() if answer == "yes"}
    why = [f"{name}: {where} has it, and it was not found" for name in sorted(has - found)]
    why += [f"{name}: found, and packages.py says that {where} has it not"
            for name in sorted(found - has)]
    tap.row(not why, f"what is found is what there is on {where}", why=why)


def rows_text(counts):
    """A line for each backend, as table.py reads it: its name, and how many of each verdict."""
    backends = sorted({backend for backend, _ in counts})
    return "".join("\t".join([backend, *(str(counts[backend, v]) for v in VERDICTS)]) + "\n"
                   for backend in backends)
