//! The commands, one file each. They put the rooms together and speak with people and scripts:
//! answers go to stdout, everything else to stderr.

mod answer;
mod bench;
mod build;
#[cfg(target_os = "linux")]
mod cameras;
mod classify;
mod completions;
mod config;
mod convert;
mod dataset;
mod doctor;
mod edit;
mod embed;
#[cfg(feature = "import")]
mod encoder;
mod eval;
mod fit;
mod forget;
mod head;
mod inspect;
mod install;
mod learn;
mod man;
#[cfg(feature = "import")]
mod preprocessing;
mod progress;
mod shared;
mod shots;
mod table;
#[cfg(feature = "import")]
mod text;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use shared::Shared;

const EXAMPLES: &str = "\
Examples:
  tipcam classify holiday/*.jpg                what is on these photographs?
  tipcam watch demo                            the same for a stream of frames
  tipcam learn mug mug1.jpg mug2.jpg --asset mine.tipcam
  tipcam classify new.jpg --asset mine.tipcam

The answers are JSON, one object a line; `--format table` is for eyes.
Exit code: 0 when everything asked for was done, 1 when something failed, 2 for a wrong command line.";

/// Tells what a camera sees, and learns new classes from a few photographs, without a network.
#[derive(Parser)]
#[command(name = "tipcam", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Classify(classify::Classify),
    Watch(Box<watch::Watch>),
    Learn(learn::Learn),
    Forget(forget::Forget),
    Install(install::Install),
    Build(build::Build),
    Fit(fit::Fit),
    Eval(eval::Eval),
    Embed(embed::Embed),
    Convert(convert::Convert),
    #[cfg(feature = "import")]
    Encoder(encoder::Encoder),
    #[cfg(feature = "import")]
    Text(text::Text),
    #[cfg(target_os = "linux")]
    Cameras(cameras::Cameras),
    Bench(bench::Bench),
    Inspect(inspect::Inspect),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Exit code for a command line, or a configuration file in its place, that is not understood.
const WRONG_LINE: u8 = 2;

/// Whether everything that was asked for was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Yes.
    Done,
    /// No: some inputs failed, each with an error on stderr; the others were answered.
    Partly,
}

/// Runs the program: parses the command line, runs one command and says what went wrong.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let expanded = match config::expand(&command(), line.clone()) {
        Ok(expanded) => expanded,
        Err(error) => {
            complain(&error);
            return ExitCode::from(WRONG_LINE);
        }
    };
    let matches = command().get_matches_from(expanded);
    let Cli { shared, command } =
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match command {
        Command::Classify(command) => command.run(&shared),
        Command::Watch(command) if command.print_config => {
            print(&config::print(&self::command(), &matches))
                .map(|()| Outcome::Done)
                .map_err(Into::into)
        }
        Command::Watch(command) => command.run(&shared, &line),
        Command::Learn(command) => command.run(&shared),
        Command::Forget(command) => command.run(&shared),
        Command::Install(command) => command.run(&shared),
        Command::Build(command) => command.run(&shared),
        Command::Fit(command) => command.run(&shared),
        Command::Eval(command) => command.run(&shared),
        Command::Embed(command) => command.run(&shared),
        Command::Convert(command) => command.run(&shared),
        #[cfg(feature = "import")]
        Command::Encoder(command) => command.run(&shared),
        #[cfg(feature = "import")]
        Command::Text(command) => command.run(&shared),
        #[cfg(target_os = "linux")]
        Command::Cameras(command) => command.run(&shared),
        Command::Bench(command) => command.run(&shared),
        Command::Inspect(command) => command.run(&shared),
        Command::Doctor(command) => command.run(&shared),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partly) => ExitCode::FAILURE,
        // the reader of our output has left (`tipcam ... | head`): nothing is wrong
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The command line's grammar.
fn command() -> clap::Command {
    let mut command = config::with_variables(Cli::command());
    // hands the options of every command to each of them
    command.build();
    command
}

/// Says on stderr what went wrong and why.
fn complain(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // many errors tell their cause themselves
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    note(&format!("Error: {text}"));
}

/// Says something on stderr. Where nobody can hear it, that is no reason to stop.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", table::printable(text));
}

/// Writes to stdout; unlike `print!` it reports a full disk or a closed pipe.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
