use core::iter;
use core::time::Duration;

use super::{Agree, ClassRule, Decision, Rules};
use crate::math;

/// What a [`Stabilizer`] keeps of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Track {
    enter: Option<f32>,
    smoothed: f32,
    /// A bit for each of the newest pictures, the lowest for the last: whether it showed this class.
    votes: u32,
}

impl Track {
    /// A class of which nothing was seen yet.
    #[must_use]
    pub const fn new(rule: &ClassRule) -> Self {
        Self { enter: rule.enter, smoothed: 0.0, votes: 0 }
    }

    fn may_enter(&self, rules: &Rules) -> bool {
        let Agree { k, n } = rules.agree;
        let newest = u32::MAX >> 32u32.saturating_sub(n.into()).min(31);
        self.smoothed >= self.enter.unwrap_or(rules.enter)
            && (self.votes & newest).count_ones() >= k.into()
    }
}

/// Makes a state of decisions: smooths probabilities over time, and keeps a class until it is clearly
/// gone. Reads no clock: the same pictures with the same times give the same states.
///
/// The state is a class, or none: nothing is settled. That is so at the start, where pictures are
/// unknown, and where they show now this and now that.
///
/// `S` holds a [`Track`] for each class: a `Vec`, an array or a slice of the caller's.
#[derive(Clone, Debug)]
pub struct Stabilizer<S> {
    rules: Rules,
    tracks: S,
    class: Option<usize>,
    /// Time of the first picture.
    begun: Duration,
    /// Time of the last picture.
    last: Option<Duration>,
    /// Time of the last change.
    changed: Option<Duration>,
    /// Since when the state is below `leave`.
    below: Option<Duration>,
}

impl<S: AsRef<[Track]> + AsMut<[Track]>> Stabilizer<S> {
    /// A stabilizer that has seen nothing, for [checked](Rules::check) rules. What `tracks` saw in
    /// another stabilizer is forgotten.
    #[must_use]
    pub fn new(rules: Rules, mut tracks: S) -> Self {
        clear(tracks.as_mut());
        let (class, begun, last, changed, below) = (None, Duration::ZERO, None, None, None);
        Self { rules, tracks, class, begun, last, changed, below }
    }

    /// Goes on with other rules; what was seen stays.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes the answer for the picture of time `at` (since any fixed start) and gives the state.
    ///
    /// An unknown picture counts as one in which no class is probable, and a probability that is
    /// missing or not a number as 0. A picture that is not newer than the one before changes nothing.
    pub fn push(&mut self, at: Duration, probabilities: &[f32], decision: &Decision) -> Settled {
        if self.last.is_some_and(|last| at <= last) {
            return self.settled(None);
        }
        let weight = match self.last {
            Some(last) => self.weight(at - last),
            None => {
                self.begun = at;
                1.0
            }
        };
        self.last = Some(at);
        self.look(weight, probabilities, decision);
        let next = self.next(at);
        let change = (next != self.class).then(|| self.change(next, at));
        self.settled(change)
    }

    /// Goes on with other classes, after one was taught or forgotten. `tracks` are those of the new
    /// classes, and `to` gives the new number of an old class, none where it is gone. What was seen of
    /// classes that became one is added.
    ///
    /// A state whose class is gone ends at once, whatever the rules say: that change has the time of
    /// the last picture, and the old number in `from`. A class that has only another number makes no
    /// change.
    pub fn remap(&mut self, mut tracks: S, to: impl Fn(usize) -> Option<usize>) -> Settled {
        let new = tracks.as_mut();
        clear(new);
        let classes = new.len();
        let to = |class| to(class).filter(|&class| class < classes);
        let class = self.class.and_then(to);
        for (old, track) in self.tracks.as_ref().iter().enumerate() {
            if let Some(class) = to(old) {
                new[class].smoothed = (new[class].smoothed + track.smoothed).min(1.0);
                new[class].votes |= track.votes;
            }
        }
        self.tracks = tracks;
        let gone = self.class.is_some() && class.is_none();
        let at = self.last.unwrap_or_default();
        let change = gone.then(|| self.change(None, at));
        self.class = class;
        self.settled(change)
    }

    /// Smooths, and counts which class was shown.
    fn look(&mut self, weight: f32, probabilities: &[f32], decision: &Decision) {
        let shown = decision.class.filter(|_| !decision.unknown);
        let probabilities = probabilities.iter().copied().chain(iter::repeat(0.0));
        for ((class, track), p) in self.tracks.as_mut().iter_mut().enumerate().zip(probabilities) {
            let target = if decision.unknown || p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) };
            track.smoothed = math::mul_add(weight, target - track.smoothed, track.smoothed);
            track.votes = track.votes << 1 | u32::from(shown == Some(class));
        }
    }

    /// The state that the rules want at this moment.
    fn next(&mut self, at: Duration) -> Option<usize> {
        let score = self.score();
        let is_below = self.class.is_some() && score < self.rules.leave;
        self.below = is_below.then(|| self.below.unwrap_or(at));
        if self.changed.is_some_and(|changed| at - changed < self.rules.dwell) {
            return self.class;
        }
        let gone = self.below.is_some_and(|below| at - below >= self.rules.leave_after);
        // Whoever displaces a class must be the more probable one, however low its own threshold.
        let least = self.class.map_or(f32::NEG_INFINITY, |_| score);
        let tracks = self.tracks.as_ref().iter().enumerate();
        let challengers = tracks.filter(|(_, track)| track.may_enter(&self.rules));
        let best = challengers.fold((None, least), |best, (class, track)| {
            if track.smoothed > best.1 { (Some(class), track.smoothed) } else { best }
        });
        best.0.or(self.class.filter(|_| !gone))
    }

    fn change(&mut self, to: Option<usize>, at: Duration) -> Change {
        let change = Change { from: self.class, to, at };
        (self.class, self.changed, self.below) = (to, Some(at), None);
        change
    }

    fn settled(&self, change: Option<Change>) -> Settled {
        let since = self.changed.unwrap_or(self.begun);
        Settled { class: self.class, score: self.score(), since, change }
    }

    /// The state's smoothed probability.
    fn score(&self) -> f32 {
        let track = self.class.and_then(|class| self.tracks.as_ref().get(class));
        track.map_or(0.0, |track| track.smoothed)
    }

    /// Share of a picture `passed` after the one before it.
    fn weight(&self, passed: Duration) -> f32 {
        let (passed, memory) = (passed.as_secs_f32(), self.rules.memory.as_secs_f32());
        if memory > 0.0 { 1.0 - math::exp(-passed / memory) } else { 1.0 }
    }
}

fn clear(tracks: &mut [Track]) {
    for track in tracks {
        *track = Track { enter: track.enter, ..Track::default() };
    }
}

/// A stream's state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settled {
    /// The class; none while nothing is settled.
    pub class: Option<usize>,
    /// Its smoothed probability; 0 without a class.
    pub score: f32,
    /// When the state came, by the clock of the pictures.
    pub since: Duration,
    /// The change that this picture made: every change of the state is told once.
    pub change: Option<Change>,
}

/// The state became another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The class before; none where nothing was settled.
    pub from: Option<usize>,
    /// The class from now on.
    pub to: Option<usize>,
    /// When, by the clock of the pictures.
    pub at: Duration,
}
