use std::panic::resume_unwind;
use std::thread;

use super::folds::Held;
use super::rows::{ClassShots, Rows};
use super::unknown::Seen;
use crate::asset::{Cache, HeadKind, RowKind};
use crate::head::{CodedQuery, Temperature, best, probabilities, scan};
use crate::kernels::Kernels;
use crate::math;

/// Most shots that are held out, one after the other; of more, evenly chosen ones.
const MAX_QUERIES: usize = 4096;
/// Most cosines between held-out shots and keys, which are kept in memory (256 MiB).
const MAX_COSINES: usize = 1 << 26;

/// What a leave-one-out run needs. Shot i is key i of the cache.
pub(super) struct Shots<'a> {
    pub(super) kernels: &'static Kernels,
    pub(super) cache: Cache<'a>,
    /// The shots' features in float.
    pub(super) features: &'a [&'a [f32]],
    /// Text rows, if there is text; no rows from shots yet.
    pub(super) rows: Option<&'a Rows>,
    /// The shots' features in the space of the text, if there is one.
    pub(super) projected: Option<&'a [Vec<f32>]>,
    pub(super) class_shots: Option<&'a ClassShots>,
    pub(super) logit_scale: f32,
    pub(super) threads: usize,
}

/// Every shot of a class that has more than one is held out in turn: its key leaves the cache (and
/// the row of its class, where that comes from shots) and it is classified by the rest.
pub(super) struct LeaveOneOut<'a> {
    shots: Shots<'a>,
    /// Places of the shots that are held out.
    queries: Vec<usize>,
    /// `[queries][keys]`, also with the held-out key itself.
    cosines: Vec<f32>,
    /// `[queries][classes]`: the text term.
    zero_shot: Vec<f32>,
    row_gain: f32,
}

/// Classes whose text and cache terms can be compared.
struct Both(Vec<usize>);

/// What is known of one held-out shot at one beta.
pub(super) struct Statistics {
    /// Affinity sum of its own class.
    pub(super) own: f64,
    /// Products of text and cache terms, both less their means, over the classes that have both.
    pub(super) text_cache: f64,
    /// Squares of the text term.
    pub(super) text_text: f64,
}

/// How held-out shots were answered.
pub(super) struct Answers {
    /// `[queries][classes]`
    pub(super) logits: Vec<f32>,
    /// `[queries]`: cosine of the nearest of the other keys.
    pub(super) nearest: Vec<f32>,
    /// `[queries]`: the true class.
    pub(super) labels: Vec<usize>,
    /// `[queries]`: cosine of the nearest key of another class.
    pub(super) nearest_other: Vec<f32>,
}

impl<'a> LeaveOneOut<'a> {
    pub(super) fn new(shots: Shots<'a>) -> Self {
        let cache = &shots.cache;
        let usable = (0..cache.len).filter(|&shot| cache.shots[cache.class[shot] as usize] > 1);
        let usable: Vec<usize> = usable.collect();
        let count = usable.len().min(MAX_QUERIES).min(MAX_COSINES / cache.len.max(1));
        let queries = (0..count).map(|i| usable[i * usable.len() / count]).collect();
        let (cosines, zero_shot) = (Vec::new(), Vec::new());
        let mut run = Self { shots, queries, cosines, zero_shot, row_gain: 0.0 };
        run.cosines = run.map(Self::compare).concat();
        run.row_gain = run.fit_row_gain();
        run.zero_shot = run.map(Self::text_terms).concat();
        run
    }

    /// Number of shots that are held out.
    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    /// Gain of the rows for classes without text; 0 if there are none to compare with.
    pub(super) fn row_gain(&self) -> f32 {
        self.row_gain
    }

    /// Class of held-out shot `query`.
    pub(super) fn label(&self, query: usize) -> usize {
        self.shots.cache.class[self.queries[query]] as usize
    }

    /// `f` of every held-out shot, in their order, on all threads.
    pub(super) fn map<T: Send>(&self, f: impl Fn(&Self, usize) -> T + Sync) -> Vec<T> {
        let count = self.len();
        let part = count.div_ceil(self.shots.threads.max(1)).max(1);
        thread::scope(|scope| {
            let starts = (0..count).step_by(part);
            let parts: Vec<_> = starts
                .map(|start| {
                    let f = &f;
                    let range = start..(start + part).min(count);
                    scope.spawn(move || range.map(|query| f(self, query)).collect::<Vec<T>>())
                })
                .collect();
            let parts =
                parts.into_iter().map(|part| part.join().unwrap_or_else(|e| resume_unwind(e)));
            parts.flatten().collect()
        })
    }

    /// Cosines of a held-out shot with every key.
    fn compare(&self, query: usize) -> Vec<f32> {
        let Shots { kernels, cache, features, .. } = &self.shots;
        let mut codes = vec![0; CodedQuery::codes_len(cache)];
        let mut cosines = Vec::with_capacity(cache.len);
        let query = CodedQuery::new(kernels, cache, features[self.queries[query]], &mut codes);
        scan(kernels, cache, &query, 0.0, |_, cosine, _| cosines.push(cosine));
        cosines
    }

    fn cosines(&self, query: usize) -> &[f32] {
        &self.cosines[query * self.shots.cache.len..][..self.shots.cache.len]
    }

    /// Affinity sums of a held-out shot's classes, as if its key had never been there.
    fn sums(&self, query: usize, beta: f32) -> Vec<f32> {
        let cache = &self.shots.cache;
        let mut sums = vec![0.0; cache.classes()];
        let cosines = self.cosines(query).iter().enumerate();
        for (key, cosine) in cosines.filter(|&(k, _)| k != self.queries[query]) {
            let affinity = math::exp(math::mul_add(beta, *cosine, -beta));
            sums[cache.class[key] as usize] += cache.weight[key] * affinity;
        }
        // Its class now has one shot less, so that each of the others weighs more.
        let own = self.label(query);
        let shots = cache.shots[own] as f32;
        sums[own] *= shots / (shots - 1.0);
        sums
    }

    pub(super) fn statistics(&self, query: usize, beta: f32) -> Statistics {
        let sums = self.sums(query, beta);
        let text = self.text_row(query);
        let Both(classes) = self.both();
        let mean = |values: &[f32]| {
            let sum: f64 = classes.iter().map(|&class| f64::from(values[class])).sum();
            sum / classes.len().max(1) as f64
        };
        let (text_mean, cache_mean) = (mean(text), mean(&sums));
        let (mut text_cache, mut text_text) = (0.0, 0.0);
        for &class in &classes {
            let text = f64::from(text[class]) - text_mean;
            text_cache += text * (f64::from(sums[class]) - cache_mean);
            text_text += text * text;
        }
        Statistics { own: f64::from(sums[self.label(query)]), text_cache, text_text }
    }

    /// Classes with text and shots; all with shots if there are not two such classes.
    fn both(&self) -> Both {
        let covered = (0..self.classes()).filter(|&class| self.has_shots(class));
        let both: Vec<usize> = covered.clone().filter(|&class| self.has_text(class)).collect();
        if both.len() < 2 { Both(covered.collect()) } else { Both(both) }
    }

    /// The cache term over alpha: the affinity sums, and `mean + slope * text` for classes without
    /// shots, as the head computes it.
    pub(super) fn cache_terms(&self, query: usize, beta: f32, slope: f32) -> Vec<f32> {
        let mut sums = self.sums(query, beta);
        let covered: Vec<usize> = (0..sums.len()).filter(|&class| self.has_shots(class)).collect();
        if covered.len() < sums.len() {
            let text = self.text_row(query);
            let average = |values: &[f32], classes: &mut dyn Iterator<Item = usize>| {
                let (mut sum, mut count) = (0.0, 0.0f32);
                classes.for_each(|class| {
                    sum += values[class];
                    count += 1.0;
                });
                sum / count.max(1.0)
            };
            let affinity = average(&sums, &mut covered.iter().copied());
            let with_text = &mut covered.iter().copied().filter(|&class| self.has_text(class));
            let text_mean = average(text, with_text);
            for class in (0..sums.len()).filter(|&class| !self.has_shots(class)) {
                sums[class] = affinity + slope * (text[class] - text_mean);
            }
        }
        sums
    }

    /// How every held-out shot is answered by a plain head with the rest: by Tip-Adapter, or by one of its
    /// terms alone. A class that has no such term gets the least logit of those that do, and is no answer.
    pub(super) fn held(&self, kind: HeadKind, alpha: f32, beta: f32, slope: f32) -> Held {
        let logits = self.map(|run, query| {
            let terms = run.cache_terms(query, beta, slope);
            let both = run.text_row(query).iter().zip(terms);
            let mut logits: Vec<f32> = match kind {
                HeadKind::ZeroShot => both.map(|(z, _)| *z).collect(),
                HeadKind::CacheOnly => both.map(|(_, a)| alpha * a).collect(),
                _ => return both.map(|(z, a)| alpha * a + z).collect(),
            };
            let has = |class: usize| match kind {
                HeadKind::ZeroShot => run.has_text(class),
                _ => run.has_shots(class),
            };
            let candidates = (0..logits.len()).filter(|&class| has(class));
            let least = candidates.map(|class| logits[class]).fold(f32::INFINITY, f32::min);
            let others = logits.iter_mut().enumerate().filter(|(class, _)| !has(*class));
            others.for_each(|(_, logit)| *logit = if least.is_finite() { least } else { 0.0 });
            logits
        });
        Held {
            places: self.queries.clone(),
            logits: logits.concat(),
            labels: (0..self.len()).map(|query| self.label(query)).collect(),
            text_gain: alpha * slope,
            classes: self.classes(),
        }
    }

    /// Cosine of a held-out shot with the nearest of the other keys, or of those of other classes.
    fn nearest(&self, query: usize, of_others: bool) -> f32 {
        let (cache, own) = (&self.shots.cache, self.label(query) as u32);
        let keys = self.cosines(query).iter().enumerate().filter(|&(key, _)| {
            key != self.queries[query] && !(of_others && cache.class[key] == own)
        });
        keys.fold(f32::NEG_INFINITY, |max, (_, &cosine)| max.max(cosine))
    }

    /// What is known of the shots that a head answered when it had not seen them.
    pub(super) fn answers_of(&self, held: &Held) -> Answers {
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        let (mut nearest, mut nearest_other) = (Vec::new(), Vec::new());
        let rows = held.logits.chunks_exact(self.classes().max(1));
        for (row, place) in rows.zip(&held.places) {
            // Places of queries ascend.
            let Ok(query) = self.queries.binary_search(place) else { continue };
            logits.extend_from_slice(row);
            labels.push(self.label(query));
            nearest.push(self.nearest(query, false));
            nearest_other.push(self.nearest(query, true));
        }
        Answers { logits, nearest, labels, nearest_other }
    }

    /// Text term of a held-out shot.
    pub(super) fn text_row(&self, query: usize) -> &[f32] {
        &self.zero_shot[query * self.classes()..][..self.classes()]
    }

    /// `[queries][classes]`: text terms of all held-out shots.
    pub(super) fn text_rows(&self) -> &[f32] {
        &self.zero_shot
    }

    pub(super) fn classes(&self) -> usize {
        self.shots.cache.classes()
    }

    fn has_text(&self, class: usize) -> bool {
        self.shots.rows.is_some_and(|rows| rows.kinds[class] == RowKind::Text)
    }

    fn has_shots(&self, class: usize) -> bool {
        self.shots.cache.shots[class] > 0
    }

    fn text_terms(&self, query: usize) -> Vec<f32> {
        let mut terms = vec![0.0; self.classes()];
        let Shots { kernels, rows, projected, class_shots, logit_scale, .. } = &self.shots;
        let (Some(rows), Some(projected)) = (rows, projected) else { return terms };
        let (shot, own) = (self.queries[query], self.label(query));
        let (feature, dim) = (&projected[shot], rows.mean.len());
        for (class, term) in terms.iter_mut().enumerate() {
            let score = match (rows.kinds[class], class_shots) {
                (RowKind::Text, _) => kernels.dot_f32(&rows.weights[class * dim..][..dim], feature),
                (_, Some(shots)) if self.row_gain > 0.0 => {
                    let score = match class == own {
                        true => shots.score_without(shot, class, feature),
                        false => shots.score(class, feature),
                    };
                    self.row_gain * score.unwrap_or(0.0) as f32
                }
                _ => 0.0,
            };
            *term = logit_scale * score;
        }
        terms
    }

    /// The gain with which a row from shots lets its class stand out as far as text does, on the
    /// mean of the held-out shots. Scores are centred over their classes, so that the mean over the
    /// others is the own score over their number, negative.
    fn fit_row_gain(&self) -> f32 {
        let Shots { kernels, rows, projected, class_shots, cache, .. } = &self.shots;
        let (Some(rows), Some(projected), Some(shots)) = (rows, projected, class_shots) else {
            return 0.0;
        };
        let with_text = rows.kinds.iter().filter(|&&kind| kind == RowKind::Text).count() as f64;
        let covered = cache.shots.iter().filter(|&&shots| shots > 0).count() as f64;
        if with_text < 2.0 {
            return 0.0;
        }
        let dim = rows.mean.len();
        let (mut text, mut row) = (Average::default(), Average::default());
        for &shot in &self.queries {
            let (class, feature) = (cache.class[shot] as usize, &projected[shot]);
            if rows.kinds[class] == RowKind::Text {
                let own = kernels.dot_f32(&rows.weights[class * dim..][..dim], feature);
                text.add(f64::from(own) * (1.0 + 1.0 / (with_text - 1.0)));
            }
            let with = shots.score(class, feature);
            if let (Some(without), Some(with)) = (shots.score_without(shot, class, feature), with)
                && covered > 1.0
            {
                row.add(without + with / (covered - 1.0));
            }
        }
        match (text.value(), row.value()) {
            (Some(text), Some(row)) if text > 0.0 && row > 0.0 => (text / row) as f32,
            _ => DEFAULT_ROW_GAIN,
        }
    }
}

/// Gain of rows from shots where no class has both text and shots to compare.
const DEFAULT_ROW_GAIN: f32 = 0.5;

#[derive(Default)]
struct Average(f64, u32);

impl Average {
    fn add(&mut self, value: f64) {
        self.0 += value;
        self.1 += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.1 > 0).then(|| self.0 / f64::from(self.1))
    }
}

impl Answers {
    /// What the thresholds of "unknown" look at, for every held-out shot.
    pub(super) fn seen(&self, classes: usize, temperature: Temperature) -> Vec<Seen> {
        let rows = self.logits.chunks_exact(classes).map(|row| score(row, temperature));
        rows.zip(self.nearest.iter().copied()).collect()
    }

    /// The same when the whole class of the shot is held out.
    pub(super) fn foreign(&self, classes: usize, temperature: Temperature) -> Vec<Seen> {
        let rows = self.logits.chunks_exact(classes).zip(&self.labels);
        let scores = rows.map(|(row, &label)| {
            let mut row = row.to_vec();
            row[label] = f32::NEG_INFINITY;
            score(&row, temperature)
        });
        scores.zip(self.nearest_other.iter().copied()).collect()
    }

    /// Confidence of each answer and whether it is right.
    pub(super) fn confidences(&self, classes: usize, temperature: Temperature) -> Vec<(f32, bool)> {
        let mut p = vec![0.0; classes];
        let rows = self.logits.chunks_exact(classes).zip(&self.labels);
        let answers = rows.map(|(row, &label)| {
            probabilities(row, temperature, &mut p);
            best(&p).map_or((0.0, false), |class| (p[class], class == label))
        });
        answers.collect()
    }
}

/// Probability of the best class.
fn score(logits: &[f32], temperature: Temperature) -> f32 {
    let mut p = vec![0.0; logits.len()];
    probabilities(logits, temperature, &mut p);
    best(&p).map_or(0.0, |class| p[class])
}
