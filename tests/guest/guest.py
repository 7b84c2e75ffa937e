# SPDX-License-Identifier: BSD-3-Clause
"""A guest for tests: boot a stock kernel under the QEMU of qemu/build.sh, with a
script to run in it, and read what it said.  TAP output for what was found out.
"""
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# An Intel part, less what TCG would warn that it does not do, and less CMPXCHG16B:
# Linux 6.12 uses it, and then dies of a double fault in every QEMU 7.2.
CPU = ("Skylake-Client-v4,-pcid,-x2apic,-tsc-deadline,-invpcid,-rdseed,-spec-ctrl,-3dnowprefetch,"
       "-xsavec,-xsaves,-cx16")
# A boot that is the same each time: time is counted in instructions, randomness has a seed.
REPEATABLE = ["-icount", "shift=3,sleep=off", "-rtc", "base=2024-01-01,clock=vm", "-seed", "1"]
INTERRUPTS = 0x200  # in RFLAGS
LIMIT = 240  # seconds for one guest; a loaded machine is slow

# What the kernel says when something of SGX went wrong, or anything at all.
WARNING = re.compile(r"WARNING: CPU|BUG:|\bOops|Call Trace|FW_BUG|\[Firmware Bug\]|sgx: .*(fail|err|unable)"
                     r"|EREMOVE returned|general protection|rcu_sched detected", re.I)


def tool(*arguments):
    """Run one of qemu/'s scripts; return the line it prints."""
    done = subprocess.run([os.path.join(TOP, "qemu", arguments[0]), *arguments[1:]],
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


class Surroundings:
    """Which QEMU and which kernel; found once, built if need be."""

    def __init__(self, qemu_release="bookworm", kernel_release="bookworm"):
        self.qemu = tool("build.sh", "--release", qemu_release)
        self.kernel_release = kernel_release
        self.kernel = tool("kernel", kernel_release)


def kernel_selftests(*release):
    """The two files of the kernel's SGX selftests; none when there are no sources of them here."""
    done = subprocess.run([os.path.join(TOP, "tools", "kernel-selftests"), *release],
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 77:
        return []
    done.check_returncode()
    where = done.stdout.strip()
    return [os.path.join(where, name) for name in ("test_sgx", "test_encl.elf")]


def add_program(root, path, where="/"):
    """Copy a program, and the libraries it wants, into the tree of a guest."""
    target = root + os.path.join(where, os.path.basename(path))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(path, target)
    listed = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(0x", listed):
        os.makedirs(root + os.path.dirname(library), exist_ok=True)
        shutil.copy(os.path.realpath(library), root + library)


class Guest:
    """One boot.  With-statement; everything it made is gone at the end."""

    def __init__(self, surroundings, main, devices=("swsgx-epc,id=epc0,size=64M",), append="",
                 files=(), memory="1G", smp=1, more=(), reboots=False, under=()):
        self.dir = tempfile.mkdtemp(prefix="swsgx-guest.")
        overlay = os.path.join(self.dir, "files")
        os.makedirs(overlay)
        for path in files:
            add_program(overlay, path)
        with open(os.path.join(overlay, "main"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + main + "\n")
        os.chmod(os.path.join(overlay, "main"), 0o755)
        initrd = os.path.join(self.dir, "initrd")
        tool("initramfs", initrd, overlay)

        self.command = [*under, surroundings.qemu, "-machine", "q35", "-cpu", CPU, "-m", memory,
                        "-smp", str(smp), "-nodefaults", "-display", "none", "-vga", "none",
                        "-serial", "stdio",
                        "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off",
                        "-kernel", surroundings.kernel, "-initrd", initrd,
                        "-append", f"console=ttyS0 quiet panic=-1 no_timer_check {append}"]
        for device in devices:
            self.command += ["-device", device]
        self.command += [*more, *([] if reboots else ["-no-reboot"])]
        self.text = ""
        self.process = None
        self.stderr = None

    def __enter__(self):
        self.stderr = open(os.path.join(self.dir, "stderr"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.stderr)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def until(self, mark=None, limit=LIMIT):
        """Read until @mark, a line of its own, or the end.  True when it came."""
        end = time.monotonic() + limit
        while True:
            if mark and re.search(rf"^{re.escape(mark)}\r?$", self.text, re.M):
                return True
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                return False
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return mark is None
            self.text += data.decode(errors="replace").replace("\r", "")

    def until_halted(self, limit=LIMIT):
        """Read until the processor has halted for good.  False when it does not."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            self.until(limit=1)
            # The first words of the guest come after QEMU has made its socket.
            regs = self.text and self.monitor("info registers")
            if regs and "HLT=1" in regs and not int(re.search(r"RFL=(\w+)", regs)[1], 16) & INTERRUPTS:
                self.until(limit=1)
                return True
        return False

    def go_on(self):
        """Answer a `read` of the script."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def qmp(self, *commands):
        """Execute QMP commands, each (name, arguments); return the answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{self.dir}/qmp")
            stream = sock.makefile("rw", encoding="utf-8")
            stream.readline()
            answers = []
            for name, arguments in (("qmp_capabilities", {}), *commands):
                stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    if "error" in answer:
                        break
                answers.append(answer.get("return", answer.get("error")))
            return answers[1:]

    def monitor(self, line):
        """Execute a command of the human monitor; return what it prints."""
        return self.qmp(("human-monitor-command", {"command-line": line}))[0].replace("\r", "")

    def property(self, name, device="epc0"):
        """A property of one of our devices."""
        return self.qmp(("qom-get", {"path": f"/machine/peripheral/{device}", "property": name}))[0]

    def leaf_calls(self):
        """{"EREMOVE": 16384, ...}"""
        return {name: int(count) for name, count in
                (pair.split("=") for pair in self.property("leaf-calls").split())}

    def complaints(self):
        """Lines of the kernel that nobody wants to see."""
        return [line for line in self.text.splitlines()
                if WARNING.search(line) and "RETBleed" not in line]


def refusal(surroundings, *arguments):
    """QEMU's last words when it does not accept @arguments; None when it does."""
    command = [surroundings.qemu, "-machine", "q35", "-nodefaults", "-display", "none", "-S",
               "-m", "256M", "-monitor", "stdio", *arguments]
    done = subprocess.run(command, input="quit\n", stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, timeout=LIMIT, check=False)
    lines = [line for line in done.stderr.splitlines() if "TCG doesn't support" not in line]
    return "\n".join(lines) if done.returncode else None


class Tap:
    """Results, as they come."""

    def __init__(self):
        self.count = 0
        self.bad = 0

    def check(self, name, good, *words):
        self.count += 1
        self.bad += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        if not good:
            for word in words:
                for line in str(word).splitlines()[-60:]:
                    print(f"# {line}", flush=True)

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}", flush=True)

    def end(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.bad or not self.count else 0)
