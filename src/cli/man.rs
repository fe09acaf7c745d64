//! `tipcam man`: the manual pages, from the same words as `--help`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::{Outcome, command};

/// Write the manual pages
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam man | man -l -                 read the program's page
  tipcam man /usr/share/man/man1        install a page for each command")]
pub(super) struct Man {
    /// The folder to write a page for each command to [default: the program's page to stdout]
    folder: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<Outcome> {
        if let Some(folder) = &self.folder {
            fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(command(), folder))
                .with_context(|| format!("writing manual pages to {}", folder.display()))?;
        } else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command()).render(&mut page)?;
            super::print(&String::from_utf8(page)?)?;
        }
        Ok(Outcome::Done)
    }
}
