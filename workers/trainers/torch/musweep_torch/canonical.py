"""Canonical JSON, as the rest of musweep writes it (schema/wire/plan.ts): sorted keys, numbers as ECMAScript prints them. What
is hashed has to be the same text in both languages: ids of plans, checksums of files."""

import hashlib
import json
import math
from decimal import Decimal


def number_text(value):
    """A finite number as ECMAScript's Number::toString has it (ECMA-262, 6.1.6.1.20). Python's shortest digits are the same."""
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"JSON has no {value}")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits = "".join(map(str, digits))
    # The decimal point stands after this many digits.
    point = len(digits) + exponent
    if len(digits) <= point <= 21:
        text = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
        text = f"{mantissa}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"-{text}" if sign else text


def canonical_json(value):
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical_json(k)}:{canonical_json(value[k])}" for k in sorted(value)) + "}"
    return "[" + ",".join(map(canonical_json, value)) + "]"


def run_id_of(plan):
    """The run's id: "r" and 20 hexadecimal digits of the SHA-256 over the plan."""
    return f"r{hashlib.sha256(canonical_json(plan).encode('utf-8')).hexdigest()[:20]}"
