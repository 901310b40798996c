"""Shapes of JSON values, checked once where they arrive: small functions that take a value and its path, and return the value or
raise Invalid. They mirror schema/wire/*.ts, which stay the definition."""

import json
import re
import sys


# Of a field's name in a message.
SHOWN_NAME = 200


class Invalid(Exception):
    """A value that has not the shape it must have; the message says where."""


def _refuse(path, expected, value):
    try:
        shown = json.dumps(value)
    except RecursionError:
        shown = "what stands within itself too deep"
    raise Invalid(f"{path or 'value'}: expected {expected}, not {shown if len(shown) <= 60 else shown[:60] + '…'}")


def text(pattern=None, expected="text"):
    def check(value, path):
        if not isinstance(value, str) or (pattern is not None and not re.fullmatch(pattern, value)):
            _refuse(path, expected, value)
        return value

    return check


def flag(value, path):
    if not isinstance(value, bool):
        _refuse(path, "true or false", value)
    return value


def number(least=None, above=None, most=None, below=None):
    bounds = [("at least", least), ("above", above), ("at most", most), ("below", below)]
    expected = " ".join(["a number", *(f"{words} {bound}" for words, bound in bounds if bound is not None)])

    def check(value, path):
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or abs(value) > sys.float_info.max
            or (least is not None and value < least)
            or (above is not None and value <= above)
            or (most is not None and value > most)
            or (below is not None and value >= below)
        ):
            _refuse(path, expected, value)
        return value

    return check


def whole(least=None, most=None):
    within = number(least=least, most=most)

    def check(value, path):
        if within(value, path) != int(value) or abs(value) >= 2**53:
            _refuse(path, "a whole number", value)
        return int(value)

    return check


def one_of(*choices):
    def check(value, path):
        # 1 == True in Python, not in JSON.
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            _refuse(path, " or ".join(map(json.dumps, choices)), value)
        return value

    return check


def nullable(inner):
    return lambda value, path: None if value is None else inner(value, path)


def items(inner):
    def check(value, path):
        if not isinstance(value, list):
            _refuse(path, "a list", value)
        return [inner(item, f"{path}[{i}]") for i, item in enumerate(value)]

    return check


def record(fields, optional=None):
    """An object with exactly these fields, and perhaps the optional ones."""
    optional = optional or {}

    def check(value, path):
        if not isinstance(value, dict):
            _refuse(path, "an object", value)
        at = lambda name: f"{path}.{name}" if path else name
        for name in value:
            if name not in fields and name not in optional:
                raise Invalid(f"{at(name)[:SHOWN_NAME]}: there is no such field")
        for name in fields:
            if name not in value:
                raise Invalid(f"{at(name)}: it is missing")
        inner = {**fields, **optional}
        return {name: inner[name](value[name], at(name)) for name in value}

    return check


def _no_constant(name):
    raise ValueError(f"JSON has no {name}")


def parse_json(line):
    """JSON as it is defined, without NaN and infinities. ValueError, also for what is too deep to be read."""
    try:
        return json.loads(line, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("lists or objects within each other, too deep to be read") from None
