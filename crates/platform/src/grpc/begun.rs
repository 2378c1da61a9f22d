//! A connection whose client has begun HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::tls::Stream;

/// What a client begins with, whatever the server says (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection, with what of it was read to know that it has begun: it is read once more.
#[derive(Debug)]
pub struct Begun {
    stream: Stream,
    first: [u8; PREFACE.len()],
    /// How much of `first` there is, and how much of that was read once more.
    read: usize,
    given: usize,
}

impl Begun {
    /// Waits until the client has begun. One that begins with something else is let through: HTTP/2 tells it.
    pub async fn new(stream: Stream) -> io::Result<Self> {
        let mut begun = Self { stream, first: [0; PREFACE.len()], read: 0, given: 0 };
        while begun.read < PREFACE.len() && PREFACE.starts_with(&begun.first[..begun.read]) {
            let read = begun.stream.read(&mut begun.first[begun.read..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            begun.read += read;
        }
        Ok(begun)
    }
}

impl Connected for Begun {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.first[self.given..self.read];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let given = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..given]);
        self.given += given;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
