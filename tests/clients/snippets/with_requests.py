import os
import requests

session = requests.Session()
session.headers["x-goog-api-key"] = os.environ["GEMINI_API_KEY"]
