import os
import urllib.request


def post(url, body):
    headers = {"x-goog-api-key": os.environ["GEMINI_API_KEY"], "content-type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(url, body, headers))
