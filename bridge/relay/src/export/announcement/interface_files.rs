//! Descriptions of interfaces that are installed on this machine, for services that do not describe theirs.
//!
//! Model: the files `dbus-1/interfaces/*.xml` below the data directories, read once. An earlier directory goes before a
//! later one.
//! Limits: [`FILES_MAX`] files, [`FILE_LEN_MAX`] octets of each; what exceeds them counts as not installed.
//! Spec: docs/reference/protocol.md §7.11

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use zocp_dbus::introspection::{Described, describe};

/// An installed interface.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InterfaceFile {
    pub(super) described: Described,
    /// Its element, as it is in the file.
    pub(super) text: String,
}

/// What is installed, by interface.
#[derive(Debug, Default)]
pub(super) struct InterfaceFiles(BTreeMap<String, InterfaceFile>);

impl InterfaceFiles {
    /// Reads what is below these directories for data.
    pub(super) fn read(directories: &[PathBuf]) -> Self {
        let mut installed = BTreeMap::new();
        let files = directories.iter().flat_map(|directory| files(directory));
        for file in files.take(FILES_MAX) {
            let Some(text) = text(&file) else {
                tracing::debug!(file = %file.display(), "no description of interfaces");
                continue;
            };
            let description = describe(&text);
            for described in description.interfaces {
                let text = text.get(described.span.clone()).unwrap_or_default();
                let interface = InterfaceFile {
                    text: text.to_owned(),
                    described,
                };
                let name = interface.described.name.clone();
                installed.entry(name).or_insert(interface);
            }
        }
        Self(installed)
    }

    pub(super) fn get(&self, interface: &str) -> Option<&InterfaceFile> {
        self.0.get(interface)
    }

    /// The names of an interface and of those whose names begin with its name and a dot.
    pub(super) fn below<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let names = self.0.range(name.to_owned()..).map(|(name, _)| &**name);
        names
            .take_while(move |other| other.starts_with(name))
            .filter(move |other| {
                let rest = other.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
    }
}

/// The directories for data that the environment names, `dirs` as `$XDG_DATA_DIRS`.
pub(super) fn data_directories(dirs: Option<String>) -> Vec<PathBuf> {
    let dirs = dirs.filter(|dirs| !dirs.is_empty());
    let dirs = dirs.unwrap_or_else(|| "/usr/local/share:/usr/share".to_owned());
    let paths = dirs.split(':').map(PathBuf::from);
    paths.filter(|path| path.is_absolute()).collect()
}

/// The files of a directory, sorted.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory.join("dbus-1/interfaces")) else {
        return Vec::new();
    };
    let entries = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "xml"))
        .take(FILES_MAX)
        .collect();
    files.sort();
    files
}

fn text(file: &Path) -> Option<String> {
    let mut text = String::new();
    let mut file = fs::File::open(file).ok()?.take(FILE_LEN_MAX + 1);
    let len = file.read_to_string(&mut text).ok()?;
    (len as u64 <= FILE_LEN_MAX).then_some(text)
}

const FILES_MAX: usize = 1024;
const FILE_LEN_MAX: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_are_those_of_the_environment_or_the_usual_ones() {
        let directories = |dirs: Option<&str>| data_directories(dirs.map(str::to_owned));
        let usual = [Path::new("/usr/local/share"), Path::new("/usr/share")];
        assert_eq!(directories(None), usual);
        assert_eq!(directories(Some("")), usual);
        assert_eq!(
            directories(Some("/a:relative:/b")),
            [Path::new("/a"), Path::new("/b")]
        );
    }

    #[test]
    fn interfaces_are_found_by_name_the_first_directory_first() {
        let place = std::env::temp_dir().join(format!("zocp-installed-{}", std::process::id()));
        let write = |directory: &str, file: &str, text: &str| {
            let interfaces = place.join(directory).join("dbus-1/interfaces");
            fs::create_dir_all(&interfaces).unwrap();
            fs::write(interfaces.join(file), text).unwrap();
        };
        write(
            "one",
            "a.xml",
            r#"<node><interface name="org.a.A"><method name="M"/></interface></node>"#,
        );
        write(
            "two",
            "a.xml",
            r#"<node><interface name="org.a.A"/></node>"#,
        );
        write(
            "two",
            "b.xml",
            r#"<node><interface name="org.a.A.B"/><interface name="org.a.AB"/></node>"#,
        );
        write("two", "broken.xml", "<node");
        let installed =
            InterfaceFiles::read(&[place.join("one"), place.join("none"), place.join("two")]);
        fs::remove_dir_all(&place).unwrap();
        let a = installed.get("org.a.A").unwrap();
        assert!(a.described.has_members);
        assert_eq!(
            a.text,
            r#"<interface name="org.a.A"><method name="M"/></interface>"#
        );
        assert_eq!(
            installed.below("org.a.A").collect::<Vec<_>>(),
            ["org.a.A", "org.a.A.B"]
        );
        assert!(installed.get("org.a.C").is_none());
    }
}
