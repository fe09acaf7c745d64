//! The configuration file of `watch`: its sections are the headings of `--help` and its keys the flags'
//! names, without the section's where they begin with it (`--mqtt-node` is `node` in `[mqtt]`).
//!
//! An entry of the file is handed to the command line's parser as if it had been written there, unless
//! the flag or its variable is given: so there is one list of parameters, one check of their values and
//! one set of defaults, and a flag beats a variable, a variable the file, and the file the default.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

/// The command that can be configured.
const COMMAND: &str = "watch";

/// Bytes that a configuration file has at most.
const MAX_BYTES: u64 = 1 << 20;

/// Gives each parameter of `watch` its variable, `TIPCAM_` and the flag's name.
pub(super) fn with_variables(command: Command) -> Command {
    command.mut_subcommand(COMMAND, |watch| {
        watch.mut_args(|arg| match arg.get_long() {
            // `--print-config` and the like are questions, not parameters
            Some(long) if arg.get_help_heading().is_some() => {
                let variable = format!("TIPCAM_{}", long.replace('-', "_").to_uppercase());
                arg.env(variable).hide_env_values(true).hide_env(true)
            }
            _ => arg,
        })
    })
}

/// The command line with the entries of the configuration file that it names.
///
/// # Errors
/// A file that cannot be read or has an entry that is no parameter.
pub(super) fn expand(command: &Command, line: Vec<OsString>) -> Result<Vec<OsString>> {
    // What is wrong with the line itself is said when it is parsed for good.
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(&line) else {
        return Ok(line);
    };
    let Some((COMMAND, given)) = matches.subcommand() else { return Ok(line) };
    let Some(path) = given.try_get_one::<PathBuf>("config").ok().flatten() else {
        return Ok(line);
    };
    let from_above = |id: &str| {
        let source = given.value_source(id);
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let entries = entries(command, path)?.into_iter();
    let added = entries.filter(|(id, _)| !from_above(id)).map(|(_, argument)| argument);
    // Directly behind the command: at the end, an option whose value was left out would take one of them.
    let mut line = line;
    let at = line.iter().position(|word| word == COMMAND).map_or(line.len(), |at| at + 1);
    line.splice(at..at, added);
    Ok(line)
}

/// The arguments that the file's entries stand for, each with the parameter's id.
fn entries(command: &Command, path: &Path) -> Result<Vec<(String, OsString)>> {
    let name = path.display();
    let long = || format!("{name}: longer than {MAX_BYTES} bytes, that is no configuration file");
    let text = fs::metadata(path)
        .and_then(|file| {
            if file.len() > MAX_BYTES { Ok(None) } else { fs::read_to_string(path).map(Some) }
        })
        .with_context(|| format!("{name}: the configuration file cannot be read"))?
        .with_context(long)?;
    let table: Table = text.parse().with_context(|| format!("{name}: not TOML"))?;
    let mut arguments = Vec::new();
    for (section, keys) in &table {
        let Value::Table(keys) = keys else {
            bail!(
                "{name}: {section:?} stands before the first [section]: put it into one of {}",
                sections(command)
            );
        };
        let mut known = parameters(command).filter(|arg| section_of(arg) == *section).peekable();
        if known.peek().is_none() {
            bail!("{name}: there is no section [{section}]: there are {}", sections(command));
        }
        let known: Vec<_> = known.collect();
        for (key, value) in keys {
            let Some(arg) = known.iter().find(|arg| key_of(arg) == *key) else {
                let names: Vec<_> = known.iter().map(|arg| key_of(arg)).collect();
                bail!("{name}: [{section}] has no {key:?}: it has {}", names.join(", "));
            };
            for value in texts(value)
                .with_context(|| format!("{name}: [{section}] {key}: write a text, a number, true or false, or a list of them"))?
            {
                let argument = match arg.get_long() {
                    Some(long) => format!("--{long}={value}"),
                    None => value,
                };
                arguments.push((arg.get_id().to_string(), argument.into()));
            }
        }
    }
    Ok(arguments)
}

/// A value as it would be written on the command line; a list as several.
fn texts(value: &Value) -> Option<Vec<String>> {
    Some(match value {
        Value::String(text) => vec![text.clone()],
        Value::Integer(number) => vec![number.to_string()],
        Value::Float(number) => vec![number.to_string()],
        Value::Boolean(flag) => vec![flag.to_string()],
        Value::Array(values) => {
            let parts: Option<Vec<_>> = values.iter().map(texts).collect();
            parts?.concat()
        }
        Value::Datetime(_) | Value::Table(_) => return None,
    })
}

/// The configuration as it is in force, as a file that would bring it about.
pub(super) fn print(command: &Command, matches: &ArgMatches) -> String {
    let Some((COMMAND, given)) = matches.subcommand() else { return String::new() };
    let mut text =
        String::from("# tipcam watch --config FILE; flags and TIPCAM_ variables come before it\n");
    let mut section = String::new();
    for arg in parameters(command) {
        if section != section_of(arg) {
            section = section_of(arg);
            text.push_str(&format!("\n[{section}]\n"));
        }
        for line in arg.get_help().map(ToString::to_string).unwrap_or_default().lines() {
            text.push_str(&format!("# {line}\n"));
        }
        let values: Vec<String> = given
            .get_raw(arg.get_id().as_str())
            .into_iter()
            .flatten()
            .map(|value| literal(&value.to_string_lossy()))
            .collect();
        let key = key_of(arg);
        text.push_str(&match (&values[..], arg.get_action()) {
            ([], ArgAction::Append) => format!("{key} = []\n"),
            ([], _) => format!("# {key} =\n"),
            (values, ArgAction::Append) => format!("{key} = [{}]\n", values.join(", ")),
            (values, _) => format!("{key} = {}\n", values.join(", ")),
        });
    }
    text
}

/// A value as TOML writes it.
fn literal(text: &str) -> String {
    let plain = text == "true"
        || text == "false"
        || text.parse::<i64>().is_ok()
        || (text.contains('.') && text.parse::<f64>().is_ok_and(f64::is_finite));
    if plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

/// What can be configured: the arguments of `watch` that have a heading, section by section.
fn parameters(command: &Command) -> impl Iterator<Item = &Arg> {
    let watch = command.find_subcommand(COMMAND);
    watch
        .into_iter()
        .flat_map(Command::get_arguments)
        .filter(|arg| arg.get_help_heading().is_some())
}

fn section_of(arg: &Arg) -> String {
    arg.get_help_heading().unwrap_or_default().to_lowercase()
}

/// `--mqtt URL` is `url` in `[mqtt]`, `--mqtt-node` is `node`, and what is given without a flag is the
/// `source`.
fn key_of(arg: &Arg) -> String {
    let Some(long) = arg.get_long() else { return "source".to_owned() };
    match long.strip_prefix(&*section_of(arg)) {
        Some("") => {
            let value = arg.get_value_names().and_then(<[_]>::first);
            value.map_or(long.to_owned(), |value| value.to_lowercase())
        }
        Some(rest) if rest.starts_with('-') => rest[1..].to_owned(),
        _ => long.to_owned(),
    }
}

fn sections(command: &Command) -> String {
    let mut names: Vec<String> = Vec::new();
    for arg in parameters(command) {
        let name = format!("[{}]", section_of(arg));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn parse(file: &str, line: &[&str]) -> Result<ArgMatches, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tipcam.toml");
        fs::write(&path, file).unwrap();
        let config = format!("--config={}", path.display());
        let line = ["tipcam", "watch", &config].iter().chain(line).map(OsString::from).collect();
        let line = expand(&command(), line).map_err(|e| format!("{e:#}"))?;
        command().try_get_matches_from(line).map_err(|e| e.to_string())
    }

    fn raw(matches: &ArgMatches, id: &str) -> Vec<String> {
        let (_, watch) = matches.subcommand().unwrap();
        watch.get_raw(id).into_iter().flatten().map(|v| v.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_file_comes_after_the_flags_and_before_the_defaults() {
        let file = "[input]\nsource = 'demo'\nrate = 5\nloop = true\n[decision]\nenter = 0.75\n";
        let matches = parse(file, &["--rate", "7"]).unwrap();
        assert_eq!(raw(&matches, "input"), ["demo"]);
        assert_eq!(raw(&matches, "rate"), ["7"]);
        assert_eq!(raw(&matches, "looped"), ["true"]);
        assert_eq!(raw(&matches, "enter"), ["0.75"]);
        assert_eq!(raw(&matches, "leave"), ["0.4"]);
        let matches = parse(file, &["photos/"]).unwrap();
        assert_eq!(raw(&matches, "input"), ["photos/"]);
        // an option whose value was left out takes none of the file's
        let matches = parse(file, &["--serve"]).unwrap();
        assert_eq!(raw(&matches, "input"), ["demo"]);
        assert_eq!(raw(&matches, "serve"), [""]);
        let matches = parse("[program]\nthreads = 3\nasset = 'mine.tipcam'\n", &["demo"]).unwrap();
        assert_eq!(
            (raw(&matches, "threads"), raw(&matches, "asset")),
            (vec!["3".into()], vec!["mine.tipcam".into()])
        );
    }

    #[test]
    fn what_is_no_parameter_is_named_with_what_there_is() {
        let error = |file: &str| parse(file, &[]).unwrap_err();
        let e = error("[input]\nsize = '640x480'\nrat = 5\n");
        assert!(e.contains("tipcam.toml: [input] has no \"rat\"") && e.contains("rate"), "{e}");
        let e = error("[camera]\n");
        assert!(e.contains("no section [camera]") && e.contains("[decision]"), "{e}");
        let e = error("rate = 5\n");
        assert!(e.contains("before the first [section]"), "{e}");
        let e = error("[input]\nrate = 5979-05-27\n");
        assert!(e.contains("[input] rate: write a text"), "{e}");
        assert!(error("rate == 5").contains("not TOML"));
        assert!(error("[decision]\nenter = 7.0\n").contains("--enter"));
    }

    #[test]
    fn what_is_printed_brings_about_what_it_was_printed_from() {
        let file = "[input]\nsource = 'a \"b\" \\ c'\nrate = 2.5\n[decision]\nleave = 0.25\n";
        let matches = parse(file, &[]).unwrap();
        let printed = print(&command(), &matches);
        let again = parse(&printed, &[]).unwrap();
        for arg in parameters(&command()) {
            let id = arg.get_id().as_str();
            assert_eq!(raw(&again, id), raw(&matches, id), "{id}\n{printed}");
        }
    }
}
