"""Processes that end with their test, whatever happens to it."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .wait import wait_for

REPOSITORY = Path(__file__).resolve().parents[3]
WORKERS = Path(__file__).resolve().parents[1] / "workers"
# With root the network can be cut; without it, through sudo where that asks nothing.
ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Ports:
    """Ports below the kernel's range for outgoing connections, a range of its own for each parallel test runner."""

    def __init__(self):
        runner = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        self.next = 12000 + 1200 * (runner % 16) + (os.getpid() % 20) * 7
        self.end = 12000 + 1200 * (runner % 16 + 1)
        self.start = 12000 + 1200 * (runner % 16)

    def take(self):
        for _ in range(1200):
            self.next = self.next + 1 if self.next + 1 < self.end else self.start
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", self.next))
                    return self.next
                except OSError:
                    continue
        raise RuntimeError("no free port")


_ports = _Ports()


def free_port():
    return _ports.take()


def answers(port, host="127.0.0.1"):
    """True when something listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Process:
    """One process in a group of its own."""

    def __init__(self, name, args, log, env=None):
        self.name = name
        self.log = log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                [str(a) for a in args],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.pid = self.popen.pid

    @property
    def alive(self):
        return self.popen.poll() is None

    def output(self):
        return self.log.read_text(errors="replace")

    def signal(self, number):
        """To the whole group: a worker's children belong to the worker."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            subprocess.run([*ROOT, "kill", f"-{int(number)}", "--", f"-{self.pid}"], check=False)

    def kill(self):
        """kill -9, and gone for sure."""
        self.signal(signal.SIGKILL)
        self.popen.wait(timeout=10)

    def stop(self):
        """SIGSTOP: there, and doing nothing."""
        self.signal(signal.SIGSTOP)

    def go_on(self):
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def terminate(self):
        """SIGTERM: asked to leave."""
        self.signal(signal.SIGTERM)

    def wait_gone(self, within=15):
        self.popen.wait(timeout=within)
        return self.popen.returncode

    def wait_output(self, text, within):
        def said():
            assert self.alive or text in self.output(), f"{self.name} ended:\n{self.output()[-2000:]}"
            return text in self.output()

        wait_for(said, within, f"{self.name} to say {text!r}")
        return self


class Processes:
    """All processes of one test."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, name, args, env=None):
        if shutil.which(str(args[0])) is None:
            # A machine of CI has every part; elsewhere a test whose part is missing says so and the others run.
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no {args[0]} on this machine")
        process = Process(name, args, self.folder / f"{name}-{len(self.started)}.log", env)
        self.started.append(process)
        return process

    def python(self, name, script, *args, prefix=(), env=None):
        return self.start(name, [*prefix, sys.executable, "-u", WORKERS / script, *args], env)

    def end(self):
        for process in self.started:
            process.signal(signal.SIGKILL)
        for process in self.started:
            try:
                process.popen.wait(timeout=10)
            except subprocess.TimeoutExpired:
                print(f"{process.name} ({process.pid}) does not end")
