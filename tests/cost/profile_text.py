"""Reads what callgrind writes: instructions by object and function, without those of the functions they call."""
import collections
import re

LINE = re.compile(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?$")


def self_costs(path):
    """Counter of (object, function) -> instructions."""
    costs, names = collections.Counter(), {"ob": {}, "fn": {}}
    now = {"ob": "", "fn": ""}
    is_call = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            line = line.rstrip("\n")
            found = LINE.match(line)
            if found:
                called, kind, number, name = found.groups()
                if name is not None:
                    names[kind][number] = name
                if not called:
                    now[kind] = names[kind][number]
            elif line.startswith("calls="):
                is_call = True  # the next line is what the called function took: counted there
            elif line[:1] in "0123456789+-*" and line:
                if not is_call:
                    costs[now["ob"].rsplit("/", 1)[-1], now["fn"]] += int(line.split()[-1])
                is_call = False
    return costs
