# SPDX-License-Identifier: MIT
#
# tree.py -- what the check-* scripts share: the files of the tree, C without its comments and
# texts, and the way to tell a fault: "file:line: what is wrong", exit status 1.
import pathlib
import re
import sys

CODE = ("src", "include", "tool", "examples", "bench")
TOKENS = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


class Tree:
    """A source tree, this one or the one named by the first argument, and its faults."""

    def __init__(self):
        here = pathlib.Path(__file__).resolve().parent.parent
        self.root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
        self.faults = 0

    def files(self, *folders, suffixes=(".c", ".h")):
        """The files below the folders, as (path from the root, content)."""
        for folder in folders:
            for path in sorted((self.root / folder).rglob("*")):
                if path.suffix in suffixes and path.is_file():
                    yield path.relative_to(self.root), path.read_text(encoding="utf-8")

    def fault(self, path, line, what):
        print(f"{path}:{line}: {what}")
        self.faults += 1

    def end(self):
        sys.exit(1 if self.faults else 0)


def blanked(text):
    """C with the insides of comments and texts made blanks; lines and columns stay."""
    return TOKENS.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
