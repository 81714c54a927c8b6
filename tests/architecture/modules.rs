//! The modules of a crate and what each imports, read from the sources.
//!
//! Model: a [`Module`] is a source file. A path that begins with `crate`, `self` or `super` leads to a module, also through
//! a name that a module on the way imports from another one. Code of tests is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::Span;
use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// Names from the root of a crate, which is empty, to a module in it.
pub(super) type ModulePath = Vec<String>;

/// A module and the paths in it.
#[derive(Debug, Default)]
pub(super) struct Module {
    pub(super) file: PathBuf,
    /// Names that are imported, and where from.
    imported: BTreeMap<String, Vec<String>>,
    /// Absolute paths, and the lines that have them.
    paths: BTreeSet<(Vec<String>, usize)>,
}

/// The modules of one crate.
#[derive(Debug, Default)]
pub(super) struct Modules {
    modules: BTreeMap<ModulePath, Module>,
}

/// That one module imports from another.
#[derive(Debug, Clone)]
pub(super) struct Import {
    pub(super) from: String,
    pub(super) to: String,
    /// The path as it is written, with its file and line.
    pub(super) place: String,
}

impl Modules {
    /// Reads a crate's sources, from its root file on.
    pub(super) fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        let folder = root.parent().expect("a file has a folder").to_owned();
        modules.add(root.to_owned(), folder, Vec::new());
        modules
    }

    /// Whether there is a module, or an item in a module, at a path from the root.
    pub(super) fn has(&self, path: &[String]) -> bool {
        let known = (0..=path.len())
            .rev()
            .find(|len| self.modules.contains_key(&path[..*len]));
        let Some(len) = known else { return false };
        let Some(item) = path.get(len) else {
            return true;
        };
        let module = &self.modules[&path[..len]];
        let text = fs::read_to_string(&module.file).unwrap_or_default();
        module.imported.contains_key(item) || declares(&text, item)
    }

    /// Whether the last name of a path is a module, or is declared in the module that the path leads to or below it.
    pub(super) fn declares_below(&self, path: &[String]) -> bool {
        let known = (0..=path.len())
            .rev()
            .find(|len| self.modules.contains_key(&path[..*len]));
        let (Some(len), Some(name)) = (known, path.last()) else {
            return false;
        };
        len == path.len()
            || self.modules.iter().any(|(below, module)| {
                below.starts_with(&path[..len]) && {
                    let text = fs::read_to_string(&module.file).unwrap_or_default();
                    // A field is declared without a word before it.
                    declares(&text, name) || text.contains(&format!("{name}: "))
                }
            })
    }

    fn add(&mut self, file: PathBuf, folder: PathBuf, path: ModulePath) {
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut reader = Reader {
            at: path.clone(),
            module: Module {
                file,
                ..Module::default()
            },
            children: Vec::new(),
        };
        reader.visit_file(&parsed);
        let Reader {
            module, children, ..
        } = reader;
        self.modules.insert(path.clone(), module);
        for child in children {
            let below = folder.join(&child);
            let alone = folder.join(format!("{child}.rs"));
            let file = match alone.is_file() {
                true => alone,
                false => below.join("mod.rs"),
            };
            let mut path = path.clone();
            path.push(child);
            self.add(file, below, path);
        }
    }

    /// What the modules right below `parent` import from each other.
    pub(super) fn imports_below(&self, parent: &[String]) -> Vec<Import> {
        let mut imports = Vec::new();
        let below = |path: &ModulePath| path.len() > parent.len() && path.starts_with(parent);
        for (path, module) in self.modules.iter().filter(|(path, _)| below(path)) {
            let from = &path[parent.len()];
            for (used, line) in &module.paths {
                let target = self.resolve(used, 0);
                if target.len() > parent.len()
                    && target.starts_with(parent)
                    && target[parent.len()] != *from
                    && self.modules.contains_key(&target[..=parent.len()])
                {
                    imports.push(Import {
                        from: from.clone(),
                        to: target[parent.len()].clone(),
                        place: format!(
                            "{}:{line}: crate::{}",
                            module.file.display(),
                            used.join("::")
                        ),
                    });
                }
            }
        }
        imports
    }

    /// The modules that have modules below them.
    pub(super) fn parents(&self) -> BTreeSet<ModulePath> {
        let below = self.modules.keys().filter(|path| !path.is_empty());
        below.map(|path| path[..path.len() - 1].to_vec()).collect()
    }

    /// The source of each module, by the names that lead to it from the root.
    pub(super) fn files(&self) -> impl Iterator<Item = (&[String], &Path)> {
        let all = self.modules.iter();
        all.map(|(path, module)| (path.as_slice(), module.file.as_path()))
    }

    /// Follows imported names to where they come from.
    fn resolve(&self, path: &[String], depth: usize) -> Vec<String> {
        let known = (0..=path.len())
            .rev()
            .find(|len| self.modules.contains_key(&path[..*len]))
            .unwrap_or(0);
        let Some(module) = self.modules.get(&path[..known]) else {
            return path.to_vec();
        };
        match path.get(known).and_then(|name| module.imported.get(name)) {
            Some(origin) if depth < 8 && **origin != *path => {
                let mut longer = origin.clone();
                longer.extend_from_slice(&path[known + 1..]);
                self.resolve(&longer, depth + 1)
            }
            _ => path.to_vec(),
        }
    }
}

/// Whether a source declares an item, a field, a variant or a method of this name.
fn declares(text: &str, name: &str) -> bool {
    let words = [
        "fn",
        "struct",
        "enum",
        "trait",
        "const",
        "static",
        "type",
        "mod",
        "macro_rules!",
    ];
    words.iter().any(|word| {
        let declared = format!("{word} {name}");
        let mut found = text.match_indices(&declared);
        found.any(|(at, _)| {
            let behind = text[at + declared.len()..].chars().next();
            !behind.is_some_and(|next| next.is_alphanumeric() || next == '_')
        })
    })
}

/// Collects what a source imports, without its tests.
struct Reader {
    at: ModulePath,
    module: Module,
    children: Vec<String>,
}

impl Reader {
    /// The path from the root, where it begins with `crate`, `self` or `super`.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut absolute = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => self.at.clone(),
            "super" => self.at[..self.at.len().checked_sub(1)?].to_vec(),
            _ => return None,
        };
        for name in &path[1..] {
            match name.as_str() {
                "super" => {
                    absolute.pop()?;
                }
                name => absolute.push(name.to_owned()),
            }
        }
        Some(absolute)
    }

    fn add(&mut self, path: &[String], span: Span) -> Option<Vec<String>> {
        let absolute = self.absolute(path)?;
        let line = span.start().line;
        self.module.paths.insert((absolute.clone(), line));
        Some(absolute)
    }

    fn tree(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before);
                before.pop();
            }
            UseTree::Name(name) => self.name(&name.ident, &name.ident, before),
            UseTree::Rename(renamed) => self.name(&renamed.ident, &renamed.rename, before),
            UseTree::Glob(glob) => {
                let span = glob.star_token.spans[0];
                self.add(before, span);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before);
                }
            }
        }
    }

    fn name(&mut self, name: &syn::Ident, known_as: &syn::Ident, before: &[String]) {
        let mut path = before.to_vec();
        let mut known_as = known_as.to_string();
        match name == "self" {
            true if known_as == "self" => known_as = before.last().cloned().unwrap_or_default(),
            true => {}
            false => path.push(name.to_string()),
        }
        if let Some(absolute) = self.add(&path, name.span()) {
            self.module.imported.insert(known_as, absolute);
        } else if self.children.contains(&path[0]) {
            // A child, named without `self`.
            let mut absolute = self.at.clone();
            absolute.extend(path);
            self.module.imported.insert(known_as, absolute);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_file(&mut self, file: &'ast syn::File) {
        // Children first, since imports name them.
        for item in &file.items {
            if let Item::Mod(module) = item
                && module.content.is_none()
                && !is_of_tests(&module.attrs)
            {
                self.children.push(module.ident.to_string());
            }
        }
        visit::visit_file(self, file);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_of_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_of_tests(&item.attrs) {
            self.tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if names.len() > 1
            && let Some(first) = path.segments.first()
        {
            self.add(&names, first.ident.span());
        }
        visit::visit_path(self, path);
    }
}

/// Whether something is there for tests alone.
pub(super) fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && {
            let tokens = list.tokens.to_string();
            tokens == "test" || tokens.contains("feature = \"testing\"")
        }
    })
}
