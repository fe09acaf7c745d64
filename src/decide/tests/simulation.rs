//! Long random streams, and what must hold in all of them.

use super::*;
use crate::random::Random;

/// What a stream is drawn from.
trait Draw {
    fn ms(&mut self, below: u64) -> Duration;
    fn rules(&mut self) -> Rules;
}

impl Draw for Random {
    fn ms(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.below(below))
    }

    fn rules(&mut self) -> Rules {
        let enter = 0.3 + 0.5 * self.unit();
        let n = 1 + self.below(6) as u8;
        let rules = Rules {
            memory: self.ms(400),
            enter,
            leave: enter * self.unit(),
            agree: Agree { k: 1 + self.below(n.into()) as u8, n },
            dwell: self.ms(800),
            leave_after: self.ms(500),
        };
        assert_eq!(rules.check(), Ok(()));
        rules
    }
}

const CLASSES: usize = 5;
/// This class is never an answer.
const NEGATIVE: usize = 3;

struct Picture {
    at: Duration,
    probabilities: [f32; CLASSES],
    decision: Decision,
}

fn class_rules() -> [ClassRule; CLASSES] {
    let mut classes = [ClassRule::default(); CLASSES];
    classes[NEGATIVE].negative = true;
    classes[1].enter = Some(0.9);
    classes
}

fn tracks() -> [Track; CLASSES] {
    class_rules().map(|rule| Track::new(&rule))
}

/// Scenes that last for some pictures, between them noise, and pictures at uneven times.
fn stream(random: &mut Random, pictures: usize) -> Vec<Picture> {
    let thresholds = Thresholds { unknown_score: 0.35, margin: 0.05, ..Thresholds::default() };
    let (mut at, mut scene) = (random.ms(1000), 0);
    let picture = |_| {
        at += Duration::from_millis(1) + random.ms(120);
        if random.below(12) == 0 {
            scene = random.below(CLASSES as u64 + 1) as usize;
        }
        let noise = random.unit();
        let mut probabilities = [0.0; CLASSES].map(|_: f32| 0.02 + noise * random.unit());
        if let Some(p) = probabilities.get_mut(scene) {
            *p += 3.0;
        }
        let sum: f32 = probabilities.iter().sum();
        let probabilities = probabilities.map(|p| p / sum);
        let decision = Decision::new(&probabilities, None, &thresholds, &class_rules());
        Picture { at, probabilities, decision }
    };
    (0..pictures).map(picture).collect()
}

fn run(rules: Rules, pictures: &[Picture]) -> Vec<Settled> {
    let mut stabilizer = Stabilizer::new(rules, tracks());
    let push = |p: &Picture| stabilizer.push(p.at, &p.probabilities, &p.decision);
    pictures.iter().map(push).collect()
}

/// Calls `check` with many rules, streams and the states that came of them.
fn for_many_streams(mut check: impl FnMut(Rules, &[Picture], &[Settled])) {
    let mut changes = 0;
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (rules, pictures) = (random.rules(), stream(&mut random, 300));
        let states = run(rules, &pictures);
        changes += states.iter().filter(|settled| settled.change.is_some()).count();
        check(rules, &pictures, &states);
    }
    assert!(changes > 2000, "these streams prove little: {changes} changes");
}

/// Smoothed probabilities after each picture, computed by other means.
fn smoothed(rules: Rules, pictures: &[Picture]) -> Vec<[f64; CLASSES]> {
    let mut last: Option<(Duration, [f64; CLASSES])> = None;
    let smooth = |picture: &Picture| {
        let seen = if picture.decision.unknown { 0.0 } else { 1.0 };
        let mut now = picture.probabilities.map(|p| f64::from(p) * seen);
        if let Some((at, before)) = last {
            let passed = (picture.at - at).as_secs_f64() / rules.memory.as_secs_f64();
            let keep = (-passed).exp();
            now = core::array::from_fn(|class| keep * before[class] + (1.0 - keep) * now[class]);
        }
        last = Some((picture.at, now));
        now
    };
    pictures.iter().map(smooth).collect()
}

#[test]
fn every_change_is_told_exactly_once() {
    for_many_streams(|_, pictures, states| {
        let (mut class, mut since) = (None, pictures[0].at);
        for (picture, settled) in pictures.iter().zip(states) {
            let changed = settled.class != class;
            let change = Change { from: class, to: settled.class, at: picture.at };
            assert_eq!(settled.change, changed.then_some(change));
            if changed {
                (class, since) = (settled.class, picture.at);
            }
            assert_eq!(settled.since, since);
        }
    });
}

#[test]
fn changes_are_never_nearer_to_each_other_than_dwell() {
    for_many_streams(|rules, _, states| {
        let changes: Vec<_> = states.iter().filter_map(|settled| settled.change).collect();
        for pair in changes.windows(2) {
            assert!(pair[1].at - pair[0].at >= rules.dwell, "{rules:?} {pair:?}");
        }
    });
}

#[test]
fn a_class_comes_only_with_k_of_n_votes_and_enough_probability() {
    for_many_streams(|rules, pictures, states| {
        for (i, settled) in states.iter().enumerate() {
            let Some(Change { to: Some(class), .. }) = settled.change else { continue };
            let newest = &pictures[(i + 1).saturating_sub(rules.agree.n.into())..=i];
            let shows = |p: &&Picture| !p.decision.unknown && p.decision.class == Some(class);
            assert!(newest.iter().filter(shows).count() >= rules.agree.k.into());
            let enter = class_rules()[class].enter.unwrap_or(rules.enter);
            assert!(settled.score >= enter, "{rules:?} {settled:?}");
        }
    });
}

#[test]
fn a_state_goes_only_after_it_was_below_leave_for_long_enough() {
    for_many_streams(|rules, pictures, states| {
        let smoothed = smoothed(rules, pictures);
        for (i, settled) in states.iter().enumerate() {
            let Some(Change { from: Some(class), to: None, at }) = settled.change else { continue };
            let below = |i: usize| smoothed[i][class] < f64::from(rules.leave) + 1e-4;
            let begun = (0..=i).rev().take_while(|&i| below(i)).last();
            let begun = pictures[begun.expect("the state is below")].at;
            assert!(at - begun >= rules.leave_after, "{rules:?} {settled:?}");
        }
    });
}

#[test]
fn the_score_is_the_smoothed_probability_of_the_state() {
    for_many_streams(|rules, pictures, states| {
        for (settled, smoothed) in states.iter().zip(smoothed(rules, pictures)) {
            let expected = settled.class.map_or(0.0, |class| smoothed[class]);
            assert!((f64::from(settled.score) - expected).abs() < 1e-4, "{settled:?} {expected}");
        }
    });
}

#[test]
fn a_negative_class_is_never_reported() {
    let mut best = 0;
    for_many_streams(|_, pictures, states| {
        assert!(states.iter().all(|settled| settled.class != Some(NEGATIVE)));
        for picture in pictures {
            let most = picture.probabilities.iter().copied().fold(0.0, f32::max);
            assert_ne!(picture.decision.class, Some(NEGATIVE));
            if picture.probabilities[NEGATIVE] == most {
                best += 1;
                assert!(picture.decision.unknown);
            }
        }
    });
    assert!(best > 1000, "{best}");
}

#[test]
fn the_same_pictures_give_the_same_states_wherever_the_tracks_lie() {
    for_many_streams(|rules, pictures, states| {
        let mut stabilizer = Stabilizer::new(rules, tracks().to_vec());
        for (picture, settled) in pictures.iter().zip(states) {
            let Picture { at, probabilities, decision } = picture;
            assert_eq!(stabilizer.push(*at, probabilities, decision), *settled);
        }
    });
}

#[test]
fn late_pictures_between_the_others_change_nothing() {
    let mut random = Random::new(1);
    for_many_streams(|rules, pictures, states| {
        let mut stabilizer = Stabilizer::new(rules, tracks());
        for (picture, settled) in pictures.iter().zip(states) {
            let Picture { at, probabilities, decision } = picture;
            assert_eq!(stabilizer.push(*at, probabilities, decision), *settled);
            let late = at.saturating_sub(random.ms(2000));
            let other = &pictures[random.below(pictures.len() as u64) as usize];
            let after = stabilizer.push(late, &other.probabilities, &other.decision);
            assert_eq!(after, Settled { change: None, ..*settled });
        }
    });
}

#[test]
fn other_numbers_for_the_classes_change_only_the_numbers() {
    let mut random = Random::new(2);
    for_many_streams(|rules, pictures, states| {
        let mut number: [usize; CLASSES] = core::array::from_fn(|class| class);
        let mut stabilizer = Stabilizer::new(rules, tracks());
        for (picture, settled) in pictures.iter().zip(states) {
            if random.below(10) == 0 {
                let (i, j) = (random.below(5) as usize, random.below(5) as usize);
                let swap = |class| [(i, j), (j, i)].iter().find(|s| s.0 == class).map(|s| s.1);
                let swap = |class| swap(class).unwrap_or(class);
                number = number.map(swap);
                let mut new = tracks();
                let old = tracks();
                (0..CLASSES).for_each(|class| new[number[class]] = old[class]);
                assert_eq!(stabilizer.remap(new, |class| Some(swap(class))).change, None);
            }
            let mut probabilities = [0.0; CLASSES];
            (0..CLASSES).for_each(|c| probabilities[number[c]] = picture.probabilities[c]);
            let class = picture.decision.class.map(|class| number[class]);
            let decision = Decision { class, ..picture.decision };
            let found = stabilizer.push(picture.at, &probabilities, &decision);
            assert_eq!(found.class, settled.class.map(|class| number[class]));
            assert_eq!((found.score, found.since), (settled.score, settled.since));
            assert_eq!(found.change.is_some(), settled.change.is_some());
        }
    });
}

/// Ten pictures a second for a minute: half of it something between two classes, half of it nothing
/// that was learned but now and then.
fn jittery() -> Vec<Picture> {
    let mut random = Random::new(3);
    let thresholds = Thresholds { unknown_score: 0.5, ..Thresholds::default() };
    let picture = |i: u32| {
        let first = if i < 300 { 0.2 + 0.7 * random.unit() } else { 0.6 * random.unit() };
        let second = if i < 300 { 1.0 - first } else { 0.2 };
        let probabilities = [first, second, 1.0 - first - second, 0.0, 0.0];
        let decision = Decision::new(&probabilities, None, &thresholds, &[]);
        Picture { at: FRAME * i, probabilities, decision }
    };
    (0..600).map(picture).collect()
}

#[test]
fn rules_calm_a_jittery_stream() {
    let pictures = jittery();
    let changes = |rules: Rules| {
        let states = run(rules, &pictures);
        states.iter().filter(|settled| settled.change.is_some()).count()
    };
    let none = Rules { memory: Duration::ZERO, enter: 0.5, leave: 0.5, ..Rules::default() };
    let calm = Rules {
        agree: Agree { k: 3, n: 5 },
        dwell: Duration::from_secs(2),
        leave_after: Duration::from_secs(1),
        ..Rules::default()
    };
    let counts = [none, Rules::default(), calm].map(changes);
    assert_eq!(counts, [331, 4, 2]);
}
