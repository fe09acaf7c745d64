//! The confusion matrix as a picture that can be read without any program but a browser.

use std::fmt::Write;

use super::confusion::Confusion;

const MARGIN: f64 = 24.0;
const TITLE: f64 = 64.0;
const PANEL: f64 = 400.0;
const PAIRS: usize = 24;
/// Rough width of a letter of the sans-serif font, in its size.
const LETTER: f64 = 0.62;
/// Puts a text's middle, not its foot, at a height: in its size.
const MIDDLE: f64 = 0.35;

/// White to a strong colour: right answers in blue, wrong ones in red, so that a single mistake is
/// seen among a hundred classes.
const RIGHT: [u8; 3] = [8, 81, 156];
const WRONG: [u8; 3] = [203, 24, 29];

/// Draws `confusion`; `summary` is a line below the title.
pub(super) fn draw(confusion: &Confusion, title: &str, summary: &str) -> String {
    let classes = confusion.labels().len().max(1);
    let cell = (900.0 / classes as f64).clamp(8.0, 44.0);
    let font = (cell * 0.9).clamp(7.0, 13.0);
    let longest = confusion.labels().iter().map(|l| l.chars().count()).max().unwrap_or(0) as f64;
    let gutter = (longest * font * LETTER + 10.0).max(110.0);
    let (left, top) = (MARGIN + gutter + 18.0, MARGIN + TITLE + gutter);
    let side = cell * classes as f64;
    let panel_x = left + side + 40.0;
    let width = panel_x + PANEL + MARGIN;
    let height = (top + side + MARGIN).max(MARGIN + TITLE + 190.0 + PAIRS as f64 * 19.0);

    let mut svg = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // writing to a String cannot fail
        let _ = writeln!(svg, "{text}");
    };
    line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" font-family="sans-serif">"#
    ));
    line(format_args!(r##"<rect width="100%" height="100%" fill="#fff"/>"##));
    line(format_args!(
        r#"<text x="{MARGIN}" y="{:.0}" font-size="22" font-weight="bold">{}</text>"#,
        MARGIN + 18.0,
        escape(title)
    ));
    line(format_args!(
        r##"<text x="{MARGIN}" y="{:.0}" font-size="14" fill="#444">{}</text>"##,
        MARGIN + 42.0,
        escape(summary)
    ));
    line(format_args!(
        r##"<text transform="translate({:.1} {:.1}) rotate(-90)" text-anchor="middle" font-size="13" fill="#444">the photograph shows</text>"##,
        MARGIN + 6.0,
        top + side / 2.0
    ));
    line(format_args!(
        r##"<text x="{:.1}" y="{:.1}" text-anchor="end" font-size="13" fill="#444">it was taken for →</text>"##,
        left - 8.0,
        top - 8.0
    ));

    line(format_args!(r#"<g font-size="{font:.1}">"#));
    for (c, label) in confusion.labels().iter().enumerate() {
        let at = (c as f64 + 0.5) * cell;
        let label = escape(label);
        line(format_args!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#,
            left - 6.0,
            top + at + MIDDLE * font
        ));
        line(format_args!(
            r#"<text transform="translate({:.1} {:.1}) rotate(-90)">{label}</text>"#,
            left + at + MIDDLE * font,
            top - 6.0
        ));
    }
    line(format_args!("</g>"));

    // stripes lead the eye from a cell to its labels
    let stripe = if classes > 20 { 5 } else { 1 };
    for band in (0..classes).step_by(2 * stripe) {
        let (at, thick) = (band as f64 * cell, cell * (classes - band).min(stripe) as f64);
        line(format_args!(
            r##"<rect x="{left:.1}" y="{:.1}" width="{side:.1}" height="{thick:.1}" fill="#f4f4f4"/>"##,
            top + at
        ));
        line(format_args!(
            r##"<rect x="{:.1}" y="{top:.1}" width="{thick:.1}" height="{side:.1}" fill="#000" fill-opacity="0.045"/>"##,
            left + at
        ));
    }
    for truth in 0..confusion.labels().len() {
        let of = confusion.row_sum(truth);
        for answer in 0..confusion.labels().len() {
            let count = confusion.count(truth, answer);
            if count == 0 {
                continue;
            }
            let share = f64::from(count) / f64::from(of);
            let ink = if truth == answer { RIGHT } else { WRONG };
            let (x, y) = (left + answer as f64 * cell, top + truth as f64 * cell);
            line(format_args!(
                r#"<rect x="{x:.1}" y="{y:.1}" width="{cell:.1}" height="{cell:.1}" fill="{}"><title>{} taken for {}: {count} of {of}</title></rect>"#,
                shade(ink, share),
                escape(&confusion.labels()[truth]),
                escape(&confusion.labels()[answer])
            ));
            if cell >= 18.0 {
                let size = (cell * 0.36).max(9.0);
                line(format_args!(
                    r#"<text x="{:.1}" y="{:.1}" text-anchor="middle" font-size="{size:.1}" fill="{}">{count}</text>"#,
                    x + cell / 2.0,
                    y + cell / 2.0 + MIDDLE * size,
                    if share > 0.5 { "#fff" } else { "#111" }
                ));
            }
        }
    }
    line(format_args!(
        r##"<rect x="{left:.1}" y="{top:.1}" width="{side:.1}" height="{side:.1}" fill="none" stroke="#888"/>"##
    ));
    panel(&mut line, confusion, panel_x, MARGIN + TITLE);
    line(format_args!("</svg>"));
    svg
}

/// The colour scales and the list of what is confused most.
fn panel(
    line: &mut impl FnMut(std::fmt::Arguments<'_>),
    confusion: &Confusion,
    x: f64,
    mut y: f64,
) {
    const STEPS: u32 = 40;
    const STEP: f64 = 6.0;
    line(format_args!(
        r##"<text x="{x:.1}" y="{y:.1}" font-size="13" fill="#444">share of the class's photographs</text>"##
    ));
    for (ink, name) in [(RIGHT, "answered rightly"), (WRONG, "taken for another class")] {
        y += 12.0;
        for step in 0..STEPS {
            line(format_args!(
                r#"<rect x="{:.1}" y="{y:.1}" width="{:.1}" height="14" fill="{}"/>"#,
                x + f64::from(step) * STEP,
                STEP + 0.3,
                shade(ink, f64::from(step + 1) / f64::from(STEPS))
            ));
        }
        line(format_args!(
            r#"<text x="{:.1}" y="{:.1}" font-size="12">{name}</text>"#,
            x + f64::from(STEPS) * STEP + 8.0,
            y + 11.0
        ));
        y += 14.0;
    }
    y += 14.0;
    for (at, text) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        line(format_args!(
            r#"<text x="{:.1}" y="{y:.1}" text-anchor="middle" font-size="11">{text}</text>"#,
            x + f64::from(STEPS) * STEP * at
        ));
    }
    y += 46.0;
    let pairs = confusion.pairs();
    let heading = if pairs.is_empty() { "nothing was confused" } else { "most confused" };
    line(format_args!(
        r#"<text x="{x:.1}" y="{y:.1}" font-size="15" font-weight="bold">{heading}</text>"#
    ));
    for pair in pairs.iter().take(PAIRS) {
        y += 19.0;
        let of = confusion.row_sum(pair.truth);
        line(format_args!(
            r##"<text x="{:.1}" y="{y:.1}" text-anchor="end" font-size="13" fill="#a11">{}</text>"##,
            x + 44.0,
            format_args!("{}/{of}", pair.count)
        ));
        line(format_args!(
            r##"<text x="{:.1}" y="{y:.1}" font-size="13">{} <tspan fill="#888">taken for</tspan> {}</text>"##,
            x + 54.0,
            escape(&confusion.labels()[pair.truth]),
            escape(&confusion.labels()[pair.answer])
        ));
    }
}

/// `share` of `ink` on white; a small share still leaves a visible tint.
fn shade(ink: [u8; 3], share: f64) -> String {
    let amount = 0.18 + 0.82 * share.clamp(0.0, 1.0);
    let [r, g, b] = ink.map(|c| (255.0 - (255.0 - f64::from(c)) * amount).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Text as XML takes it; control characters, which XML 1.0 forbids, become U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::Evaluation;

    #[test]
    fn every_count_is_drawn_and_labels_are_escaped() {
        let mut evaluation = Evaluation::new(2);
        for probabilities in [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]] {
            evaluation.push(0, &probabilities).unwrap();
        }
        let confusion = Confusion::new(vec!["<a&b>".into(), "c\u{7}".into()], &evaluation);
        let svg = draw(&confusion, "t<", "s");
        assert!(svg.contains("&lt;a&amp;b&gt; taken for c\u{fffd}: 2 of 3"), "{svg}");
        assert!(svg.contains("&lt;a&amp;b&gt; taken for &lt;a&amp;b&gt;: 1 of 3"));
        assert!(!svg.contains("<a&b>") && svg.contains("t&lt;"));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<title>").count(), 2, "empty cells are not drawn");
    }

    #[test]
    fn shades_run_from_a_tint_to_the_ink() {
        assert_eq!(shade(WRONG, 1.0), "#cb181d");
        assert_ne!(shade(WRONG, 0.001), "#ffffff");
    }

    #[test]
    fn no_classes_give_an_empty_picture() {
        assert!(
            draw(&Confusion::new(Vec::new(), &Evaluation::new(0)), "t", "s")
                .contains("nothing was confused")
        );
    }
}
