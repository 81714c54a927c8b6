//! `zocp doctor`: what is usually wrong, and what to do about it.
//!
//! Model: *facts* are gathered from this machine and from the running bridge; *findings* are made of them by
//! functions that ask nobody. A finding is good, a warning, a problem, or unknown where nothing can be said.
//! Invariants: DOCTOR-1. nothing is changed, here or at the bridge. DOCTOR-2. a fact that cannot be had spoils no other
//! finding. DOCTOR-3. the exit code tells of problems alone.
//! Layout: `finding` is what is said, `holder` finds who has a port, `machine` looks at this machine, `firewall` at what
//! its firewalls let in, `names` at DNS, `bridge` at the running bridge, `probe` tries what can be tried, `reach` says what that means,
//! `run` asks other programs.

mod bridge;
mod finding;
mod firewall;
mod holder;
mod machine;
mod names;
mod probe;
mod reach;
mod run;

use rustix::process::getuid;
use serde_json::Value;

use self::{
    bridge::Bridge,
    finding::{Finding, Verdict},
    machine::Machine,
};
use crate::{
    args::DoctorArgs,
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable, printable_lines},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    args: DoctorArgs,
) -> Result<(), Failure> {
    let machine = Machine::look(args.config);
    let mut findings = machine.findings();
    findings.extend(names::findings(machine.srv()).await);
    match Client::open(bus.as_deref()).await {
        Ok(client) => {
            findings.push(Finding::good("bus", "there is one to reach"));
            findings.extend(of_bridge(&client, &machine).await);
        }
        Err(failure) => findings.push(of_bus(&failure)),
    }
    show(output, &findings)?;
    let is_problem = |finding: &&Finding| finding.verdict == Verdict::Problem;
    match findings.iter().filter(is_problem).count() {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Unhealthy, "there is a problem")),
        count => {
            let text = format!("there are {count} problems");
            Err(Failure::new(Exit::Unhealthy, text))
        }
    }
}

async fn of_bridge(client: &Client, machine: &Machine) -> Vec<Finding> {
    match Bridge::look(client).await {
        Ok(bridge) => bridge.findings(machine),
        Err(failure) => vec![
            Finding::problem("bridge", failure.message()).advice(
                "start it with `zocp bridge`; one that ends at once says why. If it runs, it is on another \
                 bus: name that with --bus",
            ),
        ],
    }
}

fn of_bus(failure: &Failure) -> Finding {
    let finding = Finding::problem("bus", failure.message());
    if getuid().is_root() {
        return finding.advice(
            "root has no session bus: run it as the user whose bridge is meant (`sudo -u ada zocp doctor` does not reach \
             the session of ada either), or look at that of the machine with `--bus system`",
        );
    }
    finding.advice(
        "over ssh and in containers there is often no session bus: `zocp bridge` starts one of its own, and \
         prints its address for --bus; a bridge of the whole machine is on `--bus system`",
    )
}

fn show(output: &Output, findings: &[Finding]) -> Result<(), Failure> {
    if output.json {
        let findings: Vec<Value> = findings.iter().map(Finding::to_json).collect();
        return Ok(output.value(&Value::from(findings))?);
    }
    for finding in findings {
        let verdict = format!("{:8}", finding.verdict.word());
        let verdict = match finding.verdict {
            Verdict::Good | Verdict::Unknown => output.dim(&verdict),
            Verdict::Warning | Verdict::Problem => output.bold(&verdict),
        };
        let (check, found) = (finding.check, printable_lines(&finding.found));
        // A parser shows where it is in lines of their own, each in its column.
        let mut lines: Vec<&str> = found.trim_end().lines().collect();
        let advice = finding.advice.as_deref().map(printable);
        lines.extend(advice.as_deref());
        let lines = lines
            .into_iter()
            .flat_map(|line| output.wrapped(line, INDENT));
        for (at, line) in lines.enumerate() {
            match at {
                0 => output.line(&format!("{verdict} {check:14} {line}"))?,
                _ => output.line(format!("{:INDENT$}{line}", "").trim_end())?,
            }
        }
    }
    Ok(())
}

/// The columns before what was found.
const INDENT: usize = 24;
