"""Runs the shell snippet of a command-line client once for each case."""
import json
import os
import subprocess

import cases

KIND = os.environ["KIND"]


def run(prompt, *options):
    env = {**os.environ, "PROMPT": prompt}
    with subprocess.Popen(["sh", "-e", f"snippets/{KIND}.sh", *options], env=env, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        lines = []
        for line in child.stdout:
            lines.append(line)
            yield line
        said = child.stderr.read()
    if child.returncode:
        problem = Exception("".join(lines) + said)
        problem.status = child.returncode
        raise problem


def plain(prompt):
    return "".join(run(prompt)).strip()


def claude(prompt):
    for line in run(prompt, "--output-format", "stream-json", "--verbose", "--include-partial-messages"):
        event = json.loads(line).get("event", {})
        if event.get("type") == "content_block_delta":
            yield event["delta"].get("text", "")


def gemini(prompt):
    for line in run(prompt, "--output-format", "stream-json"):
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("type") == "message" and event.get("role") == "assistant":
            yield event["content"]


cases.cases(plain, claude if KIND == "claude-code" else gemini)
