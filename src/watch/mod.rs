//! The camera loop.
//!
//! [`Relay`] moves frames and answers between three threads, [`Engine`] is what runs on the answering
//! one: it answers each frame, keeps the answer stable and tells every [`Sink`]. Others speak with it
//! through a [`Desk`] while it runs: they show it pictures, take the next frame as a shot, and hand it
//! another head. Time is taken here; what is called from here is told.

mod cooling;
mod desk;
mod engine;
mod event;
mod health;
mod relay;
mod slot;
mod watched;

pub use cooling::{Cooling, temperature};
pub use desk::{Desk, DeskError, Seen};
pub use engine::{Engine, Options, Shot};
pub use event::{Event, Labels, Sink, View};
pub use health::Health;
pub use relay::{Account, Captured, End, MAX_FAILURES, Policy, Relay, RelayError, Stopper, Waker};
pub use slot::{Counts, Slot, Taken};
