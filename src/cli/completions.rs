//! `tipcam completions`: what a shell offers after the Tab key.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use super::{Outcome, command};

/// Write the file with which a shell completes tipcam's command line
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam completions bash > ~/.local/share/bash-completion/completions/tipcam
  tipcam completions fish > ~/.config/fish/completions/tipcam.fish

The Debian package has the files for bash, fish and zsh in place.")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Outcome> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "tipcam", &mut script);
        super::print(&String::from_utf8(script)?)?;
        Ok(Outcome::Done)
    }
}
