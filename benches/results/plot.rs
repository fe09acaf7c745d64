//! Accuracy against shots, as SVG.

use std::fmt::Write;

use tipcam::asset::HeadKind;

use super::page::mean;
use super::{Row, SHOTS};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
/// Okabe and Ito's colours, which colour-blind people can tell apart, and four more.
const COLOURS: [&str; 12] = [
    "#999999", "#000000", "#777777", "#e69f00", "#56b4e9", "#0072b2", "#d55e00", "#009e73",
    "#cc79a7", "#f0e442", "#8b4513", "#6a3d9a",
];

pub(crate) fn draw(title: &str, rows: &[&Row]) -> String {
    let values = rows.iter().map(|row| mean(&row.top1));
    let (low, high) =
        values.fold((100.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = ((low / 10.0).floor() * 10.0, (high / 10.0).ceil() * 10.0);
    let x = |shots: usize| {
        let place = (shots as f64).log2() / (SHOTS[SHOTS.len() - 1] as f64).log2();
        LEFT + place * (WIDTH - LEFT - RIGHT)
    };
    let y = |value: f64| TOP + (high - value) / (high - low).max(1.0) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}: top-1 %</text>\n"
    );
    let mut tick = low;
    while tick <= high {
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {0:.1}H{1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3:.1}\" \
             text-anchor=\"end\">{tick:.0}</text>",
            y(tick),
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(tick) + 4.0
        );
        tick += 10.0;
    }
    for shots in SHOTS {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{shots}</text>",
            x(shots),
            HEIGHT - BOTTOM + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">shots of each class</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0
    );
    let mut line = 0;
    for (kind, colour) in HeadKind::ALL.into_iter().zip(COLOURS) {
        let points: Vec<String> = rows
            .iter()
            .filter(|row| row.head == kind.name())
            .map(|row| format!("{:.1},{:.1}", x(row.shots), y(mean(&row.top1))))
            .collect();
        if points.is_empty() {
            continue;
        }
        let at = TOP + 12.0 + 18.0 * f64::from(line);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><path d=\"M{1} \
             {2}h18\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{3}\" y=\"{4}\">{5}</text>",
            points.join(" "),
            WIDTH - RIGHT + 14.0,
            at - 4.0,
            WIDTH - RIGHT + 38.0,
            at,
            kind.name()
        );
        line += 1;
    }
    svg + "</svg>\n"
}
