//! A table of attacks and faults: what each did, to the bridges' memory, and to an honest pair meanwhile.
//!
//! Model: an [`Attack`] is a title and a function that says what came of it. [`attacks`] runs them one after the other in
//! an [`Arena`] and makes a row of each: memory before and after, and what the honest pair lost and how late it was.
//! What is a finding, and ends with failure: a signal of the honest pair that is lost, or a bridge that is not there.

mod arena;
mod bus;
mod intruder;
mod mesh;

use std::{fmt::Write, path::PathBuf, pin::Pin, time::Duration};

use zocp_testkit::Lab;

use self::arena::Arena;
use crate::stream::Window;

/// What the table is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The binary that is attacked.
    #[arg(long, value_name = "FILE")]
    pub zocp: PathBuf,
    /// Only those whose titles contain this.
    #[arg(long, default_value = "")]
    pub only: String,
}

struct Attack {
    title: &'static str,
    run: for<'a> fn(&'a Arena) -> Pin<Box<dyn Future<Output = String> + 'a>>,
}

/// Runs them; the table, and whether all was well.
pub async fn attacks(lab: Lab, options: &Options) -> (String, bool) {
    let local = tokio::task::LocalSet::new();
    local.run_until(run(lab, options)).await
}

async fn run(lab: Lab, options: &Options) -> (String, bool) {
    let arena = Arena::open(&lab, &options.zocp.to_string_lossy()).await;
    let mut table = HEAD.to_owned();
    let mut well = true;
    let chosen = ATTACKS
        .iter()
        .filter(|attack| attack.title.contains(&options.only));
    for attack in chosen {
        arena.forget_said();
        eprintln!("ATTACK {}", attack.title);
        settle(&arena).await;
        let _ = arena.pair.window();
        tokio::time::sleep(CALM).await;
        let (before, calm) = (arena.weight(), arena.pair.window());
        let what = (attack.run)(&arena).await;
        let during = arena.pair.window();
        let all_heard = settle(&arena).await;
        let late = arena.pair.window();
        let (after, lost) = (arena.weight(), during.lost + late.lost);
        let row = row(attack.title, &what, [before, after], lost, [&calm, &during]);
        eprint!("{row}");
        table += &row;
        well &= lost + during.disordered + late.disordered == 0 && all_heard;
    }
    (table, well)
}

/// Waits until the honest pair has nothing under way that is old, and then a while; whether it came to that.
async fn settle(arena: &Arena) -> bool {
    let wait = async {
        while arena.pair.under_way().1 > Duration::from_millis(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let is_level = tokio::time::timeout(SETTLED_MAX, wait).await.is_ok();
    tokio::time::sleep(CALM).await;
    is_level
}

fn row(
    title: &str,
    what: &str,
    weights: [(u64, u64); 2],
    lost: u64,
    windows: [&Window; 2],
) -> String {
    let [before, after] = weights;
    let late = windows.map(|window| window.late(990).as_secs_f64() * 1e3);
    let mut row = String::new();
    let _ = writeln!(
        row,
        "| {title} | {what} | {} → {} | {} → {} | {lost} of {} | {:.1} → {:.1} |",
        before.0, after.0, before.1, after.1, windows[1].heard, late[0], late[1]
    );
    row
}

macro_rules! attacks {
    ($($title:literal: $module:ident::$name:ident,)*) => {
        &[$(Attack { title: $title, run: |arena| Box::pin($module::$name(arena)) },)*]
    };
}

const ATTACKS: &[Attack] = attacks![
    "beacons, random": mesh::random_beacons,
    "beacons, our own identity": mesh::own_beacons,
    "beacons, another's identity": mesh::others_beacons,
    "goodbyes, forged": mesh::goodbyes,
    "connections, half open": mesh::half_open,
    "connections, slow greeting": mesh::slow_greetings,
    "connections, noise": mesh::garbage,
    "frames, huge announcements": mesh::huge_frames,
    "messages, many small": mesh::many_small,
    "HELLO, long": mesh::long_hello,
    "trees, giant and deep": mesh::huge_trees,
    "joins and leaves": mesh::joins,
    "identity taken over": mesh::taken_identity,
    "name taken over": mesh::taken_name,
    "subscriptions": mesh::subscriptions,
    "packets, invalid": mesh::bad_packets,
    "client, 10,000 calls in flight": bus::calls_in_flight,
    "client, reads nothing": bus::deaf_client,
    "client, rules and publications": bus::rules_and_publications,
    "client, long bodies": bus::long_bodies,
    "peer, stopped": bus::stopped_peer,
    "bus, killed": bus::bus_restart,
    "network, loss": bus::packet_loss,
];
const HEAD: &str = "| attack or fault | what happened | memory of both bridges, KiB | descriptors | honest pair: lost | its p99, ms, before → during |\n| --- | --- | --- | --- | --- | --- |\n";
const CALM: Duration = Duration::from_secs(2);
const SETTLED_MAX: Duration = Duration::from_secs(30);
