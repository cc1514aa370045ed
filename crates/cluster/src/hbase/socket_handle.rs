//! The socket that a thread waits on, for the one who stops it.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Clone, Default)]
pub(super) struct Shown(Arc<Mutex<Option<TcpStream>>>);

impl Shown {
    pub fn show(&self, stream: TcpStream) {
        *self.stream() = Some(stream);
    }

    pub fn hide(&self) {
        *self.stream() = None;
    }

    /// Ends what its thread waits for.
    pub fn cut(&self) {
        if let Some(stream) = &*self.stream() {
            // Fails when it is closed already, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn stream(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.0.lock().expect("nothing panics under it")
    }
}
