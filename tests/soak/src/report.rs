//! The table at the end, and what is said of memory.
//!
//! Memory is judged by what it is at quiet moments, all of the same population: the median of the last third of them must
//! not be more than that of the third before by more than [`GROWTH_MAX`] and [`GROWTH_MIN`]. Allocators keep
//! what they once had, so the first third, in which each bridge meets its first crowds, is not compared.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use crate::{
    census::Census,
    ledger::Ledger,
    stream::Window,
    world::{LASTING, SITES},
};

/// What is gathered for the report.
pub(crate) struct Report {
    seed: u64,
    base: Vec<Census>,
    rounds: Vec<Vec<Census>>,
    heard: BTreeMap<&'static str, Heard>,
}

#[derive(Default)]
struct Heard {
    signals: u64,
    lost: u64,
    disordered: u64,
    median_worst: Duration,
}

impl Report {
    pub(crate) fn new(seed: u64, base: &[Census]) -> Self {
        Self {
            seed,
            base: base.to_vec(),
            rounds: Vec::new(),
            heard: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, census: Vec<Census>) {
        self.rounds.push(census);
    }

    pub(crate) fn heard(&mut self, what: &'static str, window: &Window) {
        let heard = self.heard.entry(what).or_default();
        heard.signals += window.heard;
        heard.lost += window.lost;
        heard.disordered += window.disordered;
        heard.median_worst = heard.median_worst.max(window.late(500));
    }

    /// Makes growth a finding.
    pub(crate) fn judge_memory(&self, ledger: &Ledger) {
        for site in LASTING {
            let third = self.rounds.len() / 3;
            let (before, last) = (
                self.median(site, third, 2 * third),
                self.median(site, 2 * third, 3 * third),
            );
            let allowed = before + GROWTH_MIN.max(before / GROWTH_MAX);
            if last > allowed {
                let name = SITES[site];
                ledger.finding(format!("{name}: memory {before} KiB, then {last} KiB"));
            }
        }
    }

    fn median(&self, site: usize, from: usize, to: usize) -> u64 {
        let rounds = self.rounds.get(from..to).unwrap_or_default();
        let mut all: Vec<u64> = rounds.iter().map(|census| census[site].memory).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    /// All of it, in Markdown.
    pub(crate) fn text(&self, took: Duration, ledger: &Ledger) -> String {
        let mut text = format!(
            "seed {}, {} rounds in {:.1} minutes\n\n",
            self.seed,
            self.rounds.len(),
            took.as_secs_f64() / 60.0
        );
        text +=
            "| at quiet moments: first → last | stage | foh | booth |\n| --- | --- | --- | --- |\n";
        type Figure = fn(&Census) -> u64;
        let figures: [(&str, Figure); 6] = [
            ("bus names, unique ones too", |census| census.counts.names),
            ("connections of the bus", |census| census.counts.connections),
            ("match rules", |census| census.counts.rules),
            ("objects", |census| census.counts.objects),
            ("descriptors of the bridge", |census| {
                census.counts.descriptors
            }),
            ("threads of the bridge", |census| census.counts.threads),
        ];
        for (title, figure) in figures {
            let cells = LASTING.map(|site| {
                let last = self.rounds.last().map_or(0, |last| figure(&last[site]));
                format!("{} → {last}", figure(&self.base[site]))
            });
            let _ = writeln!(
                text,
                "| {title} | {} |",
                cells.collect::<Vec<_>>().join(" | ")
            );
        }
        text += &self.memory();
        for (what, heard) in &self.heard {
            let _ = writeln!(
                text,
                "\n{what}: {} heard, {} lost, {} out of order; median {:.1} ms late in the worst round",
                heard.signals,
                heard.lost,
                heard.disordered,
                heard.median_worst.as_secs_f64() * 1e3
            );
        }
        for line in ledger.lines() {
            let _ = writeln!(text, "\n{line}");
        }
        text
    }

    fn memory(&self) -> String {
        let third = self.rounds.len() / 3;
        let cells = LASTING.map(|site| {
            let thirds = [0, third, 2 * third].map(|from| self.median(site, from, from + third));
            let [first, second, last] = thirds;
            format!("{}; {first}, {second}, {last}", self.base[site].memory)
        });
        let cells = cells.collect::<Vec<_>>().join(" | ");
        format!("| memory of the bridge, KiB: at first; medians of the thirds | {cells} |\n")
    }
}

/// A tenth of what it was.
const GROWTH_MAX: u64 = 10;
/// In KiB: what a few large messages leave behind in an allocator.
const GROWTH_MIN: u64 = 4096;
