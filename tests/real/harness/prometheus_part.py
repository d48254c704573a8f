"""A real Prometheus that scrapes each second, answers PromQL, and evaluates the shipped rules where a test wants them."""

import json
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from .processes import free_port
from .wait import wait_for


class Prometheus:
    def __init__(self, processes, rules=None, alertmanager=None, every="1s", **jobs):
        """`jobs`: job name to `host:port`. `rules`: a pattern of rule files."""
        self.port = free_port()
        folder = processes.folder / f"prometheus-{self.port}"
        folder.mkdir()
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": name, "static_configs": [{"targets": [target]}]} for name, target in jobs.items()],
        }
        if rules:
            config["rule_files"] = [str(rules)]
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.target]}]}]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.process = processes.start(
            "prometheus",
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage",
             # In its first seconds it knows no Alertmanager yet, and what it says then is lost until it says it again: by
             # default a minute later. That is a matter of its start and not of a page.
             "--rules.alert.resend-delay=10s"],
        )  # fmt: skip
        wait_for(lambda: self._get("/-/ready"), 20, "Prometheus to be ready")

    def _get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read()

    def query(self, promql):
        """The instant vector as a list of (labels, value)."""
        answer = json.loads(self._get("/api/v1/query?" + urllib.parse.urlencode({"query": promql})))
        assert answer["status"] == "success", answer
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def value(self, promql):
        """The one value, or None while there is none."""
        rows = self.query(promql)
        assert len(rows) <= 1, f"{promql} gives {len(rows)} rows"
        return rows[0][1] if rows else None

    def wait_value(self, promql, wanted, within=15):
        wait_for(lambda: self.value(promql) == wanted, within, f"{promql} == {wanted}", every=0.3)

    def history(self, promql, since, until, step=1):
        """The range as a list of (labels, {time: value})."""
        asked = {"query": promql, "start": since, "end": until, "step": step}
        answer = json.loads(self._get("/api/v1/query_range?" + urllib.parse.urlencode(asked)))
        assert answer["status"] == "success", answer
        return [(row["metric"], {float(at): float(value) for at, value in row["values"]}) for row in answer["data"]["result"]]

    def firing(self, **labels):
        """The alerts with these labels that fire, as mappings of their labels. An empty label is one that is not there."""
        wanted = set(labels.items())
        return [
            alert["labels"] for alert in self.alerts()
            if alert["state"] == "firing" and all(alert["labels"].get(name, "") == value for name, value in wanted)
        ]  # fmt: skip

    def alerts(self):
        """All alerts, also those that wait for their `for`."""
        return json.loads(self._get("/api/v1/alerts"))["data"]["alerts"]

    def scrape_errors(self):
        targets = json.loads(self._get("/api/v1/targets"))["data"]["activeTargets"]
        return {target["labels"]["job"]: target["lastError"] for target in targets}


class TextRelay:
    """Asks for the text format on Prometheus' behalf: 2.42 always prefers OpenMetrics, and older ones know only text.

    Body and Content-Type pass through as they are."""

    def __init__(self, url):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                request = urllib.request.Request(url, headers={"Accept": "text/plain;version=0.0.4"})
                with urllib.request.urlopen(request, timeout=5) as answer:
                    body = answer.read()
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.headers["Content-Type"])
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.server.daemon_threads = True
        self.target = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
