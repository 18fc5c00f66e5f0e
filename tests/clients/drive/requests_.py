import cases
from with_requests import session


def ask(url, prompt):
    answer = session.post(url, cases.body(prompt), headers={"content-type": "application/json"}, stream=True)
    if answer.status_code != 200:
        raise cases.Refused(answer.status_code, answer.content)
    return answer


cases.cases(lambda prompt: cases.text_of(ask(cases.PLAIN, prompt).content),
            lambda prompt: cases.events(ask(cases.STREAM, prompt).iter_lines()))
