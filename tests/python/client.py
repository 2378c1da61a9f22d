"""A client as a Python user writes it, over the generated classes: appends each way and asks for the state."""

import sys

import grpc
from cornjacket.events.v1 import event_pb2, sensor_reading_pb2
from cornjacket.ingest.v1 import ingest_service_pb2 as ingest
from cornjacket.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from cornjacket.query.v1 import query_service_pb2 as query
from cornjacket.query.v1 import query_service_pb2_grpc as query_grpc


def reading(id: str, value: float) -> event_pb2.Event:
    measurement = sensor_reading_pb2.Measurement(metric="temperature", value=value, unit="Cel")
    return event_pb2.Event(
        id=id,
        source="python",
        type="sensor.reading",
        subject="pump-7",
        sensor_reading=sensor_reading_pb2.SensorReading(measurements=[measurement]),
    )


def main(ingest_port: str, query_port: str, token: str) -> None:
    call = {"timeout": 10, "metadata": [("authorization", f"Bearer {token}")]}
    with grpc.insecure_channel(f"localhost:{ingest_port}") as channel:
        service = ingest_grpc.IngestServiceStub(channel)
        receipt = service.Append(ingest.AppendRequest(event=reading("1", 1.0)), **call).receipt
        assert receipt.position == 1 and not receipt.duplicate, receipt

        batch = [reading("1", 1.0), reading("2", 2.0), reading("2", 99.0)]
        outcomes = service.AppendBatch(ingest.AppendBatchRequest(events=batch), **call).outcomes
        assert outcomes[0].receipt.duplicate and outcomes[0].receipt.position == 1, outcomes
        assert outcomes[1].receipt.position == 2, outcomes
        assert outcomes[2].error.code == grpc.StatusCode.ALREADY_EXISTS.value[0], outcomes

        requests = (ingest.AppendStreamRequest(event=reading(str(n), 21.5)) for n in range(3, 103))
        streamed = [response.outcome.receipt for response in service.AppendStream(requests, **call)]
        assert [r.position for r in streamed] == list(range(3, 103)), streamed

    with grpc.insecure_channel(f"localhost:{query_port}") as channel:
        service = query_grpc.QueryServiceStub(channel)
        request = query.GetProjectionRequest(
            projection="device_state", subject="pump-7", consistency_token=streamed[-1].consistency_token
        )
        state = service.GetProjection(request, **call)
        print(state.state["metrics"]["temperature"]["value"])
        try:
            service.GetEvent(query.GetEventRequest(id="none", source="python"), **call)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error


main(*sys.argv[1:])
