"""Control groups of version 1, made for a test and removed with it. Needs root; version 2 can only be judged on written files."""

import os
from pathlib import Path

from .processes import WORKERS
from .wait import wait_for

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "cpu", "cpuacct")


class GroupsRefused(Exception):
    """This machine lets us make no control groups of version 1."""


class Group:
    """The same path in the hierarchies of memory and CPU."""

    def __init__(self, path, memory=None, cores=None):
        self.path = path
        self.folders = {name: ROOT / name / path for name in CONTROLLERS}
        try:
            for folder in self.folders.values():
                if not folder.parents[len(Path(path).parts) - 1].joinpath("cgroup.procs").exists():
                    raise GroupsRefused(f"no hierarchy for {folder}")
                folder.mkdir(parents=True, exist_ok=True)
            if memory is not None:
                self.write("memory", "memory.limit_in_bytes", memory)
            if cores is not None:
                self.write("cpu", "cpu.cfs_period_us", 100_000)
                self.write("cpu", "cpu.cfs_quota_us", int(cores * 100_000))
        except OSError as refused:
            raise GroupsRefused(str(refused)) from None

    def write(self, controller, name, value):
        (self.folders[controller] / name).write_text(str(value))

    def start(self, processes):
        """A worker that has been in the group from its first moment."""
        joins = "".join(f'echo $$ > "{folder}/cgroup.procs"; ' for folder in self.folders.values())
        script = f'{joins} exec "$0" -u "{WORKERS / "process_worker.py"}"'
        return processes.start("grouped", ["sh", "-c", script, _python()]).wait_output("working", 20)

    def remove(self):
        for folder in self.folders.values():
            for path in (folder, *folder.parents):
                if path == ROOT or path.parent == ROOT:
                    break
                try:
                    wait_for(lambda path=path: _removed(path), 5, f"{path} to be empty")
                except AssertionError:
                    break


def _python():
    import sys

    return sys.executable


def _removed(path):
    if path.is_dir():
        os.rmdir(path)
    return True
