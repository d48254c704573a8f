"""PromQL as a tree, for what is asked of a query without asking Prometheus."""

import promql_parser as promql


_OPERATORS = {int(op): sign for op, sign in (
    (promql.MatchOp.Equal, "="), (promql.MatchOp.NotEqual, "!="), (promql.MatchOp.Re, "=~"), (promql.MatchOp.NotRe, "!~"),
)}  # fmt: skip


def parse(query):
    return promql.parse(query)


def walk(node, above=()):
    """Every node with those above it, the nearest last."""
    yield node, above
    for below in _below(node):
        yield from walk(below, (*above, node))


def _below(node):
    if isinstance(node, promql.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql.AggregateExpr):
        return [node.expr, *([node.param] if node.param is not None else [])]
    if isinstance(node, promql.Call):
        return list(node.args)
    if isinstance(node, promql.MatrixSelector):
        return [node.vector_selector]
    if isinstance(node, (promql.ParenExpr, promql.UnaryExpr, promql.SubqueryExpr)):
        return [node.expr]
    return []


def selectors(query):
    """Every selector with the nodes above it."""
    return [(node, above) for node, above in walk(parse(query)) if isinstance(node, promql.VectorSelector)]


def numbers(query):
    """Every number that stands in a query."""
    return {node.val for node, _ in walk(parse(query)) if isinstance(node, promql.NumberLiteral)}


def matchers(selector):
    """(label, operator, value) of a selector."""
    return [(one.name, _OPERATORS[int(one.op)], one.value) for one in selector.matchers.matchers]


def function_over(above):
    """The function whose range this selector is in, or None."""
    if above and isinstance(above[-1], promql.MatrixSelector):
        return above[-2].func.name if len(above) > 1 and isinstance(above[-2], promql.Call) else None
    return None


def range_of(above):
    """The range of the selector in seconds, or None."""
    return above[-1].range.total_seconds() if above and isinstance(above[-1], promql.MatrixSelector) else None
