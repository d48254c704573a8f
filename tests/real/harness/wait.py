"""Waiting for a value, bounded. No test sleeps for a fixed time in the hope that something has happened by then."""

import time


def wait_for(look, within, what, every=0.1):
    """Calls `look` until it answers something true, and returns that. `what` says what was waited for."""
    deadline = time.monotonic() + within
    last = None
    while True:
        try:
            last = look()
            if last:
                return last
        except (OSError, KeyError, IndexError, ValueError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within} s for {what}; the last look gave {last!r}")
        time.sleep(every)


def hold(check, during, every=0.2):
    """Calls `check` all through a span of time. Here the span itself is the subject: nothing may happen in it."""
    end = time.monotonic() + during
    while time.monotonic() < end:
        check()
        time.sleep(every)
    check()
