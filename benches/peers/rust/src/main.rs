//! rten as a worker of the benchmark: `peers MODEL THREADS INPUT.f32 SIDE`. The protocol is in ../worker.py.

mod rten;

use std::io::{self, BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rten::Rten;

fn read(path: &str) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| path.to_owned())?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
}

fn resident_kb() -> Result<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")?
        .split(' ')
        .nth(1)
        .context("/proc/self/statm")?
        .parse()?;
    Ok(pages * 4)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, threads, input, side] = &arguments[..] else {
        bail!("usage: peers MODEL THREADS INPUT.f32 SIDE");
    };
    let (threads, side) = (threads.parse()?, side.parse()?);
    let (x, resident, start) = (read(input)?, resident_kb()?, Instant::now());
    let mut engine = Rten::new(model, threads, side)?;
    engine.set(x)?;
    engine.run()?;
    let load = start.elapsed().as_secs_f64() * 1e3;
    say(&format!(r#"{{"load_ms": {load:.1}, "rss0_kb": {resident}, "note": ""}}"#))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "run" => {
                let mut times = Vec::new();
                for _ in 0..argument.parse::<usize>()? {
                    let start = Instant::now();
                    engine.run()?;
                    times.push(format!("{:.1}", start.elapsed().as_secs_f64() * 1e6));
                }
                say(&format!("[{}]", times.join(",")))?;
            }
            "in" => {
                engine.set(read(argument)?)?;
                say("ok")?;
            }
            "out" => {
                let bytes: Vec<u8> =
                    engine.output()?.iter().flat_map(|v| v.to_le_bytes()).collect();
                std::fs::write(argument, bytes)?;
                say("ok")?;
            }
            _ => break,
        }
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    println!("{line}");
    Ok(io::stdout().flush()?)
}
