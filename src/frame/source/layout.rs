use super::Format;
use super::yuv::{self, Chroma, Range};
use crate::frame::Frame;

/// 4:2:0: four luma samples share a chroma sample.
const I420: Chroma = Chroma::Shared(2, 2);

/// How the pixels of one raw frame lie in memory. YUV is BT.601, limited range; grey is full range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    format: Format,
    width: u32,
    height: u32,
    /// Bytes from one row of the first plane to the next.
    stride: usize,
}

impl Layout {
    /// Rows without padding; `None` for a format whose frames are not raw.
    pub(super) fn tight(format: Format, width: u32, height: u32) -> Option<Self> {
        let columns = width as usize;
        let stride = match format {
            Format::Rgb24 => columns * 3,
            Format::Yuyv => yuv::yuyv_row(columns),
            Format::Yuv420p | Format::Nv12 | Format::Grey => columns,
            Format::Images | Format::Y4m | Format::Mjpeg => return None,
        };
        Some(Self { format, width, height, stride })
    }

    /// Rows that begin `stride` bytes apart. Less than a row needs means that nothing is known.
    #[cfg(any(test, all(feature = "camera", target_os = "linux")))]
    pub(super) fn with_stride(self, stride: usize) -> Self {
        Self { stride: stride.max(self.stride), ..self }
    }

    /// Bytes of one frame.
    pub(super) fn len(&self) -> usize {
        let rows = self.height as usize;
        match self.format {
            Format::Yuv420p => yuv::planar_len(self.stride, rows, I420),
            Format::Nv12 => yuv::nv12_len(self.stride, rows),
            _ => self.stride * rows,
        }
    }

    /// Whether the bytes are already those of a [`Frame`].
    pub(super) fn is_frame(&self) -> bool {
        self.format == Format::Rgb24 && self.stride == self.width as usize * 3
    }

    /// Gives `into` the size of this layout's frames.
    pub(super) fn size(&self, into: &mut Frame) {
        into.resize(self.width, self.height);
    }

    /// Converts one frame; `bytes` has at least [`Self::len`] of them.
    pub(super) fn convert(&self, bytes: &[u8], into: &mut Frame) {
        self.size(into);
        let (width, stride) = (self.width as usize, self.stride);
        let bytes = &bytes[..self.len()];
        let out = into.pixels_mut();
        match self.format {
            Format::Yuv420p => yuv::planar(bytes, width, stride, I420, Range::Limited, out),
            Format::Nv12 => yuv::nv12(bytes, width, stride, Range::Limited, out),
            Format::Yuyv => yuv::yuyv(bytes, width, stride, Range::Limited, out),
            Format::Grey => yuv::planar(bytes, width, stride, Chroma::None, Range::Full, out),
            _ => {
                let rows = bytes.chunks_exact(stride).zip(out.chunks_exact_mut(width * 3));
                rows.for_each(|(row, out)| out.copy_from_slice(&row[..out.len()]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: [Format; 5] =
        [Format::Rgb24, Format::Yuv420p, Format::Yuyv, Format::Nv12, Format::Grey];

    /// Where the pixel's samples lie: red, green, blue, or Y, Cb, Cr, as the formats define it.
    fn samples(format: Format, x: usize, y: usize, height: usize, stride: usize) -> [usize; 3] {
        let luma = y * stride + x;
        match format {
            Format::Rgb24 => [0, 1, 2].map(|channel| y * stride + x * 3 + channel),
            Format::Yuyv => {
                let group = y * stride + x / 2 * 4;
                [group + x % 2 * 2, group + 1, group + 3]
            }
            Format::Yuv420p => {
                let row = stride.div_ceil(2);
                let cb = stride * height + y / 2 * row + x / 2;
                [luma, cb, cb + row * height.div_ceil(2)]
            }
            Format::Nv12 => {
                let pair = stride * height + y / 2 * (stride + stride % 2) + x / 2 * 2;
                [luma, pair, pair + 1]
            }
            _ => [luma; 3],
        }
    }

    /// The definition (ITU-R BT.601) in floating point.
    fn rgb([y, cb, cr]: [u8; 3]) -> [f64; 3] {
        let y = (f64::from(y) - 16.0) * 255.0 / 219.0;
        let (cb, cr) = ((f64::from(cb) - 128.0) / 112.0, (f64::from(cr) - 128.0) / 112.0);
        [
            y + 255.0 * (1.0 - 0.299) * cr,
            y - 255.0 * ((1.0 - 0.114) * 0.114 / 0.587 * cb + (1.0 - 0.299) * 0.299 / 0.587 * cr),
            y + 255.0 * (1.0 - 0.114) * cb,
        ]
    }

    #[test]
    fn every_format_is_its_definition_on_odd_sizes_and_padded_rows() {
        let mut frame = Frame::new();
        for (format, (width, height), padding) in RAW.into_iter().flat_map(|format| {
            [(1, 1), (2, 2), (3, 5), (6, 1), (7, 4)]
                .into_iter()
                .flat_map(move |size| [0, 1, 12].map(|padding| (format, size, padding)))
        }) {
            let tight = Layout::tight(format, width, height).unwrap();
            let layout = tight.with_stride(tight.stride + padding);
            let bytes: Vec<u8> = (0..layout.len() + 5).map(|i| (i * 37 % 251) as u8).collect();
            layout.convert(&bytes, &mut frame);
            assert_eq!((frame.width(), frame.height()), (width, height));
            for (i, got) in frame.pixels().as_chunks::<3>().0.iter().enumerate() {
                let (x, y) = (i % width as usize, i / width as usize);
                let at = samples(format, x, y, height as usize, layout.stride);
                assert!(at.iter().all(|&at| at < layout.len()), "{layout:?}");
                let here = at.map(|at| bytes[at]);
                let want = match format {
                    Format::Rgb24 | Format::Grey => here.map(f64::from),
                    _ => rgb(here),
                };
                for (got, want) in got.iter().zip(want) {
                    let error = (f64::from(*got) - want.clamp(0.0, 255.0)).abs();
                    assert!(error < 0.52, "{layout:?} at {x}, {y}: {got} for {want}");
                }
            }
        }
    }

    #[test]
    fn a_stride_that_is_too_short_is_not_believed() {
        let tight = Layout::tight(Format::Yuyv, 4, 2).unwrap();
        assert_eq!(tight.with_stride(0), tight);
        assert_eq!(tight.with_stride(64).len(), 128);
        assert!(Layout::tight(Format::Mjpeg, 4, 2).is_none());
    }
}
