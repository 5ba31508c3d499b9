# SPDX-License-Identifier: MIT
#
# The contenders of contender.h: which there are, which of them run on this machine, and how one is
# started, on a processor of its own.

import argparse
import os
import subprocess
import sys
from collections import namedtuple

import machine

Contender = namedtuple("Contender", "name program backend group")


class Failed(Exception):
    """Who ended where it should have answered."""


def line_of(process, what):
    line = process.stdout.readline().strip()
    if not line:
        raise Failed(f"{what} ended with {process.wait()}")
    return line


class Bench:
    """Where the programs are, and which processors they get."""

    def __init__(self, build):
        self.directory = os.path.join(build, "bench")
        self.cpus = sorted(os.sched_getaffinity(0))[:2]

    def path(self, program):
        return os.path.join(self.directory, program)

    def contenders(self):
        table = subprocess.run([self.path("driver"), "--contenders"], capture_output=True,
                               text=True, check=True)
        return [Contender(*line.split("\t")) for line in table.stdout.splitlines()]

    def serve(self, contender, idle=False):
        """A server on its processor, and what it said first: its address, or "skip REASON"."""
        command = [self.path(contender.program), *["--idle"] * idle, "tcp://127.0.0.1:0"]
        server = machine.pinned(command, self.cpus[0],
                                env=machine.environment(contender.backend))
        return server, line_of(server, contender.name)

    def version(self, contender):
        """What a contender stands on, or None with the reason why it cannot be measured."""
        server, said = self.serve(contender)
        server.kill()
        server.wait()
        if said.startswith("skip "):
            return None, said.removeprefix("skip ")
        told = subprocess.run([self.path(contender.program), "--version"], capture_output=True,
                              text=True, check=True)
        return told.stdout.strip(), None


def choose(parser, contenders, text):
    """Those asked for, between the first and the last, which are always there."""
    names = [contender.name for contender in contenders]
    asked = text.split(",")
    if text == "all":
        return contenders
    if text == "core":
        return [contender for contender in contenders if contender.group in ("core", "streams")]
    if unknown := [name for name in asked if name not in names]:
        parser.error(f"--contenders: no {unknown[0]}; there are {', '.join(names)}")
    return [contender for contender in contenders
            if contender.name in (names[0], names[-1], *asked)]


def sort_out(bench, contenders):
    """Those that can be measured here, and the versions; tells why others cannot."""
    measured, versions, skipped = [], {}, {}
    for contender in contenders:
        try:
            version, reason = bench.version(contender)
        except Failed as failure:
            sys.exit(f"bench: {contender.name}: {failure}")
        if reason is None:
            measured.append(contender)
            versions[contender.name] = version
        else:
            skipped[contender.name] = reason
    return measured, versions, skipped


class OneLineParser(argparse.ArgumentParser):
    """Says what was wrong in one line, without the usage around it."""

    def error(self, message):
        print(f"bench: {message}", file=sys.stderr)
        sys.exit(2)


def positive(kind):
    def parse(text):
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value
    parse.__name__ = "positive number"
    return parse
