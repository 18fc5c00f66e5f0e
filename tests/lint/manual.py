#!/usr/bin/env python3
"""The tables of commands and options against credswap(1) and credswapd(8): everything there, nothing that is not."""

import re

import common

CLI = "admin-tui/cli"
CONSOLE = "docs/man/credswap.1"
DAEMON = "docs/man/credswapd.8"
OPTIONS = re.compile(r"struct option_def (\w+)\[\] = \{(.*?)\};", re.S)
OPTION = re.compile(r'\{\s*"(--[a-z-]+)"')
COMMAND = re.compile(r"const struct command (command_\w+) = \{(.*?)\};", re.S)
ITEM = re.compile(r"^\.It Cm (.*?)(?=^\.It Cm |^\.Sh )", re.M | re.S)
FLAG = re.compile(r"\bFl -([a-z][a-z-]*)")


def table():
    """({"account add": {"--name", ...}}, options of all commands)"""
    commands, listed = {}, set()
    everywhere = set()
    for path in common.files(".c", ".h", under=(CLI,)):
        text = common.read(path).replace("\\\n", "\n")
        listed |= {f"command_{name}" for name in re.findall(r"^    X\((\w+)\)", text, re.M)}
        macros = dict(re.findall(r"#define (\w+_OPTIONS)\s(.*?)(?=^static|^#)", text, re.M | re.S))
        options = {}
        for name, body in OPTIONS.findall(text):
            for macro, expansion in macros.items():
                body = body.replace(macro, expansion)
            options[name] = set(OPTION.findall(body))
        everywhere |= options.get("args_options", set())
        for name, body in COMMAND.findall(text):
            words = re.findall(r'"(?:\\.|[^"\\])*"|\w+', body)
            noun, verb = words[0].strip('"'), words[1].strip('"')
            own = [options[word] for word in words if word in options]
            commands[name] = (noun if verb == "NULL" else f"{noun} {verb}", own[0] if own else set())
    return {commands[name][0]: commands[name][1] for name in listed if name in commands}, listed - set(commands), everywhere


def manual(text):
    """{"account add": (flags of its head, flags of its item)}"""
    found = {}
    for block in ITEM.findall(text):
        head, _, rest = block.partition("\n")
        name = re.match(r"[a-z]+(?: [a-z-]+)?", head)[0]
        heads = "\n".join([head] + re.findall(r"^\.It Fl .*", rest, re.M))
        found[name] = {"--" + flag for flag in FLAG.findall(heads)}
    return found


def check_console(path):
    commands, lost, everywhere = table()
    text = common.read(path)
    described = manual(text)
    general = {"--" + flag for flag in re.findall(r"^\.It Fl -([a-z-]+)", text.split(".Sh ACCOUNTS")[0], re.M)}
    problems = [f"{path}: the entry of {name} was not understood by this check" for name in sorted(lost)]
    problems += [f"{path}: {name} is not described" for name in sorted(commands.keys() - described.keys())]
    problems += [f"{path}: there is no command {name}" for name in sorted(described.keys() - commands.keys())]
    for name in sorted(commands.keys() & described.keys()):
        problems += [f"{path}: {name} has {option}, which is not described" for option in sorted(commands[name] - described[name])]
        problems += [f"{path}: {name} has no {option}" for option in sorted(described[name] - commands[name])]
    problems += [f"{path}: {option} is not described" for option in sorted(everywhere - general)]
    problems += [f"{path}: there is no {option}" for option in sorted(general - everywhere)]
    return problems if commands and everywhere else [f"{CLI}: no table of commands was found"]


def check_daemon(path):
    source = common.read("proxy/main.c")
    options = set(re.findall(r'\{"([a-z-]+)", (?:no|required|optional)_argument', source))
    described = set(re.findall(r"^\.It Fl -([a-z-]+)", common.read(path), re.M))
    problems = [f"{path}: --{name} is not described" for name in sorted(options - described)]
    problems += [f"{path}: there is no --{name}" for name in sorted(described - options)]
    return problems if options else ["proxy/main.c: no option was found"]


def check():
    return check_console(CONSOLE) + check_daemon(DAEMON)
