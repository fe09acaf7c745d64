//! Evaluation on cached features, without an encoder.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Eval, Summary, Tally};
use crate::asset::{AssetFile, HeadKind, Space};
use crate::cli::head::{HeadName, Making};
use crate::cli::shared::Shared;
use crate::cli::{Outcome, note};
use crate::fit;
use crate::fit::features::{FeatureFile, Measured, Split, evaluate, measure, recipe};
use crate::fit::projector;
use crate::fit::search::Search;

impl Eval {
    /// Measures a head on the file's test features: that of `--asset`, or one made of the file's shots
    /// as `build` does.
    pub(super) fn features(
        &self,
        path: &Path,
        shared: &Shared,
    ) -> Result<(Tally, Summary, Outcome)> {
        let file = FeatureFile::open(path)?;
        let (measured, test, shots) = match &shared.asset {
            Some(asset) => self.asset_on_features(&file, asset, path, shared)?,
            None => self.made_on_features(&file, shared)?,
        };
        let answers = measured.answers.iter().zip(&test.labels);
        let answers = answers.map(|(&(answer, score), &truth)| (score, answer == truth));
        let tally = Tally::of(file.classes, measured.evaluation, answers);
        let summary = tally.summary(&measured.params, shots);
        Ok((tally, summary, Outcome::Done))
    }

    fn made_on_features(
        &self,
        file: &FeatureFile,
        shared: &Shared,
    ) -> Result<(Measured, Split, f64)> {
        let keys = file.keys(self.shots)?;
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
        let test = file.features(&self.part)?;
        let measured = evaluate(&built, built.kind, &test, shared.kernels()?)?;
        let shots = keys.labels.len() as f64 / file.classes.len().max(1) as f64;
        Ok((measured, test, shots))
    }

    fn asset_on_features(
        &self,
        file: &FeatureFile,
        asset: &Path,
        path: &Path,
        shared: &Shared,
    ) -> Result<(Measured, Split, f64)> {
        ensure!(
            self.text.is_none() && self.shots.is_none(),
            "--text and --shots make a head, --asset brings one: leave them out, or --asset"
        );
        let kind = match self.head {
            Some(name) => Some(name.kind().context("--head auto makes a head: leave out --asset")?),
            None => None,
        };
        let asset_file = AssetFile::open(asset)?;
        let asset = shared.asset(&asset_file)?;
        let labels: Vec<&str> = asset.classes().map(|class| class.label).collect();
        ensure!(
            labels.iter().eq(file.classes.iter()),
            "{}: its classes are not those of {}, in their order; name them with `tipcam convert \
             --classes`",
            path.display(),
            asset_file.name()
        );
        let project = projector(&asset, shared.kernels()?)?;
        let project = project.as_ref().map(|project| project as &dyn fit::Projector);
        let same = |trunk: &[f32]| trunk.to_vec();
        let project = match asset.cache.map_or(Space::Projected, |cache| cache.space) {
            Space::Projected => None,
            Space::Trunk => Some(project.unwrap_or(&same)),
        };
        let test = file.features(&self.part)?;
        let measured = measure(&asset, kind, project, &test, shared.kernels()?)
            .with_context(|| path.display().to_string())?;
        let shots = asset.cache.map_or(0, |cache| cache.len) as f64 / labels.len().max(1) as f64;
        Ok((measured, test, shots))
    }
}
