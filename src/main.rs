//! The `tipcam` program; see [`tipcam::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tipcam::cli::main()
}
