//! Hyper-parameters and comparison of heads by folds over the shots, where nothing but the shots is looked at,
//! or on validation pictures that somebody gives.

use super::FitError;
use super::calibration::loss;
use super::heads::{self, Features, Model, Setting, Task, Validation};
use super::matrix::Matrix;
use super::search::MIN_SHOTS;
use super::train::Progress;
use crate::asset::HeadKind;
use crate::head::best;

/// Folds at most; a class with fewer shots has its own number.
pub const FOLDS: usize = 4;
/// Temperatures that settings are compared at: octaves.
const TEMPERATURES: [f32; 9] = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Shots that are held out together: of every class with two shots or more, every k-th one.
#[must_use]
pub fn folds(labels: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut counts = vec![0usize; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    let folds = counts.iter().copied().max().unwrap_or(0).min(FOLDS);
    let mut out = vec![Vec::new(); if folds < 2 { 0 } else { folds }];
    let mut seen = vec![0usize; classes];
    for (i, &label) in labels.iter().enumerate() {
        if counts[label] > 1 && !out.is_empty() {
            out[seen[label] % folds].push(i);
            seen[label] += 1;
        }
    }
    out.retain(|fold| !fold.is_empty());
    out
}

/// Answers to shots that were held out, by heads that had not seen them.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Places of the shots.
    pub places: Vec<usize>,
    /// `[held out][classes]`
    pub logits: Vec<f32>,
    /// True classes.
    pub labels: Vec<usize>,
    /// Of classes without a term of shots: growth of what stands for it with the text term.
    pub text_gain: f32,
    /// Classes.
    pub classes: usize,
}

impl Held {
    /// Share that came out right; none of none.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let rows = self.logits.chunks_exact(self.classes.max(1)).zip(&self.labels);
        let right = rows.filter(|(row, label)| best(row) == Some(**label)).count();
        (!self.labels.is_empty()).then(|| right as f64 / self.labels.len() as f64)
    }
}

/// Products for the regression of the term of shots on the text term.
#[derive(Clone, Copy, Default)]
struct Regression {
    products: f64,
    squares: f64,
}

impl Regression {
    fn of(text: &Matrix, shots: &Matrix, both: &[usize]) -> Self {
        let mut out = Self::default();
        for (z, s) in text.iter().zip(shots.iter()) {
            let mean = |row: &[f32]| {
                let sum: f64 = both.iter().map(|&class| f64::from(row[class])).sum();
                sum / both.len().max(1) as f64
            };
            let (z_mean, s_mean) = (mean(z), mean(s));
            for &class in both {
                let z = f64::from(z[class]) - z_mean;
                out.products += z * (f64::from(s[class]) - s_mean);
                out.squares += z * z;
            }
        }
        out
    }

    fn add(&mut self, other: Self) {
        self.products += other.products;
        self.squares += other.squares;
    }

    fn slope(self) -> f32 {
        if self.squares > 0.0 { (self.products / self.squares).max(0.0) as f32 } else { 0.0 }
    }
}

/// Logits from both terms: a class without a term of shots gets what the text term lets expect, as
/// the head computes it.
fn combine(
    task: &Task,
    text: &Matrix,
    mut shots: Matrix,
    covered: &[bool],
) -> (Matrix, Regression) {
    let there: Vec<usize> = (0..task.classes).filter(|&class| covered[class]).collect();
    if there.is_empty() || there.len() == task.classes {
        return (shots.scaled_plus(1.0, text), Regression::default());
    }
    let both: Vec<usize> = there.iter().copied().filter(|&class| task.has_text(class)).collect();
    let regression = Regression::of(text, &shots, &both);
    let slope = regression.slope();
    let mean = |row: &[f32], of: &[usize]| {
        of.iter().map(|&class| row[class]).sum::<f32>() / of.len().max(1) as f32
    };
    for i in 0..shots.rows() {
        let (z, row) = (text.row(i), shots.row_mut(i));
        let (s_mean, z_mean) = (mean(row, &there), mean(z, &both));
        for class in (0..task.classes).filter(|&class| !covered[class]) {
            row[class] = s_mean + slope * (z[class] - z_mean);
        }
    }
    (shots.scaled_plus(1.0, text), regression)
}

/// Logits of `pictures` at each of `settings`, by heads that are made of `task`; neighbours that differ
/// in alpha and beta alone share a head.
fn sweep(
    kind: HeadKind,
    task: &Task,
    pictures: &Features,
    settings: &[Setting],
    report: &dyn Fn(Progress),
    visit: &mut dyn FnMut(usize, &Matrix, Regression),
) {
    let mut made: Option<(Setting, Model, heads::Terms)> = None;
    let mut sums: Option<(f32, Option<Matrix>)> = None;
    for (i, setting) in settings.iter().enumerate() {
        if !made.as_ref().is_some_and(|(other, ..)| other.same_fit(setting)) {
            // GDA's alpha is a factor of its linear term.
            let first = Setting {
                alpha: if kind == HeadKind::Gda { 1.0 } else { setting.alpha },
                ..*setting
            };
            let model = heads::fit(kind, task, first, report);
            let terms = model.terms(task, pictures);
            made = Some((*setting, model, terms));
            sums = None;
        }
        let Some((_, model, terms)) = &made else { continue };
        if sums.as_ref().is_none_or(|(beta, _)| *beta != setting.beta) {
            sums = Some((setting.beta, model.sums(terms, setting.beta, task.classes)));
        }
        let n = terms.text.rows();
        let mut shots = terms.linear.clone().unwrap_or_else(|| Matrix::zeros(n, task.classes));
        if kind == HeadKind::Gda
            && let Some(linear) = &model.linear
        {
            shots = shots.scaled(setting.alpha.min(linear.room()));
        }
        if let Some((_, Some(sums))) = &sums {
            shots = sums.clone().scaled_plus(setting.alpha, &shots);
        }
        let text = match kind.uses_text() {
            true => terms.text.clone(),
            false => Matrix::zeros(n, task.classes),
        };
        let (logits, regression) = combine(task, &text, shots, &model.covered(task.classes));
        visit(i, &logits, regression);
    }
}

/// The shots without those at `held`.
fn without(held: &[usize], n: usize) -> Vec<usize> {
    let mut stays = vec![true; n];
    held.iter().for_each(|&place| stays[place] = false);
    (0..n).filter(|&place| stays[place]).collect()
}

/// What heads are made of and what they then answer: everything and the validation pictures, or the shots
/// without a fold and that fold.
fn splits(task: &Task) -> Vec<Split<'_>> {
    match &task.validation {
        Some(validation) => vec![Split { task, fold: Vec::new(), validation: Some(validation) }],
        None => {
            let folds = folds(&task.labels, task.classes).into_iter();
            folds.map(|fold| Split { task, fold, validation: None }).collect()
        }
    }
}

struct Split<'t> {
    task: &'t Task,
    /// Places of the shots that are held out.
    fold: Vec<usize>,
    validation: Option<&'t Validation>,
}

impl Split<'_> {
    /// Pictures that are answered.
    fn len(&self) -> usize {
        self.validation.map_or(self.fold.len(), |validation| validation.labels.len())
    }

    /// The task that heads are made of, the pictures and their classes.
    fn parts(&self) -> (Task, Features, Vec<usize>) {
        if let Some(Validation { pictures, labels }) = self.validation {
            return (self.task.clone(), pictures.clone(), labels.clone());
        }
        let train = self.task.pick(&without(&self.fold, self.task.labels.len()));
        let labels = self.fold.iter().map(|&place| self.task.labels[place]).collect();
        (train, self.task.shots.pick(&self.fold), labels)
    }
}

/// Share of the pictures of all splits that come out right.
fn accuracy(
    kind: HeadKind,
    splits: &[Split<'_>],
    setting: Setting,
    report: &dyn Fn(Progress),
) -> f64 {
    let (mut right, mut all) = (0, 0);
    for split in splits {
        let (train, pictures, labels) = split.parts();
        sweep(kind, &train, &pictures, &[setting], report, &mut |_, logits, _| {
            right += logits
                .iter()
                .zip(&labels)
                .filter(|(row, label)| best(row) == Some(**label))
                .count();
        });
        all += labels.len();
    }
    right as f64 / all.max(1) as f64
}

/// Answers to all shots that can be held out.
pub fn hold_out(kind: HeadKind, task: &Task, setting: Setting, report: &dyn Fn(Progress)) -> Held {
    let mut held = Held { classes: task.classes, ..Held::default() };
    let mut total = Regression::default();
    for fold in folds(&task.labels, task.classes) {
        let train = task.pick(&without(&fold, task.labels.len()));
        let pictures = task.shots.pick(&fold);
        sweep(kind, &train, &pictures, &[setting], report, &mut |_, logits, regression| {
            held.logits.extend_from_slice(&logits.data);
            total.add(regression);
        });
        held.labels.extend(fold.iter().map(|&place| task.labels[place]));
        held.places.extend(fold);
    }
    held.text_gain = total.slope();
    held
}

/// The setting of a head: of those with which nearly as many held-out shots (or validation pictures) come
/// out right as with the best (within half a standard error), the one with the smallest negative
/// log-likelihood at its own best temperature; the first of equal ones. The defaults where too few shots
/// can be held out.
pub fn choose(kind: HeadKind, task: &Task, report: &dyn Fn(Progress)) -> Setting {
    let default = Setting::default_for(kind, task.shared);
    match kind {
        // trained from where the head without training stands
        HeadKind::TipF => return choose(HeadKind::Tip, task, report),
        HeadKind::ApeT => return Setting { gamma: 0.0, ..choose(HeadKind::Tip, task, report) },
        _ => {}
    }
    let splits = splits(task);
    let settings = heads::grid(kind, task);
    let held: usize = splits.iter().map(Split::len).sum();
    if settings.len() < 2 || held < MIN_SHOTS {
        return settings.first().copied().filter(|_| settings.len() == 1).unwrap_or(default);
    }
    let doubt = 1.0 / (held as f64 + 2.0);
    let mut right = vec![0usize; settings.len()];
    let mut losses = vec![[0.0f64; TEMPERATURES.len()]; settings.len()];
    for split in splits {
        let (train, pictures, labels) = split.parts();
        sweep(kind, &train, &pictures, &settings, report, &mut |i, logits, _| {
            for (row, &label) in logits.iter().zip(&labels) {
                right[i] += usize::from(best(row) == Some(label));
                for (sum, temperature) in losses[i].iter_mut().zip(TEMPERATURES) {
                    *sum += loss(row, label, temperature, doubt);
                }
            }
        });
    }
    let most = right.iter().copied().max().unwrap_or(0) as f64;
    let enough = most - (most * (1.0 - most / held as f64)).sqrt() / 2.0;
    let least = |i: &usize| losses[*i].iter().copied().fold(f64::INFINITY, f64::min);
    let good = (0..settings.len()).filter(|&i| right[i] as f64 >= enough);
    let chosen = good.fold(None, |best: Option<usize>, i| match best {
        Some(best) if least(&best) <= least(&i) => Some(best),
        _ => Some(i),
    });
    chosen.map_or(default, |i| settings[i])
}

/// How a head did on held-out shots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The head.
    pub kind: HeadKind,
    /// Its hyper-parameters.
    pub setting: Setting,
    /// Share of held-out shots that came out right.
    pub accuracy: f64,
    /// Standard error of that share.
    pub error: f64,
    /// Seconds to make it, once.
    pub seconds: f64,
}

/// Compares heads on the same folds, or on the validation pictures.
///
/// # Errors
/// Too few shots can be held out.
pub fn compare(
    kinds: &[HeadKind],
    task: &Task,
    report: &dyn Fn(HeadKind, Progress),
) -> Result<Vec<Compared>, FitError> {
    let splits = splits(task);
    let held: usize = splits.iter().map(Split::len).sum();
    if held < MIN_SHOTS {
        return Err(FitError::TooFewShots { held, needed: MIN_SHOTS });
    }
    let compared = kinds.iter().filter(|kind| can_be(**kind, task)).map(|&kind| {
        let report = |progress: Progress| report(kind, progress);
        let setting = choose(kind, task, &report);
        let begun = std::time::Instant::now();
        let accuracy = accuracy(kind, &splits, setting, &report);
        let seconds = begun.elapsed().as_secs_f64() / splits.len() as f64;
        let error = (accuracy * (1.0 - accuracy) / held as f64).sqrt();
        Compared { kind, setting, accuracy, error, seconds }
    });
    Ok(compared.collect())
}

/// Whether the classes have what a head is made of.
fn can_be(kind: HeadKind, task: &Task) -> bool {
    match kind {
        HeadKind::ZeroShot => (0..task.classes).all(|class| task.has_text(class)),
        _ => true,
    }
}

/// The simplest head whose accuracy lies within one standard error of the best one's; the order of
/// `compared` is that of simplicity.
#[must_use]
pub fn simplest(compared: &[Compared]) -> Option<&Compared> {
    let better = |a: &'_ Compared, b: &'_ Compared| a.accuracy.total_cmp(&b.accuracy);
    let top = compared.iter().max_by(|a, b| better(a, b))?;
    compared.iter().find(|other| other.accuracy >= top.accuracy - top.error)
}
