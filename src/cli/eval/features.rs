//! Evaluation on cached features, without an encoder.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::{Eval, Summary, Tally};
use crate::asset::HeadKind;
use crate::cli::head::{HeadName, Making};
use crate::cli::shared::Shared;
use crate::cli::{Outcome, note};
use crate::fit::features::{FeatureFile, evaluate, recipe};
use crate::fit::search::Search;

impl Eval {
    /// Makes a head of the file's shots, as `build` does, and measures it on the file's test
    /// features.
    pub(super) fn features(
        &self,
        path: &Path,
        shared: &Shared,
    ) -> Result<(Tally, Summary, Outcome)> {
        let kernels = shared.kernels()?;
        let file = FeatureFile::open(path)?;
        let shots = match (self.shots, file.shots()?.last()) {
            (Some(shots), _) => shots,
            (None, Some(&most)) => most,
            (None, None) => bail!("{}: there are no shots (keys_*shot) in it", path.display()),
        };
        let keys = file.keys(shots)?;
        let text = match &self.text {
            Some(path) => file.text(path)?,
            None => Vec::new(),
        };
        let found = text.iter().flatten().count();
        if let Some(path) = &self.text
            && found < file.classes.len()
        {
            note(&format!(
                "{}: text for {found} of {} classes, the others have shots alone",
                path.display(),
                file.classes.len()
            ));
        }
        let head = self.head.unwrap_or(HeadName::Tip);
        ensure!(
            head != HeadName::ZeroShot || found > 0,
            "--head zero-shot needs the text of the classes: give --text"
        );
        let workers = shared.workers()?;
        let ingredients = file.ingredients(&keys, &text);
        let recipe = recipe(&ingredients, HeadKind::Tip.into(), Search::LeaveOneOut, workers);
        let built = Making { head, seed: self.seed, shared }.run(recipe)?;
        let kind = built.kind;
        let test = file.features(&self.part)?;
        let measured = evaluate(&built, kind, &test, kernels)?;
        let answers = measured.answers.iter().zip(&test.labels);
        let answers = answers.map(|(&(answer, score), &truth)| (score, answer == truth));
        let tally = Tally::of(file.classes.clone(), measured.evaluation, answers);
        let summary = tally.summary(&measured.params, shots as f64);
        Ok((tally, summary, Outcome::Done))
    }
}
