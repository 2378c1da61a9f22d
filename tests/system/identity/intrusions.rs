//! Calls of every method that are about what their caller may not see.

use serde_json::{Value, json};

/// What is expected of a call that is about what its caller may not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is refused.
    Refused,
    /// It is answered with what the caller may see, which is not that.
    Without,
    /// It is about nobody's events.
    Nothing,
}

/// A request of every method about what belongs to `theirs`, and what becomes of it for somebody who is limited to other
/// subjects, and for somebody who is limited to other sources.
pub fn intrusions() -> Vec<(&'static str, Value, Expect, Expect)> {
    use Expect::{Nothing, Refused, Without};
    let event = json!({"source": "theirs", "type": "user.action", "subject": "theirs"});
    let letter = json!({"consumer": "device_state", "topic": "sensor-events", "partition": 0, "offset": "0"});
    let discard = json!({"consumer": "device_state", "topic": "sensor-events", "partition": 0, "offset": "0",
        "reason": "none"});
    let series = json!([{"subject": "theirs", "metric": "temperature"}]);
    let forecast = json!({"subject": "theirs", "metric": "temperature", "horizon": "60s"});
    let hot = json!({"detector": "threshold", "parameters": {"upper": 0.5}});
    let rule = json!({"name": "r", "types": ["*"], "endpoints": ["e"]});
    let endpoint = json!({"name": "e", "webhook": {"url": "https://example.com"}});
    let scored = json!({"subject": "theirs", "metric": "temperature", "detector": "silence"});
    vec![
        ("IngestService.Append", json!({"event": event}), Refused, Refused),
        ("IngestService.AppendBatch", json!({"events": [event]}), Without, Without),
        ("IngestService.AppendStream", json!({"event": event}), Without, Without),
        ("QueryService.GetEvent", json!({"id": "1", "source": "theirs"}), Refused, Refused),
        ("QueryService.GetEventTimeline", json!({"id": "1", "source": "theirs"}), Refused, Refused),
        ("QueryService.ListEvents", json!({"subject": "theirs"}), Refused, Without),
        ("QueryService.ListEvents", json!({}), Without, Without),
        ("QueryService.TailEvents", json!({"subject": "theirs"}), Refused, Without),
        ("QueryService.TailEvents", json!({}), Without, Without),
        (
            "QueryService.GetProjection",
            json!({"projection": "device_state", "subject": "theirs"}),
            Refused,
            Refused,
        ),
        ("QueryService.ListProjections", json!({}), Nothing, Nothing),
        ("QueryService.QuerySeries", json!({"series": series}), Refused, Refused),
        ("QueryService.QuerySeries", json!({"series": series, "step": "60s"}), Refused, Refused),
        ("QueryService.GetForecast", forecast, Refused, Refused),
        ("QueryService.ScoreSeries", scored, Refused, Refused),
        ("QueryService.ListSeries", json!({"subject": "theirs"}), Refused, Refused),
        ("QueryService.ListSeries", json!({}), Without, Refused),
        ("QueryService.ListAnomalies", json!({"subject": "theirs"}), Refused, Without),
        ("QueryService.ListAnomalies", json!({}), Without, Without),
        ("AdminService.ListConsumers", json!({}), Nothing, Nothing),
        ("AdminService.PauseConsumer", json!({"consumer": "device_state"}), Refused, Refused),
        ("AdminService.ResumeConsumer", json!({"consumer": "device_state"}), Refused, Refused),
        ("AdminService.RebuildProjection", json!({"projection": "device_state"}), Refused, Refused),
        ("AdminService.ReplayEvents", json!({"subject": "theirs"}), Refused, Refused),
        ("AdminService.ListDeadLetters", json!({"key": "dGhlaXJz"}), Refused, Refused),
        ("AdminService.ListDeadLetters", json!({}), Without, Without),
        ("AdminService.GetDeadLetter", letter, Refused, Refused),
        ("AdminService.RedriveDeadLetters", json!({"all": true}), Refused, Refused),
        ("AdminService.RedriveDeadLetters", json!({"key": "dGhlaXJz"}), Refused, Refused),
        ("AdminService.DiscardDeadLetter", discard, Refused, Refused),
        ("AdminService.AddDevice", json!({"name": "theirs"}), Refused, Refused),
        ("AdminService.RevokeDevice", json!({"name": "theirs"}), Refused, Refused),
        ("AdminService.ListDevices", json!({}), Without, Without),
        ("AdminService.ExportDevices", json!({}), Refused, Refused),
        (
            "AdminService.RegisterModel",
            json!({"model": {"name": "m", "detector": "silence"}}),
            Refused,
            Refused,
        ),
        ("AdminService.SetModelMode", json!({"name": "m", "version": 1}), Refused, Refused),
        ("AdminService.ListModels", json!({}), Refused, Refused),
        (
            "AdminService.ReportFeedback",
            json!({"missed": {"subject": "theirs", "metric": "m", "model": "m", "time": "2026-01-01T00:00:00Z"}}),
            Refused,
            Refused,
        ),
        ("AdminService.Backtest", json!({"draft": hot, "subjects": "theirs"}), Refused, Refused),
        ("AdminService.Backtest", json!({"draft": hot}), Without, Refused),
        ("ActionService.CreateRule", json!({"rule": rule}), Refused, Refused),
        ("ActionService.GetRule", json!({"name": "r"}), Refused, Refused),
        ("ActionService.ListRules", json!({}), Refused, Refused),
        ("ActionService.UpdateRule", json!({"name": "r", "rule": rule}), Refused, Refused),
        ("ActionService.DeleteRule", json!({"name": "r"}), Refused, Refused),
        ("ActionService.TestRule", json!({"rule": rule, "history": {}}), Refused, Refused),
        ("ActionService.CreateEndpoint", json!({"endpoint": endpoint}), Refused, Refused),
        ("ActionService.GetEndpoint", json!({"name": "e"}), Refused, Refused),
        ("ActionService.ListEndpoints", json!({}), Refused, Refused),
        ("ActionService.UpdateEndpoint", json!({"name": "e", "endpoint": endpoint}), Refused, Refused),
        ("ActionService.DeleteEndpoint", json!({"name": "e"}), Refused, Refused),
        ("ActionService.ListAlarms", json!({}), Refused, Refused),
        ("ActionService.AcknowledgeAlarm", json!({"key": "k"}), Refused, Refused),
        ("ActionService.ClearAlarm", json!({"key": "k"}), Refused, Refused),
        ("ActionService.CreateSilence", json!({"silence": {"name": "s"}}), Refused, Refused),
        ("ActionService.ListSilences", json!({}), Refused, Refused),
        ("ActionService.EndSilence", json!({"name": "s"}), Refused, Refused),
        ("ActionService.ResendDelivery", json!({"id": "d"}), Refused, Refused),
        ("ActionService.ResendDeliveries", json!({"endpoint": "e"}), Refused, Refused),
        ("ActionService.TestEndpoint", json!({"name": "e"}), Refused, Refused),
        ("ActionService.RotateEndpointSecret", json!({"name": "e"}), Refused, Refused),
        ("ActionService.ListDeliveries", json!({}), Refused, Refused),
        ("ActionService.GetDelivery", json!({"id": "d"}), Refused, Refused),
        (
            "ActionService.ExplainNotification",
            json!({"event_id": "1", "eventSource": "theirs"}),
            Refused,
            Refused,
        ),
    ]
}
