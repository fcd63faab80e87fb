//! No file of a crate imports one that imports it, on whatever way around. Tests may.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// The place of a module in its crate; that of `lib.rs` is empty.
type Module = Vec<String>;

/// What a file names of its own crate, and what it hands on under its own name.
#[derive(Default)]
struct File {
    module: Module,
    /// Paths from the root of the crate.
    named: Vec<Vec<String>>,
    /// Names with the paths that they stand for.
    handed_on: BTreeMap<String, Vec<String>>,
}

impl File {
    fn read(source: &Path, path: &Path) -> Self {
        let place = path.strip_prefix(source).unwrap().with_extension("");
        let mut module: Module = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if matches!(&module[..], [root] if root == "lib" || root == "main") {
            module.clear();
        }
        let mut file = Self { module, ..Self::default() };
        file.visit_file(&syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap());
        file
    }

    /// A path of this file, from the root of the crate; none of another crate.
    fn rooted(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let base = match first.as_str() {
            "crate" => &[],
            "self" => &self.module[..],
            "super" => &self.module[..self.module.len().checked_sub(1)?],
            _ => return None,
        };
        let mut found = base.to_vec();
        for part in rest {
            if part == "super" { found.pop().map(drop)? } else { found.push(part.clone()) }
        }
        Some(found)
    }

    fn visit_tree(&mut self, tree: &syn::UseTree, before: &[String], is_public: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.visit_tree(&path.tree, &with(&path.ident), is_public),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.visit_tree(tree, before, is_public));
            }
            syn::UseTree::Name(name) => self.name(&name.ident, with(&name.ident), is_public),
            syn::UseTree::Rename(rename) => self.name(&rename.rename, with(&rename.ident), is_public),
            syn::UseTree::Glob(_) => self.named.extend(self.rooted(before)),
        }
    }

    fn name(&mut self, name: &syn::Ident, path: Vec<String>, is_public: bool) {
        // What is handed on may be of a module below this one, without `self`.
        let of_below = || [&self.module[..], &path].concat();
        let path = self.rooted(&path).unwrap_or_else(of_below);
        if is_public {
            self.handed_on.insert(name.to_string(), path.clone());
        }
        self.named.push(path);
    }
}

impl<'a> Visit<'a> for File {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|what| what == "test")
        };
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.visit_tree(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.named.extend(self.rooted(&parts));
        visit::visit_path(self, path);
    }
}

/// The Rust files below a folder, but for tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_test = |name: &str| ["tests", "fixtures", "golden"].iter().any(|ending| name.ends_with(ending));
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "rs")
            && !is_test(&path.file_stem().unwrap().to_string_lossy())
    };
    let below = folders.iter().flat_map(|folder| sources(folder));
    files.into_iter().filter(is_source).chain(below).collect()
}

/// The file that defines what a path names: names that are handed on are followed.
fn defines(files: &BTreeMap<Module, File>, path: &[String]) -> Module {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let length = (0..=path.len()).rev().find(|&length| files.contains_key(&path[..length])).unwrap();
        let (module, rest) = path.split_at(length);
        match rest.first().and_then(|name| files[module].handed_on.get(name)) {
            Some(other) if *other != path => path = [other, &rest[1..]].concat(),
            _ => return module.to_vec(),
        }
    }
    panic!("{path:?} is handed on in a circle")
}

/// Of each file the files that it imports, but for those above and below it.
fn imports(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let files = sources(source).into_iter().map(|path| File::read(source, &path));
    let files: BTreeMap<Module, File> = files.map(|file| (file.module.clone(), file)).collect();
    let mut imports = BTreeMap::new();
    for (module, file) in &files {
        let beside = |other: &Module| !other.starts_with(module) && !module.starts_with(other);
        let named = file.named.iter().map(|path| defines(&files, path)).filter(beside);
        imports.insert(module.clone(), named.collect());
    }
    imports
}

/// Some way from a file back to itself.
fn circle(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<&Module>> {
    // Files whose imports lead to none of those that are left are taken away until none is left.
    let mut left: BTreeSet<&Module> = imports.keys().collect();
    loop {
        let ends =
            left.iter().copied().filter(|module| !imports[*module].iter().any(|other| left.contains(other)));
        let ends: Vec<&Module> = ends.collect();
        if ends.is_empty() {
            break;
        }
        left.retain(|module| !ends.contains(module));
    }
    let mut way = vec![*left.first()?];
    loop {
        let next = imports[way[way.len() - 1]].iter().find_map(|other| left.get(other)).unwrap();
        if let Some(start) = way.iter().position(|seen| seen == next) {
            return Some(way.split_off(start));
        }
        way.push(*next);
    }
}

#[test]
fn no_file_imports_in_a_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in std::fs::read_dir(crates).unwrap() {
        let source = folder.unwrap().path().join("src");
        let imports = imports(&source);
        assert!(imports.len() > 1, "{}", source.display());
        assert_eq!(circle(&imports), None, "{}", source.display());
    }
}

#[test]
fn a_circle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("lib.rs", "mod a; mod b; mod c; pub use c::Thing; pub use a::f;");
    write("a.rs", "use crate::{Thing, b}; pub fn f() {}");
    write("b.rs", "pub struct B(crate::Thing);");
    write("c.rs", "pub struct Thing; #[cfg(test)] mod tests { use crate::f; }");
    assert_eq!(circle(&imports(folder.path())), None);
    write("c.rs", "pub struct Thing; fn g() { crate::f() }");
    let imports = imports(folder.path());
    let way = circle(&imports).unwrap();
    assert_eq!(way.into_iter().map(|module| module[0].as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}
