import asyncio

import cases
from with_aiohttp import session


async def ask(url, prompt):
    """The lines of the answer, each with the time it takes: asyncio is left between them."""
    async with session() as one, one.post(url, data=cases.body(prompt), headers={"content-type": "application/json"}) as answer:
        if answer.status != 200:
            raise cases.Refused(answer.status, await answer.read())
        async for line in answer.content:
            yield line


def lines(url, prompt):
    loop, source = asyncio.new_event_loop(), ask(url, prompt)
    try:
        while True:
            yield loop.run_until_complete(source.__anext__())
    except StopAsyncIteration:
        pass
    finally:
        loop.close()


cases.cases(lambda prompt: cases.text_of(b"".join(lines(cases.PLAIN, prompt))),
            lambda prompt: cases.events(lines(cases.STREAM, prompt)))
