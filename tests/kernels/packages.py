# SPDX-License-Identifier: MIT
"""Debian's kernels: which there are to boot, and how one is had.

Packages come from the mirror that this machine's own apt names, but with a configuration, lists and
a cache of their own below the build directory: neither foreign architectures nor other suites touch
the system's.  What was unpacked once needs no network again.
"""
import collections
import fcntl
import os
import pathlib
import re
import shutil
import subprocess

# suites: where to look, in order; meta: the package that depends on the newest of the suite;
# has: the backends that work and the features of io_uring that must be found, and no others.
Kernel = collections.namedtuple("Kernel", "version machine arch suites meta has")

# 5.10 has a ring, but none that can wait with a timeout (5.11) or leave out completions (5.17).
HAS_5_10 = {"select", "poll", "epoll"}
HAS_6_1 = HAS_5_10 | {"io_uring", "operations", "multishot receive", "multishot accept",
                      "cancelling", "deferred work", "single issuer", "cooperative work",
                      "submit all"}
HAS_6_12 = HAS_6_1 | {"incremental buffers", "bundles", "no index array", "minimal wait"}

KERNELS = {
    "5.10": Kernel("5.10", "x86-64", "amd64", ["bullseye"], "linux-image-cloud-amd64", HAS_5_10),
    "6.1": Kernel("6.1", "x86-64", "amd64", ["bookworm"], "linux-image-cloud-amd64", HAS_6_1),
    "6.12": Kernel("6.12", "x86-64", "amd64", ["bookworm-backports", "trixie"],
                   "linux-image-cloud-amd64", HAS_6_12),
    "s390x": Kernel("6.1", "s390x", "s390x", ["bookworm"], "linux-image-s390x", HAS_6_1),
}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
WANTED = ["./boot/vmlinuz-*", "*/sch_netem.ko*"]
SECONDS_MAX = 600  # for one call of apt or dpkg-deb


class NotOffered(Exception):
    """No archive has it: a reason to skip."""


class Failed(Exception):
    """It should have been had."""


def call(*words, cwd=None):
    """Answers what the program printed; stderr too, which is where apt says why."""
    result = subprocess.run(words, cwd=cwd, text=True, stdin=subprocess.DEVNULL, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=SECONDS_MAX, env={**os.environ, "LC_ALL": "C"})
    return result.returncode, result.stdout


def mirrors():
    """The archives in this machine's own configuration, in their order."""
    _, text = call("apt-get", "update", "--print-uris")
    found = re.findall(r"^'(.*)/dists/[^/']*(?:/[^']*)?/InRelease'", text, re.M)
    return list(dict.fromkeys(found))


class Archive:
    """One suite of one mirror for one architecture, as an apt of its own."""

    def __init__(self, root, mirror, suite, arch):
        self.root = root.absolute()
        self.source = f"{mirror} {suite}"
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in ("parts", "lists/partial", "cache/archives/partial"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "status").touch()
        signed = f" signed-by={KEYRING}" if os.path.exists(KEYRING) else ""
        (self.root / "sources").write_text(f"deb [arch={arch}{signed}] {self.source} main\n",
                                           encoding="utf-8")
        self.options = [f"-o{name}={value}" for name, value in (
            ("Dir::Etc::sourcelist", self.root / "sources"),
            ("Dir::Etc::sourceparts", self.root / "parts"),
            ("Dir::State::lists", self.root / "lists"),
            ("Dir::State::status", self.root / "status"),
            ("Dir::Cache", self.root / "cache"),
            ("APT::Architectures::", arch),
            ("APT::Sandbox::User", "root"),
            ("APT::Update::Error-Mode", "any"),
            ("Acquire::Languages", "none"))]

    def update(self):
        status, text = call("apt-get", *self.options, "update")
        if re.search(r"404 +Not Found|does not have a Release file", text):
            raise NotOffered(f"{self.source} is not there")
        if status != 0:
            raise Failed(f"{self.source}: {complaint(text)}")

    def newest(self, meta):
        """The package with the kernel itself."""
        status, text = call("apt-cache", *self.options, "depends", meta)
        names = re.findall(r"Depends: <?(linux-image-[^\s>:]+)", text)
        if status != 0 or not names:
            raise NotOffered(f"{self.source} has no {meta}")
        return names[0]

    def download(self, package, arch):
        status, text = call("apt-get", *self.options, "download", f"{package}:{arch}",
                            cwd=self.root)
        files = list(self.root.glob(f"{package}_*.deb"))
        if status != 0 or len(files) != 1:
            raise Failed(f"{package}: {complaint(text)}")
        return files[0]


def complaint(text):
    """The first line in which apt complains."""
    lines = [line for line in text.splitlines() if line.startswith(("W: ", "E: "))]
    return lines[0] if lines else "no reason given"


def unpack(package, to):
    """The kernel and the module out of a package; all or nothing."""
    partial = to.with_name(to.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package],
                          stdout=subprocess.PIPE) as reader:
        status = subprocess.call(["tar", "-x", "-C", partial, "--wildcards", *WANTED],
                                 stdin=reader.stdout)
    if status != 0 or reader.returncode != 0:
        raise Failed(f"{package.name} cannot be unpacked")
    partial.rename(to)


def fetch(kernel, to):
    """Looks in every suite of every mirror; the reasons why not, when it is nowhere."""
    reasons = []
    for suite in kernel.suites:
        for mirror in mirrors():
            archive = Archive(to.with_name(to.name + ".apt"), mirror, suite, kernel.arch)
            try:
                archive.update()
                package = archive.newest(f"{kernel.meta}:{kernel.arch}")
                if not package.startswith(f"linux-image-{kernel.version}."):
                    raise NotOffered(f"{archive.source} has {package}")
                unpack(archive.download(package, kernel.arch), to)
                return
            except NotOffered as reason:
                reasons.append(str(reason))
            finally:
                shutil.rmtree(archive.root, ignore_errors=True)
    raise NotOffered("; ".join(reasons) or "no apt that names an archive")


def get(name, build):
    """The paths of a kernel and of its module sch_netem, which may be None."""
    kernel = KERNELS[name]
    to = pathlib.Path(build) / "kernels" / f"{kernel.version}-{kernel.arch}"
    with open(to.with_name(to.name + ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may want the same at once
        if not to.is_dir():
            if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
                raise NotOffered("there is no apt here to get Debian's kernels with")
            fetch(kernel, to)
    image = next(iter(to.glob("boot/vmlinuz-*")))
    return image, next(iter(to.glob("**/sch_netem.ko*")), None)
