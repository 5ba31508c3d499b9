# SPDX-License-Identifier: MIT
#
# The machine under the benchmark: processes on processors of their own, the CPU time that the
# scheduler says they had, their memory, and what must be known of the machine to judge a figure.

import datetime
import os
import pathlib
import platform
import resource
import subprocess
import time

ROUNDS_MIN = 9  # for a figure that is to be quoted
ROOT = pathlib.Path(__file__).resolve().parent.parent
MEASURED = ("src", "include", "tool", "bench", "Makefile", ":(exclude)*.md")  # what can change one

# A server that nobody disturbs (chrt -f 10 bench/run --cells one --contenders libev) waits for 0.1
# to 0.8 % of its time, since it is not let in at the very moment in which it is woken.
WAITED_MAX = 0.02  # of a process's time, which others had on its processor
OTHERS_MAX = 0.05  # of the machine's time, which others had
STOLEN_MAX = 0.02  # of the machine's time, which whoever runs it gave to others
TWIN_MAX = 0.05    # from 1, of a program's ratio to itself

QUIET_BUSY_MAX = 0.05  # of all processors, before something is timed
QUIET_PATIENCE_S = 60

# What others took from the processes of this run, so far: of each processor the seconds that ours
# ran there and those that they could have run and did not; of the machine's time the share that
# others ran, and the one that was stolen.  It is part of what described() tells, and complete when
# the run has ended.
DURING = {"processors": {}, "others": 0.0, "stolen": 0.0}


class Process(subprocess.Popen):
    """One with a processor of its own, which adds to DURING what it had of it when it ends."""

    def __init__(self, command, cpu, **how):
        self.cpu, self.counted = str(cpu), False
        super().__init__(command, **how)

    def wait(self, timeout=None):
        if self.returncode is None and not self.counted:  # it is dead, or about to be: not reaped
            self.counted = True
            ran, waited = scheduled(f"/proc/{self.pid}/schedstat")
            had = DURING["processors"].setdefault(self.cpu, {"ran": 0, "waited": 0})
            had["ran"] += ran
            had["waited"] += waited
        status = super().wait(timeout)
        DURING.update(shares())
        return status


def pinned(command, cpu, **streams):
    def prepare():
        os.sched_setaffinity(0, {cpu})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return Process(command, cpu, text=True, bufsize=1, stdout=subprocess.PIPE,
                   preexec_fn=prepare, **streams)


def environment(backend="", **more):
    """This program's, with that backend of the library, or the one that a loop takes by itself."""
    ours = {name: value for name, value in os.environ.items() if name != "VIGIL_BACKEND"}
    return {**ours, **({"VIGIL_BACKEND": backend} if backend else {}), **more}


def scheduled(path):
    """The seconds that a thread ran, and that it waited for a processor."""
    with open(path, encoding="ascii") as file:
        ran, waited, _ = file.read().split()
    return int(ran) / 1e9, int(waited) / 1e9


def cpu_seconds(pid):
    """What all its threads used, those of the kernel that work for it among them."""
    return sum(scheduled(f"/proc/{pid}/task/{thread}/schedstat")[0]
               for thread in os.listdir(f"/proc/{pid}/task"))


def ticks(pid):
    """In how many it was found in its own code, and in the kernel; proc(5)."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def processor_ticks():
    """Of all processors since the start of the machine: all ticks, idle ones, and stolen ones."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = list(map(int, file.readline().split()[1:9]))
    return sum(ticks), ticks[3] + ticks[4], ticks[7]


BEGAN = processor_ticks()


def shares():
    """Of the machine's time since this program began: what others ran, and what was stolen."""
    total, idle, stolen = (now - was for now, was in zip(processor_ticks(), BEGAN))
    ours = sum(used.ru_utime + used.ru_stime for used in
               map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    others = total - idle - stolen - ours * os.sysconf("SC_CLK_TCK")
    return {"others": max(others, 0) / max(total, 1), "stolen": stolen / max(total, 1)}


def wait_for_quiet():
    """Until the processors are idle for a second, but not for ever: what is timed next is judged by
    what happened meanwhile, not by this."""
    deadline, was = time.monotonic() + QUIET_PATIENCE_S, processor_ticks()
    while True:
        time.sleep(1)
        now = processor_ticks()
        total, idle, _ = (late - early for late, early in zip(now, was))
        if total - idle <= QUIET_BUSY_MAX * total:
            return
        if time.monotonic() > deadline:
            print(f"not quiet within {QUIET_PATIENCE_S} s: other work will be seen in the figures")
            return
        was = now


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
    try:
        found = subprocess.run(["readelf", "-p", ".comment", program], capture_output=True,
                               text=True, check=False).stdout
    except OSError:
        found = ""
    names = [line.partition("]")[2].strip() for line in found.splitlines() if "]" in line]
    return ", ".join(names) or "unknown compiler"


def congestion_control():
    try:
        with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def commit():
    """Which one is measured, and whether what can change a figure has been changed since."""
    def git(*arguments):
        return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True,
                              check=True).stdout.strip()
    if not (ROOT / ".git").exists():
        return "unknown"
    try:
        changes = " and changes" if git("status", "--porcelain", "--", *MEASURED) else ""
        return git("rev-parse", "--short=12", "HEAD") + changes
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def described(program):
    """What must be known to judge a figure."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"date": now.isoformat(" ", "minutes").replace("+00:00", " UTC"), "commit": commit(),
            "processor": processor(), "processor_count": os.cpu_count(),
            "load_at_start": round(os.getloadavg()[0], 1),
            "kernel": f"{platform.system()} {platform.release()}",
            "congestion_control": congestion_control(), "compiler": compiler(program),
            "during": DURING}


def waited_share(about):
    """How much of their time the processes on the server's processor waited for it, or None."""
    had = about["during"]["processors"]
    if not had:
        return None
    server = had[min(had, key=int)]
    return server["waited"] / max(server["ran"] + server["waited"], 1e-9)


def percent(share):
    return f"{100 * share:.1f} %"


def disturbed(about, alone, twins):
    """Why the figures of a run that was timed are not to be trusted, by what happened meanwhile.
    `alone`: its processes have no threads or children that they share the processor with, so that
    they only wait for others; of others it matters what these did.  `twins`: {where: a program's
    ratio to itself}."""
    why = []
    waited, others, stolen = (waited_share(about), about["during"]["others"],
                              about["during"]["stolen"])
    if alone and waited is not None and waited > WAITED_MAX:
        why.append(f"others had its processor for {percent(waited)} of its time")
    if not alone and others > OTHERS_MAX:
        why.append(f"others had {percent(others)} of the machine's time")
    if stolen > STOLEN_MAX:
        why.append(f"{percent(stolen)} of the machine's time was stolen")
    where = max(twins, key=lambda name: abs(twins[name] - 1), default=None)
    if where is not None and abs(twins[where] - 1) > TWIN_MAX:
        why.append(f"the same program twice differs by {percent(abs(twins[where] - 1))} ({where})")
    return why


def warnings(about):
    """What is wrong with how a run was asked for."""
    told_of = []
    pinned_to = about.get("processors", {"server": 0, "driver": 1})
    if pinned_to["server"] == pinned_to["driver"]:
        told_of.append("server and driver share the one processor")
    if about.get("rounds", ROUNDS_MIN) < ROUNDS_MIN:
        told_of.append(f"fewer than {ROUNDS_MIN} rounds")
    return told_of


def told(about, timed=True):
    """The same for a reader, and of the run as much as there is.  A count that is not `timed` is
    the same whatever else the machine does."""
    load = f", load {about['load_at_start']:.1f} at the start" if timed else ""
    lines = [f"machine   {about['processor']}, {about['processor_count']} processors{load}",
             f"kernel    {about['kernel']}, TCP congestion control {about['congestion_control']}",
             f"compiler  {about['compiler']}", f"commit    {about['commit']}"]
    if versions := about.get("versions"):
        lines.append("versions  " + ", ".join(map(" ".join, versions.items())))
    lines += [f"skipped   {name}: {reason}" for name, reason in about.get("skipped", {}).items()]
    if pinned_to := about.get("processors"):
        lines.append(f"run       {about['rounds']} rounds of {about['seconds']:g} s, medians; server "
                     f"on processor {pinned_to['server']}, driver on {pinned_to['driver']}")
    lines += [f"warning   {warning}" for warning in warnings(about)]
    return "\n".join(lines)


def path_for(build, suite, whole):
    """Where the figures of a suite go: what `make report` reads is only of whole ones."""
    return os.path.join(build, "bench", f"{suite}.json" if whole else f"{suite}-partial.json")
