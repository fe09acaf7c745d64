//! Random views of a picture, as few-shot papers average them.

use super::Frame;
use crate::math;
use crate::random::Random;

/// Areas that a view may have, as shares of the picture's.
const AREA: (f32, f32) = (0.5, 1.0);
/// Width over height that a view may have: 3/4 to 4/3.
const RATIO: f32 = 4.0 / 3.0;
const LN_RATIO: f32 = 0.287_682_07;
/// Shapes that are tried until one lies within the picture.
const TRIES: u32 = 10;

/// A part of a picture, perhaps mirrored: what torchvision's `RandomResizedCrop(scale=(0.5, 1))` and
/// `RandomHorizontalFlip` take before they resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    mirrored: bool,
}

impl View {
    /// The next view of a picture of this size, which must not be empty.
    pub fn draw(random: &mut Random, width: u32, height: u32) -> Self {
        let (w, h) = Self::size(random, width, height);
        let left = random.below(u64::from(width - w) + 1) as u32;
        let top = random.below(u64::from(height - h) + 1) as u32;
        Self { left, top, width: w, height: h, mirrored: random.below(2) == 1 }
    }

    fn size(random: &mut Random, width: u32, height: u32) -> (u32, u32) {
        let area = width as f32 * height as f32;
        for _ in 0..TRIES {
            let part = area * (AREA.0 + (AREA.1 - AREA.0) * random.unit());
            let ratio = math::exp((2.0 * random.unit() - 1.0) * LN_RATIO);
            let w = (part * ratio).sqrt().round() as u32;
            let h = (part / ratio).sqrt().round() as u32;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return (w, h);
            }
        }
        // too long a picture: the longest part with a ratio that may be
        let (w, h) = (width as f32, height as f32);
        let part = (w.min(h * RATIO).round() as u32, h.min(w * RATIO).round() as u32);
        (part.0.clamp(1, width), part.1.clamp(1, height))
    }

    /// Copies the view out of the picture that it was drawn for.
    pub fn take(&self, from: &Frame, into: &mut Frame) {
        into.resize(self.width, self.height);
        let (stride, width) = (from.width() as usize * 3, self.width as usize * 3);
        let rows = from.pixels().chunks_exact(stride.max(1)).skip(self.top as usize);
        for (row, out) in rows.zip(into.pixels_mut().chunks_exact_mut(width.max(1))) {
            out.copy_from_slice(&row[self.left as usize * 3..][..width]);
            if self.mirrored {
                out.as_chunks_mut::<3>().0.reverse();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_lie_within_the_picture_and_have_half_of_it_at_least() {
        let mut random = Random::new(7);
        let mut mirrored = 0;
        for (width, height) in [(1, 1), (300, 200), (200, 300), (16, 9), (1000, 3), (2, 700)] {
            for _ in 0..500 {
                let view = View::draw(&mut random, width, height);
                assert!(view.width > 0 && view.left + view.width <= width, "{view:?}");
                assert!(view.height > 0 && view.top + view.height <= height, "{view:?}");
                let share = f64::from(view.width * view.height) / f64::from(width * height);
                let long = width > 10 * height || height > 10 * width;
                assert!(long || share > 0.45, "{view:?} of {width} x {height}");
                mirrored += usize::from(view.mirrored);
            }
        }
        assert!((1350..1650).contains(&mirrored), "{mirrored} of 3000");
    }

    #[test]
    fn the_same_stream_draws_the_same_views() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..20).map(|_| View::draw(&mut random, 640, 480)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_view_is_the_part_and_its_mirror_image() {
        let mut frame = Frame::new();
        frame.resize(3, 2);
        frame.pixels_mut().copy_from_slice(&[
            0, 0, 0, 1, 1, 1, 2, 2, 2, //
            3, 3, 3, 4, 4, 4, 5, 5, 5,
        ]);
        let mut out = Frame::new();
        let view = View { left: 1, top: 0, width: 2, height: 2, mirrored: false };
        view.take(&frame, &mut out);
        assert_eq!(out.pixels(), [1, 1, 1, 2, 2, 2, 4, 4, 4, 5, 5, 5]);
        View { mirrored: true, ..view }.take(&frame, &mut out);
        assert_eq!(out.pixels(), [2, 2, 2, 1, 1, 1, 5, 5, 5, 4, 4, 4]);
    }
}
