"""Runs a shell snippet of curl or wget once for each case."""
import json
import os
import subprocess

import cases

SNIPPET = os.environ["SNIPPET"]


def run(url, prompt):
    env = {**os.environ, "VERB": url.rsplit(":", 1)[1], "BODY": cases.body(prompt).decode()}
    with subprocess.Popen(["sh", "-e", SNIPPET], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        lines = []
        for line in child.stdout:
            lines.append(line)
            yield line
        said = child.stderr.read().decode()
    if child.returncode:
        problem = Exception(json.loads(b"".join(lines))["error"]["message"] if lines else said)
        problem.status = child.returncode
        raise problem


cases.cases(lambda prompt: cases.text_of(b"".join(run(cases.PLAIN, prompt))),
            lambda prompt: cases.events(run(cases.STREAM, prompt)))
