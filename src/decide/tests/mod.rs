//! The stabilizer: what each rule does, by example. `simulation` holds every rule against long random
//! streams.

extern crate std;

mod simulation;

use core::time::Duration;
use std::vec;
use std::vec::Vec;

use super::*;

const RULES: Rules = Rules {
    memory: Duration::from_millis(300),
    enter: 0.6,
    leave: 0.4,
    agree: Agree::in_a_row(1),
    dwell: Duration::ZERO,
    leave_after: Duration::ZERO,
};
const FRAME: Duration = Duration::from_millis(100);

const A: [f32; 3] = [0.9, 0.05, 0.05];
const B: [f32; 3] = [0.05, 0.9, 0.05];
const C: [f32; 3] = [0.05, 0.05, 0.9];
const UNSURE: [f32; 3] = [0.4, 0.3, 0.3];

fn known(probabilities: &[f32]) -> Decision {
    Decision::new(probabilities, None, &Thresholds::default(), &[])
}

fn unknown(probabilities: &[f32]) -> Decision {
    Decision { unknown: true, ..known(probabilities) }
}

fn stabilizer(rules: Rules) -> Stabilizer<[Track; 3]> {
    assert_eq!(rules.check(), Ok(()));
    Stabilizer::new(rules, [Track::default(); 3])
}

/// States after each of a sequence of frames 100 ms apart.
fn replay(rules: Rules, frames: &[[f32; 3]]) -> Vec<Option<usize>> {
    let mut stabilizer = stabilizer(rules);
    let frames = (0u32..).zip(frames);
    frames.map(|(i, p)| stabilizer.push(FRAME * i, p, &known(p)).class).collect()
}

#[test]
fn one_wrong_picture_does_not_change_the_state() {
    assert_eq!(replay(RULES, &[A, A, A, B, A, A]), [Some(0); 6]);
}

#[test]
fn a_lasting_change_changes_the_state_once() {
    let states = replay(RULES, &[A, A, A, B, B, B, B, B, B]);
    assert_eq!(states[..4], [Some(0); 4]);
    assert_eq!(states.last(), Some(&Some(1)));
    // A, perhaps nothing, B: it never goes back.
    let first_b = states.iter().position(|&state| state == Some(1)).unwrap();
    assert!(states[first_b..].iter().all(|&state| state == Some(1)));
    assert!(states[..first_b].iter().all(|&state| state != Some(2)));
}

#[test]
fn between_the_two_thresholds_a_class_stays_but_does_not_come() {
    let between = [0.5, 0.3, 0.2];
    assert_eq!(replay(RULES, &[between; 20]), [None; 20]);
    let mut frames = vec![A; 5];
    frames.extend([between; 20]);
    assert_eq!(replay(RULES, &frames), [Some(0); 25]);
    frames.extend([[0.2, 0.4, 0.4]; 20]);
    assert_eq!(replay(RULES, &frames).last(), Some(&None));
}

#[test]
fn without_memory_each_picture_speaks_for_itself() {
    let rules = Rules { memory: Duration::ZERO, ..RULES };
    assert_eq!(replay(rules, &[A, B, UNSURE, A]), [Some(0), Some(1), None, Some(0)]);
}

#[test]
fn unknown_pictures_end_a_state() {
    let mut stabilizer = stabilizer(RULES);
    assert_eq!(stabilizer.push(FRAME, &A, &known(&A)).class, Some(0));
    let states = (2..12).map(|i| stabilizer.push(FRAME * i, &A, &unknown(&A)).class);
    let states: Vec<_> = states.collect();
    assert_eq!(states[0], Some(0));
    assert_eq!(states.last(), Some(&None));
}

#[test]
fn the_weight_follows_the_time_that_passed_not_the_number_of_pictures() {
    let score = |pieces: u32| {
        let mut stabilizer = stabilizer(RULES);
        stabilizer.push(Duration::ZERO, &A, &known(&A));
        let step = Duration::from_millis(240) / pieces;
        (1..=pieces).map(|i| stabilizer.push(step * i, &B, &known(&B)).score).last().unwrap()
    };
    assert!((score(1) - score(8)).abs() < 1e-5, "{} {}", score(1), score(8));
}

#[test]
fn time_that_runs_backwards_changes_nothing() {
    let mut stabilizer = stabilizer(RULES);
    let before = stabilizer.push(FRAME * 5, &A, &known(&A));
    let change = Change { from: None, to: Some(0), at: FRAME * 5 };
    assert_eq!(before.change, Some(change));
    let told = Settled { change: None, ..before };
    assert_eq!(stabilizer.push(FRAME, &B, &known(&B)), told);
    assert_eq!(stabilizer.push(FRAME * 5, &B, &known(&B)), told);
}

#[test]
fn what_is_not_a_number_counts_as_nothing() {
    let mut stabilizer = stabilizer(RULES);
    let odd = [f32::NAN, 9.0, f32::NEG_INFINITY];
    let settled = stabilizer.push(FRAME, &odd, &known(&odd));
    assert_eq!((settled.class, settled.score), (Some(1), 1.0));
    // a missing probability too
    let settled = stabilizer.push(FRAME * 100, &[0.9], &known(&[0.9]));
    assert_eq!(settled.class, Some(0));
}

#[test]
fn a_class_comes_when_enough_of_the_newest_pictures_show_it() {
    let alone = Rules { memory: Duration::ZERO, ..RULES };
    let of = |k, n, frames: &[[f32; 3]]| replay(Rules { agree: Agree { k, n }, ..alone }, frames);
    let (a, b) = (Some(0), Some(1));
    assert_eq!(of(3, 3, &[A, A, B, A, A, A]), [None, None, None, None, None, a]);
    assert_eq!(of(2, 3, &[A, B, A, B, C, B]), [None, None, a, b, None, b]);
    // as far back as can be
    let mut frames = vec![A];
    frames.extend([B; 30]);
    frames.push(A);
    assert_eq!(of(2, 32, &frames).last(), Some(&a));
    frames.insert(1, B);
    assert_eq!(of(2, 32, &frames).last(), Some(&None));
}

#[test]
fn a_jumpy_class_has_its_own_threshold() {
    let jumpy = ClassRule { enter: Some(0.95), ..ClassRule::default() };
    let plain = Track::default();
    let mut stabilizer = Stabilizer::new(RULES, [plain, Track::new(&jumpy), plain]);
    let mut states = (1..20).map(|i| stabilizer.push(FRAME * i, &B, &known(&B)).class);
    assert!(states.all(|class| class.is_none()));
    let sure = [0.0, 1.0, 0.0];
    let settled = (20..60).map(|i| stabilizer.push(FRAME * i, &sure, &known(&sure))).last();
    assert_eq!(settled.unwrap().class, Some(1));
}

#[test]
fn a_class_with_a_low_threshold_does_not_displace_a_more_probable_one() {
    let eager = ClassRule { enter: Some(0.4), ..ClassRule::default() };
    let tracks = [Track::default(), Track::new(&eager), Track::default()];
    let agree = Agree { k: 1, n: 3 };
    let rules = Rules { memory: Duration::ZERO, leave: 0.3, agree, ..RULES };
    let mut stabilizer = Stabilizer::new(rules, tracks);
    let mut push = |i: u32, p: [f32; 3]| stabilizer.push(FRAME * i, &p, &known(&p)).class;
    // a vote for B, which is not yet probable enough
    assert_eq!(push(1, [0.31, 0.38, 0.31]), None);
    assert_eq!(push(2, A), Some(0));
    assert_eq!(push(3, [0.5, 0.45, 0.05]), Some(0));
    assert_eq!(push(4, [0.45, 0.5, 0.05]), Some(1));
}

#[test]
fn a_state_dwells_before_the_next_change() {
    let rules = Rules { memory: Duration::ZERO, dwell: FRAME * 3, ..RULES };
    let (a, b) = (Some(0), Some(1));
    assert_eq!(replay(rules, &[A, B, B, B, A, A, A]), [a, a, a, b, b, b, a]);
}

#[test]
fn nothing_must_be_seen_for_a_while_before_the_state_goes() {
    let rules = Rules { memory: Duration::ZERO, leave_after: FRAME * 3, ..RULES };
    let (a, n) = (Some(0), None);
    let nothing = [0.3, 0.35, 0.35];
    let frames = [A, nothing, nothing, nothing, nothing, nothing];
    assert_eq!(replay(rules, &frames), [a, a, a, a, n, n]);
    // a break begins the wait anew, another class does not wait
    let frames = [A, nothing, nothing, UNSURE, nothing, nothing, nothing, B];
    assert_eq!(replay(rules, &frames), [a, a, a, a, a, a, a, Some(1)]);
}

#[test]
fn a_change_is_told_once_with_its_time() {
    let rules = Rules { memory: Duration::ZERO, ..RULES };
    let mut stabilizer = stabilizer(rules);
    let nothing = [0.3, 0.35, 0.35];
    let mut push = |i: u32, p: [f32; 3]| stabilizer.push(FRAME * i, &p, &known(&p));
    assert_eq!(push(1, nothing), Settled { class: None, score: 0.0, since: FRAME, change: None });
    assert_eq!(push(2, nothing).since, FRAME);
    let change = Some(Change { from: None, to: Some(0), at: FRAME * 3 });
    assert_eq!(push(3, A), Settled { class: Some(0), score: 0.9, since: FRAME * 3, change });
    assert_eq!(push(4, A), Settled { class: Some(0), score: 0.9, since: FRAME * 3, change: None });
    let change = Some(Change { from: Some(0), to: None, at: FRAME * 5 });
    assert_eq!(push(5, nothing), Settled { class: None, score: 0.0, since: FRAME * 5, change });
}

#[test]
fn a_class_that_got_another_number_stays_the_state() {
    let mut stabilizer = Stabilizer::new(RULES, vec![Track::default(); 3]);
    let before = stabilizer.push(FRAME, &C, &known(&C));
    // class 0 was forgotten, class 3 was taught
    let after = stabilizer.remap(vec![Track::default(); 3], |class| class.checked_sub(1));
    assert_eq!(after, Settled { class: Some(1), change: None, ..before });
    let settled = stabilizer.push(FRAME * 2, &[0.05, 0.9, 0.05], &known(&B));
    assert_eq!((settled.class, settled.change), (Some(1), None));
    assert!((settled.score - 0.9).abs() < 1e-6, "{}", settled.score);
}

#[test]
fn a_class_that_is_gone_takes_the_state_with_it() {
    let rules = Rules { dwell: FRAME * 50, leave_after: FRAME * 50, ..RULES };
    let mut stabilizer = Stabilizer::new(rules, vec![Track::default(); 3]);
    stabilizer.push(FRAME, &A, &known(&A));
    stabilizer.push(FRAME * 2, &A, &known(&A));
    let after = stabilizer.remap(vec![Track::default(); 2], |class| class.checked_sub(1));
    let change = Some(Change { from: Some(0), to: None, at: FRAME * 2 });
    assert_eq!(after, Settled { class: None, score: 0.0, since: FRAME * 2, change });
    // told once, and what comes next waits
    let settled = stabilizer.push(FRAME * 3, &[0.9, 0.1], &known(&[0.9, 0.1]));
    assert_eq!((settled.class, settled.change), (None, None));
    // no room for a class is as if it were gone
    let mut stabilizer = Stabilizer::new(RULES, vec![Track::default(); 3]);
    stabilizer.push(FRAME, &C, &known(&C));
    assert_eq!(stabilizer.remap(vec![Track::default(); 2], Some).class, None);
}

#[test]
fn classes_that_became_one_add_what_was_seen() {
    let rules = Rules { agree: Agree::in_a_row(2), ..RULES };
    let mut stabilizer = Stabilizer::new(rules, vec![Track::default(); 3]);
    let half = [0.45, 0.5, 0.05];
    assert_eq!(stabilizer.push(FRAME, &half, &known(&half)).class, None);
    stabilizer.remap(vec![Track::default(); 2], |class| Some(class / 2));
    let settled = stabilizer.push(FRAME * 2, &[0.95, 0.05], &known(&A));
    assert_eq!(settled.class, Some(0));
    assert!((settled.score - 0.95).abs() < 1e-6, "{}", settled.score);
}

#[test]
fn other_rules_keep_what_was_seen() {
    let mut stabilizer = stabilizer(Rules { agree: Agree::in_a_row(5), ..RULES });
    for i in 1..4 {
        assert_eq!(stabilizer.push(FRAME * i, &A, &known(&A)).class, None);
    }
    stabilizer.set_rules(Rules { agree: Agree::in_a_row(4), ..RULES });
    assert_eq!(stabilizer.push(FRAME * 4, &A, &known(&A)).class, Some(0));
}

#[test]
fn tracks_that_were_used_before_begin_anew() {
    let mut tracks = [Track::default(); 3];
    Stabilizer::new(RULES, &mut tracks[..]).push(FRAME, &A, &known(&A));
    assert_ne!(tracks[0], Track::default());
    let mut stabilizer = Stabilizer::new(RULES, &mut tracks[..]);
    assert_eq!(stabilizer.push(FRAME, &UNSURE, &known(&UNSURE)).class, None);
}
