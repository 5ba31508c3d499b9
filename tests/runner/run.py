#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# run.py PROGRAM -- what vigil_sim_main() makes of worlds that go wrong, as TAP.  PROGRAM is
# tests/runner/fails.c: it aborts, crashes, never ends, or fails by what must hold; each time one
# command is printed, and that command, run by a shell, goes wrong again.  A sanitizer's end is
# looked at where the program has one.
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
BOUND_S = 120  # far above what anything here takes
LIMIT_S = 1  # of worlds that do not end
ENDS = "ended the program in its midst"
NEVER_ENDS = "does not end"
number = failed = 0


def run(how, *arguments):
    environment = {**os.environ, "HOW": how, "ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.run([PROGRAM, *arguments], env=environment, check=False, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=BOUND_S)


def shell(command):
    """Runs a command that was printed; the environment has nothing of it."""
    environment = {name: value for name, value in os.environ.items() if name != "HOW"}
    environment["ASAN_OPTIONS"] = "detect_leaks=0"
    return subprocess.run(["sh", "-c", command], env=environment, check=False, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=BOUND_S)


def printed(result, shows):
    found = re.search(rf"^  {shows}: +(.*)$", result.stdout, re.M)
    return found[1] if found else None


def row(name, *facts):
    """One test; a fact is (what is wanted, whether it is so, what was seen)."""
    global number, failed
    number += 1
    wrong = [(wanted, seen) for wanted, so, seen in facts if not so]
    for wanted, seen in wrong:
        print(f"# wanted: {wanted}\n# seen: {seen}".replace("\n", "\n# "), file=sys.stderr)
    failed += bool(wrong)
    print(f"{'not ok' if wrong else 'ok'} {number} - {name}")


def goes_wrong(how, says, *more, shown="this is world 1"):
    """A world that goes wrong: it is told, its command fails again, and shows its story."""
    first = run(how, "--seeds", "1000", *more)
    command = printed(first, "the story")
    again = shell(f"{command} {' '.join(more)}") if command else first
    row(f"{how}: told, and again by the command",
        ("a failure", first.returncode != 0, first.returncode),
        (says, says in first.stdout, first.stdout),
        ("a command", command is not None and command.startswith("HOW="), first.stdout),
        ("no warning", "beware" not in first.stdout, first.stdout),
        ("it fails again", again.returncode != 0, again.stdout),
        (f"again: {says}", says in again.stdout, again.stdout),
        ("the story", shown in again.stdout, again.stdout))
    return first


def is_beware(how, says):
    result = run(how, "--seeds", "100")
    row(f"{how}: {says}", ("a failure", result.returncode != 0, result.returncode),
        (says, f"beware:      run again {says}" in result.stdout, result.stdout))


def crashes():
    goes_wrong("abort", ENDS)
    goes_wrong("segfault", ENDS)
    goes_wrong("exit", ENDS)
    goes_wrong("killed", ENDS)
    goes_wrong("endless", NEVER_ENDS, "--limit", str(LIMIT_S))
    goes_wrong("stuck", NEVER_ENDS, "--limit", str(LIMIT_S))
    for symbol, how in ((b"__asan_init", "sanitizer"), (b"__ubsan_", "undefined")):
        if symbol in pathlib.Path(PROGRAM).read_bytes():
            goes_wrong(how, ENDS)
    unwatched = run("", "--seeds", "10")
    row("a run without a failure tells nothing of it",
        ("it passes", unwatched.returncode == 0 and "seed" in unwatched.stdout, unwatched.stdout),
        ("no more", ENDS not in unwatched.stdout, unwatched.stdout))


def oracles():
    goes_wrong("spins", "it comes: it has not come within 1.000 s")
    first = goes_wrong("oracle", "it holds: in this world")
    small = printed(first, "made small")
    result = shell(small)
    row("made small by the command that is printed",
        ("it fails", result.returncode == 1 and "shrunk from" in result.stdout, result.stdout),
        ("one choice is left", re.search(r"to \d+ and 1$", result.stdout, re.M), result.stdout))
    is_beware("once", "it passes")
    is_beware("otherwise", "it fails by the second: now")
    is_beware("another way", "it does so in another way")
    is_beware("abort once", "alone it passes")
    is_beware("abort at first", "alone it fails otherwise")
    result = run("random", "--seeds", "100")
    row("random: told", ("determinism", "fails: determinism" in result.stdout, result.stdout))
    result = run("many oracles", "--seeds", "20")
    row("a hundred oracles are all counted", ("it passes", result.returncode == 0, result.stdout),
        ("the last", "oracle 99 20" in result.stdout, result.stdout))


def files():
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        saved = str(home / "saved trace")
        command = printed(run("oracle", "--seeds", "1000"), "made small")
        shell(f"{command} --save '{saved}'")
        again = run("oracle", "--replay", saved)
        row("a saved trace fails again", ("the same", "it holds: in this world" in again.stdout,
                                          again.stdout))
        dies = run("abort", "--replay", saved)
        row("a trace that ends the program is told",
            ("its name", f"the world of {saved} {ENDS}" in dies.stdout, dies.stdout))
        for text in ("", "# passes\n"):
            (home / "none").write_text(text)
            passes = run("oracle", "--replay", str(home / "none"))
            row(f"{len(text)} bytes of trace are the zero choice",
                ("passes", passes.returncode == 0, passes.stdout))
        found = None
        for byte in range(256):  # which of them chooses 7 of 8 behind as many as faults take
            (home / "bytes").write_bytes(b" " * 26 + bytes([byte]))
            result = run("oracle", "--bytes", str(home / "bytes"))
            if result.returncode == 1:
                found = byte
                break
        row("some byte of a fuzzer's fails", ("one", found is not None, found))
        (home / "bytes").write_bytes(b" " * 26 + bytes([found or 0]))
        small = run("oracle", "--bytes", str(home / "bytes"), "--shrink", "--save", saved)
        again = run("oracle", "--replay", saved)
        row("bytes become a trace", ("it fails", small.returncode == 1, small.stdout),
            ("and again", again.returncode == 1, again.stdout))
        bad_files(home)


def bad_files(home):
    for text in ("x\n", "7", "-1 a\n", "4294967296 a\n", "1:a\n"):
        (home / "bad").write_text(text)
        result = run("", "--replay", str(home / "bad"))
        row(f"no trace: {text!r}", ("usage", result.returncode == 2, result.returncode),
            ("where", "bad:1: not a choice" in result.stdout, result.stdout))
    for option in ("--replay", "--bytes"):
        result = run("", option, str(home / "missing"))
        row(f"{option} of a missing file", ("usage", result.returncode == 2, result.returncode),
            ("why", "cannot read" in result.stdout, result.stdout))
    result = run("", "--seed", "1", "--save", str(home / "missing" / "file"))
    row("--save where no file can be", ("it fails", result.returncode == 1, result.returncode),
        ("why", "cannot write" in result.stdout, result.stdout))


def options():
    for bad in (["--seeds"], ["--seeds", "x"], ["--seeds=1x"], ["--seed", "-1"], ["--limit", "s"],
                ["--limit", "9999999999"], ["--replay"], ["--save", ""], ["what"], ["--seedsx"],
                ["--trace"], ["--shrink"], ["--save", "f"], ["--seed", "1", "--bytes", "f"],
                ["--seed", "1", "--replay", "f"], ["--replay", "f", "--bytes", "f"]):
        result = run("", *bad)
        lines = result.stdout.splitlines()
        row(f"bad: {' '.join(bad)}", ("usage", result.returncode == 2, result.returncode),
            ("one line", len(lines) == 1, result.stdout))
    result = run("", "--help")
    row("--help", ("all options", all(f"--{word} " in result.stdout for word in
                                      ("seeds", "from", "seed", "replay", "bytes", "trace",
                                       "shrink", "save", "strict", "limit", "help")),
                   result.stdout))
    result = run("", "--seeds=50", "--from=7", "--strict")
    row("--strict: hardly anything came up", ("it fails", result.returncode == 1, result.stdout),
        ("why", "too little happened" in result.stdout, result.stdout),
        ("what", "KILL came up in less than 1 %" in result.stdout, result.stdout))


crashes()
oracles()
files()
options()
print(f"1..{number}")
sys.exit(1 if failed else 0)
