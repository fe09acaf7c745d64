//! What is printed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::values::parse_seconds;
use crate::cli::answer;
use crate::cli::shared::Format;
use crate::lines::Lines;
use crate::pipeline::MAX_TOP;
use crate::watch::Event;

#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// How many classes to list
    #[arg(long, short = 'k', value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=MAX_TOP as i64))]
    pub(super) top_k: u16,

    /// Print a line only when the stable label changes
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", hide_possible_values = true,
          hide_default_value = true, action = clap::ArgAction::Set)]
    on_change: bool,

    /// With --on-change: a line at least every so many seconds; 0 never
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = parse_seconds)]
    heartbeat: f64,
}

impl Output {
    /// Writes a line for each view of a frame, or only for those that are to be told.
    pub(super) fn reporter(
        &self,
        format: Format,
    ) -> impl FnMut(&Event, u64) -> io::Result<()> + Send + use<> {
        let mut lines = Lines::new();
        let on_change = self.on_change;
        let heartbeat = (self.heartbeat > 0.0).then(|| Duration::from_secs_f64(self.heartbeat));
        let mut told: Vec<Told> = Vec::new();
        move |event: &Event, dropped: u64| {
            told.resize_with(event.views.len(), || None);
            for (view, told) in event.views.iter().zip(&mut told) {
                // Compared with the last line, not with the last frame: its line may be lost.
                let label = event.labels.get(view.stable.class);
                let now = event.since_start;
                let due = told.as_ref().is_none_or(|(before, at)| {
                    before.as_ref() != label || heartbeat.is_some_and(|every| now >= *at + every)
                });
                if on_change && !due {
                    continue;
                }
                *told = Some((label.cloned(), now));
                match format {
                    Format::Json => {
                        let line = lines.frame(event, view, dropped).map_err(io::Error::other)?;
                        crate::cli::print(line)?;
                    }
                    Format::Table => crate::cli::print(&answer::frame(event, view, dropped))?,
                }
            }
            Ok(())
        }
    }
}

/// The label of the last line of a view and its time; none before it.
type Told = Option<(Option<Arc<str>>, Duration)>;
