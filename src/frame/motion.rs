//! Which frames show what the last encoded one showed, at a hundredth of the price of encoding them.
//!
//! A frame becomes a grid of 16 by 12 mean brightnesses, of 96 pixels each however big the frame is.
//! The mean of so many pixels hardly moves with a sensor's noise (by a level or two at night), an object
//! of a fiftieth of the picture fills at least one part of the grid. The grid is compared with that of
//! the last *encoded* frame, so that slow drifts add up until they count.

use std::time::Duration;

use super::{Frame, FrameError};

/// Parts of the grid.
const COLUMNS: usize = 16;
const ROWS: usize = 12;
/// Of each part these lines are read, and these pixels of a line.
const LINES: usize = 6;
const RUN: usize = 16;

/// A part so bright has pixels that cannot become brighter.
const WHITE: f32 = 250.0;

/// Mean brightness of each part, 0 to 255; 0 where a small frame has no such part.
type Grid = [f32; COLUMNS * ROWS];

/// What counts as a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotionRules {
    /// By so many of the 255 levels of brightness a part of the picture must change. Smaller is more
    /// sensitive.
    pub change: f32,
    /// By this share the brightness of the whole picture must change (a lamp, the camera's exposure).
    pub light: f32,
    /// A frame is encoded at least every so often.
    pub max_still: Duration,
}

impl Default for MotionRules {
    fn default() -> Self {
        Self { change: 8.0, light: 0.15, max_still: Duration::from_secs(10) }
    }
}

impl MotionRules {
    /// Refuses values that mean nothing.
    ///
    /// # Errors
    /// [`FrameError::Option`] with the field and the remedy.
    pub fn check(&self) -> Result<(), FrameError> {
        let refuse = |field, found: f32, remedy| {
            let (name, reason) = ("motion".to_owned(), format!("{field} is {found}"));
            Err(FrameError::Option { name, reason, remedy })
        };
        if !(1.0..=255.0).contains(&self.change) {
            return refuse("change", self.change, "write levels of brightness from 1 to 255");
        }
        if !(0.01..=1.0).contains(&self.light) {
            return refuse("light", self.light, "write a share of the brightness from 0.01 to 1");
        }
        Ok(())
    }
}

/// Says which frames need not be encoded.
#[derive(Clone, Debug)]
pub struct Motion {
    rules: MotionRules,
    now: Grid,
    encoded: Grid,
    /// Size and time of the last encoded frame.
    last: Option<(u32, u32, Duration)>,
}

impl Motion {
    /// A gate that has seen nothing: the first frame is no still one.
    #[must_use]
    pub const fn new(rules: MotionRules) -> Self {
        let empty = [0.0; COLUMNS * ROWS];
        Self { rules, now: empty, encoded: empty, last: None }
    }

    /// Whether `frame` of time `at` (since any fixed start) shows what the last encoded frame showed.
    /// If not, the caller encodes it: from now on it is the last encoded frame.
    ///
    /// A frame of another size, and one from before the last encoded frame, is not still.
    pub fn still(&mut self, at: Duration, frame: &Frame) -> bool {
        measure(frame, &mut self.now);
        let (width, height) = (frame.width(), frame.height());
        let still = self.last.is_some_and(|(last_width, last_height, last_at)| {
            let young = at.checked_sub(last_at).is_some_and(|since| since < self.rules.max_still);
            young && (width, height) == (last_width, last_height) && self.is_alike()
        });
        if !still {
            std::mem::swap(&mut self.now, &mut self.encoded);
            self.last = Some((width, height, at));
        }
        still
    }

    /// Compares the grids. What all parts have in common is light: it makes each of them brighter by the
    /// same factor, up to white. What is left is a change of that part.
    fn is_alike(&self) -> bool {
        let parts = self.now.iter().copied().zip(self.encoded);
        // A white part does not say how much light there is.
        let gray = parts.clone().filter(|&(now, encoded)| now < WHITE && encoded < WHITE);
        let (now, encoded) = gray.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        if (now - encoded).abs() > self.rules.light * encoded.max(now) {
            return false;
        }
        let factor = if encoded > 0.0 { now / encoded } else { 1.0 };
        parts.fold(0f32, |largest, (now, encoded)| {
            largest.max((now - (encoded * factor).min(255.0)).abs())
        }) < self.rules.change
    }
}

/// The mean brightness (of red, green and blue alike) of each part of a frame.
fn measure(frame: &Frame, grid: &mut Grid) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    grid.fill(0.0);
    if width == 0 || height == 0 {
        return;
    }
    let (columns, rows) = (COLUMNS.min(width), ROWS.min(height));
    let edges: [usize; COLUMNS + 1] = std::array::from_fn(|i| i.min(columns) * width / columns);
    for (row, grid) in grid.chunks_exact_mut(COLUMNS).take(rows).enumerate() {
        let (top, bottom) = (row * height / rows, (row + 1) * height / rows);
        let lines = LINES.min(bottom - top);
        let mut sums = [0u32; COLUMNS];
        for line in 0..lines {
            let y = top + (bottom - top) * line / lines;
            let pixels = &frame.pixels()[y * width * 3..][..width * 3];
            for (sum, edge) in sums.iter_mut().zip(edges.windows(2)).take(columns) {
                let part = &pixels[edge[0] * 3..edge[1] * 3];
                // Each line further to the right, so that all of them together cross the part.
                let spare = (edge[1] - edge[0]).saturating_sub(RUN);
                let run = &part[spare * line / LINES * 3..];
                *sum += brightness(&run[..run.len().min(RUN * 3)]);
            }
        }
        for ((mean, sum), edge) in grid.iter_mut().zip(sums).zip(edges.windows(2)).take(columns) {
            let values = (edge[1] - edge[0]).min(RUN) * 3 * lines;
            *mean = sum as f32 / values as f32;
        }
    }
}

/// The sum of a run's values; in pieces of a vector's width, which compilers know how to add up.
fn brightness(run: &[u8]) -> u32 {
    let sum = |values: &[u8]| values.iter().copied().map(u32::from).sum::<u32>();
    let (pieces, rest) = run.as_chunks::<16>();
    pieces.iter().map(|piece| sum(piece)).sum::<u32>() + sum(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const SECOND: Duration = Duration::from_secs(1);

    /// A gate that encodes only what changed.
    fn gate() -> Motion {
        Motion::new(MotionRules { max_still: Duration::MAX, ..MotionRules::default() })
    }

    /// A frame of a brightness for each pixel.
    fn picture(width: u32, height: u32, mut value: impl FnMut(u32, u32) -> f32) -> Frame {
        let mut frame = Frame::new();
        frame.resize(width, height);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        for ((x, y), pixel) in places.zip(frame.pixels_mut().as_chunks_mut::<3>().0) {
            pixel.fill(value(x, y).clamp(0.0, 255.0) as u8);
        }
        frame
    }

    /// Something with dark and bright places: 40 to 200.
    fn room(x: u32, y: u32) -> f32 {
        40.0 + ((x / 3 + y / 2) % 160) as f32
    }

    fn noisy(random: &mut Random, amplitude: u64) -> Frame {
        let mut frame = picture(640, 480, room);
        for value in frame.pixels_mut() {
            let noise = random.below(2 * amplitude + 1);
            *value = value.saturating_add(noise as u8).saturating_sub(amplitude as u8);
        }
        frame
    }

    #[test]
    fn noise_on_a_still_picture_is_still() {
        // 4 levels are a webcam's by day, 17 (a deviation of 10) by night
        for amplitude in [4, 17] {
            let (mut gate, mut random) = (gate(), Random::new(1));
            assert!(!gate.still(SECOND, &noisy(&mut random, amplitude)));
            for i in 2..20 {
                assert!(gate.still(SECOND * i, &noisy(&mut random, amplitude)), "{amplitude} {i}");
            }
        }
    }

    #[test]
    fn a_small_object_is_motion_wherever_it_appears() {
        for (width, height) in [(640, 480), (320, 180), (240, 320)] {
            // a fiftieth of the area
            let side = ((width * height / 50) as f32).sqrt() as u32;
            let mut gate = gate();
            let empty = picture(width, height, |_, _| 100.0);
            assert!(!gate.still(SECOND, &empty));
            for i in 0..40 {
                let left = (width - side) * (i % 8) / 7;
                let top = (height - side) * (i / 8) / 4;
                let inside = |at: u32, from: u32| (from..from + side).contains(&at);
                let object = |x, y| if inside(x, left) && inside(y, top) { 112.0 } else { 100.0 };
                let time = SECOND * (2 * i + 2);
                assert!(!gate.still(time, &picture(width, height, object)), "{width} {left} {top}");
                assert!(!gate.still(time + SECOND, &empty), "it went");
            }
        }
    }

    /// How many of 100 frames are encoded.
    fn encoded(mut frame: impl FnMut(f32) -> Frame) -> usize {
        let mut gate = gate();
        (0..100u16).filter(|&i| !gate.still(SECOND * i.into(), &frame(i.into()))).count()
    }

    #[test]
    fn a_slow_fade_is_caught_when_it_has_added_up() {
        // of the light, by a level a frame at most, to a half: 0.85 to the power 4 is 0.52
        let faded = encoded(|i| picture(64, 48, |x, y| room(x, y) * (1.0 - i / 200.0)));
        assert!((4..=6).contains(&faded), "{faded}");
        // of one place alone, by a quarter of a level a frame
        let ghost = |i: f32, x| if x < 8 { 100.0 + i / 4.0 } else { 100.0 };
        let faded = encoded(|i| picture(64, 48, |x, _| ghost(i, x)));
        assert!((3..=4).contains(&faded), "{faded}");
    }

    #[test]
    fn light_counts_only_above_its_level() {
        let lit = |factor: f32| {
            let mut gate = gate();
            assert!(!gate.still(SECOND, &picture(640, 480, room)));
            gate.still(SECOND * 2, &picture(640, 480, |x, y| room(x, y) * factor))
        };
        assert!([0.88, 0.95, 1.05, 1.14].into_iter().all(lit));
        assert!(![0.8, 1.25].into_iter().any(lit));
        // white stays white when it gets brighter
        let window = |light: f32| move |x, y| if x < 200 { 255.0 } else { room(x, y) * light };
        let mut gate = gate();
        assert!(!gate.still(SECOND, &picture(640, 480, window(1.0))));
        assert!(gate.still(SECOND * 2, &picture(640, 480, window(1.1))));
    }

    #[test]
    fn an_object_is_seen_in_other_light_too() {
        let mut gate = gate();
        assert!(!gate.still(SECOND, &picture(640, 480, room)));
        let object = |x, y| if x < 91 && y < 68 { 200.0 } else { room(x, y) * 1.1 };
        assert!(!gate.still(SECOND * 2, &picture(640, 480, object)));
    }

    #[test]
    fn another_size_is_motion_and_every_size_can_be_still() {
        let mut gate = gate();
        let sizes = [(1, 1), (1, 300), (300, 1), (2, 3), (15, 11), (17, 13), (31, 97), (0, 0)];
        for (i, (width, height)) in (0u32..).zip(sizes) {
            let time = SECOND * (10 * i);
            let gray = picture(width, height, |_, _| 100.0);
            assert!(!gate.still(time, &gray), "{width}x{height}");
            assert!(gate.still(time + SECOND, &gray), "{width}x{height}");
            if width > 0 {
                let bright = picture(width, height, |_, _| 150.0);
                assert!(!gate.still(time + SECOND * 2, &bright), "{width}x{height}");
            }
        }
        // without any light there is no factor
        let black = picture(64, 48, |_, _| 0.0);
        assert!(!gate.still(SECOND * 100, &black) && gate.still(SECOND * 101, &black));
        assert!(!gate.still(SECOND * 102, &picture(64, 48, |_, _| 9.0)));
    }

    #[test]
    fn every_pixel_of_a_small_frame_counts() {
        for at in 0..16 * 12 {
            let mut gate = gate();
            assert!(!gate.still(SECOND, &picture(16, 12, |_, _| 100.0)));
            let dot = |x, y| if y * 16 + x == at { 110.0 } else { 100.0 };
            assert!(!gate.still(SECOND * 2, &picture(16, 12, dot)), "{at}");
        }
    }

    #[test]
    fn a_still_scene_is_encoded_now_and_then() {
        let rules = MotionRules { max_still: SECOND * 10, ..MotionRules::default() };
        let (mut gate, gray) = (Motion::new(rules), picture(64, 48, |_, _| 100.0));
        let encoded: Vec<_> = (0..30).filter(|&i| !gate.still(SECOND * i, &gray)).collect();
        assert_eq!(encoded, [0, 10, 20]);
        // a clock that was set back heals at once
        assert!(!gate.still(SECOND, &gray) && gate.still(SECOND * 2, &gray));
    }

    #[test]
    fn rules_that_mean_nothing_are_refused_by_name() {
        let rules = MotionRules::default();
        assert!(rules.check().is_ok());
        for change in [0.0, 256.0, f32::NAN] {
            let error = MotionRules { change, ..rules }.check().unwrap_err().to_string();
            assert!(error.starts_with("motion: change is"), "{error}");
        }
        for light in [0.0, 1.5, f32::NAN] {
            let error = MotionRules { light, ..rules }.check().unwrap_err().to_string();
            assert!(error.starts_with("motion: light is"), "{error}");
        }
    }
}
