//! What the pages show of a shell beside the demo is what that shell shows.
//!
//! Model: a block of a page that begins with `$ ` is a transcript: commands, each with what it prints below it; `…` is
//! whatever else it prints. The transcripts of a page are run in their order, beside one demo.
//! Not here: whether command lines of other blocks can be meant (`bridge/cli/args/tests.rs`).

use zocp_testkit::{Bus, Cmd, Lab, Program, demo, isolated};

use super::{ZOCP, read};

/// A command, and what the page says that it prints.
pub(super) struct Step<'p> {
    pub(super) command: &'p str,
    pub(super) printed: Vec<&'p str>,
}

/// The transcripts of a page, one behind the other.
pub(super) fn steps(page: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let (mut is_code, mut is_transcript) = (false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            (is_code, is_transcript) = (!is_code, false);
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_code) {
            is_transcript = true;
            let printed = Vec::new();
            steps.push(Step { command, printed });
        } else if let Some(step) = steps.last_mut().filter(|_| is_transcript) {
            step.printed.push(line);
        }
    }
    steps
}

/// A line with `#` for each number, where it has what moves: the fader, times, unique names.
pub(super) fn steady(line: &str) -> String {
    // The lamp blinks for some time.
    if line.starts_with(".on ") {
        let line = line.replace("false", "true");
        return line.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    // `watch` begins each line with the time.
    if let Some((time, rest)) = line.split_once("  ")
        && time.chars().all(|c| c.is_ascii_digit() || ":.".contains(c))
    {
        return rest.to_owned();
    }
    let moves = ["level", "time", "is owned by", ".brightness", "tcp://"];
    if !moves.iter().any(|word| line.contains(word)) {
        return line.to_owned();
    }
    let mut steady = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | '.' if steady.ends_with('#') => {}
            '0'..='9' => steady.push('#'),
            // Columns are as wide as their numbers.
            ' ' if steady.ends_with(' ') => {}
            _ => steady.push(c),
        }
    }
    steady
}

/// Lines of a shell on this bus, which finds `zocp`.
pub(super) fn shell(bus: &Bus, lines: &str) -> Cmd {
    let directory = ZOCP.rsplit_once('/').map_or("", |(directory, _)| directory);
    let path = std::env::var("PATH").unwrap_or_default();
    let shell = Cmd::new("bash").args(["-c", lines]).on(bus);
    shell.env("PATH", format!("{directory}:{path}"))
}

/// Waits until a program says a line of a page.
pub(super) async fn says(program: &Program, line: &str) {
    let wanted = steady(line);
    let is_it = |line: &str| (steady(line) == wanted).then_some(());
    program.says_like(line, is_it).await;
}

pub(super) async fn assert_goes_so(bus: &Bus, page: &str, step: &Step<'_>) {
    let mut printed = step.printed.clone();
    let is_open = printed.last() == Some(&"…");
    if is_open {
        printed.pop();
    }
    let wanted: Vec<String> = printed.iter().map(|line| steady(line)).collect();
    let shell = shell(bus, &format!("{{ {}; }} 2>&1", step.command));
    // It goes on until somebody ends it.
    if step.command.starts_with("gdbus monitor") {
        let program = shell.start();
        for line in &printed {
            says(&program, line).await;
        }
        return;
    }
    let found = shell.outcome().await.out;
    let mut found: Vec<String> = found.lines().map(steady).collect();
    if is_open {
        found.truncate(printed.len());
    }
    assert_eq!(found, wanted, "{page}: $ {}", step.command);
}

#[test]
fn the_transcripts_beside_the_demo_go_as_the_pages_say() {
    isolated(async |_: Lab| {
        let mut count = 0;
        for (page, until) in [
            ("README.md", None),
            ("docs/reference/json.md", None),
            ("docs/how-to/wires.md", None),
            // Behind this a second machine is needed, and another test goes through the evening.
            ("docs/tutorial/first-evening.md", Some("## 2. ")),
        ] {
            let (bus, _demo) = demo(ZOCP).await;
            let text = read(page);
            let part = until.map_or(Some(&*text), |until| text.split(until).next());
            for step in steps(part.unwrap_or_default()) {
                // It runs already.
                if step.command.starts_with("cargo ") || step.command.starts_with("export ") {
                    continue;
                }
                assert_goes_so(&bus, page, &step).await;
                count += 1;
            }
        }
        assert_eq!(count, 18, "the transcripts are understood");
    });
}
