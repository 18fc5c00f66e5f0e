import urllib.error

import cases
from with_urllib import post


def ask(url, prompt):
    try:
        return post(url, cases.body(prompt))
    except urllib.error.HTTPError as error:
        with error:
            raise cases.Refused(error.code, error.read()) from None


cases.cases(lambda prompt: cases.text_of(ask(cases.PLAIN, prompt).read()),
            lambda prompt: cases.events(ask(cases.STREAM, prompt)))
