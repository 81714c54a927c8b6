//! What can be wrong with a wire before it is made: said at once, with what to write instead.
//!
//! Model: [`arguments`] looks at the words alone, without a bus. [`Ends`] are what the nodes of the two ends say of them
//! now.
//! Invariants: CHECK-1. what the bridge would take and what can work later is not refused: with `--lasting` an end need
//! not be here yet. CHECK-2. nothing is changed.

use zocp_wires::{
    End, NodeEnd,
    conversion::{Calculator, Scale},
};

use crate::{
    args::WireArgs,
    client::Client,
    exit::{Exit, Failure},
    near::suggestion,
    output::printable,
    view::CapabilityView,
    wiring::WireView,
};

/// Refuses a scale or an expression that cannot be meant.
pub(super) fn arguments(args: &WireArgs) -> Result<(), Failure> {
    if let Some(text) = &args.scale {
        text.parse::<Scale>().map_err(|error| {
            Failure::new(Exit::Usage, format!("--scale: {error}")).hint(
                "write a range and the one that it becomes, for instance --scale 0..1=0..255; `--scale ends` takes \
                 the ranges of the two ends",
            )
        })?;
    }
    if let Some(text) = &args.expr {
        Calculator::default().understand(text).map_err(|error| {
            Failure::new(Exit::Usage, format!("--expr '{text}': {error}")).hint(
                "an expression makes a value of `value`, for instance --expr 'value * 2.0' or --expr 'if value > 0.5 \
                 { \"on\" } else { \"off\" }'",
            )
        })?;
    }
    Ok(())
}

/// What the nodes at the two ends say of them.
#[derive(Debug, Default)]
pub(super) struct Ends {
    from: Option<CapabilityView>,
    to: Option<CapabilityView>,
}

impl Ends {
    /// Looks for both ends. One that is not here is an error, unless the wire may wait for it.
    pub(super) async fn find(
        client: &Client,
        (from, to): (&End, &End),
        lasting: bool,
    ) -> Result<Self, Failure> {
        Ok(Self {
            from: at(client, from, lasting).await?,
            to: at(client, to, lasting).await?,
        })
    }

    /// Why most values would be refused, where the two ranges say so.
    pub(super) fn warning(&self, args: &WireArgs) -> Option<String> {
        let converts = args.scale.is_some() || args.expr.is_some() || args.threshold.is_some();
        if converts || args.clamp {
            return None;
        }
        let (from, to) = (range(self.from.as_ref()?)?, range(self.to.as_ref()?)?);
        let fits = to.0 <= from.0 && from.1 <= to.1;
        (!fits).then(|| {
            format!(
                "values go from {} to {}, and the other end takes {} to {}: `--scale ends` fits them, `--clamp` cuts \
                 them off",
                from.0, from.1, to.0, to.1
            )
        })
    }
}

async fn at(client: &Client, end: &End, lasting: bool) -> Result<Option<CapabilityView>, Failure> {
    let End::Node(NodeEnd {
        node, capability, ..
    }) = end
    else {
        return Ok(None);
    };
    let waits = |failure: Failure| {
        if lasting {
            eprintln!(
                "zocp: {}; the wire waits for it",
                printable(failure.message())
            );
            return Ok(None);
        }
        Err(failure.or("with --lasting the wire is made now and waits for it"))
    };
    let peer = match client.node(node).await {
        Err(failure) if failure.exit == Exit::NoNode => return waits(failure),
        peer => peer?,
    };
    let tree = client.tree(&peer.bus_name).await?;
    let names = tree.all_names();
    if let Some((_, found)) = tree.find(capability) {
        return Ok(Some(found.clone()));
    }
    // A node that has said nothing yet has no capability that one could mean: the bridge knows whether it will.
    if names.is_empty() {
        return Ok(None);
    }
    let text = format!("\"{}\" has no capability \"{capability}\"", peer.name);
    let failure = Failure::new(Exit::NoCapability, text);
    waits(
        match suggestion(capability, names.iter().map(String::as_str)) {
            Some(suggestion) => failure.hint(suggestion),
            None => failure.hint(format!("it has {}", names.join(", "))),
        },
    )
}

/// From the lowest to the highest value, where both are known.
fn range(capability: &CapabilityView) -> Option<(f64, f64)> {
    let bound = |name: &str| capability.description.get(name)?.as_f64();
    Some((bound("min")?, bound("max")?))
}

/// The wire that a new one has replaced.
pub(super) fn replaced<'a>(before: &'a [WireView], made: &WireView) -> Option<&'a WireView> {
    let is_same = |old: &&WireView| !old.foreign && old.from == made.from && old.to == made.to;
    before
        .iter()
        .find(is_same)
        .filter(|old| old.path != made.path || old.conversion != made.conversion)
}
