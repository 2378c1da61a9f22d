//! `UserAction`: something a user did.

use cornjacket_proto::events::UserAction;

use crate::clean::Checker;

pub(super) fn check(action: &mut UserAction, checker: &mut Checker) {
    checker.text("user", &mut action.user, &(1..=256));
    checker.text("action", &mut action.action, &(1..=128));
    checker.text("target", &mut action.target, &(0..=1024));
    checker.text("session_id", &mut action.session_id, &(0..=256));
    if let Some(details) = &mut action.details {
        checker.structure("details", details);
    }
}
