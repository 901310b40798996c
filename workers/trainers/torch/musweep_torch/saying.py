"""What is said on stderr. Names, messages and paths come from files and other hosts, and a terminal obeys control characters: they are
written as JSON writes them (schema/wire/printable.ts)."""

import re
import sys

# Control characters but for tabs and line ends, those that turn the direction of writing, line and paragraph separators, halves of
# characters.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text):
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(what):
    print(printable(str(what)), file=sys.stderr)
