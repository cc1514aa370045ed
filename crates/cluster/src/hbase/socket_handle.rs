//! The socket that a thread may block on, so that another thread can interrupt it.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Clone, Default)]
pub(super) struct SocketHandle(Arc<Mutex<Option<TcpStream>>>);

impl SocketHandle {
    pub fn set(&self, stream: TcpStream) {
        *self.stream() = Some(stream);
    }

    pub fn clear(&self) {
        *self.stream() = None;
    }

    /// Interrupts a call of its thread.
    pub fn shut_down(&self) {
        if let Some(stream) = &*self.stream() {
            // Fails if it is closed already, which has the same effect.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn stream(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.0.lock().expect("nothing panics under it")
    }
}
