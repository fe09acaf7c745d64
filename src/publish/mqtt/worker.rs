use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::tokio_rustls::rustls::ClientConfig;
use tokio::time::{sleep, sleep_until};

use super::board::Board;
use super::credentials::Credentials;
use super::link::{self, Client, Plan, Step};
use super::settings::Address;
use super::topics::{OFFLINE, Topics};
use super::{MqttSettings, Shared};
use crate::publish::PublishError;
use crate::publish::tell::{Tell, Trouble};

/// The first pause after a failure, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A connection that lasted so long was a good one: the pauses begin anew after it.
const GOOD: Duration = Duration::from_secs(30);

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the thread needs. It goes on until the mailbox is closed, whatever the broker does.
pub(super) struct Worker {
    settings: MqttSettings,
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    topics: Topics,
    shared: Arc<Shared>,
    board: Board,
    trouble: Trouble,
}

/// Why a connection ended.
enum End {
    /// The mailbox is closed.
    Stopped,
    Broken(String),
}

impl Worker {
    pub(super) fn new(
        settings: MqttSettings,
        shared: Arc<Shared>,
        tell: Tell,
    ) -> Result<Self, PublishError> {
        settings.check()?;
        if let Some(warning) = settings.credentials.as_deref().and_then(Credentials::warning) {
            tell(&warning);
        }
        let address = Address::parse(&settings.url)?;
        let tls = address.tls.then(|| super::tls::config(settings.ca.as_deref())).transpose()?;
        let topics = Topics::new(&settings);
        let trouble = Trouble::new(tell);
        Ok(Self { settings, address, tls, topics, shared, board: Board::default(), trouble })
    }

    pub(super) async fn run(mut self) {
        let mut pauses = Pauses::default();
        while !self.shared.mailbox.is_closed() {
            let begun = Instant::now();
            match self.connection().await {
                End::Stopped => return,
                End::Broken(why) => {
                    let url = &self.settings.url;
                    self.trouble.told(Instant::now(), &format!("{url}: {why}"));
                }
            }
            if begun.elapsed() > GOOD {
                pauses = Pauses::default();
            }
            self.pause(pauses.next()).await;
        }
    }

    /// Waits, but not for somebody who stops.
    async fn pause(&self, pause: Duration) {
        let mut over = pin!(sleep(pause));
        while !self.shared.mailbox.is_closed() {
            tokio::select! {
                () = &mut over => return,
                // what came waits in the mailbox for the next connection
                () = self.shared.news.notified() => {}
            }
        }
    }

    /// One connection from its beginning to its end.
    async fn connection(&mut self) -> End {
        let credentials = match self.settings.credentials.as_deref().map(Credentials::read) {
            // read anew each time: a person mends it while the camera runs
            Some(Err(error)) => return End::Broken(error.to_string()),
            Some(Ok(credentials)) => Some(credentials),
            None => None,
        };
        let availability = self.topics.availability();
        let keep_alive = Duration::from_secs(self.settings.keep_alive.into());
        let (client, mut link) = link::open(Plan {
            version: self.settings.version,
            address: &self.address,
            tls: self.tls.clone(),
            client_id: self.topics.client_id(),
            credentials,
            keep_alive,
            qos: self.settings.qos,
            will: (&availability, OFFLINE),
        });
        let (mut connected, mut stopping) = (false, false);
        let mut deadline = tokio::time::Instant::now();
        loop {
            if !stopping {
                // something happens at least as often as a sign of life is due
                deadline = tokio::time::Instant::now() + link.keep_alive().max(keep_alive) * 2;
            }
            // a step is never left half done: it may be in the middle of a message
            let mut step = pin!(link.step());
            let done = loop {
                tokio::select! {
                    done = &mut step => break done,
                    () = self.shared.news.notified() => {}
                    () = sleep_until(deadline) => break Err("the broker fell silent".to_owned()),
                }
                if self.shared.mailbox.is_closed() && !stopping {
                    if !connected {
                        return End::Stopped;
                    }
                    stopping = true;
                    deadline = tokio::time::Instant::now() + GOODBYE;
                    self.pass_on(&client);
                    if !(client.publish(&availability, OFFLINE) && client.disconnect()) {
                        return End::Stopped;
                    }
                }
                if connected && !stopping {
                    self.pass_on(&client);
                }
            };
            match done {
                Ok(Step::Connected) => {
                    connected = true;
                    self.board.connected();
                    self.trouble.over(&format!("{}: connected", self.settings.url));
                }
                Ok(Step::Disconnected) => return End::Stopped,
                Ok(Step::Other) => {}
                Err(_) if stopping => return End::Stopped,
                Err(why) => return End::Broken(why),
            }
            if connected && !stopping {
                self.pass_on(&client);
            }
        }
    }

    /// Hands on what is new.
    fn pass_on(&mut self, client: &Client) {
        while let Some((region, seen)) = self.shared.mailbox.take() {
            self.board.update(region, seen, &self.shared.lost);
        }
        self.board.tell(client, &self.topics, self.settings.discovery);
    }
}

/// Longer and longer pauses, no two cameras' alike: when a broker comes back, not all of them come
/// to it in the same moment.
struct Pauses {
    next: Duration,
    random: RandomState,
    count: u64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: PAUSES.0, random: RandomState::new(), count: 0 }
    }
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        self.count += 1;
        // 0 to 255 of 1024: up to a quarter more
        let share = self.random.hash_one(self.count) & 0xff;
        (pause + pause * share as u32 / 1024).min(PAUSES.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_second_to_a_minute_and_differ() {
        let mut pauses = Pauses::default();
        let seconds: Vec<f32> = (0..8).map(|_| pauses.next().as_secs_f32()).collect();
        for (at, &pause) in seconds.iter().enumerate() {
            let least = (1u32 << at).min(60) as f32;
            assert!(pause >= least && pause <= (least * 1.25).min(60.0), "{seconds:?}");
        }
        let mut others = (0..20).map(|_| Pauses::default().next());
        let first = others.next();
        assert!(others.any(|other| Some(other) != first));
    }
}
