"""A name server of our own, and a way to start a program that asks no other.

It is a fake, since no real one makes its faults at will: it says SERVFAIL, or nothing, or 500 addresses.
"""

import itertools
import json
import os
import subprocess

from .processes import ROOT, answers
from .wait import wait_for

_ordinals = itertools.count(1)

# The files that tell the system's resolver whom to ask are replaced for one program alone, in a mount namespace of its own.
_INSIDE = """
mount --bind "$1" /etc/resolv.conf
[ ! -e /etc/nsswitch.conf ] || mount --bind "$2" /etc/nsswitch.conf
shift 2
exec "$@"
"""


class NamesRefused(Exception):
    """This machine does not let us make a mount namespace."""


class Names:
    """Names under `names.test`. `prefix` goes in front of what shall ask here."""

    def __init__(self, processes):
        tried = subprocess.run([*ROOT, "unshare", "-m", "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            raise NamesRefused(f"unshare -m: {tried.stderr.strip()}")
        self.folder = processes.folder / f"names-{next(_ordinals)}"
        self.folder.mkdir()
        # An address of its own for each test, since port 53 is the only one that a resolver asks.
        self.host = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
        self.known = {}
        self.now()
        resolver, switch = self.folder / "resolv.conf", self.folder / "nsswitch.conf"
        resolver.write_text(f"nameserver {self.host}\n")
        switch.write_text("hosts: files dns\n")
        self.prefix = [*ROOT, "unshare", "-m", "sh", "-ec", _INSIDE, "sh", resolver, switch]
        self.process = processes.python("names", "dns_server.py", self.host, self.folder, prefix=ROOT)
        wait_for(lambda: answers(53, self.host), 15, "the name server to listen")

    def now(self, **names):
        """From its next answer on. What is not named stays; None: there is no such name."""
        self.known.update(names)
        zone = {self.of(name): told for name, told in self.known.items() if told is not None}
        written = self.folder / "zone.new"
        written.write_text(json.dumps(zone))
        written.rename(self.folder / "zone.json")

    @staticmethod
    def of(name):
        return f"{name}.names.test"

    def questions(self, name):
        """How often each type was asked for, and over what: [("a", "udp"), …]."""
        lines = (line.split() for line in self.process.output().splitlines())
        return [(line[1], line[2]) for line in lines if len(line) == 3 and line[0] == self.of(name)]
