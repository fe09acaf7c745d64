use super::Seen;
use super::link::Client;
use super::topics::{self, ONLINE, Topics};
use crate::publish::Lost;

/// The newest state of each region, and what of it the broker has not been told.
#[derive(Default)]
pub(super) struct Board {
    regions: Vec<Region>,
    online_due: bool,
}

struct Region {
    number: usize,
    name: String,
    seen: Seen,
    due: Due,
}

/// Which messages of a region wait. Each one for itself: with one flag for all of them, a queue in
/// which one place gets free at a time would be filled with the first of them for ever.
#[derive(Clone, Copy)]
struct Due {
    discovery: bool,
    attributes: bool,
    state: bool,
}

impl Due {
    const ALL: Self = Self { discovery: true, attributes: true, state: true };
}

impl Board {
    /// Takes note of a region's newest state.
    pub(super) fn update(&mut self, number: usize, seen: Seen, lost: &Lost) {
        let Some(region) = self.regions.iter_mut().find(|region| region.number == number) else {
            let name = self.free_name(number, &seen);
            self.regions.push(Region { number, name, seen, due: Due::ALL });
            return;
        };
        let discovery = region.due.discovery || region.seen.labels != seen.labels;
        region.seen = seen.after(region.due.state.then_some(&region.seen), lost);
        region.due = Due { discovery, ..Due::ALL };
    }

    /// A broker was found that may know nothing: everything is told again.
    pub(super) fn connected(&mut self) {
        self.online_due = true;
        for region in &mut self.regions {
            region.due = Due::ALL;
        }
    }

    /// Tells the broker what it does not know, as much as there is room for at the moment.
    pub(super) fn tell(&mut self, client: &Client, topics: &Topics, discovery: bool) {
        for Region { name, seen, due, .. } in &mut self.regions {
            if due.discovery && discovery {
                let payload = topics.discovery_payload(name, seen);
                if !client.publish(&topics.discovery(name), &payload) {
                    return;
                }
            }
            due.discovery = false;
            if due.state {
                if !client.publish(&topics.state(name), topics::state_payload(seen)) {
                    return;
                }
                due.state = false;
                // told: should it be told again, a newer state may take its place
                seen.changed = false;
            }
            if due.attributes {
                let payload = topics::attributes_payload(seen);
                if !client.publish(&topics.attributes(name), &payload) {
                    return;
                }
                due.attributes = false;
            }
        }
        if self.online_due {
            self.online_due = !client.publish(&topics.availability(), ONLINE);
        }
    }

    /// Regions whose names differ only in what is not plain get different topics.
    fn free_name(&self, number: usize, seen: &Seen) -> String {
        let name = topics::plain(seen.state.region.as_deref());
        if self.regions.iter().any(|region| region.name == name) {
            format!("{name}_{}", number + 1)
        } else {
            name
        }
    }
}
