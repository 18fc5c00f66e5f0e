import os
import grpc

channel = grpc.secure_channel("us-central1-aiplatform.googleapis.com:443", grpc.ssl_channel_credentials())
metadata = [("authorization", "Bearer " + os.environ["GEMINI_API_KEY"])]
