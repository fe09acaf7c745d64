//! The page in Markdown.

use std::fmt::Write;

use tipcam::asset::HeadKind;

use super::data::Open;
use super::{Row, SHOTS};

/// 16 shots, RN50, text of every class, hyper-parameters on the official validation set, from the
/// authors' logs: Caltech101, Pets, mean of 11 data sets.
const PUBLISHED: [(HeadKind, &str, [f64; 3]); 7] = [
    (HeadKind::ZeroShot, "CLIP", [85.92, 85.83, 58.89]),
    (HeadKind::Tip, "Tip-Adapter", [90.18, 88.14, 70.32]),
    (HeadKind::TipF, "Tip-Adapter-F", [92.86, 89.70, 75.83]),
    (HeadKind::Ape, "APE", [92.49, 88.88, 73.36]),
    (HeadKind::ApeT, "APE-T", [93.14, 90.24, 77.28]),
    (HeadKind::Gda, "GDA", [92.55, 88.81, 76.05]),
    (HeadKind::ClipAdapter, "CLIP-Adapter", [92.49, 87.84, 74.44]),
];

pub(crate) fn write(rows: &[Row], sets: &[(Open, [usize; 4])]) -> String {
    let mut page = String::from(
        "# Every head, measured\n\n\
         Made by `cargo bench --bench results`. Top-1 in percent of the test photographs, answered by the \
         int8 asset as a device would. Shots are drawn from a pool of 16 training photographs of each \
         class: the mean of three draws with the standard deviation over them, or one draw where none is \
         given; 16 shots are the whole pool. Hyper-parameters are chosen by folds over the shots (by leave-one-out for `tip` \
         and `cache`). No test photograph chose anything, and no validation set was used.\n\n\
         One view of each photograph, not the ten that the papers average or train on. ",
    );
    page += "A class without text in the bank gets its row from its shots, which is why the figures at one \
             shot are far below those of the papers: the real text of every class is worth more than one \
             photograph.\n\n";
    for (open, about) in sets {
        set(&mut page, open, *about, rows);
    }
    page.push_str(
        "## Tried and not added\n\n\
         Heads of the literature that follow from the shots without a search for rates of learning, beside \
         `gda`, which takes their place: percent of the shots of the pool that were not drawn, mean and standard \
         deviation of three draws, in float64, hyper-parameters by folds over the drawn shots. Text is that of \
         equal names (40 of Caltech101's 100 classes, none of Pets'). ProKeR is less than a deviation better \
         once, up to 5 points worse elsewhere, and needs a value of each class for every key; LP++ is worse \
         everywhere. TIMO weighs the sentences of a class by its shots, but an asset keeps their mean alone; \
         the half that weighs the shots by their text changes nothing. Made by \
         `python benches/results/tried.py > benches/results/tried.md`.\n\n",
    );
    page.push_str(include_str!("tried.md"));
    page.push('\n');
    published(&mut page);
    page
}

fn set(page: &mut String, open: &Open, [classes, text, dim, test]: [usize; 4], rows: &[Row]) {
    let own: Vec<&Row> = rows.iter().filter(|row| row.set == open.name).collect();
    let _ = write!(
        page,
        "## {}\n\n{classes} classes, {text} of them with text, {dim} dimensions, {test} test \
         photographs.\n\n![Accuracy against shots](results-{}.svg)\n\n| head |",
        open.title, open.name
    );
    SHOTS.iter().for_each(|shots| _ = write!(page, " {shots} |"));
    page.push_str(" made in | a query takes | size |\n|---|");
    SHOTS.iter().for_each(|_| page.push_str("---|"));
    page.push_str("---|---|---|\n");
    let best = |shots: usize| {
        let mean = own.iter().filter(|row| row.shots == shots).map(|row| mean(&row.top1));
        mean.fold(0.0, f64::max)
    };
    let mut complete = true;
    for kind in HeadKind::ALL {
        let of: Vec<&&Row> = own.iter().filter(|row| row.head == kind.name()).collect();
        let Some(last) = of.last() else { continue };
        let _ = write!(page, "| {} |", kind.name());
        for shots in SHOTS {
            match of.iter().find(|row| row.shots == shots) {
                Some(row) => _ = write!(page, " {} |", cell(&row.top1, best(shots))),
                None => {
                    complete = false;
                    page.push_str(" |");
                }
            }
        }
        match last.bytes {
            0 => page.push_str(" | | |\n"),
            bytes => {
                let (seconds, micros, size) = (last.seconds, last.micros, bytes as f64 / 1e6);
                let _ = writeln!(page, " {seconds:.1} s | {micros:.0} µs | {size:.2} MB |");
            }
        }
    }
    let gaps = if complete { "" } else { "An empty cell is not measured yet. " };
    let _ = writeln!(
        page,
        "\n{gaps}The last columns are those of the largest number of shots. \"Made in\" is processor time with \
         the choice of hyper-parameters, which two threads share; a query is the head alone, without \
         the encoder, on one thread. Size is what the logits are made of; the shots stay in every asset.\n"
    );
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn cell(values: &[f64], best: f64) -> String {
    let mean = mean(values);
    let strong = if mean >= best { "**" } else { "" };
    if values.len() < 2 {
        return format!("{strong}{mean:.2}{strong}");
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (values.len() - 1) as f64).sqrt();
    format!("{strong}{mean:.2}{strong} ± {deviation:.2}")
}

fn published(page: &mut String) {
    page.push_str(
        "## What the papers report\n\n\
         16 shots, CLIP RN50, text of every class (APE: with sentences of a language model), ten views of \
         each photograph, hyper-parameters chosen on the full validation set, for Tip-Adapter-F the epoch \
         on the test set: not the protocol above. From the authors' logs.\n\n\
         | head | Caltech101 | Pets | mean of 11 data sets |\n|---|---|---|---|\n",
    );
    for (_, name, [caltech, pets, mean]) in PUBLISHED {
        let _ = writeln!(page, "| {name} | {caltech:.2} | {pets:.2} | {mean:.2} |");
    }
    page.push_str(
        "\nMeta-Adapter reports its own split of hard classes, ProLIP means over data sets (75.46 at 16 shots \
         with RN50 and no validation set); the paper of the incremental adapter could not be read beyond its \
         abstract. `tests/parity_head` compares the heads with PyTorch.\n",
    );
}
