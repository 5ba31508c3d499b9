# SPDX-License-Identifier: MIT
"""One guest: its initrd, made on the spot, and qemu that runs it to its end.

The machine is emulated (TCG): that needs no rights and no virtualisation, boots in a few seconds,
and its time is slow and jumpy.
"""
import lzma
import os
import signal
import stat
import subprocess
import threading

MEMORY_MIB = 1024
# One thread for both processors: with two, qemu 7.2 now and then runs code that 6.12 has patched
# meanwhile, and the kernel dies.
ACCEL = "tcg,thread=single"
QEMU = {
    # qemu 7.2 spoils the flags in cmpxchg16b, and 6.12 dies of it; it has another way without.
    "x86-64": ["qemu-system-x86_64", "-cpu", "max,-cx16"],
    "s390x": ["qemu-system-s390x", "-cpu", "max"],
}
KERNEL_LINE = {
    "x86-64": "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off no_timer_check",
    "s390x": "quiet loglevel=1 panic=-1 mitigations=off",
}
HOSTS = b"127.0.0.1 localhost\n::1 localhost\n"
PROGRAM = stat.S_IFREG | 0o755
KILLED, PANIC = "@ killed", "@ panic"
FOLDERS = ["dev", "etc", "proc", "sys", "tmp", "tests"]


class Initrd:
    """An archive as cpio(5) has it ("newc"), written straight to its file."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.number = 0
        for folder in FOLDERS:
            self.add(folder, b"", stat.S_IFDIR | 0o755)
        self.add("etc/hosts", HOSTS)
        self.add("etc/nsswitch.conf", b"hosts: files\n")

    def add(self, name, content, mode=stat.S_IFREG | 0o644):
        self.number += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = [self.number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        self.write(head + name.encode() + b"\0")
        self.write(content)

    def write(self, part):
        self.file.write(part + b"\0" * (-len(part) % 4))

    def close(self):
        self.add("TRAILER!!!", b"")
        self.file.close()


def read_module(path):
    """A module as the kernel takes it, whatever its package does to save space."""
    if path.suffix == ".xz":
        with lzma.open(path) as file:
            return file.read()
    return path.read_bytes()


def boot(machine, image, initrd, console, limit):
    """Runs the guest to its end, at most `limit` seconds; yields the lines of its console, which
    are kept in the file `console`, too.  The last is "@ killed" when it had to be.  A kernel that
    dies before anything of ours has run is booted once more: emulation is not perfect."""
    command = [*QEMU[machine], "-accel", ACCEL, "-smp", "2", "-m", str(MEMORY_MIB), "-nodefaults",
               "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel",
               image, "-initrd", initrd, "-append", KERNEL_LINE[machine]]
    with open(console, "w", encoding="utf-8") as log:
        for last_try in (False, True):
            up = False
            for line in run(command, limit):
                print(line, file=log, flush=True)
                up = up or line.startswith("@ up")
                if line == PANIC and not up and not last_try:
                    yield "@ again"
                    break
                yield KILLED if line == PANIC else line
            else:
                return


def run(command, limit):
    """The lines a program prints; it is killed when the limit is over, or its kernel dead."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True) as qemu:
        end = []

        def kill(why):
            end.append(why)
            os.killpg(qemu.pid, signal.SIGKILL)

        timer = threading.Timer(limit, kill, [KILLED])
        timer.start()
        try:
            for line in qemu.stdout:
                yield line.rstrip("\r\n")
                if "Kernel panic" in line and not end:
                    kill(PANIC)
        finally:
            timer.cancel()
            if qemu.poll() is None:
                os.killpg(qemu.pid, signal.SIGKILL)
        yield from end[:1]
