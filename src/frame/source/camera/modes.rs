//! What a V4L2 camera can give, and which of it is asked for.

use linuxvideo::format::{FrameIntervals, FrameSizes, PixelFormat};
use linuxvideo::{BufType, Device, Fract};

use super::super::Format;

/// The formats that are read, best first where several serve: what costs least to bring and to
/// convert, with colour before grey.
const FORMATS: [(Format, [u8; 4]); 7] = [
    (Format::Nv12, *b"NV12"),
    (Format::Yuv420p, *b"YU12"),
    (Format::Yuyv, *b"YUYV"),
    (Format::Rgb24, *b"RGB3"),
    (Format::Mjpeg, *b"MJPG"),
    (Format::Mjpeg, *b"JPEG"),
    (Format::Grey, *b"GREY"),
];

/// Asked for where nothing is said: enough for any encoder, and every camera has it or is near.
const SIZE: (u32, u32) = (640, 480);
/// Frames a second that a format should reach where nothing is said.
const RATE: f64 = 15.0;
/// Rates are fractions: 29.97 is 30.
const RATE_SLACK: f64 = 0.5;

/// A picture that a camera can give.
#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    /// How its bytes are read; `None` where another program does that.
    pub format: Option<Format>,
    /// Smallest width and height.
    pub smallest: (u32, u32),
    /// Largest width and height: the same where it is one size, `u32::MAX` where it is not said.
    pub largest: (u32, u32),
    /// Frames a second, where the camera says them; of a range its ends.
    pub rates: Vec<f64>,
}

/// What to ask the driver for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) fourcc: [u8; 4],
    pub(super) size: (u32, u32),
}

/// The format that a driver's four characters stand for, where it is one that is read.
pub(super) fn format_of(fourcc: [u8; 4]) -> Option<Format> {
    FORMATS.iter().find(|(_, known)| *known == fourcc).map(|(format, _)| *format)
}

/// The four-character codes that a device offers.
pub(super) fn fourccs(device: &Device) -> Vec<[u8; 4]> {
    let formats = device.formats(BufType::VIDEO_CAPTURE);
    formats.map_while(Result::ok).map(|format| format.pixel_format().as_fourcc()).collect()
}

/// The modes that are read, with their four-character codes, in the order of [`FORMATS`].
pub(super) fn modes(device: &Device, offered: &[[u8; 4]]) -> Vec<([u8; 4], Mode)> {
    let known = FORMATS.iter().filter(|(_, fourcc)| offered.contains(fourcc));
    known
        .flat_map(|&(format, fourcc)| {
            let modes = sizes(device, fourcc).into_iter();
            modes.map(move |(smallest, largest)| {
                // A range's rates differ within it; those of the usual size speak for it.
                let size = nearest((smallest, largest), SIZE);
                let rates = rates(device, fourcc, size);
                (fourcc, Mode { format: Some(format), smallest, largest, rates })
            })
        })
        .collect()
}

type Range = ((u32, u32), (u32, u32));

fn sizes(device: &Device, fourcc: [u8; 4]) -> Vec<Range> {
    match device.frame_sizes(PixelFormat::from_fourcc(fourcc)) {
        Ok(FrameSizes::Discrete(sizes)) => {
            let sizes = sizes.iter().map(|size| (size.width(), size.height()));
            sizes.map(|size| (size, size)).collect()
        }
        Ok(FrameSizes::Stepwise(range) | FrameSizes::Continuous(range)) => {
            let smallest = (range.min_width(), range.min_height());
            vec![(smallest, (range.max_width(), range.max_height()))]
        }
        // A driver need not list its sizes: it then takes what is asked for, or what is near.
        Err(_) => vec![((1, 1), (u32::MAX, u32::MAX))],
    }
}

fn rates(device: &Device, fourcc: [u8; 4], (width, height): (u32, u32)) -> Vec<f64> {
    let rate = |interval: &Fract| {
        let rate = f64::from(interval.denominator()) / f64::from(interval.numerator());
        (rate.is_finite() && rate > 0.0).then_some(rate)
    };
    let mut rates: Vec<f64> =
        match device.frame_intervals(PixelFormat::from_fourcc(fourcc), width, height) {
            Ok(FrameIntervals::Discrete(list)) => {
                list.iter().filter_map(|interval| rate(interval.fract())).collect()
            }
            Ok(FrameIntervals::Stepwise(range) | FrameIntervals::Continuous(range)) => {
                [range.max(), range.min()].into_iter().filter_map(rate).collect()
            }
            Err(_) => Vec::new(),
        };
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

/// The size of a mode that is nearest to the wanted one.
fn nearest((smallest, largest): Range, wanted: (u32, u32)) -> (u32, u32) {
    let side = |wanted: u32, low: u32, high: u32| wanted.min(high).max(low);
    (side(wanted.0, smallest.0, largest.0), side(wanted.1, smallest.1, largest.1))
}

/// Of the modes, the one that serves: the wanted size, else the smallest above it, else the
/// largest; among those a format that reaches the rate; among those the first of [`FORMATS`].
pub(super) fn choose(
    modes: &[([u8; 4], Mode)],
    format: Option<Format>,
    size: Option<(u32, u32)>,
    rate: Option<f64>,
) -> Option<Choice> {
    let wanted = size.unwrap_or(SIZE);
    let rate = rate.unwrap_or(RATE);
    let order = |(fourcc, mode): &&([u8; 4], Mode)| {
        let size = nearest((mode.smallest, mode.largest), wanted);
        let covers = size.0 >= wanted.0 && size.1 >= wanted.1;
        let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        let too_slow = mode.rates.last().is_some_and(|&fastest| fastest + RATE_SLACK < rate);
        let place = FORMATS.iter().position(|(_, known)| known == fourcc);
        (!covers, pixels(size).abs_diff(pixels(wanted)), too_slow, place)
    };
    let usable = modes.iter().filter(|(_, mode)| format.is_none() || mode.format == format);
    let (fourcc, mode) = usable.min_by_key(order)?;
    Some(Choice { fourcc: *fourcc, size: nearest((mode.smallest, mode.largest), wanted) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(fourcc: &[u8; 4], size: (u32, u32), rates: &[f64]) -> ([u8; 4], Mode) {
        let format = format_of(*fourcc);
        (*fourcc, Mode { format, smallest: size, largest: size, rates: rates.to_vec() })
    }

    /// What a webcam of 720 lines offers.
    fn webcam() -> Vec<([u8; 4], Mode)> {
        vec![
            mode(b"YUYV", (160, 120), &[30.0]),
            mode(b"YUYV", (640, 480), &[15.0, 29.97]),
            mode(b"YUYV", (1280, 720), &[10.0]),
            mode(b"MJPG", (640, 480), &[15.0, 30.0]),
            mode(b"MJPG", (1280, 720), &[30.0]),
            mode(b"GREY", (640, 480), &[30.0]),
        ]
    }

    fn chosen(
        format: Option<Format>,
        size: Option<(u32, u32)>,
        rate: Option<f64>,
    ) -> (String, (u32, u32)) {
        let Choice { fourcc, size } = choose(&webcam(), format, size, rate).unwrap();
        (String::from_utf8_lossy(&fourcc).into_owned(), size)
    }

    #[test]
    fn the_cheapest_format_of_the_nearest_size_is_chosen() {
        assert_eq!(chosen(None, None, None), ("YUYV".into(), (640, 480)));
        assert_eq!(chosen(None, Some((100, 100)), None), ("YUYV".into(), (160, 120)));
        assert_eq!(chosen(None, Some((320, 240)), None), ("YUYV".into(), (640, 480)));
        assert_eq!(chosen(None, Some((4000, 3000)), None), ("MJPG".into(), (1280, 720)));
    }

    #[test]
    fn a_rate_that_raw_frames_do_not_reach_takes_jpeg() {
        assert_eq!(chosen(None, Some((1280, 720)), None).0, "MJPG");
        assert_eq!(chosen(None, Some((1280, 720)), Some(10.0)).0, "YUYV");
        assert_eq!(chosen(None, None, Some(30.0)).0, "YUYV", "29.97 is 30");
    }

    #[test]
    fn a_format_that_is_asked_for_is_kept_to() {
        assert_eq!(chosen(Some(Format::Grey), Some((9, 9)), None), ("GREY".into(), (640, 480)));
        assert_eq!(choose(&webcam(), Some(Format::Nv12), None, None), None);
        assert_eq!(choose(&[], None, None, None), None);
    }

    #[test]
    fn a_range_of_sizes_has_the_wanted_one_or_its_ends() {
        let mut range = mode(b"YUYV", (32, 32), &[]);
        range.1.largest = (1920, 1080);
        for (wanted, got) in
            [((640, 480), (640, 480)), ((16, 64), (32, 64)), ((9999, 9999), (1920, 1080))]
        {
            let choice = choose(std::slice::from_ref(&range), None, Some(wanted), None).unwrap();
            assert_eq!(choice.size, got);
        }
    }
}
