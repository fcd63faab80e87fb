//! Tells the code which functions the HDF5 library that is linked has.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // `hdf5-metno-sys` says each version up to that of the library.
    let since = |version: &str| std::env::var_os(format!("DEP_HDF5_VERSION_{version}")).is_some();
    let features = [
        ("hdf5_counts_chunks", since("1_10_5")),
        ("hdf5_locks_by_choice", (since("1_10_7") && !since("1_12_0")) || since("1_12_1")),
        ("hdf5_1_12", since("1_12_0")),
    ];
    for (name, present) in features {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if present {
            println!("cargo::rustc-cfg={name}");
        }
    }
}
