//! A small fuzzer for ordinary tests: seeded, bounded, without feedback. It finds what is near to the seeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What one run may take, with much to spare on a busy machine: there are no quadratic blow-ups.
const SLOW: Duration = Duration::from_secs(2);
const MOST: usize = 16 << 10;
/// Pieces that mean something to a parser.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u",
    "null",
    "true",
    "-0",
    "1e309",
    "NaN",
    "/",
    "*",
    "**",
    "%",
    "%2F",
    "\n",
    "\n\n",
    "ce-",
    "\u{0}",
    "\u{1f600}",
];

/// Runs `target` on each seed in `tests/fuzz/seeds/<name>` as it is, and then on what is made of them, for so long
/// (or as many seconds as `CORNJACKET_TEST_FUZZ` says).
pub fn run(name: &str, at_least: usize, target: impl Fn(&[u8])) {
    let mut files: Vec<_> =
        fs::read_dir(folder(name)).expect("there are seeds").flatten().map(|file| file.path()).collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).expect("a seed can be read")).collect();
    for seed in &seeds {
        timed(seed, &target);
    }
    let long = std::env::var("CORNJACKET_TEST_FUZZ").ok().and_then(|seconds| seconds.parse().ok());
    let long = long.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut random = Random(1);
    let mut runs = 0;
    while runs < at_least || long.is_some_and(|end| Instant::now() < end) {
        let mut data = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(8) {
            change(&mut data, &seeds, &mut random);
        }
        data.truncate(MOST);
        timed(&data, &target);
        runs += 1;
    }
    println!("{name}: {runs} runs");
}

/// Of the seeds, wherever in the repository the crate is that includes this file.
fn folder(name: &str) -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut folders = above.map(|folder| folder.join("tests/fuzz/seeds").join(name));
    folders.find(|folder| folder.is_dir()).expect("a folder of seeds")
}

/// A panic says by itself what is wrong, and this on what.
fn timed(data: &[u8], target: impl Fn(&[u8])) {
    let _said = Input(data);
    let start = Instant::now();
    target(data);
    let took = start.elapsed();
    assert!(took < SLOW, "took {took:?}");
}

/// Printed when a panic drops it.
struct Input<'a>(&'a [u8]);

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the input was b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn change(data: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(data.len() + 1);
    let end = (at + random.below(24)).min(data.len());
    match random.below(6) {
        0 => drop(data.drain(at..end)),
        1 => {
            let token = TOKENS[random.below(TOKENS.len())];
            data.splice(at..at, token.bytes());
        }
        // The same again, up to a thousand times: depth and length.
        2 => {
            let piece = data[at..end].repeat(1 << random.below(11));
            data.splice(at..at, piece);
        }
        3 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            let to = (from + random.below(64)).min(other.len());
            data.splice(at..end, other[from..to].iter().copied());
        }
        4 => {
            let byte = u8::try_from(random.below(256)).unwrap_or_default();
            data.splice(at..end.min(at + 1), [byte]);
        }
        _ => {
            let to = random.below(data.len() + 1);
            let piece = data[at..end].to_vec();
            data.splice(to..to, piece);
        }
    }
    data.truncate(MOST);
}

/// `SplitMix64`: the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or(usize::MAX) % bound.max(1)
    }
}
