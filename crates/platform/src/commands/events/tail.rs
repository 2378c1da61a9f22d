//! `cornjacket events tail`: events as they are stored, also over restarts of whoever sends them.

use std::io::Write;
use std::time::Duration;

use cornjacket_proto::query::TailEventsRequest;
use cornjacket_proto::query::tail_events_response::Message as Told;
use futures::StreamExt;
use tonic::{Code, Status};

use super::json;
use crate::commands::client::{Server, told};
use crate::config::Settings;

/// How long it rests before it tries again, at first ...
const SHORTEST_REST: Duration = Duration::from_millis(500);
/// ... and at last: twice as long after each that failed.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Prints what comes, until it is stopped. A tail that was cut off goes on after the last message that came; one that never began,
/// or that is refused for good, is an error.
pub(super) async fn tail(
    server: &Server,
    settings: &Settings,
    mut request: TailEventsRequest,
) -> anyhow::Result<()> {
    let mut rest = SHORTEST_REST;
    let mut has_begun = false;
    loop {
        let mut came = 0_u64;
        let end = follow(server, settings, &mut request, &mut came).await;
        has_begun |= came > 0 || matches!(end, Err(End::Cut(_)));
        let why = match end {
            Ok(()) => "the server has ended it".to_owned(),
            Err(End::Cut(status)) => told(&status).to_string(),
            Err(End::NoConnection(error)) if has_begun => format!("{error:#}"),
            Err(End::NoConnection(error) | End::Failed(error)) => return Err(error),
            Err(End::Refused(status)) => return Err(told(&status)),
        };
        if came > 0 {
            rest = SHORTEST_REST;
        }
        eprintln!("the tail is cut off: {why}; going on in {rest:?}");
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(LONGEST_REST);
    }
}

/// Why a tail came to its end.
#[derive(Debug)]
enum End {
    /// Nobody answers.
    NoConnection(anyhow::Error),
    /// The call ended, and another may not.
    Cut(Status),
    /// Another call would be refused, too.
    Refused(Status),
    /// What came could not be printed.
    Failed(anyhow::Error),
}

impl End {
    /// Of a call that had gone on or not: a token that ends with the call may have a successor.
    fn of(status: Status, had_gone_on: bool) -> Self {
        match status.code() {
            Code::Unauthenticated if had_gone_on => Self::Cut(status),
            Code::Unauthenticated
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::Unimplemented => Self::Refused(status),
            _ => Self::Cut(status),
        }
    }
}

/// One call: prints what it brings and counts it. The request goes on where the call was.
async fn follow(
    server: &Server,
    settings: &Settings,
    request: &mut TailEventsRequest,
    came: &mut u64,
) -> Result<(), End> {
    let mut query = server.query_stream(settings).await.map_err(End::NoConnection)?;
    let stream = query.tail_events(request.clone()).await.map_err(|status| End::of(status, false))?;
    let mut stream = stream.into_inner();
    while let Some(response) = stream.next().await {
        let response = response.map_err(|status| End::of(status, *came > 0))?;
        if let Some(Told::Event(event)) = response.message {
            let line = json(&event).map_err(End::Failed)?;
            print(&line).map_err(|error| End::Failed(error.into()))?;
        }
        request.resume_token = response.resume_token;
        *came += 1;
    }
    Ok(())
}

fn print(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_refused_for_good_ends_a_tail() {
        let goes_on = |code, had_gone_on| match End::of(Status::new(code, ""), had_gone_on) {
            End::Cut(_) => true,
            End::Refused(_) => false,
            other => panic!("{other:?}"),
        };
        for code in
            [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled, Code::ResourceExhausted]
        {
            assert!(goes_on(code, false) && goes_on(code, true), "{code:?}");
        }
        for code in [Code::PermissionDenied, Code::InvalidArgument, Code::OutOfRange] {
            assert!(!goes_on(code, false) && !goes_on(code, true), "{code:?}");
        }
        assert!(!goes_on(Code::Unauthenticated, false));
        assert!(goes_on(Code::Unauthenticated, true), "the token has ended, and there may be another");
    }
}
