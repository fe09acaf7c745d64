use std::sync::Arc;

use crate::watch::{Event, Labels, View};

/// What is settled in one region.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) region: Option<Arc<str>>,
    /// The stable label; none while nothing is settled.
    pub(super) label: Option<Arc<str>>,
    /// The label before it.
    pub(super) previous: Option<Arc<str>>,
    /// Milliseconds since 1970-01-01T00:00:00Z from which on it has been so.
    pub(super) since_ms: u64,
}

/// What a frame brought to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The region was never seen before, and nothing is settled in it.
    First,
    /// Another label than before.
    Changed,
    /// The same label, but the asset has other classes.
    Classes,
    /// Nothing.
    None,
}

/// Follows the stable label of each region by its name: another head may come between two frames,
/// and class 3 be another thing.
#[derive(Default)]
pub(super) struct Tracker {
    states: Vec<State>,
    labels: Arc<Labels>,
    frames: u64,
}

impl Tracker {
    /// Takes note of a frame and calls `tell` with each region's number, view, state and news.
    pub(super) fn follow(
        &mut self,
        event: &Event,
        mut tell: impl FnMut(usize, &View, &State, News),
    ) {
        self.frames += 1;
        let classes = !Arc::ptr_eq(&self.labels, &event.labels);
        self.labels.clone_from(&event.labels);
        self.states.truncate(event.views.len());
        for (at, view) in event.views.iter().enumerate() {
            let label = event.labels.get(view.stable.class);
            let known = self.states.get(at).is_some_and(|state| state.region == view.region);
            if !known {
                let region = view.region.clone();
                let state = State { region, since_ms: event.unix_ms, ..State::default() };
                self.states.truncate(at);
                self.states.push(state);
            }
            let state = &mut self.states[at];
            let news = if state.label.as_ref() != label {
                state.previous = std::mem::replace(&mut state.label, label.cloned());
                state.since_ms = event.unix_ms;
                News::Changed
            } else if !known {
                News::First
            } else if classes {
                News::Classes
            } else {
                News::None
            };
            tell(at, view, state, news);
        }
    }

    /// Frames up to this one that gave way to newer ones before they were answered.
    pub(super) fn dropped(&self, event: &Event) -> u64 {
        (event.number + 1).saturating_sub(self.frames)
    }
}

/// A name as a part of a topic or a file's name: letters, digits and `-` of ASCII, everything else
/// becomes `_`.
pub(super) fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::decide::Settled;

    pub(crate) fn labels<const N: usize>(names: [&str; N]) -> Arc<Labels> {
        Arc::new(names.into_iter().collect())
    }

    /// A frame of an asset with these classes in which each region's stable class is given.
    pub(crate) fn event(
        number: u64,
        labels: &Arc<Labels>,
        views: &[(Option<&str>, Option<usize>)],
    ) -> Event {
        let view = |&(region, class): &(Option<&str>, Option<usize>)| View {
            region: region.map(Arc::from),
            stable: Settled {
                class,
                score: if class.is_some() { 0.75 } else { 0.0 },
                ..Settled::default()
            },
            ..View::default()
        };
        Event {
            number,
            since_start: std::time::Duration::from_millis(number * 100),
            unix_ms: 1_700_000_000_000 + number * 100,
            source: "test".into(),
            labels: Arc::clone(labels),
            views: views.iter().map(view).collect(),
            ..Event::default()
        }
    }

    fn news(tracker: &mut Tracker, event: &Event) -> Vec<(News, Option<String>, u64)> {
        let mut all = Vec::new();
        tracker.follow(event, |_, _, state, news| {
            all.push((
                news,
                state.previous.as_deref().map(str::to_owned),
                state.since_ms % 100_000,
            ));
        });
        all
    }

    #[test]
    fn changes_are_told_by_name_with_what_was_before_and_since_when() {
        let two = labels(["cat", "cup"]);
        let mut tracker = Tracker::default();
        let mut push = |number, labels, class| {
            news(&mut tracker, &event(number, labels, &[(None, class)])).remove(0)
        };
        assert_eq!(push(0, &two, None), (News::First, None, 0));
        assert_eq!(push(1, &two, None), (News::None, None, 0));
        assert_eq!(push(2, &two, Some(1)), (News::Changed, None, 200));
        // a class before it was taught: the cup has another number now
        let more = labels(["ant", "cat", "cup"]);
        assert_eq!(push(3, &more, Some(2)), (News::Classes, None, 200));
        assert_eq!(push(4, &more, Some(1)), (News::Changed, Some("cup".into()), 400));
        assert_eq!(push(5, &more, None), (News::Changed, Some("cat".into()), 500));
    }

    #[test]
    fn regions_have_states_of_their_own_and_other_regions_begin_anew() {
        let labels = labels(["cat", "cup"]);
        let mut tracker = Tracker::default();
        let first = event(0, &labels, &[(Some("door"), Some(0)), (Some("desk"), None)]);
        let told: Vec<_> = news(&mut tracker, &first).into_iter().map(|news| news.0).collect();
        assert_eq!(told, [News::Changed, News::First]);
        let other = event(4, &labels, &[(Some("door"), Some(0)), (Some("bed"), None)]);
        let told: Vec<_> = news(&mut tracker, &other).into_iter().map(|news| news.0).collect();
        assert_eq!(told, [News::None, News::First]);
        assert_eq!(tracker.dropped(&other), 3);
    }

    #[test]
    fn names_become_plain() {
        assert_eq!(plain("Front door/+#\n-7"), "Front_door____-7");
        assert_eq!(plain("../Tür"), "___T_r");
    }
}
