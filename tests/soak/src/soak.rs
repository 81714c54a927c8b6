//! The long run: rounds of unrest, each ended by a quiet moment at which everything is counted.

use std::{
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use zocp_testkit::Lab;

use crate::{
    caller::Caller,
    census::{Census, Counts},
    churn::Churn,
    ledger::Ledger,
    report::Report,
    service::{INTERFACE, PATH, tick},
    standing::Stamp,
    stream::Stream,
    world::{LASTING, STEADY, World, imported, node_name},
};

/// What a run is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The binary that is soaked.
    #[arg(long, value_name = "FILE")]
    pub zocp: PathBuf,
    /// What the random numbers are made of.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// For so long, and until the round that is under way then has ended.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// So long is one round of unrest.
    #[arg(long, default_value_t = 20)]
    pub round: u64,
    /// Cuts links sometimes for longer than the mesh's expiry, up to 50 s.
    #[arg(long)]
    pub long_cuts: bool,
}

/// What is watched all the time.
struct Steady {
    streams: Vec<Stream>,
    calling: tokio::task::JoinHandle<()>,
}

/// Runs; the report, and whether all was well.
pub async fn soak(lab: Lab, options: &Options) -> (String, bool) {
    let local = tokio::task::LocalSet::new();
    local.run_until(run(lab, options)).await
}

async fn run(lab: Lab, options: &Options) -> (String, bool) {
    let ledger = Rc::new(Ledger::new());
    let world = Rc::new(World::open(&lab, &options.zocp, Rc::clone(&ledger)).await);
    let steady = watch(&world).await;
    let mut churn = Churn::new(&world, options.seed, options.long_cuts);
    touch(&world).await;
    let first = first_census(&world).await;
    churn.warm_up(Duration::from_secs(options.round)).await;
    let base = warm_census(&world, &first).await;
    let mut report = Report::new(options.seed, &base);
    let start = Instant::now();
    let mut round = 0;
    while start.elapsed() < Duration::from_secs(options.seconds) {
        round += 1;
        churn.begin(round);
        tokio::time::sleep(Duration::from_secs(options.round)).await;
        churn.rest().await;
        let census = settled(&world, &base).await;
        judge(&steady, &ledger, &mut report).await;
        eprintln!(
            "ROUND {round} after {:.0} s: {:?}",
            start.elapsed().as_secs_f64(),
            census
                .iter()
                .map(|census| (census.memory, census.counts.descriptors))
                .collect::<Vec<_>>()
        );
        report.add(census);
    }
    steady.calling.abort();
    let _ = steady.calling.await;
    report.judge_memory(&ledger);
    (report.text(start.elapsed(), &ledger), ledger.is_clean())
}

/// Starts what goes on all the time between things that nobody disturbs.
async fn watch(world: &Rc<World>) -> Steady {
    let (stage, foh) = (world.stage(), world.foh());
    let service = stage.steady().connection().clone();
    let from_service = Stream::start(
        "signals of a service of stage, at foh",
        RATE,
        async move |number| tick(&service, number).await,
        foh.bus.address(),
        (&imported(STEADY, stage), "Tick"),
    )
    .await;
    let rock = Rc::clone(&world.rock);
    let from_node = Stream::start(
        "emissions of a node, at stage",
        RATE,
        async move |number| rock.emit("tick", number).await,
        stage.bus.address(),
        (&node_name("rock"), "tick"),
    )
    .await;
    Steady {
        streams: vec![from_service, from_node],
        calling: tokio::task::spawn_local(call_steadily(Rc::clone(world))),
    }
}

/// Calls a service of another machine, one call after the other, all the time.
async fn call_steadily(world: Rc<World>) {
    let caller = Caller::on(&world.foh().bus, &world.ledger).await;
    let service = imported(STEADY, world.stage());
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    for number in 0u32.. {
        pace.tick().await;
        let stamp = Stamp::of([]);
        let place = (&*service, PATH, INTERFACE);
        caller
            .call(place, "Echo", &(number, "steady"), &stamp)
            .await;
    }
}

/// What there is once it stays the same.
async fn first_census(world: &World) -> Vec<Census> {
    let mut before = census(world).await;
    let mut same = 0;
    while same < SAME_MIN {
        tokio::time::sleep(LOOK).await;
        let now = census(world).await;
        let is_same = now
            .iter()
            .zip(&before)
            .all(|(now, before)| now.differences(before).is_empty());
        same = if is_same { same + 1 } else { 0 };
        before = now;
    }
    before
}

/// What there is once everything was done: as at first, save that bridges have what they make when it is first needed.
async fn warm_census(world: &World, first: &[Census]) -> Vec<Census> {
    let known = first.iter().map(|first| Census {
        counts: Counts::UNKNOWN,
        ..first.clone()
    });
    settled(world, &known.collect::<Vec<_>>()).await;
    let warm = first_census(world).await;
    let with_facts = |(first, warm): (&Census, Census)| Census {
        facts: first.facts.clone(),
        ..warm
    };
    first.iter().zip(warm).map(with_facts).collect()
}

/// What there is when it is as it was at first, or does not become so.
async fn settled(world: &World, base: &[Census]) -> Vec<Census> {
    let until = Instant::now() + SETTLED_MAX;
    loop {
        touch(world).await;
        let now = census(world).await;
        let different: Vec<String> = now
            .iter()
            .zip(base)
            .zip(&world.sites)
            .flat_map(|((now, base), site)| {
                let differences = now.differences(base).into_iter();
                differences.map(|difference| format!("{}: {difference}", site.name))
            })
            .collect();
        if different.is_empty() && world.ledger.without_end() <= 1 {
            return now;
        }
        if Instant::now() > until {
            let text = format!("{} things not as they were:", different.len());
            let some = different.iter().take(SHOWN_MAX);
            world
                .ledger
                .finding(some.fold(text, |text, one| format!("{text}\n  {one}")));
            return now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks for what bridges remember of each other's services: what they need for it is there after that, also where a
/// link or a bridge was gone.
async fn touch(world: &World) {
    for here in &world.sites {
        for there in world.sites.iter().filter(|there| there.name != here.name) {
            let service = imported(STEADY, there);
            let (to, path) = (Some(&*service), PATH);
            let connection = here.bus.connection();
            // Who is not there yet is asked the next time.
            let all = connection.call_method(to, path, Some(PROPERTIES), "GetAll", &INTERFACE);
            let _ = all.await;
        }
    }
}

async fn census(world: &World) -> Vec<Census> {
    let mut all = Vec::new();
    for (number, site) in world.sites.iter().enumerate() {
        site.forget_said();
        let census = Census::of(site).await;
        let mut census = census.unwrap_or_else(|error| panic!("{}: {error}", site.name));
        if !LASTING.contains(&number) {
            // Another process each time.
            census.counts = Counts::UNKNOWN;
            census.memory = 0;
        }
        all.push(census);
    }
    all
}

/// Whether the streams lost nothing.
async fn judge(steady: &Steady, ledger: &Ledger, report: &mut Report) {
    for stream in steady.streams.iter().map(Stream::watcher) {
        let (under_way, age) = stream.under_way();
        if age > UNHEARD_MAX {
            ledger.finding(format!(
                "{}: {under_way} not heard, one since {age:?}",
                stream.what
            ));
        }
        let window = stream.window();
        if window.lost + window.disordered > 0 {
            let text = format!(
                "{}: {} lost, {} out of order",
                stream.what, window.lost, window.disordered
            );
            ledger.finding(text);
        }
        report.heard(stream.what, &window);
    }
}

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Signals and calls a second of what goes on all the time.
const RATE: u32 = 50;
const LOOK: Duration = Duration::from_millis(250);
const SAME_MIN: u32 = 8;
/// So many differences are told.
const SHOWN_MAX: usize = 12;
const SETTLED_MAX: Duration = Duration::from_secs(60);
const UNHEARD_MAX: Duration = Duration::from_secs(5);
