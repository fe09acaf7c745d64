//! `tipcam forget`: takes back what was learned.

use anyhow::Result;
use clap::Args;

use super::Outcome;
use super::edit::Target;
use super::shared::Shared;
use crate::fit;
use crate::fit::projector;

/// Forget a class, or one learned photograph
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam forget mug --asset mine.tipcam      the class with all its shots
  tipcam forget 1613 --asset mine.tipcam     one shot: `classify` and `inspect --shots` tell its number

The file is changed in one step; the first time it is made from the asset inside this program.")]
pub(super) struct Forget {
    /// The class's label, or the number of a shot
    #[arg(value_name = "CLASS|KEY")]
    what: String,
}

impl Forget {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let target = Target::open(shared)?;
        let asset = target.file.asset()?;
        let is_class = asset.labels.is_some_and(|labels| labels.find(&self.what).is_some());
        let what = match self.what.parse() {
            Ok(key) if !is_class => fit::Forget::Key(key),
            _ => fit::Forget::Class(&self.what),
        };
        let project = projector(&asset, shared.kernels()?)?;
        let project = project.as_ref().map(|project| project as &dyn fit::Projector);
        let change = fit::forget(&asset, what, project, shared.workers()?)?;
        target.write(&asset, &change, shared)?;
        Ok(Outcome::Done)
    }
}
