//! A scene: values and wires as they were at one moment, in a file.
//!
//! Model: JSON, `{"format": "zocp-scene", "version": 2, "nodes": [{"name": …, "uuid": …, "values": {CAPABILITY: value}}],
//! "wires": […]}`, a file for each scene in `$XDG_STATE_HOME/zocp/scenes`, its name the label of the scene's. Only
//! what can be written is in it. Version 1, which is read too, had no UUIDs: `"nodes": {NODE: {CAPABILITY: value}}`.
//! Invariants: CLISCENE-1. a file is whole: it is written beside its place and put there by one rename.
//! Not here: what is done with it (`command::scene`).

mod fade;
mod identity;
mod selection;

pub(crate) use fade::{between, is_same};
pub(crate) use identity::{Identity, resolve};
pub(crate) use selection::Selection;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use zbus::Variant;
use zocp_mapping::label::{label, unlabel};

use crate::{
    exit::{Exit, Failure},
    wiring::WireView,
};

/// See the [module](self).
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scene {
    pub(crate) nodes: Vec<SceneNode>,
    pub(crate) wires: Vec<SceneWire>,
}

/// A node of a scene.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SceneNode {
    pub(crate) name: String,
    /// Empty in a scene of version 1.
    pub(crate) uuid: String,
    /// By dotted name.
    pub(crate) values: BTreeMap<String, Value>,
}

impl SceneNode {
    /// One of which nothing but the name is known.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn identity(&self) -> Identity<'_> {
        Identity {
            name: &self.name,
            uuid: &self.uuid,
        }
    }

    /// The node as it is shown: by its name, with its UUID where another of the scene has the name.
    pub(crate) fn shown(&self, scene: &Scene) -> String {
        let namesakes = scene.nodes.iter().filter(|node| node.name == self.name);
        match self.uuid.get(..8) {
            Some(uuid) if namesakes.count() > 1 => format!("{} ({uuid})", self.name),
            _ => self.name.clone(),
        }
    }

    fn to_json(&self) -> Value {
        json!({ "name": self.name, "uuid": self.uuid, "values": self.values })
    }

    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            name: value["name"].as_str()?.to_owned(),
            uuid: value["uuid"].as_str()?.to_owned(),
            values: values(&value["values"])?,
        })
    }
}

fn values(value: &Value) -> Option<BTreeMap<String, Value>> {
    let values = value.as_object()?.iter();
    Some(
        values
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

/// A wire of a scene.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SceneWire {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) conversion: Map<String, Value>,
    pub(crate) lasting: bool,
}

impl SceneWire {
    /// What `WireWith` is asked for.
    pub(crate) fn options(&self) -> HashMap<&str, Variant<'static>> {
        let mut options = HashMap::new();
        for (key, value) in &self.conversion {
            let value = match value {
                Value::Bool(truth) => Variant::new(*truth),
                Value::Number(number) => Variant::new(number.as_f64().unwrap_or_default()),
                value => Variant::new(crate::value::plain(value)),
            };
            options.insert(key.as_str(), value);
        }
        if self.lasting {
            options.insert("Lasting", Variant::new(true));
        }
        options
    }

    #[cfg(test)]
    pub(crate) fn between(from: &str, to: &str) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            ..Self::default()
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "from": self.from, "to": self.to,
            "conversion": self.conversion, "lasting": self.lasting,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            from: value["from"].as_str()?.to_owned(),
            to: value["to"].as_str()?.to_owned(),
            conversion: value["conversion"].as_object().cloned().unwrap_or_default(),
            lasting: value["lasting"].as_bool().unwrap_or_default(),
        })
    }
}

impl From<&WireView> for SceneWire {
    fn from(wire: &WireView) -> Self {
        Self {
            from: wire.from.clone(),
            to: wire.to.clone(),
            conversion: wire.conversion.clone(),
            lasting: wire.lasting,
        }
    }
}

impl Scene {
    /// What tells its nodes from each other.
    pub(crate) fn identities(&self) -> Vec<Identity<'_>> {
        self.nodes.iter().map(SceneNode::identity).collect()
    }

    /// As it is in its file.
    pub(crate) fn to_json(&self) -> Value {
        let wires: Vec<Value> = self.wires.iter().map(SceneWire::to_json).collect();
        let nodes: Vec<Value> = self.nodes.iter().map(SceneNode::to_json).collect();
        json!({ "format": FORMAT, "version": VERSION, "nodes": nodes, "wires": wires })
    }

    fn from_json(value: &Value) -> Option<Self> {
        if value["format"] != FORMAT {
            return None;
        }
        let nodes: Option<Vec<SceneNode>> = match value["version"].as_u64()? {
            1 => {
                let nodes = value["nodes"].as_object()?.iter();
                let node = |(name, given): (&String, &Value)| {
                    let values = values(given)?;
                    Some(SceneNode {
                        values,
                        ..SceneNode::named(name)
                    })
                };
                nodes.map(node).collect()
            }
            VERSION => {
                let nodes = value["nodes"].as_array()?.iter();
                nodes.map(SceneNode::from_json).collect()
            }
            _ => None,
        };
        let wires = value["wires"].as_array()?.iter().map(SceneWire::from_json);
        Some(Self {
            nodes: nodes?,
            wires: wires.collect::<Option<_>>()?,
        })
    }
}

/// The place where scenes are.
#[derive(Debug)]
pub(crate) struct Scenes {
    directory: PathBuf,
}

/// The user's directory for what outlives a program.
pub(crate) fn state_directory() -> Result<PathBuf, Failure> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    let place = zocp_daemon::config::state_place(path("XDG_STATE_HOME"), path("HOME"));
    place.ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no place for scenes and certificates")
            .hint("set HOME or XDG_STATE_HOME to an absolute path")
    })
}

impl Scenes {
    /// The user's.
    pub(crate) fn of_user() -> Result<Self, Failure> {
        Ok(Self {
            directory: state_directory()?.join("scenes"),
        })
    }

    /// Writes a scene; one of that name is replaced.
    pub(crate) fn write(&self, name: &str, scene: &Scene) -> Result<PathBuf, Failure> {
        let file = self.file(name)?;
        fs::create_dir_all(&self.directory).map_err(|error| at(&self.directory, &error))?;
        let beside = file.with_extension(format!("new-{}", std::process::id()));
        let text = format!("{:#}\n", scene.to_json());
        let written = fs::File::create(&beside)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&beside, &file));
        if let Err(error) = written {
            fs::remove_file(&beside).ok();
            return Err(at(&file, &error));
        }
        Ok(file)
    }

    /// Reads a scene.
    pub(crate) fn read(&self, name: &str) -> Result<Scene, Failure> {
        let file = self.file(name)?;
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let failure = Failure::new(Exit::Usage, format!("no scene is called \"{name}\""));
                return Err(failure.hint("see `zocp scene list`"));
            }
            Err(error) => return Err(at(&file, &error)),
        };
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(Exit::Failure, format!("{}: {error}", file.display())))?;
        Scene::from_json(&value).ok_or_else(|| {
            let text = format!("{} is no scene that this version knows", file.display());
            Failure::new(Exit::Failure, text)
        })
    }

    /// The names of all scenes, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let files = match fs::read_dir(&self.directory) {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&self.directory, &error)),
        };
        let mut names = Vec::new();
        for file in files {
            let name = file
                .map_err(|error| at(&self.directory, &error))?
                .file_name();
            let label = name.to_str().and_then(|name| name.strip_suffix(".json"));
            names.extend(label.and_then(unlabel));
        }
        names.sort();
        Ok(names)
    }

    fn file(&self, name: &str) -> Result<PathBuf, Failure> {
        if name.is_empty() || unlabel(&label(name)).is_none() {
            return Err(Failure::new(
                Exit::Usage,
                "a scene's name has 1 to about 60 characters",
            ));
        }
        Ok(self.directory.join(format!("{}.json", label(name))))
    }
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("{}: {error}", path.display()))
}

const FORMAT: &str = "zocp-scene";
const VERSION: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_is_read_as_it_was_written() {
        let scene = Scene {
            nodes: ["aa", "bb"]
                .map(|uuid| SceneNode {
                    name: "lamp".to_owned(),
                    uuid: uuid.to_owned(),
                    values: [("cam.zoom".to_owned(), json!(5))].into(),
                })
                .into(),
            wires: vec![SceneWire {
                from: "a:b".to_owned(),
                to: "c:d".to_owned(),
                conversion: [("Scale".to_owned(), json!("ends"))].into_iter().collect(),
                lasting: true,
            }],
        };
        assert_eq!(Scene::from_json(&scene.to_json()), Some(scene));
        assert_eq!(
            Scene::from_json(&json!({"format": FORMAT, "version": 3, "nodes": [], "wires": []})),
            None
        );
    }

    #[test]
    fn a_scene_of_the_first_version_is_read() {
        let old = json!({
            "format": FORMAT, "version": 1, "wires": [],
            "nodes": {"fader": {}, "lamp": {"dim": 0.5}},
        });
        let scene = Scene::from_json(&old).unwrap();
        let lamp = SceneNode {
            values: [("dim".to_owned(), json!(0.5))].into(),
            ..SceneNode::named("lamp")
        };
        assert_eq!(scene.nodes, [SceneNode::named("fader"), lamp]);
    }

    #[test]
    fn the_options_of_a_wire_have_the_types_that_the_bridge_takes() {
        let conversion = json!({"Threshold": 1, "Clamp": true, "Expression": "value"});
        let wire =
            SceneWire::from_json(&json!({"from": "a:b", "to": "c:d", "conversion": conversion}));
        let wire = wire.unwrap();
        let options = wire.options();
        assert_eq!(options["Threshold"], Variant::new(1.0));
        assert_eq!(options["Clamp"], Variant::new(true));
        assert_eq!(options["Expression"], Variant::new("value"));
        assert!(!options.contains_key("Lasting"));
    }
}
