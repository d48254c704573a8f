"""A worker without any port: it writes a heartbeat file, or does what else its arguments say."""

import argparse
import os
import signal
import subprocess
import sys
import time

from prometheus_client import Counter, start_http_server


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beat", help="file to touch")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between beats")
    parser.add_argument("--pid-file", help="file to write the process id into")
    parser.add_argument("--leave-with", type=int, default=0, help="exit code at SIGTERM")
    parser.add_argument("--drain", type=float, default=0.0, help="seconds from SIGTERM to the end, beating no more")
    parser.add_argument("--metrics", type=int, help="port to show its turns at; SIGUSR1 makes the loop hang and the port answer on")
    parser.add_argument("--orphans", type=int, default=0, help="grandchildren that are left behind, and end")
    return parser.parse_args()


def main():
    options = arguments()
    leaving = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        signal.signal(number, lambda got, _frame: (print(f"got {signal.Signals(got).name}"), leaving.append(got)))
    if options.pid_file:
        with open(options.pid_file, "w") as file:
            file.write(f"{os.getpid()}\n")
    if options.metrics:
        turns = Counter("turns", "Turns of the loop.")
        start_http_server(options.metrics, addr="127.0.0.1")
    for _ in range(options.orphans):
        # The shell in between ends at once, and its child is nobody's.
        subprocess.run(["sh", "-c", "sleep 0.3 & echo orphan $!"], check=True)
    print(f"working as {os.getpid()}")
    while not {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT} & set(leaving):
        if options.metrics:
            if signal.SIGUSR1 in leaving:
                time.sleep(3600)
            turns.inc()
        if options.beat:
            with open(options.beat, "w") as file:
                file.write(str(time.time()))
        time.sleep(min(options.every, 0.1) if not options.beat else options.every)
    time.sleep(options.drain)
    sys.exit(options.leave_with)


main()
