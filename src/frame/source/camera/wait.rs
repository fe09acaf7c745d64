use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Waits until something can be read, has ended or failed; nothing of it when the time is over.
pub(super) fn wait(from: &impl AsFd, longest: Duration) -> io::Result<PollFlags> {
    let end = Instant::now() + longest;
    let mut fds = [PollFd::new(from, PollFlags::IN)];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&left)) {
            Ok(_) => return Ok(fds[0].revents()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
