//! The arguments of `zocp publish`.

use super::OfferArgs;

/// What is published: a value, or a stream.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// Its name
    #[arg(required_unless_present = "stream")]
    pub(crate) name: Option<String>,
    /// Its value; `-` sets each line of stdin, until its end
    #[arg(allow_hyphen_values = true, required_unless_present = "stream")]
    pub(crate) value: Option<String>,
    /// Letters of r (read), w (others may set it), e (it emits), s (it senses); re by default
    #[arg(long, conflicts_with = "stream")]
    pub(crate) access: Option<String>,
    /// Its typeHint, for instance int, percent or vec3f; by default what the value looks like
    #[arg(long, conflicts_with = "stream")]
    pub(crate) hint: Option<String>,
    /// The smallest value
    #[arg(long, allow_hyphen_values = true, conflicts_with = "stream")]
    pub(crate) min: Option<f64>,
    /// The largest value
    #[arg(long, allow_hyphen_values = true, conflicts_with = "stream")]
    pub(crate) max: Option<f64>,
    /// The step between values
    #[arg(long, conflicts_with = "stream")]
    pub(crate) step: Option<f64>,
    /// The object that it is in, `cam.pan`
    #[arg(long, value_name = "PATH")]
    pub(crate) object: Option<String>,
    /// Leave it there, with its last value, also after the bridge is started anew
    #[arg(long, conflicts_with = "stream")]
    pub(crate) lasting: bool,
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
}

impl PublishArgs {
    /// The name of the value; the command line has one unless it has a stream.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The value as it is written.
    pub(crate) fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}
