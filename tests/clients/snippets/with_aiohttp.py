import os
import aiohttp


def session():
    return aiohttp.ClientSession(trust_env=True, headers={"x-goog-api-key": os.environ["GEMINI_API_KEY"]})
