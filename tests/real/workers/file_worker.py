"""A worker without a port: PATH SECONDS HOW. Each turn it touches its file, or writes the time into it.

HOW is `touch`, `write` (seconds since 1970) or `iso`; writes go to a hidden file first and are renamed. On SIGTERM it
removes its file and ends, as a tidy worker does.
"""

import datetime
import os
import signal
import sys
import threading
import time

path, every, how = sys.argv[1], float(sys.argv[2]), sys.argv[3]
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())

while not over.is_set():
    if how == "touch":
        with open(path, "a"):
            os.utime(path)
    else:
        now = datetime.datetime.now(datetime.UTC)
        hidden = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}")
        with open(hidden, "w") as file:
            file.write(str(int(time.time())) if how == "write" else now.isoformat())
        os.rename(hidden, path)
    over.wait(every)
os.remove(path)
