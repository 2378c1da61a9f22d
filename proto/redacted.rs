//! `Debug` of messages that hold secrets. Fields that the contract marks with `debug_redact` are not shown, whoever prints a
//! request: a log, an error, a test that fails. `build.rs` leaves the `Debug` of such messages to this file.

use std::fmt::{Debug, Formatter, Result};

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use crate::{actions, admin, descriptor_of};

/// Stands for a secret.
const HIDDEN: &str = "[secret]";

impl Debug for actions::HttpRequest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

impl Debug for actions::Slack {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

impl Debug for actions::PagerDuty {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

impl Debug for actions::Email {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

impl Debug for actions::CreateEndpointResponse {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

impl Debug for actions::RotateEndpointSecretResponse {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

impl Debug for admin::AddDeviceRequest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

impl Debug for admin::AddDeviceResponse {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        redacted(self, formatter)
    }
}

/// What is set, by name.
fn redacted<M: Message + Name>(message: &M, formatter: &mut Formatter<'_>) -> Result {
    let mut shown = DynamicMessage::new(descriptor_of::<M>());
    shown.transcode_from(message).expect("a message has the fields of its descriptor");
    let mut fields = formatter.debug_struct(M::NAME);
    for (field, value) in shown.fields() {
        if is_secret(&field) {
            fields.field(field.name(), &hidden(value));
        } else {
            fields.field(field.name(), value);
        }
    }
    fields.finish()
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name("debug_redact").is_some_and(|value| value.as_bool() == Some(true))
}

/// Of a map the keys are shown: what they are of is no secret.
fn hidden(value: &Value) -> Value {
    let hidden = || Value::String(HIDDEN.to_owned());
    match value {
        Value::Map(map) => Value::Map(map.keys().map(|key| (key.clone(), hidden())).collect()),
        _ => hidden(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "xyzzy";

    #[test]
    fn what_is_a_secret_is_not_shown_and_what_is_none_is() {
        let headers = [("authorization".to_owned(), SECRET.to_owned())];
        let http = actions::HttpRequest { secret_headers: headers.into(), ..Default::default() };
        let slack = actions::Slack { url: SECRET.into() };
        let pagerduty = actions::PagerDuty { routing_key: SECRET.into(), url: "https://a".into() };
        let email = actions::Email { password: SECRET.into(), host: "mail".into(), ..Default::default() };
        let created = actions::CreateEndpointResponse { verification_key: SECRET.into(), endpoint: None };
        let rotated =
            actions::RotateEndpointSecretResponse { verification_key: SECRET.into(), ..Default::default() };
        let added = admin::AddDeviceRequest { name: "pump-7".into(), password: SECRET.into() };
        let known = admin::AddDeviceResponse { device: None, password: SECRET.into() };
        for (said, shown) in [
            (format!("{http:?}"), "authorization"),
            (format!("{slack:?}"), "Slack"),
            (format!("{pagerduty:?}"), "https://a"),
            (format!("{email:#?}"), "mail"),
            (format!("{created:?}"), "verification_key"),
            (format!("{rotated:?}"), "RotateEndpointSecretResponse"),
            (format!("{added:?}"), "pump-7"),
            (format!("{known:?}"), "AddDeviceResponse"),
        ] {
            assert!(!said.contains(SECRET) && said.contains(HIDDEN) && said.contains(shown), "{said}");
        }
        let endpoint = actions::Endpoint {
            name: "pager".into(),
            channel: Some(actions::endpoint::Channel::Email(email)),
            ..Default::default()
        };
        let request = actions::CreateEndpointRequest { endpoint: Some(endpoint) };
        assert!(!format!("{request:?}").contains(SECRET), "within another message");
    }
}
