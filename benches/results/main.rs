//! Makes docs/results.md and its plots: every head on cached CLIP features and on photographs, at 1 to 16
//! shots, beside the figures of the papers.
//!
//!     cargo bench --bench results                 all of it (an hour on two cores)
//!     cargo bench --bench results -- pets         one data set, its page to stdout
//!
//! Shots are drawn from the training photographs with a seed, hyper-parameters are chosen by folds over
//! them, test photographs are only answered.

mod data;
mod page;
mod plot;

use std::path::Path;
use std::time::Instant;

use data::Set;
use tipcam::asset::{Asset, HeadKind, Tag};
use tipcam::fit::matrix::Workers;
use tipcam::fit::search::Search;
use tipcam::fit::{Built, Method, Recipe, build};
use tipcam::head::{Buffers, Head, best};
use tipcam::kernels;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SHOTS: [usize; 5] = [1, 2, 4, 8, 16];
/// Draws of shots where the pool has more than are drawn.
const SEEDS: u64 = 3;

/// One head on one data set with one number of shots.
struct Row {
    set: String,
    head: HeadKind,
    shots: usize,
    /// Percent of the test photographs, one for each seed.
    top1: Vec<f64>,
    /// Seconds to choose hyper-parameters and make the head, mean.
    seconds: f64,
    /// Microseconds for one picture's logits, one thread, mean.
    micros: f64,
    /// Bytes that the head's own sections have in the asset: all but the shots, for those that do not
    /// read them.
    bytes: usize,
}

fn main() -> Result<()> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = root.join("../shared/data");
    if !shared.is_dir() {
        println!("left out: results need the features and photographs in {}", shared.display());
        return Ok(());
    }
    let wanted = |name: &str| filter.as_ref().is_none_or(|filter| name == filter);
    let (mut rows, mut sets) = (Vec::new(), Vec::new());
    for open in data::SETS {
        if !wanted(open.name) {
            continue;
        }
        let set = (open.read)(&shared)?;
        for shots in SHOTS {
            for head in heads(&set, shots) {
                let row = run(open.name, &set, head, shots)?;
                eprintln!("{}: {} shots, {}: {:?}", row.set, row.shots, head.name(), row.top1);
                rows.push(row);
            }
        }
        sets.push((open, set.about()));
    }
    let page = page::write(&rows, &sets);
    match filter {
        Some(_) => print!("{page}"),
        None => std::fs::write(root.join("docs/results.md"), page)?,
    }
    for (open, _) in &sets {
        let svg =
            plot::draw(open.title, &rows.iter().filter(|r| r.set == open.name).collect::<Vec<_>>());
        std::fs::write(root.join(format!("docs/results-{}.svg", open.name)), svg)?;
    }
    Ok(())
}

/// Heads that are run: zero-shot once, as it sees no shots; on many shots of 1,280 dimensions no square
/// matrices, which take a quarter of an hour each.
fn heads(set: &Set, shots: usize) -> Vec<HeadKind> {
    let square = [HeadKind::MetaAdapter, HeadKind::ProLip, HeadKind::Incremental];
    let large = set.dim() > 1000 && set.classes() * shots > 400;
    HeadKind::ALL
        .into_iter()
        .filter(|kind| *kind != HeadKind::ZeroShot || shots == 1 && set.all_have_text())
        .filter(|kind| !large || !square.contains(kind))
        .collect()
}

fn run(name: &str, set: &Set, kind: HeadKind, shots: usize) -> Result<Row> {
    let workers = Workers { kernels: kernels::best(), threads: 2 };
    let seeds = if shots < set.pool() { SEEDS } else { 1 };
    let (mut top1, mut seconds, mut micros, mut bytes) = (Vec::new(), 0.0, 0.0, 0);
    for seed in 0..seeds {
        let drawn = set.draw(shots, seed);
        let begun = Instant::now();
        let built = build(&Recipe {
            encoder: set.encoder,
            space: set.space,
            classes: &set.classes,
            shots: &drawn,
            project: set.project.as_deref().map(|project| project as &tipcam::fit::Project<'_>),
            method: Method { measure: false, seed, ..kind.into() },
            search: Search::LeaveOneOut,
            threads: workers.threads,
            kernels: workers.kernels,
        })?;
        seconds += begun.elapsed().as_secs_f64() / seeds as f64;
        bytes = size(&built);
        let asset = built.to_bytes(set.encoder)?;
        let asset = Asset::open(&asset)?;
        let head = Head::new(&asset, workers.kernels)?.with_kind(kind)?;
        let mut buffers = Buffers::new(&head);
        let (mut right, begun) = (0, Instant::now());
        for picture in &set.test {
            head.logits(&picture.trunk, &picture.projected, &mut buffers.workspace())?;
            right += usize::from(best(&buffers.logits) == Some(picture.class));
        }
        micros += 1e6 * begun.elapsed().as_secs_f64() / (set.test.len() as f64 * seeds as f64);
        top1.push(100.0 * right as f64 / set.test.len() as f64);
    }
    Ok(Row { set: name.to_owned(), head: kind, shots, top1, seconds, micros, bytes })
}

/// Bytes of what the logits are made of.
fn size(built: &Built) -> usize {
    let reads = |tag: Tag| match tag {
        Tag::TEXT => built.kind.uses_text(),
        Tag::LINEAR | Tag::ADAPTER => true,
        Tag::CACHE => built.kind.is_plain() && built.kind.uses_shots(),
        Tag::BANK => true,
        _ => false,
    };
    built.sections.iter().filter(|(tag, _)| reads(*tag)).map(|(_, bytes)| bytes.len()).sum()
}
