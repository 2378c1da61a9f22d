"""What schemathesis cannot know of the gateway's document: what is stored, and that a stream is many lines."""

import json

import schemathesis

NDJSON = "application/x-ndjson"

# Parameters that lead to something: tests/system/openapi.rs stores the event, and the rest follows from it.
EVENT = {"id": "known", "source": "system-test"}
SERIES = {"series.subject": ["pump-7"], "series.metric": ["temperature"], "step": "60s"}
KNOWN = {
    "QueryService_GetEvent": EVENT,
    "QueryService_GetEventTimeline": EVENT,
    "QueryService_GetProjection": {"projection": "device_state", "subject": "pump-7"},
    "QueryService_QuerySeries": SERIES,
    "QueryService_TailEvents": {"subject": "pump-7"},
    "AdminService_PauseConsumer": {"consumer": "device_state"},
    "AdminService_ResumeConsumer": {"consumer": "device_state"},
    "AdminService_RebuildProjection": {"projection": "device_state"},
}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for item in raw_schema["paths"].values():
        for operation in item.values():
            known = KNOWN.get(operation["operationId"], {})
            for parameter in operation["parameters"]:
                if parameter.get("name") in known:
                    parameter["example"] = known[parameter["name"]]
            # OpenAPI 3.1 describes one line; what is read below are all of them.
            stream = operation["responses"]["200"]["content"].get(NDJSON)
            if stream:
                stream["schema"] = {"type": "array", "items": stream["schema"]}


@schemathesis.deserializer(NDJSON)
def lines(context, response):
    return [json.loads(line) for line in response.content.splitlines() if line.strip()]
