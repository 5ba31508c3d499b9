# SPDX-License-Identifier: MIT
#
# The machine under the benchmark: processes on processors of their own, the CPU time that the
# scheduler says they had, their memory, and what must be known of the machine to judge a figure.

import os
import platform
import resource
import subprocess


def pinned(command, cpu, **streams):
    def prepare():
        os.sched_setaffinity(0, {cpu})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return subprocess.Popen(command, text=True, bufsize=1, stdout=subprocess.PIPE,
                            preexec_fn=prepare, **streams)


def cpu_seconds(pid):
    """What all its threads used, those of the kernel that work for it among them."""
    used = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            used += int(file.read().split()[0])
    return used / 1e9


def user_memory(pid):
    """Bytes of memory that it has touched and that is no file's."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} has no memory any more")


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "cpu model", "Processor")):
                return line.partition(":")[2].strip()
    return platform.machine()


def compiler(program):
    """What a program was compiled with, as its own debug section says."""
    found = subprocess.run(["readelf", "-p", ".comment", program], capture_output=True, text=True,
                           check=False)
    names = [line.partition("]")[2].strip() for line in found.stdout.splitlines() if "]" in line]
    return ", ".join(names) or "unknown compiler"


def congestion_control():
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as file:
        return file.read().strip()


def described(program):
    """What must be known to judge a figure."""
    return {"processor": processor(), "processor_count": os.cpu_count(),
            "load_at_start": round(os.getloadavg()[0], 1),
            "kernel": f"{platform.system()} {platform.release()}",
            "congestion_control": congestion_control(), "compiler": compiler(program)}


def told(about):
    """The same for a reader."""
    lines = [
        f"machine   {about['processor']}, {about['processor_count']} processors, "
        f"load {about['load_at_start']:.1f} at the start",
        f"kernel    {about['kernel']}, TCP congestion control {about['congestion_control']}",
        f"compiler  {about['compiler']}",
        "versions  " + ", ".join(f"{name} {version}"
                                 for name, version in about["versions"].items()),
        *(f"skipped   {name}: {reason}" for name, reason in about["skipped"].items()),
        f"run       {about['rounds']} rounds of {about['seconds']:g} s, medians; server on "
        f"processor {about['processors']['server']}, driver on {about['processors']['driver']}",
    ]
    if about["processors"]["server"] == about["processors"]["driver"]:
        lines.append("warning   server and driver share the one processor")
    if about["load_at_start"] > 0.5 * about["processor_count"]:
        lines.append("warning   the machine has other work: these figures are not to be trusted")
    if about["rounds"] < 9:
        lines.append("warning   fewer than 9 rounds: these figures are not to be trusted")
    return "\n".join(lines)
