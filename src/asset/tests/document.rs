//! `docs/asset-format.md` says what the code does.

use std::fmt::Write;
use std::mem::offset_of;

use super::*;

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/asset-format.md"));

/// The rows of the first table behind this heading: cells without blanks and backticks.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = DOCUMENT.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &'static str| {
        line.trim_matches('|').split('|').map(|cell| cell.trim_matches([' ', '`'])).collect()
    };
    rows.map(cells).collect()
}

fn size<T, U>(_: impl Fn(&T) -> &U) -> usize {
    size_of::<U>()
}

/// The table behind a heading lists exactly these fields of a record, where they lie.
macro_rules! check_record {
    ($heading:literal, $record:ty { $($field:ident),* }) => {
        let code = [$((
            offset_of!($record, $field),
            size::<$record, _>(|record| &record.$field),
            stringify!($field),
        )),*];
        let rows = table($heading);
        let document: Vec<(usize, usize, &str)> = rows
            .iter()
            .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap(), row[2]))
            .collect();
        assert_eq!(document, code, "{}", $heading);
        let end = code.iter().map(|(offset, size, _)| offset + size).max();
        assert_eq!(end, Some(size_of::<$record>()), "{}", $heading);
    };
}

#[test]
fn records_lie_as_described() {
    check_record!(
        "## Header",
        container::Header { magic, major, minor, sections, file_len, encoder, crc, reserved }
    );
    check_record!("## Table of contents", container::Entry { tag, crc, offset, len, reserved });
    check_record!("### `LABL`, `PRMT`", strings::Record { count, reserved });
    check_record!("### `PREP`", preprocess::Record { size, mode, mean, std, reserved });
    check_record!("### `TEXT`", text_weights::Record { classes, dim });
    check_record!(
        "### `HEAD`",
        head_params::Record {
            kind,
            logit_scale,
            alpha,
            beta,
            reference_shots,
            text_gain,
            row_gain,
            gamma,
            reserved
        }
    );
    check_record!(
        "### `CALB`",
        calibration::Record {
            temperature,
            unknown_score,
            unknown_cosine,
            ece,
            samples,
            temperature_slope,
            reserved
        }
    );
    check_record!(
        "### `CACH`",
        cache::Record { encoder, next_id, space, dim, len, capacity, classes, reserved }
    );
    check_record!("### `LAYR`", encoder::LayersHeader { layers, input_size, names_len, reserved });
    check_record!(
        "Each layer is a record",
        encoder::LayerRecord {
            kind,
            inputs,
            element,
            shape,
            kernel,
            stride,
            pad_top,
            pad_left,
            heads,
            at,
            norm,
            mean,
            activation,
            gate,
            epsilon,
            factor,
            lo,
            hi,
            weights,
            sums,
            scale,
            bias,
            step,
            zero,
            pad,
            factors,
            values,
            add,
            name_len,
            function,
            reducer,
            kept
        }
    );
    let size = size_of::<encoder::LayerRecord>();
    assert!(DOCUMENT.contains(&format!("Each layer is a record of {size} bytes")));
    check_record!("### `LINR`", linear::Record { space, classes, dim, reserved });
    check_record!(
        "### `ADPT`",
        adapter::Record { kind, space, dim, hidden, keep, ratio, reserved }
    );
    check_record!("### `BANK`", bank::Record { channels, feature_dim, keys_len, reserved });
    check_record!("### `META`", meta::Record { dim, bias, reserved });
    check_record!("### `PROJ`", encoder::ProjectionHeader { trunk, dim });
    check_record!("### `VOCB`", vocabulary::Record { count, dim });
}

#[test]
fn tags_are_listed_in_file_order() {
    let rows = table("## Sections");
    let document: Vec<(&str, &str)> = rows.iter().map(|row| (row[0], row[1])).collect();
    let names = Tag::ALL.map(|tag| tag.to_string());
    let code: Vec<(&str, &str)> =
        Tag::ALL.iter().zip(&names).map(|(tag, name)| (name.as_str(), tag.describe())).collect();
    assert_eq!(document, code);
    let [a, b, c, d] = Tag::ENCODER;
    assert!(DOCUMENT.contains(&format!("those of `{a}`, `{b}`, `{c}` and `{d}` that are")));
}

#[test]
fn names_of_numbers_are_listed() {
    let list = |names: &[&str]| {
        let numbered = names.iter().enumerate().map(|(i, name)| format!("{i} {name}"));
        numbered.collect::<Vec<_>>().join(", ")
    };
    assert!(DOCUMENT.contains(&list(&ResizeMode::ALL.map(ResizeMode::name))));
    let kinds = HeadKind::ALL.map(HeadKind::name);
    assert!(DOCUMENT.contains(&list(&kinds)));
    assert!(DOCUMENT.contains(&list(&Adapter::KINDS)));
    use encoder::LayerKind::*;
    let kinds = [Conv, Depthwise, Norm, Attention, Tokens, Rows, Constant, Mean, Scale, Float];
    let kinds = kinds.map(|kind| format!("{} {}", kind as u32, kind.name()));
    assert!(DOCUMENT.contains(&kinds.join(", ")));
    let elements = [encoder::Element::Codes as u32, encoder::Element::Real as u32];
    assert_eq!(elements, [1, 2]);
    assert!(DOCUMENT.contains("1 codes (u8), 2 real (f32)"));
    assert_eq!(encoder::PART_ALIGN, format::ALIGN);
    assert_eq!(Space::ALL.map(Space::name), ["trunk", "projected"]);
    assert!(DOCUMENT.contains("0 keys are trunk features, 1 projected ones"));
    let (major, minor) = (format::MAJOR, format::MINOR);
    assert!(DOCUMENT.contains(&format!("format version {major}.{minor};")));
}

#[test]
fn limits_are_listed() {
    macro_rules! code {
        ($($name:ident),*) => { [$((stringify!($name), limits::$name)),*] };
    }
    let code = code!(
        MAX_SECTIONS,
        MAX_CLASSES,
        MAX_KEYS,
        MAX_DIM,
        MAX_LABEL_BYTES,
        MAX_PROMPTS,
        MAX_PROMPT_BYTES,
        MAX_VOCABULARY,
        MAX_VOCABULARY_NAME_BYTES,
        MAX_KEY_NAME_BYTES,
        MAX_NOTES,
        MAX_NOTE_BYTES,
        MAX_INPUT_SIZE
    );
    let rows = table("## Limits");
    let document: Vec<(&str, usize)> =
        rows.iter().map(|row| (row[0], row[1].parse().unwrap())).collect();
    assert_eq!(document, code);
    assert_eq!(include_str!("../limits.rs").matches("pub const MAX_").count(), code.len());
}

#[test]
fn the_example_is_what_the_builder_writes() {
    let labels = Labels::encode(&["cat", "dog"]).unwrap();
    let bytes = Builder::new(EncoderId([0x11; 32])).section(Tag::LABELS, labels).to_bytes();
    let mut dump = String::new();
    for (line, bytes) in bytes.unwrap().chunks(16).enumerate() {
        write!(dump, "{:04x} ", line * 16).unwrap();
        bytes.iter().for_each(|byte| write!(dump, " {byte:02x}").unwrap());
        dump.push('\n');
    }
    assert!(DOCUMENT.contains(&dump), "the example should be\n{dump}");
}
