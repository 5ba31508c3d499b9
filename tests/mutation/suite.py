# SPDX-License-Identifier: MIT
#
# suite.py -- a copy of the sources with what is built of them, and the programs that may catch a
# mutant: how each is built and run there, and what its output says.
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

LEFT_OUT = (".git", "build", "doc")  # of the sources: nothing is built of these
FLAGS = ("CFLAGS=-O1", "WERROR=", "LDFLAGS=")  # quick to build, and no warning stops it
ON_THE_MODEL = ("MODEL=kevent", "CPPFLAGS=-DVIGIL_KQUEUE_MODEL -Itests/model/include")
LIBRARIES = ("build/libvigil.a", "build/libvigil_sim.a")
WINDOWS = ("-f", "windows.mk")
BUILD_S = 600
PROGRAM_S = 600   # for all that a program prints
ROW_S = 40        # for each of its lines
ROW_MIN_S = 10    # where it is known how long the row takes: that many times over, but no less
ROW_TIMES = 10
GRACE_S = 3       # to say which row it was that took too long
# Worlds, where no other number is named; and one of so many calls is made to fail.
SEEDS = {"sim/sim": 3000, "model/worlds/sim": 1500, "model/worlds/echo": 1500}
FAIL_STEP = {"fault": "16", "virtual": "64"}
WINE = "/usr/lib/wine/wine64"

RESULT = re.compile(r"(not )?ok\b\s*\d*\s*-?\s*([^#]*?)\s*(#\s*SKIP\b.*)?(#.*)?$", re.I)
TOO_LONG = re.compile(r"Bail out! time limit of (.*)")
SEED = re.compile(r"seed (\d+) fails: ([^:]*)")  # they count from 1
ORDER = re.compile(r".*VIGIL_SEED=(\d+) \S+/tests/threads/")  # so do these
INJECTION = re.compile(r"# VIGIL_FAIL_ONLY='(\S+)'")


def number(count, what):
    return f"{count} {what}" if count == "1" else f"{count} {what}s"


class BuildError(Exception):
    """What was planted cannot be built."""


class Outcome:
    """What a program printed and how it ended, understood."""

    def __init__(self, program, row):
        self.program, self.row = program, row
        self.passed = self.skipped = 0
        self.failed = ""    # the first row that failed
        self.fault = ""     # why it is one, where it did not say "not ok"
        self.last = ""      # the row before
        self.missing = False  # there is no such row
        self.seeds = ""     # how many it took
        self.injection = ""  # what was made to fail
        self.seconds = 0.0

    def take(self, line):
        result = RESULT.match(line)
        if result and result[1]:
            self.failed = self.failed or result[2] or "a row"
        elif result:
            self.skipped += result[3] is not None
            self.passed += result[3] is None
            self.last = result[2]
        elif late := TOO_LONG.match(line):
            self.failed, self.fault = self.failed or late[1], self.fault or "time limit"
        elif "no such test" in line:
            self.missing = True
        elif seed := SEED.match(line):
            self.failed, self.seeds = self.failed or seed[2], self.seeds or number(seed[1], "seed")
        elif order := ORDER.match(line):
            self.seeds = self.seeds or number(order[1], "order")
        elif injection := INJECTION.match(line):
            self.injection = self.injection or injection[1]

    def end(self, status, expired):
        """Judges the program as a whole."""
        if self.missing or self.failed:
            return
        if expired:
            self.fault = "time limit"
        elif status < 0:
            self.fault = signal.Signals(-status).name
        elif status > 0:
            self.fault = f"exit status {status}"
        if self.fault:
            behind = f"behind {self.last}" if self.last else "at the beginning"
            self.failed = "a world" if self.program in SEEDS else self.row or behind

    def caught(self):
        return bool(self.failed)

    def only_skips(self):
        return self.passed == 0 and self.skipped > 0 and not self.failed

    def __str__(self):
        where = self.row.partition(" ")[2] if self.program in SEEDS else ""
        after = self.seeds or self.injection or self.fault
        return " ".join(filter(None, (f"`{self.program}`", self.failed, where,
                                      f"({after})" if after else "")))


class Tree:
    """A copy of the sources, and what was built in it."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.lock = threading.Lock()  # one make at a time
        self.built = set()

    def make(self, targets, jobs=1, variables=()):
        result = subprocess.run(["make", "-s", f"-j{jobs}", *FLAGS, *variables, *targets],
                                cwd=self.root, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=BUILD_S,
                                env=clean_environment(), check=False)
        if result.returncode != 0:
            raise BuildError("it cannot be built\n" + result.stdout.strip())

    def begin_wine(self):
        """Wine's prefix, which all share, and its server."""
        subprocess.run(["scripts/under-wine"], cwd=self.root, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=BUILD_S,
                       env=environment("windows:", "", self.root.parent), check=False)

    def build(self, program):
        """Builds what `program` needs, once."""
        with self.lock:
            if program in self.built:
                return
            variables, targets = needs(program)
            self.make(targets, variables=variables)
            self.built.add(program)

    def run(self, program, row, limit=ROW_S):
        """Runs a program, or one row of it, whose lines come no more than `limit` seconds apart."""
        self.build(program)
        if "/" not in program or "fault" in program:
            limit = PROGRAM_S  # its rows take as long as they take
        outcome, began = Outcome(program, row), time.monotonic()
        process = subprocess.Popen(command(program, row), cwd=self.root, text=True,
                                   errors="replace", stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True,
                                   env=environment(program, row, self.root.parent))
        watch = Watch(process, limit)
        for line in process.stdout:
            watch.heard()
            outcome.take(line.rstrip("\n"))
            if outcome.caught():
                kill_group(process.pid, signal.SIGKILL)  # one row is enough
        status = process.wait()
        watch.end()
        kill_group(process.pid, signal.SIGKILL)  # what it left running
        outcome.end(status, watch.expired)
        outcome.seconds = time.monotonic() - began
        return outcome


class Watch(threading.Thread):
    """Ends a program that says nothing for too long.  A row of tests/test.h that gets its alarm
    tells which one it is; after that, and for all others, there is SIGKILL."""

    def __init__(self, process, limit):
        super().__init__(daemon=True)
        self.process, self.limit = process, limit
        self.expired = False
        self.over = threading.Event()
        self.began = self.last = time.monotonic()
        self.start()

    def heard(self):
        self.last = time.monotonic()

    def end(self):
        self.over.set()
        self.join()

    def left(self):
        now = time.monotonic()
        return min(self.last + self.limit - now, self.began + PROGRAM_S - now)

    def run(self):
        while (left := self.left()) > 0:
            if self.over.wait(left):
                return
        self.expired = True
        try:
            os.kill(self.process.pid, signal.SIGALRM)
        except ProcessLookupError:
            pass
        if not self.over.wait(GRACE_S):
            kill_group(self.process.pid, signal.SIGKILL)


def kill_group(group, signo):
    try:
        os.killpg(group, signo)
    except (ProcessLookupError, PermissionError):
        pass


# ---- programs: "conform/x", "sim/sim", "virtual/x", "threads/x", "battery", "tool" and so on; in
# front may stand how: "kqueue:" on the model of kevent(), "fault:" with calls that fail, "windows:"

def split(program):
    """How it runs, if it is not as it is, and its name."""
    how, _, name = program.rpartition(":")
    return how, name


def directory(program):
    how, _ = split(program)
    return f"build/{how}" if how in ("kqueue", "windows") else "build"


def source_of(program):
    """The file that has its rows."""
    _, name = split(program)
    if name == "fault/fail_nth":
        return "tests/fault/scenarios.h"
    name = name.replace("virtual/regress/", "regress/").replace("virtual/", "conform/")
    return f"tests/{name}.c"


def not_here(program):
    """Why it cannot run on this machine, or nothing."""
    how, _ = split(program)
    if how == "windows":
        if shutil.which("x86_64-w64-mingw32-gcc") is None:
            return "mingw-w64 is not installed"
        if shutil.which("wine64") is None and not pathlib.Path(WINE).exists():
            return "Wine is not installed"
    return ""


def needs(program):
    """What make is told, and what it makes."""
    how, name = split(program)
    build = directory(program)
    if how == "windows":
        return (*WINDOWS, f"B={build}"), [f"{build}/tests/{name}.exe"]
    if "/" in name:
        targets = [f"{build}/tests/{name}"]
    elif name == "battery":
        targets = [f"{build}/vigil", f"{build}/examples/echo", f"{build}/tests/battery/bad_echo"]
    else:
        targets = ["all"]
    return (f"B={build}", *(ON_THE_MODEL if how == "kqueue" else ())), targets


def libraries(program):
    """What make is told to make the libraries that it needs."""
    variables, _ = needs(program)
    names = ("libvigil.a",) if split(program)[0] == "windows" else ("libvigil.a", "libvigil_sim.a")
    return variables, [f"{directory(program)}/{name}" for name in names]


def command(program, row):
    """Its command line, from the root of the tree."""
    how, name = split(program)
    build = directory(program)
    if name in SEEDS:
        return [f"{build}/tests/{name}", "--seeds", row.split(" ")[0] or str(SEEDS[name])]
    if how == "windows":
        return ["scripts/under-wine", f"{build}/tests/{name}.exe", *([row] if row else [])]
    if "/" in name:
        return [f"{build}/tests/{name}", *([row] if row else [])]
    if name == "battery":
        which, _, backend = row.partition(" ")
        return ["tests/battery/run", "--build", build, "--quick",
                *(["--row", which] if which else []), *(["--backend", backend] if backend else [])]
    if name == "tool":
        return ["tests/tool/run.py", f"{build}/vigil"]
    return ["tests/examples/run.py", f"{build}/examples"]


def clean_environment():
    """Without what a make around this one, or somebody who tries a backend, has set."""
    names = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIGIL_BACKEND", "VIGIL_TEST_BACKEND",
             "TAP_TOTALS", "LD_PRELOAD")
    return {name: value for name, value in os.environ.items() if name not in names}


def environment(program, row, work):
    """Its variables.  Worlds on models have their backend, and its kernel, behind the seeds."""
    how, name = split(program)
    extra = {}
    if how == "kqueue":
        extra["VIGIL_TEST_BACKEND"] = "kqueue"
    if how == "windows":
        extra.update(WINEPREFIX=str(work / "prefix"), TEST_TIME_SCALE="3")
    if how == "fault" or name.startswith("fault/"):
        extra.update(VIGIL_FAIL_STEP=FAIL_STEP[name.split("/")[0]], VIGIL_FAIL_OFFSET="0")
    if name in SEEDS and "[" in row:
        backend, _, kernel = row.partition("[")[2].rstrip("]").partition(" ")
        extra["VIGIL_SIM_BACKEND"] = backend
        extra.update({"VIGIL_SIM_KERNEL": kernel} if kernel else {})
    return {**clean_environment(), **extra}


def programs(root):
    """All that may catch a mutant, quick ones first.  tests/unit is not asked: one that tests the
    mutated line alone shows nothing that a user would see."""
    def named(folder, names=None, pattern="*.c"):
        return [f"{names or folder}/{path.stem}"
                for path in sorted((root / "tests" / folder).glob(pattern))]
    on_systems = ("uring", "wait_calls", "poll_call", "select_call")  # of no world
    found = ["sim/sim"] if (root / "tests/sim").exists() else []
    found += named("threads") + named("regress") + named("conform")
    if (root / "tests/model/kqueue.c").exists():
        found += ["kqueue:model/kqueue", "kqueue:conform/poller", "kqueue:conform/watches"]
    found += named("model/worlds")
    found += ["model/worlds/sim"] if (root / "tests/model/worlds").exists() else []
    virtual = [name for name in named("conform", "virtual") if not name.endswith("_windows")
               and not name.partition("/")[2].startswith(on_systems)]
    if (root / "tests/virtual").exists():
        found += virtual
    found += [name for name, file in (("examples", "tests/examples/run.py"),
                                      ("tool", "tests/tool/run.py"),
                                      ("battery", "tests/battery/run")) if (root / file).exists()]
    found += named("fault", pattern="fail_*.c")
    return found


# ---- copies ----------------------------------------------------------------------------------

def source_files(root, work):
    for entry in sorted(root.iterdir()):
        if entry.name in LEFT_OUT or work.is_relative_to(entry.resolve()):
            continue
        paths = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        yield from (path.relative_to(root) for path in paths
                    if path.is_file() and "__pycache__" not in path.parts)


def refresh(source, copy):
    """Makes `copy` the same as `source`; what is the same already keeps its time."""
    wanted = set(source_files(source, copy))
    if copy.exists():
        for path in set(source_files(copy, copy)) - wanted:
            (copy / path).unlink()
    for path in wanted:
        there, here = source / path, copy / path
        if here.exists() and here.read_bytes() == there.read_bytes():
            continue
        here.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(there, here)  # its time is now: make sees it


def duplicate(pristine, copy):
    """A copy with the libraries as they are built, and the objects of tests; programs are linked
    anew in any case."""
    shutil.rmtree(copy, ignore_errors=True)

    def left_out(folder, names):
        inside = pathlib.Path(folder).relative_to(pristine).parts
        if not inside or inside[0] != "build":
            return ["doc"] if not inside else []
        if "tests" in inside:
            return [name for name in names if pathlib.Path(name).suffix not in ("", ".o", ".d")
                    or (pathlib.Path(folder) / name).is_file() and "." not in name]
        return [name for name in names if name in ("examples", "vigil", "prefix")]
    shutil.copytree(pristine, copy, ignore=left_out, symlinks=True)
