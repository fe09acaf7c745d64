//! How a tensor of the ONNX graph lies in a value of ours.
//!
//! Reshapes, transpositions and slices move nothing here: they give another view of the same value.
//! So images (`[1, C, H, W]`), tokens in both orders (`[1, T, C]`, `[T, 1, C]`), and the views that
//! split a layer's channels into heads are all the same to what reads them.

use std::rc::Rc;

use super::super::ir::Value;

/// A strided view of a value, `[positions][channels]` as it lies in memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) value: Value,
    /// Positions and channels of the value.
    pub(super) rows: usize,
    pub(super) channels: usize,
    /// The first element.
    pub(super) offset: usize,
    /// Length of each of the tensor's axes and its step in the value; 0 along an axis of length
    /// one, and where the value is repeated.
    pub(super) axes: Vec<Axis>,
    /// What all elements are multiplied by.
    pub(super) factor: f64,
    /// Which channel of the value holds channel `i`, if they are not in the tensor's order.
    pub(super) order: Option<Rc<[usize]>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) len: usize,
    pub(super) step: usize,
}

/// Along what an axis goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Along {
    /// Nothing: it has one element or repeats.
    Nothing,
    /// Positions, in steps of so many.
    Rows(usize),
    /// Channels, in steps of so many.
    Channels(usize),
}

impl View {
    /// All of a value of `rows` positions, its axes given by their lengths and steps.
    pub(super) fn new(value: Value, rows: usize, channels: usize, axes: &[(usize, usize)]) -> Self {
        let axis = |&(len, step)| Axis { len, step: if len == 1 { 0 } else { step } };
        let axes = axes.iter().map(axis).collect();
        Self { value, rows, channels, offset: 0, axes, factor: 1.0, order: None }
    }

    /// `[1, C, H, W]` (or without the 1) of an image.
    pub(super) fn image(value: Value, [height, width, channels]: [usize; 3], rank: usize) -> Self {
        let axes = [(1, 0), (channels, 1), (height, width * channels), (width, channels)];
        Self::new(value, height * width, channels, &axes[4 - rank.clamp(3, 4)..])
    }

    /// Whether its axes are those of [`View::image`] for a value of that shape.
    pub(super) fn is_image(&self, shape: [usize; 3]) -> bool {
        let image = Self::image(self.value, shape, self.axes.len());
        self.axes == image.axes && self.offset == 0
    }

    /// Channel of the value that holds channel `i`.
    pub(super) fn stored(&self, channel: usize) -> usize {
        self.order.as_ref().map_or(channel, |order| order[channel])
    }

    /// Lengths of the axes.
    pub(super) fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.len).collect()
    }

    pub(super) fn along(&self, axis: usize) -> Along {
        match self.axes[axis].step {
            0 => Along::Nothing,
            // Where a value has one channel, every step goes along positions.
            step if self.rows > 1 && step.is_multiple_of(self.channels) => {
                Along::Rows(step / self.channels)
            }
            step => Along::Channels(step),
        }
    }

    /// The first position and channel.
    pub(super) fn start(&self) -> (usize, usize) {
        (self.offset / self.channels, self.offset % self.channels)
    }

    /// How many positions and channels it goes over, if without gaps, repeats and axes that mix
    /// both.
    pub(super) fn extent(&self) -> Option<(usize, usize)> {
        let mut steps: [Vec<Axis>; 2] = [Vec::new(), Vec::new()];
        for axis in 0..self.axes.len() {
            let len = self.axes[axis].len;
            match self.along(axis) {
                Along::Nothing if len > 1 => return None,
                Along::Nothing => {}
                Along::Rows(step) => steps[0].push(Axis { len, step }),
                Along::Channels(step) => steps[1].push(Axis { len, step }),
            }
        }
        let [rows, channels] = steps.map(|mut axes| {
            axes.sort_by_key(|axis| axis.step);
            let nested = |count: usize, axis: &Axis| (axis.step == count).then(|| count * axis.len);
            axes.iter().try_fold(1, nested)
        });
        let (rows, channels) = (rows?, channels?);
        let (row, channel) = self.start();
        (row + rows <= self.rows && channel + channels <= self.channels).then_some((rows, channels))
    }

    /// Whether it shows every element of the value once, as it is.
    pub(super) fn is_whole(&self) -> bool {
        self.extent() == Some((self.rows, self.channels)) && self.factor == 1.0
    }

    /// The same axes over a value that has only positions and channels from `start` on, `extent` of
    /// them.
    pub(super) fn moved(&self, value: Value, (rows, channels): (usize, usize)) -> Self {
        let axes = (0..self.axes.len()).map(|axis| {
            let step = match self.along(axis) {
                Along::Nothing => 0,
                Along::Rows(step) => step * channels,
                Along::Channels(step) => step,
            };
            Axis { len: self.axes[axis].len, step }
        });
        let axes = axes.collect();
        let order = self.order.clone();
        Self { value, rows, channels, offset: 0, axes, factor: 1.0, order }
    }

    /// Element `start` and the `len - 1` after it along an axis.
    pub(super) fn slice(mut self, axis: usize, start: usize, len: usize) -> Self {
        self.offset += start * self.axes[axis].step;
        self.axes[axis].len = len;
        if len == 1 {
            self.axes[axis].step = 0;
        }
        self
    }

    /// Axes `at..at + from` as axes of the lengths `to`, if that moves nothing.
    pub(super) fn reshape(mut self, at: usize, from: usize, to: &[usize]) -> Option<Self> {
        // What can be walked in one step, the last axis first.
        let mut runs: Vec<Axis> = Vec::new();
        for axis in self.axes[at..at + from].iter().rev().filter(|axis| axis.len != 1) {
            match runs.last_mut() {
                Some(run) if axis.step == run.len * run.step => run.len *= axis.len,
                _ => runs.push(*axis),
            }
        }
        let mut axes = Vec::with_capacity(to.len());
        let mut runs = runs.into_iter();
        let mut run = Axis { len: 1, step: 0 };
        for &len in to.iter().rev() {
            if len == 1 {
                axes.push(Axis { len, step: 0 });
                continue;
            }
            if run.len == 1 {
                run = runs.next()?;
            }
            if !run.len.is_multiple_of(len) {
                return None;
            }
            axes.push(Axis { len, step: run.step });
            run = Axis { len: run.len / len, step: run.step * len };
        }
        if run.len != 1 || runs.next().is_some() {
            return None;
        }
        axes.reverse();
        self.axes.splice(at..at + from, axes);
        Some(self)
    }

    /// Without repeats: where it does not move, an axis has length one.
    pub(super) fn without_repeats(mut self) -> Self {
        self.axes.iter_mut().filter(|axis| axis.step == 0).for_each(|axis| axis.len = 1);
        self
    }

    /// Axes of length one repeated, and axes added in front, to the lengths `to`.
    pub(super) fn broadcast(mut self, to: &[usize]) -> Option<Self> {
        while self.axes.len() < to.len() {
            self.axes.insert(0, Axis { len: 1, step: 0 });
        }
        for (axis, &len) in self.axes.iter_mut().zip(to) {
            match axis.len {
                1 => *axis = Axis { len, step: 0 },
                own if own == len => {}
                _ => return None,
            }
        }
        (self.axes.len() == to.len()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements of a view, the last axis fastest.
    fn elements(view: &View) -> Vec<usize> {
        view.axes.iter().fold(vec![view.offset], |at, axis| {
            at.iter().flat_map(|at| (0..axis.len).map(move |i| at + i * axis.step)).collect()
        })
    }

    #[test]
    fn a_reshape_keeps_the_order_of_elements_or_is_refused() {
        // [1, T, C] of 6 tokens with 3 x 2 x 4 channels: queries, keys and values of two heads.
        let tokens = View::new(1, 6, 24, &[(1, 0), (6, 24), (24, 1)]);
        let heads = tokens.clone().reshape(1, 2, &[6, 3, 2, 4]).unwrap();
        assert_eq!(elements(&heads), elements(&tokens));
        assert_eq!(heads.along(1), Along::Rows(1));
        assert_eq!(heads.along(3), Along::Channels(4));
        let keys = heads.slice(2, 1, 1);
        assert_eq!((keys.start(), keys.extent()), ((0, 8), Some((6, 8))));
        // Heads before positions: joining them would have to move numbers.
        let mut moved = keys.clone();
        moved.axes.swap(1, 3);
        assert_eq!(moved.clone().reshape(1, 3, &[12]), None);
        assert_eq!(moved.extent(), Some((6, 8)));
        let joined = keys.reshape(2, 3, &[8]).unwrap();
        assert_eq!(joined.axes[2], Axis { len: 8, step: 1 });
    }

    #[test]
    fn an_image_is_flattened_to_tokens_and_back() {
        let image = View::image(1, [2, 3, 5], 4);
        let mut tokens = image.clone().reshape(2, 2, &[6]).unwrap();
        tokens.axes.swap(1, 2);
        assert_eq!(tokens, View::new(1, 6, 5, &[(1, 0), (6, 5), (5, 1)]));
        tokens.axes.swap(1, 2);
        assert!(tokens.reshape(2, 1, &[2, 3]).unwrap().is_image([2, 3, 5]));
        // Channels and positions in one axis are not whole rows.
        assert_eq!(image.clone().reshape(1, 3, &[30]), None);
        assert_eq!(image.slice(3, 1, 2).extent(), None);
    }

    #[test]
    fn rows_and_repeats_are_told_apart() {
        let tokens = View::new(1, 6, 24, &[(1, 0), (6, 24), (24, 1)]);
        let first = tokens.clone().slice(1, 0, 1);
        assert_eq!((first.start(), first.extent()), ((0, 0), Some((1, 24))));
        assert!(!first.is_whole() && tokens.is_whole());
        let gate = View::new(2, 1, 24, &[(1, 0), (24, 1), (1, 0)]);
        let wide = gate.broadcast(&[1, 24, 7]).unwrap();
        assert_eq!((wide.along(2), wide.extent()), (Along::Nothing, None));
    }
}
