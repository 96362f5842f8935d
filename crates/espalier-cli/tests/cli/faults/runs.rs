//! Runs that are killed at a certain call, or whose directory another process uses first.

use super::{Fault, can_fault, faulty, is_killed, kill, message};
use crate::workspace::Workspace;
use espalier_testing::run_directory::assert_same_run;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn killed_at_a_rename_or_removal_and_resumed_is_as_uninterrupted() {
    if !can_fault() {
        return;
    }
    let workspace = Workspace::new();
    let run = |out: &str| {
        let settings =
            "--set strategy=tpl --set train.checkpoint_every=1 --set train.keep_checkpoints=1";
        format!("prefinetune run.toml {settings} --out {out} --resume")
    };
    workspace.ok(&run("whole"));
    for call in ["rename", "remove"] {
        // Each of the first calls, up to the first checkpoint, and some of the later ones.
        let mut killed = 0;
        for at in (1..14).chain((14..).step_by(7)) {
            if !is_killed(&workspace, &run("parts"), kill(call, at)) {
                break;
            }
            killed += 1;
            // A second kill right after resuming.
            is_killed(&workspace, &run("parts"), kill(call, 3));
            workspace.ok(&run("parts"));
            assert_same_run(&workspace.path("parts"), &workspace.path("whole"));
            fs::remove_dir_all(workspace.path("parts")).unwrap();
        }
        assert!(killed > 15, "{call}: {killed}");
        let _ = fs::remove_dir_all(workspace.path("parts"));
    }
}

/// Whether a process has been stopped by a signal.
fn is_stopped(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

#[test]
fn a_run_does_not_change_a_directory_that_another_one_used_first() {
    if !can_fault() {
        return;
    }
    let workspace = Workspace::new();
    let before_the_lock = Fault { call: "lock", at: 1, how: "stop" };
    for (resume, expected) in [("", "already holds a run"), ("--resume", "seed was 0, but is 7")] {
        let late = format!("prefinetune run.toml --set seed=7 --out run {resume}");
        let mut command = faulty(&workspace, &late, before_the_lock);
        let late = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while !is_stopped(late.id()) {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not reach its lock");
            std::thread::sleep(Duration::from_millis(2));
        }
        workspace.ok("prefinetune run.toml --out run");
        workspace.ok("prefinetune run.toml --out whole");
        assert!(
            Command::new("kill")
                .args(["-CONT", &late.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let output = late.wait_with_output().unwrap();
        let text = message(&output);
        assert!(output.status.code() == Some(1) && text.contains(expected), "{text}");
        assert_same_run(&workspace.path("run"), &workspace.path("whole"));
        ["run", "whole"].iter().for_each(|name| fs::remove_dir_all(workspace.path(name)).unwrap());
    }
}
