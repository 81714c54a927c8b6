//! `mesh.peers`: endpoints of peers, and names by which DNS tells of them.

use zocp_srv::{NAMES_MAX, SrvName};

use super::{ConfigError, checked_endpoint, invalid};

/// Puts the endpoints into the configuration of the node, whose security is known already, and returns the names.
pub(super) fn apply(
    node: &mut zocp_node::Config,
    peers: Vec<String>,
) -> Result<Vec<SrvName>, ConfigError> {
    let mut names = Vec::new();
    for peer in peers {
        if !SrvName::is_meant(&peer) {
            node.peers.push(checked_endpoint(KEY, peer)?);
            continue;
        }
        let name: SrvName = peer.parse().map_err(|error| invalid(KEY, &error))?;
        match (&node.security, name.key()) {
            (None, Some(_)) => {
                let reason = format!("\"{name}\" has a key, but the mesh has none (`mesh.key`)");
                return Err(invalid(KEY, &reason));
            }
            (Some(_), None) => {
                let reason = format!(
                    "\"{name}\" has no key: on a secure mesh write {name}|KEY, with the key of the node that the \
                     records name"
                );
                return Err(invalid(KEY, &reason));
            }
            _ => names.push(name),
        }
    }
    if names.len() > NAMES_MAX {
        let reason = format!("{} names by srv: are more than {NAMES_MAX}", names.len());
        return Err(invalid(KEY, &reason));
    }
    Ok(names)
}

const KEY: &str = "mesh.peers";

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn check(text: &str) -> Result<(Vec<String>, usize), String> {
        let checked = Config::parse(&format!("[mesh]\n{text}")).unwrap().check();
        let checked = checked.map_err(|error| error.to_string())?;
        Ok((checked.node.peers, checked.srv.len()))
    }

    #[test]
    fn endpoints_and_names_are_told_apart() {
        let peers = "peers = ['tcp://10.0.0.1:5671', 'srv:_zocp._tcp.venue.example']";
        assert_eq!(
            check(peers),
            Ok((vec!["tcp://10.0.0.1:5671".to_owned()], 1))
        );
    }

    #[test]
    fn a_name_that_is_none_is_an_error_with_an_example() {
        let error = check("peers = ['srv:venue.example']").unwrap_err();
        assert_eq!(
            error,
            "mesh.peers: \"srv:venue.example\" is not srv:_SERVICE._tcp.DOMAIN, such as srv:_zocp._tcp.venue.example"
        );
        let key = zocp_node::KeyPair::from_secret(&[7; 32]).public();
        let error = check(&format!("peers = [\"srv:_zocp._tcp.a|{key}\"]")).unwrap_err();
        assert!(
            error.contains("has a key, but the mesh has none"),
            "{error}"
        );
    }

    #[test]
    fn names_have_a_bound() {
        let names: Vec<String> = (0..17)
            .map(|at| format!("'srv:_zocp._tcp.v{at}'"))
            .collect();
        let error = check(&format!("peers = [{}]", names.join(", "))).unwrap_err();
        assert_eq!(error, "mesh.peers: 17 names by srv: are more than 16");
    }
}
