"""A process that does as signals tell it: SIGUSR1 fills memory, SIGUSR2 keeps a core busy."""

import signal
import sys
import time

hoard = []
wanted = []
signal.signal(signal.SIGUSR1, lambda *_: wanted.append("memory"))
signal.signal(signal.SIGUSR2, lambda *_: wanted.append("cpu"))
print("working", flush=True)
while not wanted:
    time.sleep(0.05)
print(f"told to use {wanted[0]}", flush=True)
if wanted[0] == "memory":
    while True:
        hoard.append(bytearray(1 << 20))
        # Written to, or the kernel would give no page for it.
        hoard[-1][:: 1 << 12] = b"x" * (1 << 8)
while True:
    sys.getrecursionlimit()
