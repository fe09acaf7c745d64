//! What is said to the outside: one JSON object a line, written into the caller's buffer.
//!
//! The fields, their names and their order are a contract with users' scripts (`"v":1`): new fields
//! may be added at the end, none may change. Nothing here allocates, so that a board without an
//! operating system says the same lines.

mod time;

use core::fmt;

use serde::Serialize;
use serde_json_core::ser::Error as SerError;

pub use time::{TIMESTAMP_LEN, Timestamp};

/// The version of the lines' schema.
pub const SCHEMA: u8 = 1;

/// A buffer of this size holds a line with 32 candidates, 8 neighbours and a source of 1 KiB,
/// whatever characters the labels are made of.
pub const LINE_LEN: usize = 32 * 1024;

/// One class among the best ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Candidate<'a> {
    /// The class.
    pub label: &'a str,
    /// Its calibrated probability, 0 to 1.
    pub score: f32,
    /// What the class's text adds to its logit; `None` for a class without text.
    pub zero_shot: Option<f32>,
    /// What the cache of shots adds to its logit; `None` for a class without shots.
    pub cache: Option<f32>,
}

/// One stored shot near the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Neighbour<'a> {
    /// The shot's number in the asset, which `tipcam forget` takes.
    pub key: u64,
    /// The class it was learned as.
    pub label: &'a str,
    /// The cosine between it and the picture, -1 to 1.
    pub cosine: f32,
}

/// Milliseconds spent on each step; written to the microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Millis {
    /// File or stream to RGB pixels.
    #[serde(serialize_with = "microseconds")]
    pub decode: f32,
    /// Resize and crop.
    #[serde(serialize_with = "microseconds")]
    pub preprocess: f32,
    /// The encoder.
    #[serde(serialize_with = "microseconds")]
    pub encode: f32,
    /// Text weights, cache and decision.
    #[serde(serialize_with = "microseconds")]
    pub head: f32,
}

/// The line of `tipcam classify`: the answer for one picture.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Answer<'a> {
    /// [`SCHEMA`].
    pub v: u8,
    /// The file, as the user named it.
    pub source: &'a str,
    /// The class; `None` when the picture looks like none of them.
    pub label: Option<&'a str>,
    /// The probability of the best class, 0 to 1, also when it is too low to be believed.
    pub score: f32,
    /// Whether the picture looks like none of the classes.
    pub unknown: bool,
    /// The best classes, best first.
    pub top: &'a [Candidate<'a>],
    /// The nearest shots, nearest first.
    pub nearest: &'a [Neighbour<'a>],
    /// Where the time went.
    pub ms: Millis,
    /// Set (and written) only when the buffer was too small for `nearest` or `top`.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// The line of `tipcam watch`: the answer for one frame of a stream.
///
/// `score`, `unknown`, `top` and `nearest` belong to this frame alone, as `raw` does.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FrameAnswer<'a> {
    /// [`SCHEMA`].
    pub v: u8,
    /// The input, as the user named it.
    pub source: &'a str,
    /// The frame's number, from 0; frames that were dropped have numbers too.
    pub frame: u64,
    /// Milliseconds from the start of the watch to the frame's capture, by a clock that never jumps.
    pub mono_ms: u64,
    /// The moment of capture in UTC, for people and logs.
    pub time: Timestamp,
    /// The class of this frame; `None` when it looks like none of them.
    pub raw: Option<&'a str>,
    /// The class after smoothing; `None` until one is settled.
    pub stable: Option<&'a str>,
    /// The probability of this frame's best class, 0 to 1.
    pub score: f32,
    /// Whether this frame looks like none of the classes.
    pub unknown: bool,
    /// The best classes, best first.
    pub top: &'a [Candidate<'a>],
    /// The nearest shots, nearest first.
    pub nearest: &'a [Neighbour<'a>],
    /// Where the time went.
    pub ms: Millis,
    /// Frames captured so far that got no line, because a newer one was there first.
    pub dropped: u64,
    /// The region of the frame that the line speaks of; written only where there are regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<&'a str>,
    /// Whether this frame changed `stable`; written only if so.
    #[serde(skip_serializing_if = "is_false")]
    pub changed: bool,
    /// Nothing moved since an earlier frame: this line repeats its answer. Written only if so.
    #[serde(skip_serializing_if = "is_false")]
    pub still: bool,
    /// Set (and written) only when the buffer was too small for `nearest` or `top`.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// The buffer cannot hold even the line's required fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong {
    /// Bytes of the buffer.
    pub capacity: usize,
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the JSON line does not fit into {} bytes even without `top` and `nearest`: \
             shorten the source's name or give a larger buffer",
            self.capacity
        )
    }
}

impl core::error::Error for LineTooLong {}

/// A line whose optional parts can be left out when the buffer is small.
pub trait Line: Serialize + Copy {
    /// Leaves out the neighbours and says so.
    fn drop_nearest(&mut self);
    /// Leaves out the candidates and says so.
    fn drop_top(&mut self);
}

impl Line for Answer<'_> {
    fn drop_nearest(&mut self) {
        self.nearest = &[];
        self.truncated = true;
    }

    fn drop_top(&mut self) {
        self.top = &[];
        self.truncated = true;
    }
}

impl Line for FrameAnswer<'_> {
    fn drop_nearest(&mut self) {
        self.nearest = &[];
        self.truncated = true;
    }

    fn drop_top(&mut self) {
        self.top = &[];
        self.truncated = true;
    }
}

/// Writes `line` and a newline into `out` and returns what was written.
///
/// A line that does not fit loses `nearest` first and `top` next (empty arrays stay in their place)
/// and gains `"truncated":true`; it is never cut in the middle. A float that is not finite is
/// written as `null`.
pub fn write_line<'b, L: Line>(line: &L, out: &'b mut [u8]) -> Result<&'b str, LineTooLong> {
    let capacity = out.len();
    let too_long = LineTooLong { capacity };
    let room = capacity.checked_sub(1).ok_or(too_long)?;
    let mut line = *line;
    let mut written = serde_json_core::to_slice(&line, &mut out[..room]);
    if written == Err(SerError::BufferFull) {
        line.drop_nearest();
        written = serde_json_core::to_slice(&line, &mut out[..room]);
    }
    if written == Err(SerError::BufferFull) {
        line.drop_top();
        written = serde_json_core::to_slice(&line, &mut out[..room]);
    }
    let len = written.map_err(|_| too_long)?;
    out[len] = b'\n';
    core::str::from_utf8(&out[..=len]).map_err(|_| too_long)
}

fn microseconds<S: serde::Serializer>(ms: &f32, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f32(libm::roundf(ms * 1000.0) / 1000.0)
}

// serde's attribute hands over a reference
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: [Candidate; 2] = [
        Candidate { label: "cup", score: 0.75, zero_shot: Some(1.5), cache: Some(0.25) },
        Candidate { label: "cat", score: 0.125, zero_shot: None, cache: None },
    ];
    const NEAREST: [Neighbour; 1] = [Neighbour { key: u64::MAX, label: "cup", cosine: 0.5 }];

    fn answer() -> Answer<'static> {
        Answer {
            v: SCHEMA,
            source: "a/cup.jpg",
            label: Some("cup"),
            score: 0.75,
            unknown: false,
            top: &TOP,
            nearest: &NEAREST,
            ms: Millis { decode: 1.000_4, preprocess: 0.25, encode: 12.345_678, head: 0.0 },
            truncated: false,
        }
    }

    #[test]
    fn classify_line_has_exactly_the_fields_of_the_contract_in_their_order() {
        let mut out = [0; 1024];
        assert_eq!(
            write_line(&answer(), &mut out).unwrap(),
            concat!(
                r#"{"v":1,"source":"a/cup.jpg","label":"cup","score":0.75,"unknown":false,"#,
                r#""top":[{"label":"cup","score":0.75,"zero_shot":1.5,"cache":0.25},"#,
                r#"{"label":"cat","score":0.125,"zero_shot":null,"cache":null}],"#,
                r#""nearest":[{"key":18446744073709551615,"label":"cup","cosine":0.5}],"#,
                r#""ms":{"decode":1.0,"preprocess":0.25,"encode":12.346,"head":0.0}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn watch_line_has_exactly_the_fields_of_the_contract_in_their_order() {
        let line = FrameAnswer {
            v: SCHEMA,
            source: "-",
            frame: 7,
            mono_ms: 233,
            time: Timestamp::from_unix_ms(1_700_000_000_123),
            raw: None,
            stable: Some("cup"),
            score: 0.25,
            unknown: true,
            top: &TOP[1..],
            nearest: &[],
            ms: Millis::default(),
            dropped: 3,
            region: None,
            changed: false,
            still: false,
            truncated: false,
        };
        let mut out = [0; 1024];
        assert_eq!(
            write_line(&line, &mut out).unwrap(),
            concat!(
                r#"{"v":1,"source":"-","frame":7,"mono_ms":233,"time":"2023-11-14T22:13:20.123Z","#,
                r#""raw":null,"stable":"cup","score":0.25,"unknown":true,"#,
                r#""top":[{"label":"cat","score":0.125,"zero_shot":null,"cache":null}],"nearest":[],"#,
                r#""ms":{"decode":0.0,"preprocess":0.0,"encode":0.0,"head":0.0},"dropped":3}"#,
                "\n"
            )
        );
    }

    #[test]
    fn every_buffer_size_gives_a_whole_line_or_an_error() {
        let mut full = [0; 1024];
        let full_len = write_line(&answer(), &mut full).unwrap().len();
        let mut shortest = usize::MAX;
        for size in 0..=full_len {
            let mut out = [0; 1024];
            match write_line(&answer(), &mut out[..size]) {
                Ok(line) => {
                    assert!(line.starts_with("{\"v\":1,") && line.ends_with("}\n"), "{line}");
                    assert_eq!(line.contains(r#""truncated":true}"#), size < full_len, "{line}");
                    // candidates go only after the neighbours are gone
                    let kept_nearest = line.contains(r#""nearest":[{"#);
                    let kept_top = line.contains(r#""top":[{"#);
                    assert!(kept_top || !kept_nearest, "{line}");
                    shortest = shortest.min(size);
                }
                Err(e) => {
                    assert_eq!(e.capacity, size);
                    assert!(shortest == usize::MAX, "fits into {shortest} but not into {size}");
                }
            }
        }
        assert!(shortest + 150 < full_len, "both optional parts can be left out");
    }

    #[test]
    fn labels_and_sources_are_escaped() {
        let odd = "q\"b\\s/t\tn\nr\rz\u{0}e\u{1b}ü漢🐱\u{2028}";
        let line = Answer { source: odd, label: Some(odd), top: &[], nearest: &[], ..answer() };
        let mut out = [0; 1024];
        let text = write_line(&line, &mut out).unwrap();
        let expected = r#""q\"b\\s/t\tn\nr\rz\u0000e\u001Bü漢🐱"#;
        assert_eq!(text.matches(expected).count(), 2, "{text}");
        assert_eq!(text.bytes().filter(|&b| b < b' ').count(), 1, "only the final newline");
    }

    #[test]
    fn numbers_that_json_cannot_say_become_null() {
        let odd = [Neighbour { key: 1, label: "x", cosine: f32::NEG_INFINITY }];
        let ms = Millis { head: f32::INFINITY, ..Millis::default() };
        let line = Answer { score: f32::NAN, top: &[], nearest: &odd, ms, ..answer() };
        let mut out = [0; 1024];
        let text = write_line(&line, &mut out).unwrap();
        assert!(text.contains(r#""score":null"#) && text.contains(r#""cosine":null"#), "{text}");
        assert!(text.contains(r#""head":null"#), "{text}");
    }

    #[test]
    fn the_advised_buffer_holds_the_largest_line() {
        // a control character takes six bytes
        let label = core::str::from_utf8(&[1; 64]).unwrap();
        let source = core::str::from_utf8(&[1; 1024]).unwrap();
        let worst = -1.234_567_9e-30;
        let top =
            [Candidate { label, score: worst, zero_shot: Some(worst), cache: Some(worst) }; 32];
        let nearest = [Neighbour { key: u64::MAX, label, cosine: worst }; 8];
        let line = FrameAnswer {
            v: SCHEMA,
            source,
            frame: u64::MAX,
            mono_ms: u64::MAX,
            time: Timestamp::from_unix_ms(u64::MAX),
            raw: Some(label),
            stable: Some(label),
            score: worst,
            unknown: false,
            top: &top,
            nearest: &nearest,
            ms: Millis { decode: worst, preprocess: worst, encode: worst, head: worst },
            dropped: u64::MAX,
            region: Some(label),
            changed: true,
            still: true,
            truncated: false,
        };
        let mut out = [0; LINE_LEN];
        assert!(!write_line(&line, &mut out).unwrap().contains("truncated"));
    }
}
