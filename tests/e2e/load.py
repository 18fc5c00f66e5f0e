#!/usr/bin/env python3
"""A load client for one process: JSON job on stdin, JSON result on stdout.

Each request is verified byte for byte against what the fake cloud must have answered.
"""
import json
import os
import random
import ssl
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "fakes"))

import answers  # noqa: E402
import client  # noqa: E402


class Job:
    def __init__(self, job):
        self.job = job
        self.rng = random.Random(job["seed"])
        self.tunnels = {}
        self.context = client.trusting(job["ca"])
        self.errors = []
        self.done = 0
        self.opened = 0

    def tunnel(self, host):
        tunnel = self.tunnels.get(host)
        if tunnel is None or self.rng.random() < self.job.get("renew", 0.0):
            if tunnel:
                tunnel.close()
            tunnel = self.tunnels[host] = client.Tunnel(("127.0.0.1", self.job["port"]), host, context=self.context,
                                                        timeout=60)
            self.opened += 1
        return tunnel

    def body(self, case, number):
        size = self.rng.choice(case.get("sizes", [16]))
        value = dict(case["body"], n=f"{self.job['seed']}-{number}", pad="p" * self.rng.choice([0, 10, 1000]))
        if size is not None:
            value["fake"] = {"bytes": size, "events": case.get("events", 4)}
        return json.dumps(value).encode()

    def one(self, number):
        case = self.rng.choice(self.job["cases"])
        body = self.body(case, number)
        tunnel = self.tunnel(case["host"])
        if tunnel.connect_status != 200:
            raise client.Broken(f"CONNECT {tunnel.connect_status}", tunnel.connect_head)
        response = tunnel.ask("POST", case["path"], body, [tuple(h) for h in case["headers"]])
        if response.one("connection") == "close":
            self.tunnels.pop(case["host"]).close()
        if b"ya29." in response.raw or self.job["forbidden"].encode() in response.raw:
            raise client.Broken("a real credential came back", response.head)
        if response.status != 200:
            raise client.Broken(f"status {response.status} {response.body[:300]!r}", response.head)
        if case.get("kind") and response.body != answers.expected(case["kind"], case["model"], body):
            raise client.Broken(f"{case['kind']}: {len(response.body)} bytes differ", response.head)

    def run(self):
        for number in range(self.job["count"]):
            try:
                self.one(number)
                self.done += 1
            except (client.Broken, OSError, ssl.SSLError) as error:
                self.errors.append(f"{number}: {type(error).__name__}: {error}")
                for tunnel in self.tunnels.values():
                    tunnel.close()
                self.tunnels.clear()
                if len(self.errors) >= 10:
                    break
        return {"done": self.done, "opened": self.opened, "errors": self.errors}


if __name__ == "__main__":
    json.dump(Job(json.load(sys.stdin)).run(), sys.stdout)
