//! The arguments of `zocp wire`.

use std::collections::HashMap;

use clap_complete::engine::ArgValueCandidates;
use zbus::Variant;

use crate::complete;

/// What a wire is made with.
#[derive(Debug, clap::Args)]
pub(crate) struct WireArgs {
    /// Where it begins: an emitter, or a property or signal of a service
    #[arg(add = ArgValueCandidates::new(complete::ends))]
    pub(crate) from: String,
    /// Where it ends: a sensor or what can be set, or a property or method of a service
    #[arg(add = ArgValueCandidates::new(complete::ends))]
    pub(crate) to: String,
    /// From one range to another, 0..1=0..255, or `ends` for the ranges of the two ends
    #[arg(
        long,
        value_name = "FIRST..LAST=FIRST..LAST",
        allow_hyphen_values = true
    )]
    pub(crate) scale: Option<String>,
    /// Keep the value in the range that it goes to
    #[arg(long)]
    pub(crate) clamp: bool,
    /// Turn the range that it goes to around
    #[arg(long)]
    invert: bool,
    /// Let pass nothing but a trigger, each time the value rises to this (with --invert: falls below)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) threshold: Option<f64>,
    /// Compute the value first, such as `if value > 3 { 1 } else { 0 }`
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    pub(crate) expr: Option<String>,
    /// Deliver each value, in order, however slow the target is: for events (the default for methods, and for
    /// what cannot be read)
    #[arg(long, conflicts_with = "latest")]
    every: bool,
    /// Deliver the newest value when the target is slower than the source: for states (the default for
    /// properties, and for what can be read)
    #[arg(long)]
    latest: bool,
    /// Hand over the value that the source has when the wire is made; without this a state is handed over
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true
    )]
    initial: Option<bool>,
    /// Keep the wire when the bridge ends; its ends need not be here yet
    #[arg(long)]
    pub(crate) lasting: bool,
}

impl WireArgs {
    /// As the bridge takes them.
    pub(crate) fn options(&self) -> HashMap<&'static str, Variant<'static>> {
        let text = |text: &Option<String>| text.clone().map(Variant::new);
        let truth = |truth: bool| truth.then(|| Variant::new(true));
        let options = [
            ("Scale", text(&self.scale)),
            ("Clamp", truth(self.clamp)),
            ("Invert", truth(self.invert)),
            ("Threshold", self.threshold.map(Variant::new)),
            ("Expression", text(&self.expr)),
            (
                "Deliver",
                self.every.then(|| Variant::new("every".to_owned())),
            ),
            (
                "Deliver",
                self.latest.then(|| Variant::new("latest".to_owned())),
            ),
            ("Initial", self.initial.map(Variant::new)),
            ("Lasting", truth(self.lasting)),
        ];
        let given = options
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        given.collect()
    }
}
