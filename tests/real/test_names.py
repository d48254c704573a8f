"""Workers by name: whatever becomes of a name, it is told from what becomes of the worker."""

import os
import socket
import time

import pytest
from harness.config import config, http
from harness.wait import hold, wait_for

# Equally far from 127.0.0.1 for the rules by which a system sorts addresses (RFC 6724), so that their order stays.
MANY = [f"127.64.{n // 250}.{n % 250 + 1}" for n in range(500)]


# Seconds: no scrape waits for a name. A silent one takes the system ten, and this machine may be busy.
LONG = 3


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


class Named:
    """A worker as the exporter knows it: by the name of its host."""

    def __init__(self, names, worker, port):
        self.worker = worker
        self.url = f"http://{names.of(worker)}:{port}/health"


def lines(watched, worker, before=None):
    """What the log says of its endpoint: the reasons in order, from behind what it had said `before`."""
    told = [line for line in watched.log() if line.get("worker") == worker]
    reasons = [line["reason"] for line in told if line.get("message", "").startswith("health endpoint")]
    return reasons[len((before or {}).get(worker, [])) :]


def slowest_scrape(watched, scrapes=20):
    took = []
    for _ in range(scrapes):
        begun = time.monotonic()
        watched.metrics()
        took.append(time.monotonic() - begun)
    return max(took)


def asked(watched, worker):
    """How often it has answered so far."""
    return sum(channel["moves"] for channel in watched.worker(worker)["channels"])


@pytest.mark.slow(2)
def test_a_name_that_is_gone_is_the_worker_and_a_name_server_that_fails_is_not(names, http_worker, exporter):
    here = http_worker("here")
    port = here.port
    on = {"a": ["127.0.0.1"]}
    # The eighth of 500 addresses is tried; the ninth is not.
    eighth, ninth = (http_worker(f"at-{MANY[n]}", host=MANY[n], port=port) for n in (7, 257))
    after = [address for address in MANY if address not in (eighth.host, ninth.host)]
    before, other = (http_worker(f"at-{host}", host=host, port=port) for host in ("127.65.0.1", "127.65.0.2"))
    names.now(
        **dict.fromkeys(["good", "gone", "fails", "hangs", "refuses", "rebound", "empty"], on),
        eighth={"a": [*after[:7], eighth.host, *after[7:]]},
        ninth={"a": [*after[:8], ninth.host, *after[8:]]},
        moves={"a": [before.host]},
    )
    known = ["good", "gone", "fails", "hangs", "refuses", "rebound", "empty", "eighth", "ninth", "moves"]
    if has_ipv6():
        http_worker("at-six", host="::1", port=port)
        names.now(six={"aaaa": ["::1"]})
        known.append("six")
    watched = exporter(
        config(
            http(here, *(Named(names, name, port) for name in known), every="3s", timeout="3s"),
            fleets=[{"name": "web", "start_grace": "5s"}],
        ),
        prefix=names.prefix,
    )
    well = dict.fromkeys(["here", *known], "healthy")
    wait_for(lambda: watched.states() == {**well, "ninth": "down"}, 60, "all that can be reached to be healthy")
    assert lines(watched, "ninth")[-1] == "refused", "eight dead addresses are no worker, and a ninth is not tried"
    assert ("a", "tcp") in names.questions("eighth"), "500 addresses do not fit into one packet"

    # On a busy machine a name may have come too late before.
    said = {name: lines(watched, name) for name in known}
    begun, moved = time.monotonic(), asked(watched, "here")
    names.now(
        gone=None,
        empty={},
        fails={"rcode": 2},
        refuses={"rcode": 5},
        hangs={"silent": True},
        rebound={"a": ["169.254.169.254"]},
        moves={"a": [other.host]},
    )
    before.kill()
    ours = {"fails": "unknown", "refuses": "unknown", "hangs": "unknown", "rebound": "unknown"}
    wrong = {**well, "ninth": "down", "gone": "down", "empty": "down", **ours}
    try:
        wait_for(lambda: watched.states() == wrong, 90, "each name to be judged", every=0.5)
    except AssertionError:
        raise AssertionError(f"{wrong}\n{watched.states()}\n{watched.story()}") from None
    assert slowest_scrape(watched) < LONG
    rhythm = (time.monotonic() - begun) / max(1, asked(watched, "here") - moved)
    assert 2 < rhythm < 5, f"a neighbour is looked at every {rhythm:.1f} s instead of every 3 s"
    reasons = {name: watched.reason(name) for name in ("gone", "empty", "fails", "refuses", "hangs", "rebound")}
    assert reasons == {
        "gone": "unreachable",
        "empty": "unreachable",
        "fails": "source_failed",
        "refuses": "source_failed",
        "hangs": "source_failed",
        "rebound": "misconfigured",
    }
    for name in ("gone", "empty", "fails", "refuses", "hangs"):
        assert lines(watched, name, said) == ["dns"], (name, lines(watched, name))
    assert lines(watched, "rebound", said) == ["invalid_argument"]
    assert not {"refused", "unreachable"} & set(lines(watched, "moves", said)), "the address of another look was asked"
    assert watched.sample("worker_exporter_source_errors_total", source="http", reason="dns") > 10
    watched.assert_never("down", workers={"here", "good", "eighth", "moves", *ours})

    names.now(**dict.fromkeys(["gone", "empty", "fails", "refuses", "hangs", "rebound"], on))
    wait_for(lambda: watched.states() == {**well, "ninth": "down"}, 60, "every name to be found again")
    for name in ("gone", "empty", "fails", "refuses", "hangs"):
        assert lines(watched, name, said) == ["dns", "ok"], (name, lines(watched, name))


def test_fifty_names_that_hang_delay_nobody_and_block_one_thread_each(names, http_worker, exporter):
    near = http_worker("near")
    good = Named(names, "good", near.port)
    hanging = [Named(names, f"hangs-{n}", near.port) for n in range(50)]
    names.now(good={"a": ["127.0.0.1"]}, **{worker.worker: {"silent": True} for worker in hanging})
    watched = exporter(config(http(near, good, *hanging)), prefix=names.prefix)
    watched.wait_state("near", "healthy", 15)
    watched.wait_state("good", "healthy", 15)

    begun, moved = time.monotonic(), asked(watched, "near")
    # Three times as long as the system asks for one name: looks at a name go on meanwhile, and wait for the same question.
    hold(lambda: watched.metrics(), 30)
    rhythm = (time.monotonic() - begun) / max(1, asked(watched, "near") - moved)
    assert 1.5 < rhythm < 4, f"a neighbour is looked at every {rhythm:.2f} s instead of every 2 s"
    assert slowest_scrape(watched) < LONG
    threads = len(os.listdir(f"/proc/{watched.process.pid}/task"))
    assert threads < 50 + 40, f"{threads} threads for 50 names"
    states = watched.states()
    assert {states[worker.worker] for worker in hanging} == {"unknown"}, states
    watched.assert_never("down", "degraded", "stuck")
    assert all(lines(watched, worker.worker) == ["dns"] for worker in hanging)

    # Nothing can end a question that the system asks; it does not hold up our own end.
    begun = time.monotonic()
    watched.process.terminate()
    assert watched.process.wait_gone(15) == 0
    assert time.monotonic() - begun < 10
