import os
import httpx


def client(http2=False):
    return httpx.Client(http2=http2, headers={"authorization": "Bearer " + os.environ["GEMINI_API_KEY"]})
