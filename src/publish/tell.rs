use std::sync::Arc;
use std::time::{Duration, Instant};

/// Says something to whoever looks after the camera, on stderr or in a log. It is called from the
/// sinks' threads.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Whatever happens, not more often than this.
const ANY: Duration = Duration::from_secs(60);

/// The same words not more often than this.
const SAME: Duration = Duration::from_secs(60 * 60);

/// Tells of trouble that comes again and again, without filling a log with it.
pub(super) struct Trouble {
    tell: Tell,
    last: Option<(Instant, String)>,
    /// Whether somebody was told of trouble that is not over.
    known: bool,
}

impl Trouble {
    pub(super) fn new(tell: Tell) -> Self {
        Self { tell, last: None, known: false }
    }

    /// There is trouble at the moment `now`: it is told unless it was just told.
    pub(super) fn told(&mut self, now: Instant, what: &str) {
        if let Some((at, before)) = &self.last {
            let quiet = if before == what { SAME } else { ANY };
            if now.duration_since(*at) < quiet {
                return;
            }
        }
        (self.tell)(what);
        self.last = Some((now, what.to_owned()));
        self.known = true;
    }

    /// The trouble is over: that is told only to those who heard of it.
    pub(super) fn over(&mut self, what: &str) {
        if std::mem::take(&mut self.known) {
            (self.tell)(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn trouble_is_told_once_a_minute_and_the_same_once_an_hour() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&heard);
        let mut trouble =
            Trouble::new(Arc::new(move |text| to.lock().unwrap().push(text.to_owned())));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        trouble.over("nothing was wrong");
        for (seconds, what) in [(0, "a"), (1, "a"), (59, "b"), (61, "a"), (62, "b"), (63, "b")] {
            trouble.told(after(seconds), what);
        }
        trouble.over("fine");
        trouble.over("fine");
        trouble.told(after(62 + 3599), "b");
        trouble.told(after(62 + 3600), "b");
        assert_eq!(*heard.lock().unwrap(), ["a", "b", "fine", "b"]);
    }
}
