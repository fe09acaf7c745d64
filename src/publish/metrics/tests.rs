use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::super::change::tests::{event, labels};
use super::*;

/// A sample: name, labels as they are written, value.
type Sample = (String, String, f64);

/// Reads the text by the rules of the format; panics where it breaks one.
fn check(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'));
    let (mut kinds, mut samples, mut seen) = (HashMap::new(), Vec::new(), HashSet::new());
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty());
            family = name.to_owned();
            assert!(!kinds.contains_key(&family), "{family} comes twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family, "TYPE follows HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (series, ""),
            };
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(name.chars().all(allowed), "{name}");
            check_labels(labels);
            let kind = &kinds[&family];
            let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line}"));
            let suffixes: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
            samples.push((name.to_owned(), labels.to_owned(), value.parse().unwrap()));
        }
    }
    samples
}

/// `name="text",...` in which only `\\`, `\"` and `\n` are escaped.
fn check_labels(mut labels: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").unwrap();
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => assert!(matches!(chars.next().unwrap().1, '\\' | '"' | 'n')),
                (at, '"') => break at,
                _ => {}
            }
        };
        labels = &rest[end + 1..];
        labels = labels.strip_prefix(',').unwrap_or(labels);
    }
}

fn value(samples: &[Sample], name: &str, labels: &str) -> f64 {
    let found = samples.iter().find(|sample| sample.0 == name && sample.1 == labels);
    found.unwrap_or_else(|| panic!("no {name}{{{labels}}}")).2
}

#[test]
fn the_text_keeps_to_the_format_from_the_first_moment_on() {
    let metrics = Metrics::new(Arc::new(Health::default()), vec![Lost::new("mqtt")]);
    let samples = check(&metrics.render());
    assert_eq!(value(&samples, "tipcam_frames_total", ""), 0.0);
    assert_eq!(value(&samples, "tipcam_input_up", ""), 0.0);
    assert_eq!(value(&samples, "tipcam_latency_seconds_count", ""), 0.0);
    assert!(!samples.iter().any(|sample| sample.0 == "tipcam_cache_keys"));
}

#[test]
fn figures_follow_the_frames() {
    let health = Arc::new(Health::default());
    let lost = Lost::new("mqtt");
    let metrics = Metrics::new(Arc::clone(&health), vec![lost.clone(), Lost::new("exec")]);
    let mut meter = metrics.meter();
    let classes = labels(["cat", "a \"b\\\nc"]);
    let frame = Frame::new();
    // frames 0, 3 and 4 are answered, the last one without a look
    for (number, class) in [(0, None), (3, Some(1)), (4, Some(1))] {
        let mut event = event(number, &classes, &[(None, class)]);
        event.arrived = Some(Instant::now());
        event.views[0].answer.times.encode = Duration::from_micros(10_500);
        event.views[0].still = number == 4;
        health.frame_came();
        health.frame_answered(event.since_start, event.views[0].still);
        meter.frame(&frame, &event);
    }
    lost.add();
    metrics.set_keys(7);

    let samples = check(&metrics.render());
    let value = |name: &str, labels: &str| value(&samples, name, labels);
    assert_eq!(value("tipcam_frames_total", ""), 3.0);
    assert_eq!(value("tipcam_frames_answered_total", ""), 3.0);
    assert_eq!(value("tipcam_frames_dropped_total", ""), 2.0);
    assert_eq!(value("tipcam_frames_still_total", ""), 1.0);
    assert_eq!(value("tipcam_input_up", ""), 1.0);
    assert_eq!(value("tipcam_stage_seconds_bucket", r#"stage="encode",le="0.01""#), 0.0);
    assert_eq!(value("tipcam_stage_seconds_bucket", r#"stage="encode",le="0.025""#), 2.0);
    assert_eq!(value("tipcam_stage_seconds_bucket", r#"stage="encode",le="+Inf""#), 2.0);
    assert_eq!(value("tipcam_stage_seconds_count", r#"stage="encode""#), 2.0);
    assert_eq!(value("tipcam_stage_seconds_sum", r#"stage="encode""#), 0.021);
    assert_eq!(value("tipcam_stage_seconds_count", r#"stage="decode""#), 3.0);
    assert_eq!(value("tipcam_latency_seconds_count", ""), 3.0);
    assert_eq!(value("tipcam_state", r#"region="view",label="a \"b\\\nc""#), 1.0);
    assert_eq!(samples.iter().filter(|sample| sample.0 == "tipcam_state").count(), 1);
    assert_eq!(value("tipcam_state_changes_total", ""), 1.0);
    assert_eq!(value("tipcam_classes", ""), 2.0);
    assert_eq!(value("tipcam_cache_keys", ""), 7.0);
    assert_eq!(value("tipcam_sink_events_lost_total", r#"sink="mqtt""#), 1.0);
    assert_eq!(value("tipcam_sink_events_lost_total", r#"sink="exec""#), 0.0);
    assert!(value("process_start_time_seconds", "") > 1.6e9);
    #[cfg(target_os = "linux")]
    assert!(value("process_resident_memory_bytes", "") > 1e5);
}

#[test]
fn a_region_has_one_state_at_a_time() {
    let metrics = Metrics::new(Arc::new(Health::default()), Vec::new());
    let mut meter = metrics.meter();
    let classes = labels(["cat", "cup"]);
    let views = [(Some("door"), Some(0)), (Some("desk"), None)];
    meter.frame(&Frame::new(), &event(0, &classes, &views));
    let samples = check(&metrics.render());
    assert_eq!(value(&samples, "tipcam_state", r#"region="door",label="cat""#), 1.0);
    assert_eq!(value(&samples, "tipcam_state", r#"region="desk",label="unknown""#), 1.0);
}
