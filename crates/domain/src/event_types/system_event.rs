//! `SystemEvent`: what a component reports of itself.

use cornjacket_proto::events::SystemEvent;
use cornjacket_proto::events::system_event::Status;

use crate::clean::Checker;
use crate::violation::Reason;

pub(super) fn check(event: &mut SystemEvent, checker: &mut Checker) {
    checker.text("component", &mut event.component, &(1..=256));
    checker.text("message", &mut event.message, &(0..=4096));
    match Status::try_from(event.status) {
        Ok(Status::Ok | Status::Degraded | Status::Down) => {}
        Ok(Status::Unspecified) => checker.fail("status", Reason::Required, "must be OK, DEGRADED or DOWN"),
        Err(_) => checker.fail("status", Reason::Range, "must be OK, DEGRADED or DOWN"),
    }
    if let Some(details) = &mut event.details {
        checker.structure("details", details);
    }
}
