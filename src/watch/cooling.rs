use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Linux tells its temperatures.
const ZONES: &str = "/sys/class/thermal";
/// Time between two looks at the temperature: metal warms slowly.
const LOOK: Duration = Duration::from_secs(2);
/// The processor counts as cool again this many degrees under the limit.
const MARGIN: f32 = 5.0;
/// How many times longer a frame takes after each look at a hot processor.
const STEP: f32 = 1.5;
/// From no pause at all, the first step is this one.
const FIRST: Duration = Duration::from_millis(100);
/// Even a hot camera looks this often.
const LONGEST: Duration = Duration::from_secs(2);

/// The hottest part of this machine in degrees Celsius; none where nothing tells.
#[must_use]
pub fn temperature() -> Option<f32> {
    hottest(&zones(Path::new(ZONES)))
}

/// The files of a folder that tell temperatures.
fn zones(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let zones =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("thermal_zone"));
    zones.map(|entry| entry.path().join("temp")).collect()
}

fn hottest(zones: &[PathBuf]) -> Option<f32> {
    let read = |zone: &PathBuf| fs::read_to_string(zone).ok()?.trim().parse::<i32>().ok();
    // a zone that is not measured says something absurd
    let credible = |milli: &i32| (-60_000..200_000).contains(milli);
    let hottest = zones.iter().filter_map(read).filter(credible).max();
    hottest.map(|milli| milli as f32 / 1000.0)
}

/// Lowers the rate of frames while the processor is hot. A processor that is left alone lowers its
/// clock instead, and every answer comes late; so does one that throttles for good.
#[derive(Debug)]
pub struct Cooling {
    zones: Vec<PathBuf>,
    limit: f32,
    pause: Duration,
    next_look: Duration,
    next_frame: Duration,
    celsius: Option<f32>,
}

impl Cooling {
    /// Keeps the processor under `limit` degrees Celsius, where it tells its temperature.
    #[must_use]
    pub fn new(limit: f32) -> Self {
        Self::of(Path::new(ZONES), limit)
    }

    fn of(dir: &Path, limit: f32) -> Self {
        let never = Duration::ZERO;
        Self {
            zones: zones(dir),
            limit,
            pause: never,
            next_look: never,
            next_frame: never,
            celsius: None,
        }
    }

    /// Whether a frame that came at `now` is to be answered.
    pub fn admits(&mut self, now: Duration) -> bool {
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.look();
        }
        if now < self.next_frame {
            return false;
        }
        self.next_frame = now + self.pause;
        true
    }

    /// The hottest zone at the last look; none where nothing tells.
    #[must_use]
    pub fn celsius(&self) -> Option<f32> {
        self.celsius
    }

    /// The least time between two frames; zero while the processor is cool.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.pause
    }

    fn look(&mut self) {
        self.celsius = hottest(&self.zones);
        match self.celsius {
            Some(celsius) if celsius >= self.limit => {
                self.pause = self.pause.mul_f32(STEP).clamp(FIRST, LONGEST);
            }
            Some(celsius) if celsius > self.limit - MARGIN => {}
            _ => {
                self.pause = self.pause.div_f32(STEP);
                if self.pause < FIRST {
                    self.pause = Duration::ZERO;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_processor_gets_fewer_frames_and_a_cool_one_all_of_them_again() {
        let dir = tempfile::tempdir().unwrap();
        let (zone, broken) = (dir.path().join("thermal_zone0"), dir.path().join("thermal_zone1"));
        fs::create_dir(&broken).unwrap();
        // what a zone without a sensor says
        fs::write(broken.join("temp"), "300000\n").unwrap();
        fs::create_dir(&zone).unwrap();
        let heat =
            |celsius: u32| fs::write(zone.join("temp"), format!("{}\n", celsius * 1000)).unwrap();
        let mut cooling = Cooling::of(dir.path(), 80.0);
        let mut now = Duration::ZERO;
        let mut minute = |cooling: &mut Cooling| {
            let admitted = (0..600).filter(|_| {
                now += Duration::from_millis(100);
                cooling.admits(now)
            });
            admitted.count()
        };
        heat(60);
        assert_eq!(minute(&mut cooling), 600);
        heat(85);
        assert!(minute(&mut cooling) < 100);
        assert_eq!((cooling.pause(), cooling.celsius()), (LONGEST, Some(85.0)));
        // neither hot nor cool: it stays as it is
        heat(78);
        assert!(minute(&mut cooling) <= 31);
        heat(70);
        minute(&mut cooling);
        assert_eq!(minute(&mut cooling), 600);
    }

    #[test]
    fn where_nothing_tells_the_temperature_every_frame_is_answered() {
        let mut cooling = Cooling::of(Path::new("/nowhere"), 80.0);
        assert!((0..100).all(|i| cooling.admits(Duration::from_millis(i))));
        assert_eq!(cooling.celsius(), None);
    }
}
