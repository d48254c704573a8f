"""What the RQ workers of the tests do."""

import time


def nothing():
    return None


def takes(seconds):
    time.sleep(seconds)


def fails():
    raise RuntimeError("as it should")
