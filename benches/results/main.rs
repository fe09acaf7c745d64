//! Makes docs/results.md and its plots: every head on cached CLIP features and on photographs, at 1 to 16
//! shots, beside the figures of the papers.
//!
//!     cargo bench --bench results                   all of it (an hour on two cores)
//!     cargo bench --bench results -- pets 1 4,16    one data set, one draw of shots, 4 and 16 shots
//!
//! Each measured row is kept in target/results.jsonl and not measured again; the page is made of all rows
//! that are there. Shots are drawn from the training photographs with a seed, hyper-parameters are chosen
//! by folds over them, test photographs are only answered.

mod data;
mod page;
mod plot;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use data::Set;
use serde::{Deserialize, Serialize};
use tipcam::asset::{Asset, HeadKind, Tag};
use tipcam::fit::matrix::Workers;
use tipcam::fit::search::Search;
use tipcam::fit::{Built, Method, Recipe, build};
use tipcam::head::{Buffers, Head, best};
use tipcam::kernels;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SHOTS: [usize; 5] = [1, 2, 4, 8, 16];
/// Draws of shots where the pool has more than are drawn, if no number is given.
const SEEDS: u64 = 3;

/// One head on one data set with one number of shots.
#[derive(Serialize, Deserialize)]
struct Row {
    set: String,
    head: String,
    shots: usize,
    /// Percent of the test photographs, one for each seed.
    top1: Vec<f64>,
    /// Seconds of processor time to choose hyper-parameters and make the head, mean.
    seconds: f64,
    /// Microseconds for one picture's logits, mean.
    micros: f64,
    /// Bytes of the sections that the logits are made of.
    bytes: usize,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let only = arguments.next();
    let seeds = arguments.next().map_or(Ok(SEEDS), |number| number.parse())?;
    let list = arguments.next();
    let shots = |shots: &usize| {
        let named = |list: &String| list.split(',').any(|one| one.parse() == Ok(*shots));
        list.as_ref().is_none_or(named)
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = root.join("../shared/data");
    if !shared.is_dir() {
        println!("left out: results need the features and photographs in {}", shared.display());
        return Ok(());
    }
    let kept = root.join("target/results.jsonl");
    let mut sets = Vec::new();
    for open in data::SETS {
        let wanted = only.as_ref().is_none_or(|only| open.name == only);
        if !wanted && !rows(&kept)?.iter().any(|row| row.set == open.name) {
            continue;
        }
        let set = (open.read)(&shared)?;
        for shots in SHOTS.into_iter().filter(shots).filter(|_| wanted) {
            for head in heads(&set, shots) {
                let same = |row: &Row| {
                    row.set == open.name && row.shots == shots && row.head == head.name()
                };
                if rows(&kept)?.iter().any(same) {
                    continue;
                }
                let row = run(open.name, &set, head, shots, seeds)?;
                eprintln!("{}: {} shots, {}: {:?}", row.set, row.shots, row.head, row.top1);
                let mut file = File::options().create(true).append(true).open(&kept)?;
                file.write_all(format!("{}\n", serde_json::to_string(&row)?).as_bytes())?;
            }
        }
        sets.push((open, set.about()));
    }
    let rows = rows(&kept)?;
    std::fs::write(root.join("docs/results.md"), page::write(&rows, &sets))?;
    for (open, _) in &sets {
        let own: Vec<&Row> = rows.iter().filter(|row| row.set == open.name).collect();
        let svg = plot::draw(open.title, &own);
        std::fs::write(root.join(format!("docs/results-{}.svg", open.name)), svg)?;
    }
    Ok(())
}

/// The rows that were measured so far, those of few shots first.
fn rows(path: &Path) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path)?;
    let mut rows: Vec<Row> =
        text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    rows.sort_by_key(|row| row.shots);
    Ok(rows)
}

/// Heads that are run: zero-shot once, as it sees no shots.
fn heads(set: &Set, shots: usize) -> impl Iterator<Item = HeadKind> {
    let zero_shot = shots == 1 && set.all_have_text();
    HeadKind::ALL.into_iter().filter(move |kind| *kind != HeadKind::ZeroShot || zero_shot)
}

fn run(name: &str, set: &Set, kind: HeadKind, shots: usize, seeds: u64) -> Result<Row> {
    let workers = Workers { kernels: kernels::best(), threads: 2 };
    let seeds = if shots < set.pool() { seeds } else { 1 };
    let (mut top1, mut seconds, mut micros, mut bytes) = (Vec::new(), 0.0, 0.0, 0);
    for seed in 0..seeds {
        let drawn = set.draw(shots, seed);
        let begun = now();
        let built = build(&Recipe {
            encoder: set.encoder,
            space: set.space,
            classes: &set.classes,
            shots: &drawn,
            project: set.project.as_deref().map(|project| project as &dyn tipcam::fit::Projector),
            method: Method { measure: false, seed, ..kind.into() },
            search: Search::LeaveOneOut,
            threads: workers.threads,
            kernels: workers.kernels,
        })?;
        seconds += (now() - begun) / seeds as f64;
        bytes = size(&built);
        let asset = built.to_bytes(set.encoder)?;
        let asset = Asset::open(&asset)?;
        let head = Head::new(&asset, workers.kernels)?.with_kind(kind)?;
        let mut buffers = Buffers::new(&head);
        let (mut right, begun) = (0, now());
        for picture in &set.test {
            head.logits(&picture.trunk, &picture.projected, &mut buffers.workspace())?;
            right += usize::from(best(&buffers.logits) == Some(picture.class));
        }
        micros += 1e6 * (now() - begun) / (set.test.len() as f64 * seeds as f64);
        top1.push(100.0 * right as f64 / set.test.len() as f64);
    }
    let (set, head) = (name.to_owned(), kind.name().to_owned());
    Ok(Row { set, head, shots, top1, seconds, micros, bytes })
}

/// Seconds of this process on all its threads: what else the machine does hardly shows in them.
#[cfg(unix)]
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds.
#[cfg(not(unix))]
fn now() -> f64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
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
