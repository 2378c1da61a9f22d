//! Events to send.

use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::system_event::Status;
use cornjacket_proto::events::{Event, Measurement, SensorReading, SystemEvent, UserAction};

/// A reading of `temperature` by `device`; `id` says which.
pub fn reading(device: &str, id: &str, value: f64) -> Event {
    let measurement = Measurement { metric: "temperature".into(), value, unit: "Cel".into() };
    Event {
        id: id.into(),
        source: "system-test".into(),
        r#type: "sensor.reading".into(),
        subject: device.into(),
        payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
        ..Event::default()
    }
}

/// An `action` of a user.
pub fn user_action(user: &str, id: &str, action: &str) -> Event {
    let payload = UserAction { user: user.into(), action: action.into(), ..UserAction::default() };
    Event {
        r#type: "user.action".into(),
        payload: Some(Payload::UserAction(payload)),
        ..reading(user, id, 0.0)
    }
}

/// What a component says of itself.
pub fn system_status(component: &str, id: &str, status: Status, message: &str) -> Event {
    let payload = SystemEvent {
        component: component.into(),
        status: status.into(),
        message: message.into(),
        ..SystemEvent::default()
    };
    Event {
        r#type: "system.status".into(),
        payload: Some(Payload::SystemEvent(payload)),
        ..reading(component, id, 0.0)
    }
}
