//! Streams whose items a thread of their own produces.

use std::{io, thread};

use futures_util::{Stream, stream};
use tokio::sync::mpsc;

/// Starts a thread that produces the items of a stream, at most `read_ahead` of them before they are
/// read: then sending blocks.
///
/// An error that `produce` returns becomes the last item. If the stream is dropped, sending fails, and
/// `produce` should return. Fails if the thread can't be started.
pub fn stream_from_thread<T, E, P>(
    name: &str,
    read_ahead: usize,
    produce: P,
) -> io::Result<impl Stream<Item = Result<T, E>> + Send + use<T, E, P>>
where
    T: Send + 'static,
    E: Send + 'static,
    P: FnOnce(&mpsc::Sender<Result<T, E>>) -> Result<(), E> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(read_ahead);
    let thread = thread::Builder::new().name(name.into());
    thread.spawn(move || {
        if let Err(error) = produce(&sender) {
            // Fails if the stream was dropped: then nobody needs the error.
            drop(sender.blocking_send(Err(error)));
        }
    })?;
    Ok(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn items_come_in_order_and_an_error_ends_the_stream() {
        let items = stream_from_thread("test", 1, |sender| {
            for n in 0..3 {
                sender.blocking_send(Ok(n)).expect("it is read");
            }
            Err("broken")
        });
        let items: Vec<_> = items.expect("a thread").collect().await;
        assert_eq!(items, [Ok(0), Ok(1), Ok(2), Err("broken")]);
    }

    #[tokio::test]
    async fn dropping_the_stream_ends_the_thread() {
        let (ended, has_ended) = tokio::sync::oneshot::channel();
        let items = stream_from_thread("test", 1, move |sender| {
            while sender.blocking_send(Ok(())).is_ok() {}
            ended.send(()).expect("the test waits");
            Err(())
        });
        drop(items);
        has_ended.await.expect("the thread has ended");
    }
}
