//! Bodies that end when the token of their call does.
//!
//! A call that takes no time pays a look at the clock: there is a timer only while a body waits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cornjacket_domain::{Clock, Timestamp};
use cornjacket_proto::status::Failure;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

use crate::refusal::Refusal;

/// Timers do not see the clock being set, nor a machine that sleeps: it is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// When a token ends.
#[derive(Debug)]
pub struct End {
    clock: Arc<dyn Clock>,
    at: Timestamp,
    timer: Option<Pin<Box<Sleep>>>,
}

impl End {
    /// At that time.
    pub fn new(clock: Arc<dyn Clock>, at: Timestamp) -> Self {
        Self { clock, at, timer: None }
    }

    fn left(&self) -> Option<Duration> {
        let micros = self.at.as_micros().saturating_sub(self.clock.now().as_micros());
        u64::try_from(micros).ok().filter(|micros| *micros > 0).map(Duration::from_micros)
    }

    fn has_come(&self) -> bool {
        self.left().is_none()
    }

    /// Ready once it has come. The timer only says when to look at the clock.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(left) = self.left() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(left.min(LOOK_AGAIN))));
            ready!(timer.as_mut().poll(context));
            self.timer = None;
        }
        Poll::Ready(())
    }
}

fn expired() -> Status {
    Failure::from(Refusal::Expired).into()
}

/// A request's body, which fails at the end of the token.
#[derive(Debug)]
pub struct RequestBody {
    inner: Body,
    end: End,
}

impl RequestBody {
    /// `inner`, until `end`.
    pub fn new(inner: Body, end: End) -> Self {
        Self { inner, end }
    }
}

impl HttpBody for RequestBody {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = self.get_mut();
        if !this.end.has_come()
            && let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context)
        {
            return Poll::Ready(frame);
        }
        ready!(this.end.poll(context));
        // Nothing of it is read any more: whoever sends the rest may stop.
        this.inner = Body::empty();
        Poll::Ready(Some(Err(expired())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body, which ends with the token: in gRPC's trailers, as an error.
#[derive(Debug)]
pub struct ResponseBody {
    inner: Body,
    end: End,
    has_begun: bool,
}

impl ResponseBody {
    /// `inner`, until `end`.
    pub fn new(inner: Body, end: End) -> Self {
        Self { inner, end, has_begun: false }
    }

    fn cut(&mut self) -> Frame<<Body as HttpBody>::Data> {
        // Dropped now, with the stream behind it.
        self.inner = Body::empty();
        let mut trailers = HeaderMap::new();
        // Fails for what cannot be in a header, which is nothing of ours.
        let _ = expired().add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl HttpBody for ResponseBody {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    /// The first message and the trailers always go out: what was done within the token's life is told.
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            let is_more = this.has_begun && matches!(&frame, Some(Ok(frame)) if frame.is_data());
            if is_more && this.end.has_come() {
                return Poll::Ready(Some(Ok(this.cut())));
            }
            this.has_begun = true;
            return Poll::Ready(frame);
        }
        ready!(this.end.poll(context));
        Poll::Ready(Some(Ok(this.cut())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
