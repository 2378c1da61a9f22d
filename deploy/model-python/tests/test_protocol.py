"""The Open Inference Protocol v2, as a caller meets it."""

from typing import Any, NoReturn

import pytest
from fastapi.testclient import TestClient

from cornjacket_model import inference
from cornjacket_model.models.isolation_forest import IsolationForestModel
from cornjacket_model.server import app
from cornjacket_model.status import Status

INFER = "/v2/models/isolation_forest/infer"


@pytest.fixture
def client(model: IsolationForestModel) -> TestClient:
    return TestClient(app(model, Status()))


def tensor(**changes: Any) -> dict[str, Any]:
    data = [float(number % 5) for number in range(64)]
    return {"name": "x", "shape": [2, 32], "datatype": "FP64", "data": data, **changes}


def request(**changes: Any) -> dict[str, Any]:
    return {"id": "r-1", "inputs": [tensor(**changes)]}


def test_what_is_there_is_described(client: TestClient) -> None:
    assert client.get("/v2").json() == {"name": "cornjacket-model", "version": "1", "extensions": []}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/isolation_forest", "/v2/models/isolation_forest/versions/1"):
        described = client.get(path).json()
        assert (described["name"], described["versions"]) == ("isolation_forest", ["1"])
        assert described["inputs"] == [{"name": "x", "datatype": "FP64", "shape": [-1, -1]}]
        assert [output["name"] for output in described["outputs"]] == ["score", "expected", "lower", "upper"]
        assert client.get(f"{path}/ready").json() == {"name": "isolation_forest", "ready": True}


def test_windows_are_scored_in_their_order(client: TestClient) -> None:
    data = [20 + (number % 5) * 0.1 for number in range(64)]
    data[63] = 99.0
    answer = client.post(INFER, json=request(data=data))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["model_name"], body["model_version"]) == ("r-1", "isolation_forest", "1")
    outputs = {output.pop("name"): output for output in body["outputs"]}
    assert all((output["shape"], output["datatype"]) == ([2], "FP64") for output in outputs.values())
    ordinary, strange = outputs["score"]["data"]
    assert 0 <= ordinary < 0.5 < 0.8 < strange <= 1
    for index in (0, 1):
        lower, expected, upper = (outputs[name]["data"][index] for name in ("lower", "expected", "upper"))
        assert 19 < lower <= expected <= upper < 22


def test_data_may_be_nested_and_of_either_type(client: TestClient) -> None:
    flat = request()
    nested = request(data=[flat["inputs"][0]["data"][:32], flat["inputs"][0]["data"][32:]])
    single = request(datatype="FP32")
    by_version = "/v2/models/isolation_forest/versions/1/infer"
    answers = [client.post(INFER, json=each) for each in (flat, nested, single)] + [client.post(by_version, json=flat)]
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert answers[0].status_code == 200


def test_only_what_is_asked_for_is_answered(client: TestClient) -> None:
    answer = client.post(INFER, json={"inputs": [tensor()], "outputs": [{"name": "score"}]}).json()
    assert [output["name"] for output in answer["outputs"]] == ["score"]
    assert "id" not in answer


@pytest.mark.parametrize("width", [1, 2, 11, 12, 500])
def test_windows_of_any_length_are_scored(client: TestClient, width: int) -> None:
    answer = client.post(INFER, json=request(shape=[1, width], data=[1.0] * width))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "body"),
        ("[" * 100_000, "body"),
        ("[]", "body"),
        ('{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [NaN]}]}', "NaN"),
        ({"id": 7, "inputs": [tensor()]}, "id"),
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [tensor(), tensor()]}, "inputs"),
        ({"inputs": ["x"]}, "inputs[0]"),
        ({"inputs": [tensor()], "outputs": "score"}, "outputs"),
        ({"inputs": [tensor()], "outputs": [{"name": "score"}, {"name": "y"}]}, "outputs[1].name"),
        (request(name="y"), "inputs[0].name"),
        (request(datatype="INT64"), "inputs[0].datatype"),
        (request(datatype=["FP64"]), "inputs[0].datatype"),
        (request(shape=[64]), "inputs[0].shape"),
        (request(shape=[0, 32]), "inputs[0].shape"),
        (request(shape=[2.0, 32]), "inputs[0].shape"),
        (request(shape=[True, 64]), "inputs[0].shape"),
        (request(shape=[-2, -32]), "inputs[0].shape"),
        (request(shape=[1_000_000, 2]), "inputs[0].shape"),
        (request(shape=[3, 32]), "inputs[0].data"),
        (request(data=None), "inputs[0].data"),
        (request(data="1"), "inputs[0].data"),
        (request(data=[[1.0] * 32, [1.0] * 31]), "inputs[0].data"),
        (request(data=[[1.0] * 32, 1.0]), "inputs[0].data"),
        (request(data=["1.0"] * 64), "inputs[0].data"),
        (request(data=[True] * 64), "inputs[0].data"),
        (request(data=[None] * 64), "inputs[0].data"),
        (request(data=[10**400] * 64), "inputs[0].data"),
        (request(data=[1e39] * 64, datatype="FP32"), "inputs[0].data"),
    ],
)
def test_what_is_refused_names_the_field(client: TestClient, body: str | dict[str, Any], field: str) -> None:
    answer = client.post(INFER, content=body) if isinstance(body, str) else client.post(INFER, json=body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]


def test_a_body_is_not_read_beyond_its_limit(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cornjacket_model.server.MOST_BYTES", 100)
    answer = client.post(INFER, json=request())
    assert (answer.status_code, "100 bytes" in answer.json()["error"]) == (400, True)


def test_the_largest_request_is_answered(client: TestClient) -> None:
    count = inference.MOST_VALUES // 32
    answer = client.post(INFER, json=request(shape=[count, 32], data=[0.5] * (count * 32)))
    assert answer.status_code == 200


def test_what_is_not_there_is_said(client: TestClient) -> None:
    for path in ("/v2/models/other", "/v2/models/isolation_forest/versions/2/ready", "/v2/nothing"):
        answer = client.get(path)
        assert (answer.status_code, list(answer.json())) == (404, ["error"])
    assert client.post("/v2/models/other/infer", json=request()).status_code == 404
    answer = client.get(INFER)
    assert (answer.status_code, list(answer.json())) == (405, ["error"])


def test_a_model_that_fails_is_no_fault_of_the_caller(
    model: IsolationForestModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> NoReturn:
        raise RuntimeError("thirteen")

    monkeypatch.setattr(model, "score", fails)
    answer = TestClient(app(model, Status()), raise_server_exceptions=False).post(INFER, json=request())
    assert (answer.status_code, answer.json()) == (500, {"error": "the model failed: thirteen"})


def test_a_wait_is_seen_from_outside(model: IsolationForestModel) -> None:
    status = Status()
    client = TestClient(app(model, status))
    status.wait("ingest", "UNAVAILABLE: gone")
    status.count("results", 3)
    answer = client.get("/v2/health/ready")
    assert (answer.status_code, answer.json()["waits"]) == (503, {"ingest": "UNAVAILABLE: gone"})
    assert 'cornjacket_model_waiting{for="ingest"} 1' in client.get("/metrics").text
    status.go_on("ingest")
    assert client.get("/v2/health/ready").status_code == 200
    assert client.get("/metrics").text == "cornjacket_model_results_total 3\n"
