"""What is published: to Prometheus, to people, to scripts."""

import gzip
import re
import subprocess
import urllib.request

import pytest
from harness.config import config, http, temporal as temporal_source
from harness.exporter import BINARY, STATES, Exporter
from harness.http_part import HttpWorker
from harness.processes import Processes, free_port
from harness.prometheus_part import TextRelay
from harness.temporal import TemporalServer
from harness.wait import wait_for
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5"
TEXT = "text/plain;version=0.0.4"


# One exporter for all tests that only read: they run one after the other, in the same runner.
together = pytest.mark.xdist_group("published")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """An exporter with something in every family: two HTTP workers, one of them dead, and a Temporal worker."""
    processes = Processes(tmp_path_factory.mktemp("published"))
    try:
        server = TemporalServer(processes)
        server.worker(identity='quo"ted\\name')
        steady = HttpWorker(
            processes, "steady", body='{"status":"healthy","tasks_total":7,"memory_bytes":1048576,"cpu_percent":12.5}'
        )
        dead = HttpWorker(processes, "dead")
        made = Exporter(processes, config(http(steady, dead), temporal_source(server)), args=["--web.enable-lifecycle"])
        made.wait_all("healthy", 3, 40)
        dead.kill()
        made.wait_state("dead", "down", 20)
        yield made
    finally:
        processes.end()


@together
def test_promtool_finds_nothing_to_say_about_the_metrics(watched):
    done = subprocess.run(["promtool", "check", "metrics"], input=watched.metrics(TEXT), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@together
def test_both_formats_parse_and_hold_the_same_worker_series(watched):
    def worker_series(families):
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in families
            for sample in family.samples
            if sample.name.startswith("worker_") and "worker" in sample.labels
        }

    openmetrics = worker_series(parse_openmetrics(watched.metrics(OPENMETRICS)))
    text = worker_series(parse_text(watched.metrics(TEXT)))
    assert openmetrics == text
    names = {dict(labels)["worker"] for _, labels in text}
    assert names == {"steady", "dead", 'quo"ted\\name'}, "labels are escaped once, and only once"


@together
def test_each_worker_is_in_exactly_one_of_the_seven_states(watched):
    for worker in watched.states():
        rows = {labels["state"]: value for labels, value in watched.samples("worker_state", worker=worker)}
        assert set(rows) == set(STATES)
        assert sorted(rows.values()) == [0] * 6 + [1]


@together
def test_the_content_type_is_exact_and_gzip_is_one_stream(watched):
    answer = watched.get("/metrics", accept=OPENMETRICS)
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    for accept in (TEXT, "*/*", ""):
        answer = watched.get("/metrics", accept=accept)
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    packed = watched.get("/metrics", accept=TEXT, accept_encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert b'worker_state{' in gzip.decompress(packed.body)
    assert packed.body.count(b"\x1f\x8b\x08") == 1, "a second member breaks some clients"


@together
def test_a_real_prometheus_scrapes_both_formats_and_answers_promql(watched, prometheus):
    relay = TextRelay(watched.url + "/metrics")
    try:
        server = prometheus(openmetrics=watched.target, text=relay.target)
        for job in ("openmetrics", "text"):
            wait_for(lambda job=job: server.value(f'up{{job="{job}"}}') == 1, 20, f"{job} to be up: {server.scrape_errors()}")
            server.wait_value(f'worker_state{{job="{job}",worker="steady",state="healthy"}}', 1)
            server.wait_value(f'worker_up{{job="{job}",worker="dead"}}', 0)
            server.wait_value(f'sum(worker_fleet_workers{{job="{job}",fleet="web"}})', 2)
            assert server.value(f'worker_tasks_total{{job="{job}",worker="steady"}}') == 7
    finally:
        relay.close()


@together
def test_the_series_of_one_worker_stay_under_forty(watched):
    for worker in watched.states():
        count = sum(1 for line in watched.metrics().splitlines() if f'worker="{worker}"' in line)
        assert count <= 40, f"{worker} has {count} series"


@together
def test_the_health_api_counts_what_it_lists(watched):
    answer = watched.get("/health/workers").json
    assert answer["total_workers"] == len(answer["workers"]) == 3
    assert (answer["healthy_workers"], answer["critical_workers"]) == (2, 1)
    assert [w["worker_id"] for w in watched.get("/health/workers?state=down").json["workers"]] == ["dead"]
    one = watched.get("/health/workers/dead").json
    assert (one["state"], one["reason"], one["status"]) == ("down", "refused", "critical")
    assert watched.get("/health/workers/quo%22ted%5Cname").json["worker_id"] == 'quo"ted\\name'
    missing = watched.get("/health/workers/nobody")
    assert missing.status == 404
    assert missing.headers["Content-Type"].startswith("application/problem+json")
    for path in ("fleets", "queues", "sources"):
        assert watched.get(f"/health/{path}").status == 200
    assert watched.get("/-/healthy").status == 200
    assert "127.0.0.1" in watched.get("/config").text


@together
def test_a_client_that_gives_back_a_page_gets_the_rest(watched):
    first = watched.get("/health/workers?limit=2").json
    rest = watched.get(f"/health/workers?limit=2&cursor={urllib.request.quote(str(first['next_cursor']))}").json
    ids = [w["worker_id"] for w in first["workers"] + rest["workers"]]
    assert sorted(ids) == sorted(watched.states()) and len(ids) == 3


@together
def test_a_broken_file_at_reload_keeps_the_old_config_and_says_where_the_mistake_is(watched):
    good = watched.file.read_text()
    watched.write(good.replace("sources:", "sourcess:", 1))
    refused = watched.get("/-/reload", method="POST")
    assert refused.status >= 400
    watched.wait_sample("worker_exporter_config_last_reload_successful", 0)
    wait_for(lambda: re.search(r"\b1:1\b|\d+:\d+", watched.process.output()), 5, "the place of the mistake in the log")
    assert watched.state("steady") == "healthy"

    watched.write(good)
    watched.process.signal(1)  # SIGHUP
    watched.wait_sample("worker_exporter_config_last_reload_successful", 1)
    assert watched.state("dead") == "down", "nothing is forgotten about workers that stay"
    assert watched.changes_of("dead").count("down") == 1


def test_reload_over_http_is_refused_unless_it_was_enabled(http_worker, exporter):
    made = exporter(config(http(http_worker("anna"))))
    assert made.get("/-/reload", method="POST").status in (403, 404, 405)


def test_healthcheck_asks_a_running_exporter(http_worker, exporter):
    made = exporter(config(http(http_worker("anna"))))

    def healthcheck():
        command = [BINARY, "healthcheck", "--url", made.url]
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode

    assert healthcheck() == 0
    made.process.kill()
    assert healthcheck() == 1


def test_probe_explains_what_it_saw(http_worker, exporter):
    made = exporter(config(http(http_worker("anna"))))
    command = [BINARY, "probe", "anna", "--explain", "--config.file", made.file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "anna" in done.stdout and "healthy" in done.stdout


def test_check_says_every_mistake_of_a_file_at_once(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("global:\n  look_timeout: soon\nsources:\n  - name: a\n    kind: pigeon\nextra: 1\n")
    done = subprocess.run([BINARY, "check", file], capture_output=True, text=True, timeout=20, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    for place in ("2:", "5:", "6:"):
        assert f"bad.yaml:{place}" in said, said
    assert "hint:" in said


def test_without_a_config_it_shows_the_workers_of_the_server_in_the_environment(temporal, exporter):
    temporal.worker(identity="anna")
    made = exporter(env={"TEMPORAL_ADDRESS": temporal.address})
    made.wait_states({"anna": "healthy"}, 30)
    queues = {row["task_queue"] for row in made.get("/health/queues").json["queues"]}
    assert "orders" in queues


@together
def test_the_page_shows_states_and_reasons_and_refreshes_itself(watched, tmp_path):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               f"--user-data-dir={tmp_path}/chromium", "--virtual-time-budget=3000", "--dump-dom", watched.url + "/"]  # fmt: skip
    seen = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False).stdout
    for word in ("steady", "healthy", "dead", "down", "refused"):
        assert word in seen, f"{word} is not on the page:\n{seen[:4000]}"
    assert 'http-equiv="refresh"' in seen or "EventSource" in seen or "fetch(" in seen, "the page does not refresh itself"


def test_the_demo_is_alive_within_seconds_and_shows_its_fleets(exporter):
    demo = exporter(command="demo", ready=False)
    wait_for(lambda: demo.get("/").status == 200, 5, "the page of the demo")
    wait_for(lambda: len(demo.states()) >= 25, 15, "about thirty workers")
    wait_for(lambda: {"healthy", "down"} <= set(demo.states().values()), 90, "some to live and some to die")
    said = demo.process.output()
    assert f"page     {demo.url}/" in said
    assert re.search(r"-> down  \w+: ", said), "each change is one line with its reason"


def test_one_exporter_of_no_use_says_so_and_ends_with_two(tmp_path):
    done = subprocess.run(
        [BINARY, "--config.file", tmp_path / "absent.yaml", "--web.listen-address", f"127.0.0.1:{free_port()}"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "absent.yaml" in done.stdout + done.stderr


def test_asked_to_leave_it_leaves_soon_and_cleanly(http_worker, exporter):
    made = exporter(config(http(http_worker("anna"), http_worker("hanging", hang=True))))
    made.process.terminate()
    assert made.process.wait_gone(within=15) == 0
