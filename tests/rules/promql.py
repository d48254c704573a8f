"""As much of PromQL as the gate needs: which metrics an expression reads, and which labels and values it asks of them."""

import re
from dataclasses import dataclass, field

STRING = r'"(?:\\.|[^"\\])*"'
MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({STRING})")
SELECTOR = re.compile(rf"([a-zA-Z_:][\w:]*)\s*(\{{(?:[^{{}}\"]|{STRING})*\}})?")
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
WORDS = {"and", "or", "unless", "offset", "bool", "on", "by", "without", "ignoring", "group_left", "group_right", "inf", "nan"}


@dataclass
class Read:
    """What an expression reads."""

    # Metric to the pairs of label and value that it is asked for.
    metrics: dict = field(default_factory=dict)
    # Labels by which it groups or joins.
    labels: set = field(default_factory=set)


def read(expr):
    result = Read()
    for _, names in GROUPING.findall(expr):
        result.labels |= {name.strip() for name in names.split(",") if name.strip()}
    bare = GROUPING.sub(" ", expr)
    # Ranges and offsets hold no names.
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\boffset\s+\w+", " ", bare)
    position = 0
    while found := re.search(rf"{STRING}|[a-zA-Z_:][\w:]*|\d[\w.]*", bare[position:]):
        start = position + found.start()
        position += found.end()
        text = found[0]
        if text[0] == '"' or text[0].isdigit() or text.lower() in WORDS:
            continue
        rest = bare[position:].lstrip()
        if rest.startswith("("):
            continue
        selector = SELECTOR.match(bare, start)
        position = selector.end()
        asked = result.metrics.setdefault(text, set())
        for label, _, value in MATCHER.findall(selector[2] or ""):
            asked |= {(label, one) for one in value[1:-1].split("|")}
    return result
