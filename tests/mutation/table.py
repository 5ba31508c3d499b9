# SPDX-License-Identifier: MIT
#
# table.py -- reads tests/mutation/mutants, plants a mutant in a tree, and writes the table of
# doc/TESTING.md.
import pathlib
import re

import suite

BEGIN, END = "<!-- mutants -->\n", "<!-- /mutants -->\n"
FIELDS = ("file", "does", "breaks", "caught")


class TableError(Exception):
    """The table is wrong, or does not fit the sources any more."""


class Mutant:
    """A known bug: lines of a file, and the others that stand there instead."""

    def __init__(self, name):
        self.name = name
        self.file = self.does = ""
        self.breaks = []  # "contract 1", "trap 8"; "nothing" alone is a control, which must survive
        self.caught = []  # (program, row or ""), those most likely to catch it
        self.old, self.new = [], []

    def is_control(self):
        return self.breaks == ["nothing"]

    def is_for(self, how):
        """Whether all that may catch it runs that way: "windows" for one."""
        return all(program.startswith(f"{how}:") for program, _ in self.caught)

    def take(self, key, value):
        """One field of the table.  `does` goes on in a line of its own."""
        if key == "breaks":
            self.breaks = [point.strip() for point in value.split(",")]
        elif key == "caught":
            program, _, row = value.partition(" ")
            self.caught.append((program, row.strip()))
        elif key == "does":
            self.does = f"{self.does} {value}".strip()
        else:
            self.file = value

    def plant(self, root):
        """Replaces the lines, which must stand there once and no more.  Answers the new text."""
        path = pathlib.Path(root) / self.file
        if not path.is_file():
            raise TableError(f"{self.name}: there is no file {self.file}")
        lines = path.read_text(encoding="utf-8").split("\n")
        size = len(self.old)
        places = [at for at in range(len(lines) - size + 1) if lines[at:at + size] == self.old]
        if len(places) != 1:
            stand = f"stand {len(places)} times" if places else "do not stand"
            raise TableError(f"{self.name}: its lines {stand} in {self.file}")
        lines[places[0]:places[0] + size] = self.new
        return "\n".join(lines)


def check(mutant, points):
    """A mutant says all that it must, of points that there are."""
    for field in FIELDS:
        if not getattr(mutant, field):
            raise TableError(f"{mutant.name}: no line `{field}`")
    if not mutant.old or mutant.old == mutant.new:
        raise TableError(f"{mutant.name}: it changes nothing")
    for program, _ in mutant.caught:
        if program.startswith("unit/"):
            raise TableError(f"{mutant.name}: {program} shows nothing that a user would see")
    for point in mutant.breaks:
        if point not in points and not mutant.is_control():
            raise TableError(f"{mutant.name}: there is no point {point}")


def read(path):
    """The mutants, and the points: "contract 1" to what holds."""
    mutants, points, current = [], {}, None
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("#") or not line:
            continue
        if point := re.match(r"((contract|trap) (\d+)): (.*)$", line):
            if int(point[3]) != sum(name.startswith(point[2]) for name in points) + 1:
                raise TableError(f"{point[1]} is out of its order")
            points[point[1]] = point[4]
        elif name := re.match(r"mutant (\w+)$", line):
            current = Mutant(name[1])
            mutants.append(current)
        elif current and (field := re.match(rf"  ({'|'.join(FIELDS)}) +(.*)$", line)):
            current.take(field[1], field[2])
        elif current and line[0] in "-+":
            (current.old if line[0] == "-" else current.new).append(line[1:])
        else:
            raise TableError(f"{path}:{number}: what is that?")
    names = [mutant.name for mutant in mutants]
    for mutant in mutants:
        check(mutant, points)
        if names.count(mutant.name) > 1:
            raise TableError(f"{mutant.name} stands there twice")
    return mutants, points


def missing_rows(mutant, root):
    """The rows that it names and that no test program has, by their text."""
    for program, row in mutant.caught:
        path = pathlib.Path(root) / suite.source_of(program)
        name = row.split(" ")[0]
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or "/" not in program:
            continue  # the whole program, so many seeds, or another kind of row
        if not path.is_file() or f"({name})" not in path.read_text(encoding="utf-8"):
            yield f"{program} {name}"


def unbroken(mutants, points):
    """The points that no mutant breaks."""
    broken = {point for mutant in mutants for point in mutant.breaks}
    return [point for point in points if point not in broken]


def row_of(mutant, how):
    return (f"| `{mutant.name}` | `{mutant.file}` | {mutant.does} | "
            f"{', '.join(mutant.breaks)} | {how} |")


def legend(points):
    lines = ["", "| point | what holds |", "|---|---|"]
    return lines + [f"| {name} | {what} |" for name, what in points.items()]


def section(mutants, points, caught):
    """The part of the page between the marks; `caught` is name to how."""
    lines = ["", "| mutant | file | what goes wrong | breaks | caught by |"]
    lines += ["|---|---|---|---|---|"]
    lines += [row_of(mutant, caught[mutant.name]) for mutant in mutants]
    return "\n".join(lines + legend(points)) + "\n\n"


def write(page, mutants, points, caught):
    page = pathlib.Path(page)
    before, rest = page.read_text(encoding="utf-8").split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(before + BEGIN + section(mutants, points, caught) + END + after,
                    encoding="utf-8")


def written(page):
    """What the page says: name to how it was caught."""
    text = pathlib.Path(page).read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise TableError(f"{page} has no place for the mutants")
    inside = text.split(BEGIN, 1)[1].split(END, 1)[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", inside, re.M)
    return dict(rows)
