"""A network of its own for some workers, and a link to it that can be cut for real."""

import os
import subprocess

from .processes import ROOT


class NetworkRefused(Exception):
    """This machine does not let us make a network namespace."""


def _ip(*args, check=True):
    done = subprocess.run([*ROOT, "ip", *args], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise NetworkRefused(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done


class Network:
    """A network namespace joined to ours by one veth pair. The other side's address is `inside`."""

    def __init__(self):
        number = os.getpid() % 16000
        self.name = f"we{number}"
        self.ours, self.theirs = f"{self.name}a", f"{self.name}b"
        # 198.18.0.0/15 is set aside for tests of networks: nobody's real addresses.
        base = number * 4
        block = f"198.{18 + (base >> 16 & 1)}.{base >> 8 & 255}"
        self.outside, self.inside = f"{block}.{base % 256 + 1}", f"{block}.{base % 256 + 2}"
        self.prefix = [*ROOT, "ip", "netns", "exec", self.name]
        try:
            _ip("netns", "add", self.name)
            _ip("link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", self.name)
            _ip("addr", "add", f"{self.outside}/30", "dev", self.ours)
            _ip("-n", self.name, "addr", "add", f"{self.inside}/30", "dev", self.theirs)
            _ip("-n", self.name, "link", "set", "lo", "up")
            _ip("-n", self.name, "link", "set", self.theirs, "up")
            _ip("link", "set", self.ours, "up")
        except NetworkRefused:
            self.remove()
            raise

    def cut(self):
        """The far end of the cable goes dead, so that what we send is dropped in silence, as by a failing switch."""
        _ip("-n", self.name, "link", "set", self.theirs, "down")

    def mend(self):
        _ip("-n", self.name, "link", "set", self.theirs, "up")

    def remove(self):
        _ip("link", "del", self.ours, check=False)
        _ip("netns", "del", self.name, check=False)
