//! `cargo run --release -p integration-tests --bin benchmark`: what the sandbox costs.
//!
//! Times the operations of `microbenchmarks` natively, in the sandbox, and under runc and crun where
//! they are installed, in turn and in one run, and prints ratios to native. A host's speed drifts, so
//! only figures of one run may be compared.
#![allow(clippy::print_stdout, reason = "a command that prints a report")]
#![allow(clippy::float_arithmetic, reason = "ratios")]

use integration_tests::benchmark::{
    Contender, idle_memory_bytes, start_times, sysemu_stop_nanoseconds,
};

const ROUNDS: usize = 3;

fn main() {
    let contenders = Contender::all();
    let figures: Vec<_> = contenders.iter().map(|contender| contender.operations(ROUNDS)).collect();
    let native = &figures[0];
    print!("{:<22}", "operation");
    for contender in &contenders {
        print!("{:>12} {:>8}", contender.name(), "ratio");
    }
    println!();
    for (name, native_nanoseconds) in native {
        print!("{name:<22}");
        for own in &figures {
            match own.iter().find(|(other, _)| other == name) {
                Some((_, nanoseconds)) => {
                    let ratio = *nanoseconds as f64 / (*native_nanoseconds).max(1) as f64;
                    print!("{nanoseconds:>9} ns {ratio:>7.1}x");
                }
                None => print!("{:>12} {:>8}", "-", "-"),
            }
        }
        println!();
    }
    println!("\nbare PTRACE_SYSEMU stop: {} ns", sysemu_stop_nanoseconds());
    println!("\nstart of `true`, milliseconds, median of 15 (ratio to crun or else to the first):");
    let starts = start_times(&contenders, 15);
    let base = starts.iter().find(|(name, _)| *name == "crun").or(starts.first());
    let base = base.map_or(1.0, |(_, milliseconds)| *milliseconds);
    for (name, milliseconds) in &starts {
        println!("{name:<22}{milliseconds:>9.1} {:>7.2}x", milliseconds / base);
    }
    match idle_memory_bytes() {
        Some(bytes) => println!("\nidle sandbox, PSS of all its processes: {} KiB", bytes / 1024),
        None => println!("\nidle sandbox: its memory could not be read"),
    }
}
