//! A cap on what one look may receive. The library reads whatever a server sends, and an element of a list cannot be
//! asked for in part; so the bytes are counted where they come in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More came than a look may receive.
#[derive(Debug)]
pub(super) struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answers are larger than one look may receive")
    }
}

impl std::error::Error for TooLarge {}

/// Bytes that may still come in. Filled up before each look.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowance(Arc<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    left: AtomicUsize,
    exceeded: AtomicBool,
}

impl Allowance {
    /// From here on so many bytes may come.
    pub(super) fn fill(&self, bytes: usize) {
        self.0.left.store(bytes, Ordering::Relaxed);
    }

    /// More wanted to come. The library tells of it only as of a connection that broke.
    pub(super) fn exceeded(&self) -> bool {
        self.0.exceeded.load(Ordering::Relaxed)
    }
}

/// A stream that fails once its allowance is used up.
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: S,
    left: Allowance,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, left: Allowance) -> Self {
        Self { inner, left }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &polled {
            let came = buf.filled().len() - before;
            let left = self.left.0.left.load(Ordering::Relaxed);
            if came > left {
                self.left.0.exceeded.store(true, Ordering::Relaxed);
                return Poll::Ready(Err(io::Error::other(TooLarge)));
            }
            self.left.0.left.store(left - came, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_goes_beyond_the_allowance_fails_and_what_fits_exactly_does_not() {
        let left = Allowance::default();
        left.fill(4);
        let mut stream = Metered::new(&b"12345"[..], left.clone());
        let mut four = [0; 4];
        stream.read_exact(&mut four).await.unwrap();
        assert!(stream.read_u8().await.unwrap_err().get_ref().unwrap().is::<TooLarge>());
        let mut stream = Metered::new(&b"12345"[..], left.clone());
        left.fill(5);
        let mut all = Vec::new();
        assert_eq!(stream.read_to_end(&mut all).await.unwrap(), 5);
    }
}
