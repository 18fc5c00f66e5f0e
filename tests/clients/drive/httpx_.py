import os

import cases
from with_httpx import client

HTTP2 = os.environ["KIND"] == "h2"
ONE = client(HTTP2)


def ask(url, prompt):
    with ONE.stream("POST", url, content=cases.body(prompt), headers={"content-type": "application/json"}) as answer:
        if answer.http_version != ("HTTP/2" if HTTP2 else "HTTP/1.1"):
            raise AssertionError(answer.http_version)
        if answer.status_code != 200:
            raise cases.Refused(answer.status_code, answer.read())
        yield from answer.iter_lines()


cases.cases(lambda prompt: cases.text_of("".join(ask(cases.PLAIN, prompt))),
            lambda prompt: cases.events(ask(cases.STREAM, prompt)))
