# SPDX-License-Identifier: MIT
#
# The machine under the benchmark: processes on processors of their own, the CPU time that the
# scheduler says they had, their memory, and what must be known of the machine to judge a figure.

import datetime
import os
import platform
import resource
import subprocess

ROUNDS_MIN = 9  # for a figure that is to be quoted


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


WARM = 16384  # messages of 64 bytes, 1 MiB, behind which a server has all that is its own


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
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"date": now.isoformat(" ", "minutes").replace("+00:00", " UTC"),
            "processor": processor(), "processor_count": os.cpu_count(),
            "load_at_start": round(os.getloadavg()[0], 1),
            "kernel": f"{platform.system()} {platform.release()}",
            "congestion_control": congestion_control(), "compiler": compiler(program)}


def warnings(about, timed=True):
    """Why the figures of a run are not to be trusted: nothing, on a quiet machine."""
    untrusted = []
    pinned_to = about.get("processors", {"server": 0, "driver": 1})
    if pinned_to["server"] == pinned_to["driver"]:
        untrusted.append("server and driver share the one processor")
    if timed and about["load_at_start"] > 0.5 * about["processor_count"]:
        untrusted.append("the machine has other work: these figures are not to be trusted")
    if about.get("rounds", ROUNDS_MIN) < ROUNDS_MIN:
        untrusted.append(f"fewer than {ROUNDS_MIN} rounds: these figures are not to be trusted")
    return untrusted


def told(about, timed=True):
    """The same for a reader, and of the run as much as there is.  A count that is not `timed` is
    the same whatever else the machine does."""
    lines = [f"machine   {about['processor']}, {about['processor_count']} processors, "
             f"load {about['load_at_start']:.1f} at the start",
             f"kernel    {about['kernel']}, TCP congestion control {about['congestion_control']}",
             f"compiler  {about['compiler']}"]
    if versions := about.get("versions"):
        lines.append("versions  " + ", ".join(map(" ".join, versions.items())))
    lines += [f"skipped   {name}: {reason}" for name, reason in about.get("skipped", {}).items()]
    if pinned_to := about.get("processors"):
        lines.append(f"run       {about['rounds']} rounds of {about['seconds']:g} s, medians; server "
                     f"on processor {pinned_to['server']}, driver on {pinned_to['driver']}")
    lines += [f"warning   {warning}" for warning in warnings(about, timed)]
    return "\n".join(lines)
