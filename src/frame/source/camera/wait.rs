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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn silence_ends_and_bytes_and_ends_are_seen_at_once() {
        let long = Duration::from_secs(3600);
        let (reader, mut writer) = io::pipe().unwrap();
        assert!(wait(&reader, Duration::from_millis(10)).unwrap().is_empty());
        writer.write_all(b"a frame").unwrap();
        assert!(wait(&reader, long).unwrap().contains(PollFlags::IN));
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        assert!(!wait(&reader, long).unwrap().is_empty());
    }
}
