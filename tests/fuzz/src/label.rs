//! Names as labels, and back.
//!
//! Input: two texts, one a line.
//! Holds: a label is legal on a bus and undone to its name (L1, L2), also as part of a longer name; texts
//! are undone only if they are labels (L3); two names have two labels unless one was cut.

use zbus::names::{MemberName, WellKnownName};
use zocp_mapping::label::{LABEL_LEN_MAX, label, suffixed, unlabel};

/// Runs the target.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (one, two) = text.split_once('\n').unwrap_or((&text, ""));
    for name in [one, two] {
        check(name);
    }
    let labels = [one, two].map(label);
    let is_cut = labels.iter().any(|label| label.len() == LABEL_LEN_MAX);
    assert!(is_cut || (labels[0] == labels[1]) == (one == two));
}

fn check(name: &str) {
    let label = label(name);
    assert!(label.len() <= LABEL_LEN_MAX);
    assert!(MemberName::try_from(label.as_str()).is_ok(), "{label}");
    let bus_name = format!(
        "org.z25.Zocp1.Node.{}",
        suffixed(&label, "0123456789abcdef")
    );
    assert!(WellKnownName::try_from(bus_name.as_str()).is_ok());
    assert!(zbus::ObjectPath::try_from(format!("/a/{label}")).is_ok());
    let undone = unlabel(&label);
    assert!(label.len() == LABEL_LEN_MAX || undone.as_deref() == Some(name));
    // Any text may be taken for a label.
    if let Some(invented) = unlabel(name) {
        assert_eq!(zocp_mapping::label::label(&invented), name);
    }
}
