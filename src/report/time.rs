//! A moment as RFC 3339 writes it, without an operating system's help.

use core::fmt::Write;

use serde::{Serialize, Serializer};

/// Room for the longest timestamp: the last moment that fits lies in the year 584,556,019.
pub const TIMESTAMP_LEN: usize = 32;

/// A moment in UTC, written as `2026-01-31T12:34:56.789Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    unix_ms: u64,
}

impl Timestamp {
    /// From milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (as Unix does).
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self { unix_ms }
    }

    /// The text; at most [`TIMESTAMP_LEN`] bytes.
    pub fn text(self) -> heapless::String<TIMESTAMP_LEN> {
        let seconds = self.unix_ms / 1000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let ms = self.unix_ms % 1000;
        let mut text = heapless::String::new();
        // cannot fail: see TIMESTAMP_LEN
        let _ = write!(
            text,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        );
        text
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

/// Days since 1970-01-01 to year, month and day of the Gregorian calendar, by counting years from
/// March, so that the leap day comes last (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_ms: u64) -> heapless::String<TIMESTAMP_LEN> {
        Timestamp::from_unix_ms(unix_ms).text()
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(text(1_795_562_793_042), "2026-11-24T23:26:33.042Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..200_000 {
            let (y, m, d) = civil(day);
            let (y0, m0, d0) = before;
            let next_day = (y, m, d) == (y0, m0, d0 + 1);
            let next_month = (y, m, d) == (y0, m0 + 1, 1) && d0 >= 28;
            let next_year = (y, m, d) == (y0 + 1, 1, 1) && (m0, d0) == (12, 31);
            assert!(next_day || next_month || next_year, "{before:?} then {:?}", (y, m, d));
            before = (y, m, d);
        }
    }

    #[test]
    fn the_last_moment_fits() {
        assert!(text(u64::MAX).ends_with('Z'));
    }
}
