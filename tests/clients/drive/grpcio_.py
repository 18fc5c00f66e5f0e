import grpc

import cases
import rpc
from with_grpcio import channel, metadata

SERVICE = "/google.cloud.aiplatform.v1.PredictionService/"
NAME = f"projects/any-project/locations/us-central1/publishers/google/models/{cases.MODEL}"
PLAIN, STREAM = channel.unary_unary(SERVICE + "GenerateContent"), channel.unary_stream(SERVICE + "StreamGenerateContent")


def request(prompt):
    return rpc.field(2, rpc.field(1, "user") + rpc.field(2, rpc.field(1, prompt))) + rpc.field(5, NAME)


def inner(message, *path):
    for key in path:
        message = dict(rpc.fields(message))[key]
    return message.decode()


def refused(error):
    problem = Exception(error.details())
    problem.status = error.code().name
    return problem


def plain(prompt):
    try:
        return inner(PLAIN(request(prompt), metadata=metadata, timeout=20), 2, 2, 2, 1)
    except grpc.RpcError as error:
        raise refused(error) from None


def stream(prompt):
    for message in STREAM(request(prompt), metadata=metadata, timeout=20):
        yield inner(message, 2, 2, 2, 1)


cases.cases(plain, stream)
