"""A real Alertmanager with the routing that is shipped, and local receivers in place of the services."""

import datetime
import json
import subprocess
import urllib.parse
import urllib.request

import yaml

from .processes import REPOSITORY, free_port
from .receivers import SECRETS
from .wait import wait_for

SHIPPED = REPOSITORY / "deploy" / "alertmanager" / "alertmanager.yml"


class Alertmanager:
    def __init__(self, processes, receivers):
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.target}"
        folder = processes.folder / f"alertmanager-{self.port}"
        folder.mkdir()
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(pointed_at(receivers, folder)))
        self.process = processes.start(
            "alertmanager",
            ["prometheus-alertmanager", f"--config.file={file}", f"--storage.path={folder}/data",
             f"--web.listen-address={self.target}", "--cluster.listen-address="],
        )  # fmt: skip
        wait_for(lambda: self._get("/-/ready"), 20, "Alertmanager to be ready")

    def _get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return answer.read()

    def alerts(self, **labels):
        """Active alerts with these labels, with whether and by what they are kept quiet."""
        query = urllib.parse.urlencode([("filter", f"{name}={json.dumps(value)}") for name, value in labels.items()])
        return json.loads(self._get(f"/api/v2/alerts?{query}"))

    def post(self, *alerts, annotations=None):
        """Tells it of alerts, each a mapping of labels, as Prometheus does."""
        body = json.dumps([{"labels": labels, "annotations": annotations or {}} for labels in alerts]).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200

    def fired_at(self, **labels):
        """When the first of these alerts began to fire, in seconds since 1970: the evaluation in Prometheus itself."""
        began = [datetime.datetime.fromisoformat(alert["startsAt"]).timestamp() for alert in self.alerts(**labels)]
        return min(began)

    def inhibited(self, **labels):
        """The alerts with these labels that another one keeps quiet."""
        return [alert for alert in self.alerts(**labels) if alert["status"]["inhibitedBy"]]

    def amtool(self, *args):
        done = subprocess.run(
            ["amtool", f"--alertmanager.url={self.url}", *args], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def silence(self, *matchers):
        """As a person does it who works on it."""
        self.amtool("silence", "add", "--author=on-call", "--comment=working on it", "--duration=1h", *matchers)


def pointed_at(receivers, folder):
    """The shipped routing, with every address ours. Routes, waits, texts and inhibition stay as they are."""
    config = yaml.safe_load(SHIPPED.read_text())
    config["templates"] = [str(SHIPPED.parent / name) for name in config["templates"]]
    config["global"] |= {
        "pagerduty_url": f"{receivers.web}/v2/enqueue",
        "smtp_smarthost": receivers.mail,
        "smtp_require_tls": False,
    }
    for receiver in config["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = receivers.web + urllib.parse.urlsplit(hook["url"]).path
    secrets = {**SECRETS, "slack-url": f"{receivers.web}/services/T0/B0/slack"}
    return _with_secrets_in(folder, config, secrets)


def _with_secrets_in(folder, node, secrets):
    """Every key that ends in _file names a file of ours."""
    if isinstance(node, list):
        return [_with_secrets_in(folder, item, secrets) for item in node]
    if not isinstance(node, dict):
        return node
    made = {}
    for key, value in node.items():
        if key.endswith("_file"):
            name = value.rsplit("/", 1)[-1]
            (folder / name).write_text(secrets[name])
            made[key] = str(folder / name)
        else:
            made[key] = _with_secrets_in(folder, value, secrets)
    return made
