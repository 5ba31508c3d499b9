# SPDX-License-Identifier: MIT
#
# What valgrind cannot run, counted in single steps: an echo of vigil's on io_uring, by the server
# that is raced, driven as `make bench-counts` drives it.  50 messages are counted, and a step takes
# the system some 50 us.
#
# The kernel decides how many messages a wait brings, and its batches are the same in every run:
# twelve runs beside other work had the same count to the last instruction.  Another kernel may have
# others, so a count is of one.

import os
import pathlib
import platform
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import machine
import symbols

CASES = {"echo, idle timeout, io_uring": ["--idle"], "echo, no timeouts, io_uring": []}
BACKEND = "io_uring"
TURNS = 1  # of 50 messages
PATIENCE_S = 120
TOLD_MIN = 0.5  # instructions per message: less of one function is not kept by name


def lacking(build):
    """Why nothing can be counted here, or ""."""
    told = subprocess.run([os.path.join(build, "vigil"), "backends"], check=True, text=True,
                          capture_output=True).stdout
    backends, _, features = told.partition("\nio_uring in this kernel:\n")
    if not any(line.lstrip("* ").startswith(BACKEND) and line.endswith("yes")
               for line in backends.splitlines()):
        return "io_uring is not to be had here"
    missing = re.findall(r"^  (.+?) +no  ", features, re.MULTILINE)
    if missing:
        return f"this kernel's io_uring lacks {', '.join(missing)}"
    trial = subprocess.run([os.path.join(build, "bench/counts/tracer"), "calls", "/bin/true"],
                           check=False, text=True, capture_output=True)
    return trial.stderr.strip() if trial.returncode != 0 else ""


def release():
    """The kernel's, without what its maker puts behind."""
    return ".".join(platform.release().split(".")[:2])


def count_one(build, arguments):
    environment = dict(os.environ, VIGIL_BACKEND=BACKEND, DRIVEN_TURNS=str(TURNS),
                       LD_PRELOAD=os.path.abspath(os.path.join(build, "bench/counts/driven.so")))
    tracer = machine.pinned([os.path.join(build, "bench/counts/tracer"), "steps",
                             os.path.join(build, "bench/vigil"), *arguments, "tcp://127.0.0.1:0"],
                            min(os.sched_getaffinity(0)), env=environment)
    try:
        said, _ = tracer.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        tracer.kill()
        sys.exit(f"bench/instructions: not counted in single steps within {PATIENCE_S} s")
    if tracer.returncode != 0:
        sys.exit(f"bench/instructions: counts/tracer ended with {tracer.returncode}")
    _, (_, messages, _, clock), (_, steps), *places = (line.split() for line in said.splitlines())
    each = symbols.self_costs(places)
    return {"instructions": round(int(steps) / int(messages), 1),
            "clock": round(int(clock) / int(messages), 3),
            "kernel": release(),
            "functions": {function: round(cost / int(messages), 1) for function, cost
                          in sorted(each.items(), key=lambda item: -item[1])
                          if cost / int(messages) >= TOLD_MIN}}


def count(build):
    """{case: what is counted}, and why not those of CASES that are not there."""
    reason = lacking(build)
    if reason:
        return {}, reason
    return {name: count_one(build, arguments) for name, arguments in CASES.items()}, ""
