//! Any text as the bridge's configuration.
//!
//! Input: the text.
//! Holds: it is refused with a line or a key, or it becomes settings that make sense; laid over nothing,
//! and nothing laid over it, it stays what it is.

use zocp_daemon::config::{Config, ConfigError};

use crate::memory;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (read, most) = memory::peak(|| Config::parse(text));
    assert!(
        most <= FIXED + EACH * data.len(),
        "{most} octets for {}",
        data.len()
    );
    let config = match read {
        Ok(config) => config,
        Err(why) => {
            assert!(why.to_string().contains("line"), "{why}");
            return;
        }
    };
    if config != config.clone() {
        return; // A NaN among the seconds is not the same as itself.
    }
    assert_eq!(config.clone().over(Config::default()), config);
    assert_eq!(Config::default().over(config.clone()), config);
    check(config);
}

fn check(config: Config) {
    match config.check() {
        Ok(settings) => {
            let node = &settings.node;
            assert!(node.silence_max > node.silence_ping && !node.silence_ping.is_zero());
            assert_ne!(node.beacon_port, Some(0));
            assert!((1..=255).contains(&node.name.len()));
            assert!(
                settings
                    .services
                    .export
                    .rules
                    .iter()
                    .all(|rule| rule.grant.may_see())
            );
        }
        Err(ConfigError::Invalid { key, reason }) => {
            assert!(!key.is_empty() && !reason.is_empty());
        }
        Err(other) => panic!("{other}: nothing was read from a file"),
    }
}

const FIXED: usize = 256 << 10;
const EACH: usize = 2048;
