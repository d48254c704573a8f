"""The strict reader of expositions beside an independent one: the parser of PyPI prometheus-client. What one of the two
refuses and the other accepts is a fault of ours, or one of the few places where we are knowingly stricter."""

import random
import subprocess
import urllib.request

import pytest
from harness.config import config, http
from harness.exporter import BINARY
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

# Each a whole family or two, with everything that the format allows: the soil for the mutations.
SEEDS = [
    "# TYPE a counter\n# HELP a help\na_total 1\n# EOF\n",
    '# TYPE a counter\n# UNIT a \na_total{b="c",d="e"} 1 1.5 # {id="x"} 0.5 123.25\na_created{b="c",d="e"} 123 1.5\n# EOF\n',
    "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds some \\\\ help \\n\na_seconds 1.5e3\n# EOF\n",
    '# TYPE a histogram\na_bucket{le="-1.0"} 0\na_bucket{le="0.5"} 1 # {} 0.25\na_bucket{le="+Inf"} 3\n# EOF\n',
    '# TYPE a histogram\na_bucket{le="0.5"} 1\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 3\na_count 3\na_sum 2.5\na_created 12\n# EOF\n',
    '# TYPE a gaugehistogram\na_bucket{le="1.0"} 0\na_bucket{le="+Inf"} 3\na_gcount 3\na_gsum 2\n# EOF\n',
    '# TYPE a summary\na{quantile="0.5"} 1\na{quantile="0.9"} NaN\na_count 2\na_sum 3\n# EOF\n',
    '# TYPE a info\na_info{foo="bar"} 1\n# TYPE b stateset\nb{b="on"} 1\nb{b="off"} 0\n# EOF\n',
    'a{x="1"} 1\na{x="2"} +Inf\nb 3 4\nb -0.5 5\n# EOF\n',
    '# TYPE a unknown\na{x="q\\"uote\\\\ \\n # }"} -1 0\na{x="é☃"} nan 1\n# EOF\n',
    '# TYPE a gauge\na{x="1"} 1\n# TYPE b counter\nb_total{x="1",y="2"} 3\nb_total{x="2",y="2"} 4\n# EOF',
]
# What is put in, taken away or exchanged: letters that mean something.
LETTERS = list('\n \t{}",=#_:.+-0159aeE\\\r') + ["NaN", "Inf", "# ", "_total", "_count", "le", "1 ", ' # {a="b"} 1', "# EOF\n", "# TYPE a gauge\n"]


def theirs(text):
    try:
        list(text_string_to_metric_families(text))
    except (ValueError, KeyError, IndexError):
        return False
    except (TypeError, AttributeError, UnboundLocalError):
        return None  # It fell over its own feet, which says nothing of the text.
    return True


def ours(folder, texts):
    """Which of these are accepted: one run of the program over all."""
    files = []
    for number, text in enumerate(texts):
        files.append(folder / f"case-{number}")
        files[-1].write_bytes(text.encode())
    done = subprocess.run([BINARY, "check", "--metrics", *files], capture_output=True, text=True, timeout=60)
    accepted = {line.split(":")[0] for line in done.stdout.splitlines() if ": ok, " in line}
    assert (done.returncode == 0) == (len(accepted) == len(files)), done.stderr[-2000:]
    return [str(file) in accepted for file in files], done.stderr


def mutated(rng, text):
    letters = list(text)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(letters) + 1)
        match rng.randrange(4):
            case 0 if at < len(letters):
                del letters[at]
            case 1 if at < len(letters):
                letters[at] = rng.choice(LETTERS)
            case 2:
                lines = "".join(letters).splitlines(keepends=True) or [""]
                one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[one], lines[two] = lines[two], lines[one] if rng.random() < 0.7 else lines[two]
                letters = list("".join(lines))
            case _:
                letters.insert(at, rng.choice(LETTERS))
    return "".join(letters)


# Where we are stricter, and why: the words of our mistake.
STRICTER = {
    "stands twice with the same labels": "the labels of a metric are unique; the other reader drops the second",
    "has no total": "a counter has a total; the other reader takes one that only says when it was created",
    "is no such line": "one space stands between the parts of a line, and not anything else",
    "is not a metric name": "the same",
    "is not a type": "the same",
    "no metric name at": "the same",
    "no label name at": "the same",
    "no space in front of": "the same",
    "no `=` behind the label": "the same",
    "is not in double quotes": "the same",
    "labels do not end": "the same",
    "behind an exemplar": "the same",
    "is not a timestamp": "numbers are what the grammar says, and not what Python takes",
    "is not a number": "the same",
    "is not an upper bound": "the same",
    "has no quantile from 0 to 1": "the same",
}


def test_it_accepts_and_refuses_what_an_independent_reader_accepts_and_refuses(tmp_path):
    rng = random.Random(1)
    cases = SEEDS + [mutated(rng, rng.choice(SEEDS)) for _ in range(3000)]
    verdicts, said = ours(tmp_path, cases)
    laxer, unexplained = [], []
    for number, (text, accepted) in enumerate(zip(cases, verdicts, strict=True)):
        if theirs(text) in (accepted, None):
            continue
        if accepted:
            laxer.append(text)
            continue
        reasons = [line for line in said.splitlines() if line.startswith(f"{tmp_path}/case-{number}:")]
        if not any(words in line for line in reasons for words in STRICTER):
            unexplained.append((text, reasons))
    assert all(verdicts[: len(SEEDS)]), said
    assert not laxer, f"{len(laxer)} accepted that the other refuses: {laxer[:10]}"
    assert not unexplained, f"{len(unexplained)} refused without a known reason: {unexplained[:10]}"
    assert 200 < sum(verdicts) < 2500, "both verdicts are tried"


@pytest.fixture
def registry():
    """Everything that the client library can show."""
    all_of_it = CollectorRegistry()
    Counter("jobs", "Jobs\nof two lines.", ["queue", "status"], registry=all_of_it).labels('a"b\\c\nd', "ok").inc(3)
    Gauge("depth", "Depth.", registry=all_of_it).set(-1.5)
    Histogram("took_seconds", "Took.", ["queue"], registry=all_of_it).labels("é☃").observe(0.3, {"trace": "1"})
    Summary("size_bytes", "Size.", registry=all_of_it).observe(7)
    Info("build", "Build.", registry=all_of_it).info({"version": "1"})
    Enum("mode", "Mode.", states=["on", "off"], registry=all_of_it).state("on")
    Counter("never", "Never.", ["label"], registry=all_of_it)
    return all_of_it


def test_it_reads_what_the_client_library_of_python_writes_in_both_formats(registry, tmp_path):
    for written, flags in [(generate_openmetrics, []), (generate_latest, ["--format", "text"])]:
        file = tmp_path / "metrics"
        file.write_bytes(written(registry))
        done = subprocess.run([BINARY, "check", "--metrics", file, *flags], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr


def test_text_is_refused_as_openmetrics_with_the_way_to_read_it(registry, tmp_path):
    file = tmp_path / "metrics"
    file.write_bytes(generate_latest(registry))
    done = subprocess.run([BINARY, "check", "--metrics", file], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "--format text" in done.stderr
    named = tmp_path / "metrics.prom"
    file.rename(named)
    assert subprocess.run([BINARY, "check", "--metrics", named], capture_output=True, timeout=20).returncode == 0


def accepted(address, accept, tmp_path):
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept": accept}), timeout=10) as answer:
        kind, body = answer.headers["Content-Type"], answer.read()
    file = tmp_path / "metrics"
    file.write_bytes(body)
    flags = [] if "openmetrics" in kind else ["--format", "text"]
    done = subprocess.run([BINARY, "check", "--metrics", file, *flags], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr[-2000:]
    return kind


def test_it_reads_what_prometheus_says_of_itself(prometheus, tmp_path):
    accepted(f"http://127.0.0.1:{prometheus().port}/metrics", "text/plain", tmp_path)


def test_it_reads_what_the_exporter_says_of_itself_in_both_formats(exporter, http_worker, tmp_path):
    address = exporter(config(http(http_worker("w-1")))).url + "/metrics"
    assert "openmetrics" in accepted(address, "application/openmetrics-text;version=1.0.0", tmp_path)
    assert "text/plain" in accepted(address, "text/plain", tmp_path)
