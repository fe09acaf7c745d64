use std::time::Duration;

/// Tells when the next frame of a replayed source is due.
///
/// Knows no clock: times are passed in and waiting is the caller's, so it can be replayed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    period: Duration,
    due: Option<Duration>,
}

impl Pace {
    /// `rate` frames a second; `None` unless it is a number above 0 and at most 1,000.
    #[must_use]
    pub fn new(rate: f64) -> Option<Self> {
        let usable = rate > 0.0 && rate <= 1000.0;
        let period = usable.then(|| Duration::try_from_secs_f64(rate.recip()).ok())??;
        Some(Self { period, due: None })
    }

    /// How long to wait before the next frame, when it is now `now` on any clock that only goes
    /// forward. A frame that comes late does not make the later ones hurry.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = Some(due.saturating_add(self.period));
        due - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_their_distance_and_late_ones_are_not_made_up_for() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(10.0).unwrap();
        assert_eq!(pace.wait(ms(1000)), ms(0));
        assert_eq!(pace.wait(ms(1030)), ms(70));
        assert_eq!(pace.wait(ms(1500)), ms(0));
        assert_eq!(pace.wait(ms(1500)), ms(100));
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(Pace::new(rate).is_none(), "{rate}");
        }
        assert!(Pace::new(1e-300).is_none() && Pace::new(0.1).is_some());
    }
}
