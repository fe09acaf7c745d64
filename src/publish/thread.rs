use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::PublishError;

/// A sink's thread, which is given some time at the end.
pub(super) struct Worker(Receiver<()>);

impl Worker {
    /// Starts it.
    pub(super) fn start(
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<Self, PublishError> {
        let (done, end) = mpsc::channel::<()>();
        let run = move || {
            work();
            drop(done);
        };
        thread::Builder::new().name(name.to_owned()).spawn(run).map_err(PublishError::Thread)?;
        Ok(Self(end))
    }

    /// Waits for its end, but not longer than `patience`: it is then left alone.
    pub(super) fn wait(&self, patience: Duration) {
        // nothing is ever sent: the only news is that the other side is gone, or the time is up
        let _ = self.0.recv_timeout(patience);
    }
}
