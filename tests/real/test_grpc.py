"""Workers with a gRPC health service, on the server that most of them in Python use."""

import datetime
import subprocess

import pytest
from harness.config import config
from harness.processes import answers, free_port
from harness.wait import wait_for


class GrpcWorker:
    """A worker in a process of its own, whose status the test sets while it runs."""

    def __init__(self, processes, folder, worker, kind="", tls=None):
        self.processes, self.folder, self.worker, self.tls = processes, folder, worker, tls
        self.kind = kind
        self.port = free_port()
        self.start()

    def start(self):
        secured = [self.tls] if self.tls else []
        self.process = self.processes.python(
            f"grpc-{self.worker}", "grpc_worker.py", self.port, self.kind or self.folder, *secured
        )
        wait_for(lambda: answers(self.port), 15, f"worker {self.worker} to listen")
        return self

    def now(self, status):
        written = self.folder / f"status-{self.port}.new"
        written.write_text(status)
        written.rename(self.folder / f"status-{self.port}")

    @property
    def target(self):
        scheme = "https" if self.tls else "http"
        return {"id": self.worker, "url": f"{scheme}://127.0.0.1:{self.port}"}

    def __getattr__(self, name):
        return getattr(self.process, name)


@pytest.fixture
def worker(processes, tmp_path):
    return lambda name, **options: GrpcWorker(processes, tmp_path, name, **options)


def source(*workers, **keys):
    targets = [worker.target for worker in workers]
    looks = {"timeout": "1s", "maximum_interval": "2s"}
    return {"name": "grpc", "kind": "grpc", "fleet": "web", "targets": targets, **looks, **keys}


def test_served_killed_hung_unwell_and_back(worker, exporter):
    names = ("steady", "killed", "hung", "unwell")
    workers = {name: worker(name) for name in names}
    watched = exporter(config(source(*workers.values(), service="mail")))
    watched.wait_all("healthy", 4, 30)

    workers["killed"].kill()
    workers["hung"].stop()
    workers["unwell"].now("NOT_SERVING")
    watched.wait_states({"steady": "healthy", "killed": "down", "hung": "down", "unwell": "degraded"}, 30)
    assert [watched.reason(name) for name in ("killed", "hung", "unwell")] == ["refused", "timeout", "unhealthy"]

    workers["killed"].start()
    workers["hung"].go_on()
    workers["unwell"].now("SERVING")
    watched.wait_all("healthy", 4, 30)
    watched.assert_never("down", "degraded", "stuck", workers={"steady"})


def test_a_service_that_is_not_known_and_a_server_without_health_are_our_misconfiguration(worker, exporter):
    served, bare = worker("served"), worker("bare", kind="bare")
    unknown = source(served, name="unknown", service="no-such-service", fleet="a")
    without = source(bare, name="without", fleet="b")
    watched = exporter(config(unknown, without))
    watched.wait_sample("worker_exporter_source_failure", 1, source="unknown", kind="grpc", reason="not_found")
    watched.wait_sample("worker_exporter_source_failure", 1, source="without", kind="grpc", reason="unimplemented")
    # At first they may still be starting; nothing else is ever said of them.
    watched.wait_states({"served": "unknown", "bare": "unknown"}, 90)
    assert [watched.reason(name) for name in ("served", "bare")] == ["misconfigured", "misconfigured"]
    watched.assert_never("down", "degraded", "stuck")


def test_a_web_server_without_http2_is_told_by_its_protocol(http_worker, exporter):
    web = http_worker("web")
    targets = [{"id": "web", "url": f"http://{web.target}"}]
    watched = exporter(config(source(targets=targets), fleets=[{"name": "web", "start_grace": "2s"}]))
    watched.wait_state("web", "down", 30)
    # It hangs up on what it does not understand, which now and then overtakes its answer: then it is a reset.
    wait_for(lambda: "protocol" in str(watched.worker("web")), 30, "an answer that is no HTTP/2")


def test_a_graceful_shutdown_is_unwell_by_default_and_a_goodbye_where_the_fleet_says_so(worker, exporter):
    plain, polite = worker("plain"), worker("polite")
    watched = exporter(
        config(source(plain, name="plain", fleet="a"), source(polite, name="polite", fleet="b", not_serving="draining"))
    )
    watched.wait_all("healthy", 2, 30)
    plain.terminate()
    polite.terminate()
    watched.wait_states({"plain": "degraded", "polite": "draining"}, 8)
    watched.wait_state("plain", "down", 30)
    watched.wait_state("polite", None, 30)
    watched.assert_never("down", "degraded", "stuck", workers={"polite"})


def certificates(folder):
    """An authority, a server and a client of it, by openssl."""

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        issue = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", *issue, "-out", f"{name}.pem")
    return folder


def test_a_server_that_wants_our_certificate_is_seen_with_it_and_not_without(worker, exporter, tmp_path):
    files = tmp_path / "tls"
    files.mkdir()
    certificates(files)
    closed = worker("closed", tls=files)
    ours = {"cert_file": str(files / "client.pem"), "key_file": str(files / "client.key")}
    known = source(closed, name="known", fleet="a", tls={"ca_file": str(files / "ca.pem"), **ours})
    stranger = source(closed, name="stranger", fleet="b", tls={"ca_file": str(files / "ca.pem")})
    watched = exporter(config(known, stranger, fleets=[{"name": "b", "start_grace": "2s"}]))
    # Both see one worker of the same name, each in its own fleet.
    wait_for(lambda: watched.worker("closed", "a")["state"] == "healthy", 30, "the known one to be seen")
    wait_for(lambda: (watched.worker("closed", "b") or {}).get("state") == "down", 30, "the stranger to be refused")
    # This server closes without a TLS alert, so that nothing tells it from a connection that broke.
    reasons = {entry["reason"] for entry in watched.log() if entry.get("source") == "stranger" and "reason" in entry}
    assert reasons == {"reset"}, reasons
    assert watched.worker("closed", "a")["state"] == "healthy"
    # Whose certificate it is, openssl says as well.
    end = subprocess.run(["openssl", "x509", "-in", files / "server.pem", "-noout", "-enddate"], check=True, capture_output=True, text=True)
    end = datetime.datetime.strptime(end.stdout.strip(), "notAfter=%b %d %H:%M:%S %Y %Z").replace(tzinfo=datetime.UTC)
    assert watched.sample("worker_certificate_not_after_timestamp_seconds", fleet="a", worker="closed") == end.timestamp()
