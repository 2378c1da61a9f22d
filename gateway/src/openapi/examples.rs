//! Bodies that may be sent as they are: what a field's type and comment cannot show together.

use serde_json::Value;

/// Request bodies by the id of their operation.
const EXAMPLES: &str = include_str!("examples.json");

/// Adds its example to the body of each operation that has one.
pub(super) fn add(operation_id: &str, body: &mut Value) {
    let mut examples: Value =
        serde_json::from_str(EXAMPLES).expect("the examples are JSON, a test reads them");
    let example = examples[operation_id].take();
    if !example.is_null() {
        body["content"]["application/json"]["example"] = example;
    }
}
