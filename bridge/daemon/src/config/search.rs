//! Where the file of the configuration and the state are, unless something else is said.

use std::path::PathBuf;

/// Where the file is looked for, in this order. `home` and `config_home` are `$HOME` and
/// `$XDG_CONFIG_HOME`; empty ones and relative ones do not count, as the XDG specification says.
#[must_use]
pub fn search_path(config_home: Option<PathBuf>, home: Option<PathBuf>) -> Vec<PathBuf> {
    let user = user_place(config_home, home, ".config");
    let system = PathBuf::from("/etc");
    user.into_iter()
        .chain([system])
        .map(|place| place.join("zocp/bridge.toml"))
        .collect()
}

/// Where state is kept unless something else is said. `home` and `state_home` are `$HOME` and
/// `$XDG_STATE_HOME`, with the same exceptions; none without both.
#[must_use]
pub fn state_place(state_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    Some(user_place(state_home, home, ".local/state")?.join("zocp"))
}

fn user_place(named: Option<PathBuf>, home: Option<PathBuf>, below: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    named
        .filter(absolute)
        .or_else(|| home.filter(absolute).map(|home| home.join(below)))
}
