//! The repository's own rules: who may depend on whom, how large a file may be, what may only be added to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Production lines of a file; what is larger is two files.
const MOST_LINES: usize = 400;

/// Each crate with those of ours that it may depend on: arrows point one way.
const LAYERS: [(&str, &[&str]); 12] = [
    ("domain", &["proto"]),
    ("store", &["proto", "domain"]),
    ("bus", &["proto", "domain"]),
    ("auth", &["proto", "domain"]),
    ("ingest", &["proto", "domain", "store", "bus"]),
    ("query", &["proto", "domain", "store", "bus"]),
    ("inference", &["proto", "domain", "store", "bus"]),
    ("actions", &["proto", "domain", "store", "bus"]),
    ("simulator", &["proto", "domain"]),
    ("../gateway", &["proto", "domain", "auth"]),
    (
        "platform",
        &[
            "proto",
            "domain",
            "store",
            "bus",
            "auth",
            "ingest",
            "query",
            "inference",
            "actions",
            "simulator",
            "gateway",
        ],
    ),
    ("../tests/support", &[]),
];

/// Libraries that only one folder may name, so that they can be replaced there.
const KEPT_APART: [(&str, &[&str]); 4] = [
    ("mqtt5", &["crates/ingest/src/sources/broker", "crates/ingest/src/sources/broker.rs"]),
    ("rdkafka", &["crates/bus/src/kafka"]),
    ("rumqttc", &["crates/ingest/src/sources/mqtt"]),
    (
        "sqlx",
        &[
            "crates/store/src/postgres",
            "crates/store/src/sqlite",
            "crates/store/src/error.rs",
            "crates/store/src/suite",
        ],
    ),
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` whose name ends so, as paths from the root.
fn files(folder: &str, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {suffix} below {folder}");
    found
}

fn rust_files() -> Vec<PathBuf> {
    ["crates", "gateway", "proto", "tests"].into_iter().flat_map(|folder| files(folder, ".rs")).collect()
}

#[test]
fn dependencies_point_one_way() {
    let mut crates = files("crates", "Cargo.toml").len();
    for (name, allowed) in LAYERS {
        let manifest = read(&Path::new(ROOT).join("crates").join(name).join("Cargo.toml"));
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        let ours = dependencies.lines().filter_map(|line| line.strip_prefix("cornjacket-"));
        for dependency in ours.filter_map(|line| line.split(['.', ' ']).next()) {
            assert!(allowed.contains(&dependency), "crates/{name} must not depend on {dependency}");
        }
        crates -= usize::from(!name.starts_with(".."));
    }
    assert_eq!(crates, 0, "a crate is missing in LAYERS");
}

#[test]
fn libraries_that_are_kept_apart_are() {
    for path in files("crates", ".rs") {
        let text = read(&path);
        let path = path.strip_prefix(ROOT).expect("below the root");
        for (library, places) in KEPT_APART {
            let names_it = text.contains(&format!("{library}::"));
            let may = places.iter().any(|place| path.starts_with(place));
            assert!(may || !names_it, "{} must not name {library}", path.display());
        }
    }
}

#[test]
fn files_are_small_enough_to_finish_reading() {
    for path in rust_files() {
        let text = read(&path);
        let production = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        assert!(production <= MOST_LINES, "{}: {production} lines", path.display());
    }
}

/// Databases that have run a migration would not run it again: one that changed would be refused at their start.
#[test]
fn migrations_are_paired_and_only_added_to() {
    let known: BTreeMap<String, String> = read(&Path::new(ROOT).join("tests/golden/migrations.txt"))
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, name)| (name.to_owned(), hash.to_owned()))
        .collect();
    let found = files("migrations", ".sql");
    let name = |path: &Path| path.strip_prefix(ROOT).expect("below the root").to_string_lossy().into_owned();
    for path in &found {
        let (name, hash) = (name(path), hash(&read(path)));
        assert_eq!(
            known.get(&name),
            Some(&hash),
            "{name}: append `{hash}  {name}` if it is new; never change one"
        );
        let (one, other) = ("/postgres/", "/sqlite/");
        let pair = if name.contains(one) { name.replace(one, other) } else { name.replace(other, one) };
        assert!(Path::new(ROOT).join(&pair).exists(), "{pair} is missing");
    }
    assert_eq!(known.len(), found.len(), "a migration is gone");
}

/// FNV-1a (64 bit): enough to notice a change.
fn hash(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}
