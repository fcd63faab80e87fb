//! Writes down which commit the program was built from; outside a checkout it says "unknown" and never fails.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=FINESCALE_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let log = "../../.git/logs/HEAD"; // grows with each commit
    if Path::new(log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    let commit =
        std::env::var("FINESCALE_COMMIT").ok().or_else(described).unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=FINESCALE_COMMIT={commit}");
}

fn described() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
