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
    state_due: bool,
    discovery_due: bool,
}

impl Board {
    /// Takes note of a region's newest state.
    pub(super) fn update(&mut self, number: usize, seen: Seen, lost: &Lost) {
        let Some(region) = self.regions.iter_mut().find(|region| region.number == number) else {
            let name = self.free_name(number, &seen);
            let region = Region { number, name, seen, state_due: true, discovery_due: true };
            self.regions.push(region);
            return;
        };
        region.discovery_due |= region.seen.labels != seen.labels;
        region.seen = seen.after(region.state_due.then_some(&region.seen), lost);
        region.state_due = true;
    }

    /// A broker was found that may know nothing: everything is told again.
    pub(super) fn connected(&mut self) {
        self.online_due = true;
        for region in &mut self.regions {
            region.state_due = true;
            region.discovery_due = true;
        }
    }

    /// Tells the broker what it does not know, as much as there is room for at the moment.
    pub(super) fn tell(&mut self, client: &Client, topics: &Topics, discovery: bool) {
        for region in &mut self.regions {
            let (name, seen) = (&region.name, &region.seen);
            if region.discovery_due && discovery {
                let payload = topics.discovery_payload(name, seen);
                if !client.publish(&topics.discovery(name), &payload) {
                    return;
                }
            }
            region.discovery_due = false;
            if region.state_due {
                let told = client
                    .publish(&topics.attributes(name), &topics::attributes_payload(seen))
                    && client.publish(&topics.state(name), topics::state_payload(seen));
                if !told {
                    return;
                }
                region.state_due = false;
                // told: should it be told again, a newer state may take its place
                region.seen.changed = false;
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
