use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use super::super::change::tests::{event, labels};
use super::*;

/// A sink that runs `command`, and what it says of failures.
fn exec(command: &str, time_limit: u32) -> (Exec, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&heard);
    let tell: Tell = Arc::new(move |text: &str| to.lock().unwrap().push(text.to_owned()));
    let settings = ExecSettings { command: command.to_owned(), time_limit };
    (Exec::new(settings, tell).unwrap(), heard)
}

/// Waits until `done`; what never happens fails.
fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_change_runs_the_command_with_its_values_and_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let command = format!(
        r#"printf '%s|' "$TIPCAM_LABEL" "$TIPCAM_PREVIOUS" "$TIPCAM_REGION" "$TIPCAM_SCORE" \
           "$TIPCAM_TIME" > {0}.new; cat >> {0}.new; mv {0}.new {0}"#,
        out.display()
    );
    let (mut exec, heard) = exec(&command, 10);
    let classes = labels(["cat", "a \"$(touch x)\" b"]);
    for (number, class) in [(0, None), (1, None), (2, Some(1)), (3, Some(1))] {
        exec.frame(&Frame::new(), &event(number, &classes, &[(Some("door"), class)]));
    }
    until("the command runs", || out.exists());
    let text = read(&out);
    let (values, line) = text.split_once("|{").unwrap();
    assert_eq!(values, "a \"$(touch x)\" b|unknown|door|0.75|2023-11-14T22:13:20.200Z");
    let line: serde_json::Value = serde_json::from_str(&format!("{{{line}")).unwrap();
    assert_eq!((&line["region"], &line["frame"]), (&"door".into(), &2.into()));
    assert_eq!(line["stable"], "a \"$(touch x)\" b");
    drop(exec);
    assert_eq!(heard.lock().unwrap().len(), 0);
}

#[test]
fn while_a_command_runs_the_newest_change_waits_and_the_others_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (log, go) = (dir.path().join("log"), dir.path().join("go"));
    let command = format!(
        "echo $TIPCAM_LABEL >> {}; while [ ! -e {} ]; do sleep 0.02; done",
        log.display(),
        go.display()
    );
    let (mut exec, _) = exec(&command, 60);
    let classes = labels(["a", "b", "c", "d"]);
    let mut change = |number, class| {
        exec.frame(&Frame::new(), &event(number, &classes, &[(None, Some(class))]));
    };
    change(0, 0);
    until("the first command runs", || read(&log) == "a\n");
    change(1, 1);
    change(2, 2);
    change(3, 3);
    assert_eq!(exec.lost().count(), 2);
    fs::write(&go, "").unwrap();
    until("the newest change is next", || read(&log) == "a\nd\n");
}

#[test]
fn a_command_that_hangs_is_killed_with_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let command = format!("sh -c 'echo $$ > {}; sleep 600' & wait", pid.display());
    let (mut exec, heard) = exec(&command, 1);
    exec.frame(&Frame::new(), &event(0, &labels(["a"]), &[(None, Some(0))]));
    until("it is told", || !heard.lock().unwrap().is_empty());
    let told = heard.lock().unwrap()[0].clone();
    assert!(told.contains("longer than 1 s"), "{told}");
    #[cfg(target_os = "linux")]
    {
        let stat = format!("/proc/{}/stat", read(&pid).trim());
        // gone, or dead and not yet collected
        let dead = || !Path::new(&stat).exists() || read(Path::new(&stat)).contains(") Z ");
        until("what it started is gone", dead);
    }
}

#[test]
fn a_command_that_does_not_read_its_line_is_killed_in_time_too() {
    let (mut exec, heard) = exec("sleep 600", 1);
    let mut event = event(0, &labels(["a"]), &[(None, Some(0))]);
    event.source = "x".repeat(30_000).into();
    exec.frame(&Frame::new(), &event);
    until("it is told", || !heard.lock().unwrap().is_empty());
    assert!(heard.lock().unwrap()[0].contains("longer than 1 s"));
}

#[test]
fn failures_are_told_once_and_do_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let command = format!("echo $TIPCAM_LABEL >> {}; exit 3", log.display());
    let (mut exec, heard) = exec(&command, 10);
    let classes = labels(["a", "b"]);
    for number in 0..4 {
        let class = Some(number as usize % 2);
        exec.frame(&Frame::new(), &event(number, &classes, &[(None, class)]));
        until("it runs", || read(&log).lines().count() == number as usize + 1);
        // the next change comes when this command has ended
        thread::sleep(Duration::from_millis(100));
    }
    drop(exec);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("exit status: 3"), "{heard:?}");
}

#[test]
fn a_stop_waits_for_a_short_command_and_not_for_a_long_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let classes = labels(["a"]);
    let (mut short, _) = exec(&format!("sleep 0.1; echo done > {}", log.display()), 10);
    short.frame(&Frame::new(), &event(0, &classes, &[(None, Some(0))]));
    drop(short);
    assert_eq!(read(&log), "done\n");
    let (mut long, _) = exec("sleep 600", 1000);
    long.frame(&Frame::new(), &event(0, &classes, &[(None, Some(0))]));
    // returns at all
    drop(long);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let tell: Tell = Arc::new(|_: &str| {});
    let refused = |command: &str, time_limit| {
        let settings = ExecSettings { command: command.to_owned(), time_limit };
        Exec::new(settings, Arc::clone(&tell)).err().unwrap().to_string()
    };
    assert!(refused(" ", 1).contains("exec command"));
    assert!(refused("true", 0).contains("exec time_limit"));
}
